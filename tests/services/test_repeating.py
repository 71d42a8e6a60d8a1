"""A write that is sent again to another primary takes effect once. In one process, without Ray."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.services.local_system import LocalSystem
from tests.services.test_archiving import ColdSystem, archiving_of
from tests.services.test_trimming import begin, restarted, run, trimmed

from raylite.actors.core.keys import KEY_BYTES
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import StatementError
from raylite.policies.query import Answer

KEY = b"k" * KEY_BYTES
INSERT = "INSERT INTO t VALUES (77) RETURNING n + 1"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COLD_TRIM_SECONDS", 0.1)


async def send(system: LocalSystem, *, actor: str = "primary:shop", sql: str = INSERT) -> Answer:
    return await system.query(actor, sql, key=KEY)


async def is_there_once(system: LocalSystem, first: Answer) -> None:
    again = await send(system)
    assert again.results == first.results
    assert again.bookmark >= first.bookmark
    count = await system.query("primary:shop", "SELECT count(*) FROM t WHERE n = 77")
    assert count.results[0].rows == [(1,)]


def test_the_next_primary_knows_it_whatever_it_begins_with(tmp_path: Path) -> None:
    async def case(system: ColdSystem) -> None:
        primary, _ = await begin(system)
        first = await send(system)
        await is_there_once(system, first)
        for directory in ("primary", "elsewhere"):
            primary = await restarted(system, directory)
            await is_there_once(system, first)
        place = Bookmark.parse(first.bookmark)
        await archiving_of(primary).flush(place)
        await trimmed(system, place)
        await restarted(system, "with what only cold storage holds")
        await is_there_once(system, first)

    run(tmp_path, case)


def test_a_replica_forwards_it_with_its_key(tmp_path: Path) -> None:
    async def case(system: ColdSystem) -> None:
        await begin(system)
        replica = system.start_replica("weur")
        first = await send(system, actor=replica.name)
        assert first.primary
        await is_there_once(system, first)

    run(tmp_path, case)


def test_what_a_second_attempt_failed_with_stays_so_for_a_late_first(tmp_path: Path) -> None:
    async def case(system: ColdSystem) -> None:
        await begin(system)
        for _ in range(2):
            with pytest.raises(StatementError, match="no such table: u"):
                await system.query("primary:shop", "INSERT INTO u VALUES (1)", key=KEY, repeated=True)
            await system.query("primary:shop", "CREATE TABLE IF NOT EXISTS u (n)")
        with pytest.raises(StatementError, match="no such table: u"):
            await send(system, sql="INSERT INTO u VALUES (1)")

    run(tmp_path, case)

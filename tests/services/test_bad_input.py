"""What no client of ours would send: actors refuse it by themselves, and nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.services.local_system import LocalSystem
from tests.services.test_system import PRIMARY, run

from raylite.policies.errors import (
    BookmarkError,
    Error,
    LimitExceeded,
    NotAllowed,
    ParameterError,
    StatementError,
    Unavailable,
)
from raylite.policies.query import Mode, Value

REPLICA = "replica:shop:weur"

WRONG: list[tuple[str, tuple[Value, ...], type[Error]]] = [
    ("SELECT ?", (1 << 63,), ParameterError),
    ("SELECT ?", ("a\0b",), ParameterError),
    ("SELECT 1\0", (), StatementError),
    ("SELECT 1", (1,) * 40_000, LimitExceeded),
    ("SELECT ?", (bytes((64 << 20) + 1),), LimitExceeded),
    ("SELECT '" + "x" * 1_000_000 + "'", (), LimitExceeded),
    ("BEGIN IMMEDIATE", (), NotAllowed),
    ("PRAGMA journal_mode = DELETE", (), NotAllowed),
]


def test_actors_refuse_what_clients_should_not_have_sent(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        system.start_replica("weur")
        before = await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'x')")
        await system.query(REPLICA, "SELECT 1", bookmark=before.bookmark)
        for actor in (PRIMARY, REPLICA):
            for sql, params, kind in WRONG:
                with pytest.raises(kind):
                    await system.query(actor, sql, *params)
            with pytest.raises(StatementError, match="one text"):
                await system.query(actor, "SELECT 1", more=("SELECT 2",))
            with pytest.raises(LimitExceeded):
                await system.query(actor, "SELECT 1", mode=Mode.BATCH, more=("SELECT 1",) * 10_000)
            for bookmark in ("x", "0" * 59, before.bookmark.upper(), before.bookmark + "0"):
                with pytest.raises(BookmarkError):
                    await system.query(actor, "SELECT 1", bookmark=bookmark)
        after = await system.query(PRIMARY, "SELECT count(*) FROM t")
        assert (after.bookmark, after.results[0].rows) == (before.bookmark, [(1,)])

    run(tmp_path, case)


def test_an_actor_answers_for_no_other_database(tmp_path: Path) -> None:
    async def case(system: LocalSystem) -> None:
        system.start_replica("weur")
        written = await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'x')")
        await system.query(REPLICA, "SELECT 1", bookmark=written.bookmark)
        system.database_id = "fedcba9876543210"
        for actor in (PRIMARY, REPLICA):
            with pytest.raises(Unavailable):
                await system.ask_once(actor, "SELECT * FROM t")

    run(tmp_path, case)

"""Followers that lost their disks join anew, one after the other, while clients write. In one process, without Ray."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.services.local_system import LocalSystem

from raylite.actors.holders import holders
from raylite.actors.primary import Primary
from raylite.policies import limits


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REJOIN_SECONDS", 0.2)
    monkeypatch.setattr(limits, "HINT_SECONDS", 0.2)


def run(directory: Path, case: Callable[[LocalSystem, Primary], Awaitable[None]]) -> None:
    async def main() -> None:
        system = LocalSystem(directory)
        await system.start()
        primary = system.start_primary()
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        try:
            await case(system, primary)
        finally:
            await system.stop()

    asyncio.run(main())


async def lose_disk(system: LocalSystem, index: int) -> None:
    """The follower comes back on an empty disk."""
    await system.end(f"follower:{index}")
    shutil.rmtree(system.directory / f"follower-{index}")
    system.start_follower(index)


async def rejoined(system: LocalSystem, primary: Primary, index: int) -> None:
    """Returns once that follower is a member by another incarnation, and the change is over."""
    before = next(one for one in system.members.current if one.follower == f"follower:{index}")
    async with asyncio.timeout(20):
        while True:
            assert primary.relay is not None
            members = primary.relay.core.members
            names = [one.follower for one in members.current]
            if before not in members.everyone and not members.following and before.follower in names:
                system.members = members
                return
            await asyncio.sleep(0.02)


async def numbers(system: LocalSystem) -> list[object]:
    answer = await system.query("primary:shop", "SELECT n FROM t ORDER BY n")
    return [row[0] for row in answer.results[0].rows]


async def write(system: LocalSystem, *values: int) -> None:
    for n in values:
        await system.query("primary:shop", "INSERT INTO t VALUES (?)", n)


def test_a_follower_that_lost_its_disk_joins_anew_while_clients_write_and_then_its_word_counts(
    tmp_path: Path,
) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        await write(system, *range(5))
        await lose_disk(system, 4)
        rejoining = asyncio.create_task(rejoined(system, primary, 4))
        written = 5
        while not rejoining.done():
            await write(system, written)
            written += 1
        await rejoining
        for index in (0, 1):
            await system.end(f"follower:{index}")
        await write(system, written)
        assert await numbers(system) == list(range(written + 1))

    run(tmp_path, case)


def test_after_all_have_joined_anew_a_primary_that_was_told_of_the_first_members_finds_the_others(
    tmp_path: Path,
) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        first = system.members
        for index in range(5):
            await write(system, index)
            await lose_disk(system, index)
            await rejoined(system, primary, index)
        database = system.database_id
        assert len((await holders(primary.dial, {database: first}))[database]) == 5
        system.members = first
        await system.end("primary:shop")
        system.forget_connections()
        system.start_primary("elsewhere")
        assert await numbers(system) == list(range(5))
        await write(system, 5)

    run(tmp_path, case)


def test_a_follower_whose_journal_was_damaged_joins_anew(tmp_path: Path) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        await write(system, *range(3))
        await system.end("follower:2")
        segment = sorted((tmp_path / "follower-2").glob("*.journal"))[0]
        with segment.open("r+b") as file:
            file.seek(8192 + 200)
            file.write(b"damaged!")
        system.start_follower(2)
        await rejoined(system, primary, 2)
        await write(system, 3)
        assert await numbers(system) == list(range(4))

    run(tmp_path, case)


def test_without_a_quorum_nobody_joins_anew(tmp_path: Path) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        await write(system, 1)
        for index in range(3):
            await lose_disk(system, index)
        await asyncio.sleep(1.0)
        assert primary.relay is not None
        assert primary.relay.core.members.current == system.members.current

    run(tmp_path, case)

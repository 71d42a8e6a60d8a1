"""Followers forget what cold storage holds, and copies that need it take it from there. In one process, without Ray."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.services.test_archiving import ColdSystem, archiving_of, until

from raylite.actors.cold import boot, marker
from raylite.actors.core import messages as m
from raylite.actors.follower import Follower
from raylite.actors.primary import Primary
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Unreachable
from raylite.policies.quorum import Member
from raylite.policies.status import ActorStatus


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers are told soon."""
    monkeypatch.setattr(limits, "COLD_TRIM_SECONDS", 0.1)


def run(directory: Path, case: Callable[[ColdSystem], Awaitable[None]]) -> None:
    async def main() -> None:
        system = ColdSystem(directory)
        system.claim()
        await system.start()
        try:
            await case(system)
        finally:
            await system.stop()

    asyncio.run(main())


async def write(system: ColdSystem, *numbers: int) -> Bookmark:
    answers = [await system.query("primary:shop", "INSERT INTO t VALUES (?)", n) for n in numbers]
    return Bookmark.parse(answers[-1].bookmark)


async def numbers(system: ColdSystem, actor: str, bookmark: Bookmark) -> list[object]:
    answer = await system.query(actor, "SELECT n FROM t ORDER BY n", bookmark=str(bookmark))
    return [row[0] for row in answer.results[0].rows]


async def begin(system: ColdSystem) -> tuple[Primary, Bookmark]:
    """A primary whose first entries, 0 to 9, only cold storage holds."""
    primary = system.start_primary()
    await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
    place = await write(system, *range(10))
    await archiving_of(primary).flush(place)
    await trimmed(system, place)
    return primary, place


async def trimmed(system: ColdSystem, place: Bookmark, *without: int) -> None:
    """Returns once followers, but `without`, do not hold that entry any more."""

    async def so() -> bool:
        found = [await missing(system, index) for index in range(5) if index not in without]
        return all(one.base.sequence >= place.sequence for one in found)

    await until(so)


async def missing(system: ColdSystem, index: int) -> m.Missing:
    member = next(one for one in system.members.current if one.follower == f"follower:{index}")
    nothing = Bookmark(0, 1 << 60, b"none", b"not a digest")
    answer = await system.ask_follower(index, m.Read(system.database_id, member.incarnation, nothing, 1))
    assert isinstance(answer, m.Missing)
    return answer


async def restarted(system: ColdSystem, directory: str) -> Primary:
    await system.end("primary:shop")
    system.forget_connections()
    return system.start_primary(directory)


def test_a_primary_without_files_is_rebuilt_from_cold_storage_and_what_followers_still_hold(
    tmp_path: Path,
) -> None:
    async def case(system: ColdSystem) -> None:
        await begin(system)
        place = await write(system, 10, 11)
        await restarted(system, "elsewhere")
        assert await numbers(system, "primary:shop", place) == list(range(12))
        assert await numbers(system, "primary:shop", await write(system, 12)) == list(range(13))

    run(tmp_path, case)


def test_cold_storage_and_three_disks_of_followers_are_enough_for_all_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    async def case(system: ColdSystem) -> None:
        await begin(system)
        place = await write(system, *range(10, 15))  # which cold storage does not have
        await system.end("primary:shop")
        for index in range(5):
            await system.end(f"follower:{index}")
        for lost in ("primary", "follower-1", "follower-3"):
            shutil.rmtree(tmp_path / lost)
        system.forget_connections()
        for index in (0, 2, 4):
            system.start_follower(index)
        system.start_primary()
        assert await numbers(system, "primary:shop", place) == list(range(15))
        system.start_replica("weur")
        for index in (1, 3):
            system.start_follower(index)
        place = await write(system, 15)
        assert await numbers(system, "replica:shop:weur", place) == list(range(16))

    run(tmp_path, case)


def test_a_primary_uses_its_own_files_as_long_as_cold_storage_leads_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restore_nothing(*_: object) -> None:
        raise AssertionError("the file that is there leads on")

    async def case(system: ColdSystem) -> None:
        _, place = await begin(system)
        await system.end("primary:shop")
        shutil.copytree(tmp_path / "primary", tmp_path / "old")
        system.forget_connections()
        primary = system.start_primary()
        place = await write(system, 10)
        await archiving_of(primary).flush(place)
        await trimmed(system, place)
        monkeypatch.setattr(boot, "restore", restore_nothing)
        await restarted(system, "old")
        assert await numbers(system, "primary:shop", place) == list(range(11))

    run(tmp_path, case)


def test_replicas_that_are_new_or_far_behind_begin_with_what_cold_storage_holds(tmp_path: Path) -> None:
    async def case(system: ColdSystem) -> None:
        await begin(system)
        system.start_replica("weur")
        place = await write(system, 10)
        assert await numbers(system, "replica:shop:weur", place) == list(range(11))
        await system.end("replica:shop:weur")
        primary = await restarted(system, "primary")  # whose window begins here
        place = await write(system, 11)
        await archiving_of(primary).flush(place)
        await trimmed(system, place)
        system.start_replica("weur")
        place = await write(system, 12)
        assert await numbers(system, "replica:shop:weur", place) == list(range(13))

    run(tmp_path, case)


def test_a_follower_that_was_away_begins_where_the_others_do(tmp_path: Path) -> None:
    async def case(system: ColdSystem) -> None:
        primary, _ = await begin(system)
        await system.end("follower:4")
        place = await write(system, *range(10, 20))
        await archiving_of(primary).flush(place)
        await trimmed(system, place, 4)
        await restarted(system, "primary")  # whose window begins here
        place = await write(system, 20)
        system.start_follower(4)

        async def caught_up() -> bool:
            return (await missing(system, 4)).tail.sequence >= place.sequence

        await until(caught_up)
        for index in (0, 1):  # now its word counts
            await system.end(f"follower:{index}")
        assert await numbers(system, "primary:shop", await write(system, 21)) == list(range(22))

    run(tmp_path, case)


def test_followers_that_restart_know_where_their_logs_begin(tmp_path: Path) -> None:
    async def case(system: ColdSystem) -> None:
        _, place = await begin(system)
        for index in range(5):
            await system.end(f"follower:{index}")
        system.forget_connections()
        for index in range(5):
            system.start_follower(index)
        assert (await missing(system, 0)).base.sequence >= place.sequence
        await restarted(system, "elsewhere")
        assert await numbers(system, "primary:shop", place) == list(range(10))

    run(tmp_path, case)


def test_a_follower_that_does_not_see_the_store_keeps_everything(tmp_path: Path) -> None:
    async def case(system: ColdSystem) -> None:
        system.start_primary()
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        place = await write(system, 1)
        (system.cold / marker.NAME).unlink()
        member: Member = system.members.current[0]
        with pytest.raises(Unreachable, match="no marker"):
            await system.ask_follower(0, m.Trim(system.database_id, member.incarnation, place))
        assert (await missing(system, 0)).base.sequence == 0
        follower = system.around.services["follower:0"]
        assert isinstance(follower, Follower)
        assert any("nothing is trimmed" in one for one in (await follower.status()).problems)

    run(tmp_path, case)


def test_without_the_store_a_primary_that_needs_it_says_so_and_opens_once_it_is_back(tmp_path: Path) -> None:
    async def case(system: ColdSystem) -> None:
        _, place = await begin(system)
        system.cold.rename(tmp_path / "away")
        primary = await restarted(system, "elsewhere")

        async def says_so() -> bool:
            found: ActorStatus = await primary.status()
            return any("cold storage" in one for one in found.problems)

        await until(says_so)
        with pytest.raises(Unreachable, match="cold storage"):
            await system.ask_once("primary:shop", "SELECT 1")
        (tmp_path / "away").rename(system.cold)
        assert await numbers(system, "primary:shop", place) == list(range(10))

    run(tmp_path, case)

"""Followers that are gone for good are replaced by others while clients write. In one process, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.services.local_system import LocalSystem
from tests.services.test_rejoining import numbers, write
from tests.services.test_system import until

from raylite.actors.primary import Primary
from raylite.policies import limits
from raylite.policies.errors import Error, NotAllowed, Unreachable
from raylite.policies.quorum import Member, Members

Case = Callable[[LocalSystem, Primary], Awaitable[None]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FOLLOWER_GONE_SECONDS", 0.5)
    monkeypatch.setattr(limits, "REJOIN_SECONDS", 0.2)
    monkeypatch.setattr(limits, "HINT_SECONDS", 0.2)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is replaced by himself."""
    monkeypatch.setattr(limits, "FOLLOWER_GONE_SECONDS", 3600.0)


def run(directory: Path, case: Case, followers: int = 7) -> None:
    async def main() -> None:
        system = LocalSystem(directory)
        await system.start()
        for index in range(5, followers):
            system.start_follower(index)
        primary = system.start_primary()
        await system.query("primary:shop", "CREATE TABLE t (n INTEGER)")
        try:
            await case(system, primary)
        finally:
            await system.stop()

    asyncio.run(main())


def members_of(primary: Primary) -> tuple[Member, ...]:
    members = primary.relay.core.members if primary.relay else Members(())
    return () if members.following else members.current


def names(primary: Primary) -> set[str]:
    return {one.follower for one in members_of(primary)}


async def replaced(primary: Primary, *gone: int) -> None:
    """Returns once none of these is a member, and the change is over."""

    async def so() -> bool:
        found = names(primary)
        return bool(found) and not found & {f"follower:{index}" for index in gone}

    await until(so)


async def problems(primary: Primary) -> str:
    return " ".join((await primary.status()).problems)


def test_two_that_are_gone_are_replaced_while_clients_write_and_then_the_others_word_counts(
    tmp_path: Path,
) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        written = 0
        for gone in (3, 4):
            await system.end(f"follower:{gone}")
            change = asyncio.create_task(replaced(primary, gone))
            while not change.done():
                await write(system, written)
                written += 1
            await change
        assert names(primary) == {f"follower:{index}" for index in (0, 1, 2, 5, 6)}
        for index in (0, 1):
            await system.end(f"follower:{index}")
        await write(system, written)
        assert await numbers(system) == list(range(written + 1))

    run(tmp_path, case)


def test_whoever_was_replaced_and_comes_back_counts_for_nothing(tmp_path: Path) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        await write(system, 1)
        for gone in (3, 4):
            await system.end(f"follower:{gone}")
            await replaced(primary, gone)
        for index in (3, 4):
            system.start_follower(index)
        for index in (0, 5, 6):
            await system.end(f"follower:{index}")
        with pytest.raises(Error, match="follower"):
            await system.query("primary:shop", "INSERT INTO t VALUES (2)", seconds=3.0)

    run(tmp_path, case, followers=7)


def test_a_primary_that_knows_only_followers_that_are_all_gone_asks_the_registry(tmp_path: Path) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        for gone in range(5):
            await write(system, gone)
            await system.end(f"follower:{gone}")
            await replaced(primary, gone)

        async def noted() -> bool:
            return system.around.members[system.database_id].current == members_of(primary)

        await until(noted)
        await system.end("primary:shop")
        system.forget_connections()
        system.start_primary("elsewhere")
        assert await numbers(system) == list(range(5))
        await write(system, 5)

    run(tmp_path, case, followers=10)


def test_the_next_primary_goes_on_where_a_change_was_cut_off(tmp_path: Path) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        await write(system, *range(20))
        await system.end("follower:4")

        async def begun() -> bool:
            assert primary.relay is not None
            leader = primary.relay.core.leader
            return leader is not None and any(
                one.member is not None and one.member.follower == "follower:5"
                for one in leader.peers.values()
            )

        await until(begun)
        await system.end("primary:shop")
        system.forget_connections()
        following = system.start_primary("elsewhere")
        await replaced(following, 4)
        await write(system, 20)
        assert await numbers(system) == list(range(21))

    run(tmp_path, case)


def test_without_another_follower_status_says_what_is_needed(tmp_path: Path) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        await system.end("follower:4")

        async def said() -> bool:
            return "follower:4 is gone, and there is no other follower to take its place" in await problems(
                primary
            )

        await until(said)
        system.start_follower(5)
        await replaced(primary, 4)

        async def well() -> bool:
            return not await problems(primary)

        await until(well)

    run(tmp_path, case, followers=5)


def test_without_a_quorum_nobody_is_asked_to_join(
    tmp_path: Path, patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        for index in range(3):
            await system.end(f"follower:{index}")

        async def silent() -> bool:
            return (await problems(primary)).count("does not answer") == 3

        await until(silent)
        monkeypatch.setattr(limits, "FOLLOWER_GONE_SECONDS", 0.1)
        await asyncio.sleep(1.0)  # enough looks for one to be called gone
        assert primary.relay is not None
        leader = primary.relay.core.leader
        assert leader is not None
        assert {one.member.follower for one in leader.peers.values() if one.member} == names(primary)

    run(tmp_path, case)


def test_a_newcomer_that_does_not_answer_is_passed_over(tmp_path: Path) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        dead = system.around.services.pop("follower:5")
        await dead.stop()
        system.around.services["follower:5"] = dead
        await system.end("follower:4")
        await replaced(primary, 4)
        assert "follower:6" in names(primary)
        del system.around.services["follower:5"]

    run(tmp_path, case)


def test_a_follower_is_replaced_by_command(tmp_path: Path, patient: None) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        await write(system, 1)
        assert await primary.replace_follower("follower:2", "follower:6") == "follower:6"
        assert names(primary) == {f"follower:{index}" for index in (0, 1, 3, 4, 6)}
        assert await primary.replace_follower("follower:2") == ""
        with pytest.raises(NotAllowed, match="member already"):
            await primary.replace_follower("follower:1", "follower:6")
        assert await primary.replace_follower("follower:1") in ("follower:2", "follower:5")
        await write(system, 2)
        assert await numbers(system) == [1, 2]

    run(tmp_path, case)


def test_a_command_that_cannot_be_carried_out_says_why(tmp_path: Path, patient: None) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        with pytest.raises(Unreachable, match="no other follower"):
            await primary.replace_follower("follower:1")
        with pytest.raises(Unreachable, match="follower:9"):
            await primary.replace_follower("follower:1", "follower:9")
        assert names(primary) == {f"follower:{index}" for index in range(5)}

    run(tmp_path, case, followers=5)

"""A database that nobody uses has no actors: it is laid to rest only if it is idle and safe, and anybody wakes it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
import uvloop
from tests.services.local_system import LocalSystem
from tests.services.test_registry import World, run
from tests.services.test_system import until

from raylite.actors import waking
from raylite.actors.cold import marker
from raylite.actors.cold.folder import open_store
from raylite.actors.core import messages as m
from raylite.actors.hibernation import Idleness
from raylite.actors.primary import Primary
from raylite.policies import limits
from raylite.policies.errors import NotPrimary, Unreachable
from raylite.policies.system import REGISTRY

ACTORS = ["primary:a", *(f"replica:a:{region}" for region in ("apac", "enam", "weur"))]


def killed(world: World) -> list[str]:
    return [str(one[1]) for one in world.cluster.done if one[0] == "kill"]


def hibernating(world: World) -> None:
    """All actors say that they serve, and have been idle for a minute, which is enough."""
    world.now.settings = msgspec.structs.replace(world.now.settings, hibernate_seconds=60.0)
    world.cluster.state, world.cluster.idle_seconds = "open", 60.0


async def id_of(world: World, name: str) -> str:
    return (await world.now.lookup(name)).database_id


def test_a_new_database_has_followers_and_no_actors_until_it_is_woken(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        entry = await world.now.create("a", "weur", "enam", "auto")
        assert entry.asleep
        assert entry.members is not None
        assert (world.cluster.done, world.cluster.table.routes) == ([], {})
        overview = await world.now.overview()
        assert (overview.asleep, overview.tolerated_nodes) == (1, 2)
        assert not set(ACTORS) & set(overview.actors)
        woken = await world.now.wake("a")
        assert not woken.asleep

        async def complete() -> bool:
            return world.starts("replica:a:weur") == 1

        await until(complete)
        assert [one[:2] for one in world.cluster.done][:2] == [("primary", "a"), ("wait", "primary:a")]
        assert list(world.cluster.table.routes) == ["a"]
        started = len(world.cluster.done)
        await world.now.wake("a")
        assert len(world.cluster.done) == started  # what is awake is left alone
        assert (await world.now.overview()).asleep == 0

    run(tmp_path, case)


def at_once(world: World) -> int:
    return limits.WOKEN_AT_ONCE * len(world.cluster.alive)


async def create_many(world: World) -> list[str]:
    """More databases without replicas than are woken at the same time."""
    names = [f"d{index:02}" for index in range(2 * at_once(world) + 1)]
    for name in names:
        await world.now.create(name, "weur", "enam", "disabled")
    return names


def test_of_many_that_are_woken_at_once_few_start_at_the_same_time(tmp_path: Path) -> None:
    def started(world: World) -> int:
        return len({one[1] for one in world.cluster.done if one[0] == "primary"})

    async def case(world: World) -> None:
        names = await create_many(world)
        world.cluster.up.clear()
        woken = [asyncio.create_task(world.now.wake(name)) for name in names]
        done, _ = await asyncio.wait(woken, timeout=1.0)
        assert len(done) == started(world) == at_once(world)
        world.cluster.up.set()
        assert sorted(entry.name for entry in await asyncio.gather(*woken)) == names
        assert started(world) == len(names)

    run(tmp_path, case)


def test_who_waits_long_to_be_woken_is_told_so_and_can_ask_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waking, "_WAIT_SECONDS", 0.05)

    async def case(world: World) -> None:
        *others, last = await create_many(world)
        world.cluster.up.clear()
        await asyncio.gather(*(world.now.wake(name) for name in others[: at_once(world)]))
        with pytest.raises(Unreachable, match="being woken"):
            await world.now.wake(last)
        assert (await world.now.lookup(last)).asleep
        world.cluster.up.set()
        assert not (await world.now.wake(last)).asleep

    run(tmp_path, case)


def test_an_idle_database_is_settled_then_its_actors_end_and_routers_are_told(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.create("a")
        await world.create("b")
        hibernating(world)
        assert await world.now.rest(await id_of(world, "a"))
        done = [one for one in world.cluster.done if one[0] in ("settle", "kill")]
        assert (done[0], sorted(killed(world))) == (("settle", "primary:a"), ACTORS)
        assert list(world.cluster.table.routes) == ["b"]
        assert (await world.now.lookup("a")).asleep

    run(tmp_path, case)


@pytest.mark.parametrize("why", ["a copy was used", "it cannot settle", "it is unknown"])
def test_what_is_in_use_or_not_safe_stays_awake(tmp_path: Path, why: str) -> None:
    async def case(world: World) -> None:
        await world.create("a")
        hibernating(world)
        world.cluster.idle_seconds -= why == "a copy was used"
        world.cluster.settles = why != "it cannot settle"
        assert not await world.now.rest("0" * 32 if why == "it is unknown" else await id_of(world, "a"))
        assert (killed(world), (await world.now.lookup("a")).asleep) == ([], False)

    run(tmp_path, case)


def test_a_registry_that_dies_before_it_ends_the_actors_leaves_nobody_awake(tmp_path: Path) -> None:
    """Whoever misses the primary of what is asleep, as its replica does, is ended; routers wake it."""

    async def dies(actor: str) -> None:
        raise Unreachable("Ray", "it does not answer")

    async def case(world: World) -> None:
        await world.create("a")
        hibernating(world)
        world.cluster.on_kill = dies
        with pytest.raises(Unreachable):
            await world.now.rest(await id_of(world, "a"))
        await world.system.end(REGISTRY)
        del world.cluster.on_kill
        world.cluster.done.clear()
        world.registry()
        await world.now.ready()
        assert not await world.now.report_missing("a")
        assert sorted(killed(world)) == ACTORS
        assert not any(one[0] in ("primary", "replica") for one in world.cluster.done)
        assert await world.now.report_silent([await id_of(world, "a"), "gone"]) == ("gone",)
        assert not await world.now.report_lost("replica:a:weur")
        await world.now.wake("a")
        assert ("primary", "a", "", False) in world.cluster.done

    run(tmp_path, case)


def test_what_could_not_be_started_when_it_was_woken_is_tried_again(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.now.create("a", "weur", "enam", "auto")
        world.cluster.failing.add("a")
        with pytest.raises(Unreachable):
            await world.now.wake("a")
        world.cluster.failing.clear()

        async def started() -> bool:
            return ("primary", "a", "", False) in world.cluster.done

        await until(started)

    run(tmp_path, case)


def test_a_deleted_database_that_was_asleep_leaves_its_name_free(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        first = await world.now.create("a", "weur", "enam", "auto")
        await world.now.delete("a")
        second = await world.now.create("a", "weur", "enam", "auto")
        assert first.database_id != second.database_id
        assert second.asleep

    run(tmp_path, case)


def test_whatever_is_under_way_is_no_idleness_however_long_it_takes() -> None:
    now = 100.0
    idleness = Idleness(lambda: now)
    now = 105.0
    assert idleness.seconds == 5
    with idleness.ended(), idleness.ended():
        now = 200.0
        assert idleness.seconds == 0
    assert idleness.seconds == 0
    now = 203.0
    assert idleness.seconds == 3
    idleness.end()
    assert idleness.seconds == 0


# A primary


def with_primary(
    directory: Path, case: Callable[[LocalSystem, Primary], Awaitable[None]], seconds: float
) -> None:
    async def main() -> None:
        system = LocalSystem(directory)
        cold = str(directory / "cold")
        marker.claim(open_store(cold), marker.Marker("system"))
        system.settings = msgspec.structs.replace(system.settings, hibernate_seconds=seconds, cold=cold)
        await system.start()
        try:
            await case(system, system.start_primary())
        finally:
            await system.stop()

    uvloop.run(main())


def test_an_idle_primary_asks_for_rest_and_gives_everything_up_when_it_is_told_to(tmp_path: Path) -> None:
    async def case(system: LocalSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (a)")

        async def asked() -> bool:
            return system.around.resting == [system.database_id]

        await until(asked)
        await system.query("primary:shop", "INSERT INTO t VALUES (1)")
        assert not await primary.settle()  # somebody has used it
        await asyncio.sleep(1.1)
        status = await primary.status()
        assert status.idle_seconds > 1
        assert await primary.settle()
        assert (await primary.status()).cold == status.bookmark  # all of it is in cold storage
        with pytest.raises((Unreachable, NotPrimary)):
            await system.ask_once("primary:shop", "SELECT 1")
        found = await system.ask_follower(0, m.Inspect(system.database_id))
        assert isinstance(found, m.Holding)
        assert found.lease_seconds == 0
        system.forget_connections()
        system.start_primary("another")
        assert (await system.query("primary:shop", "SELECT a FROM t")).results[0].rows == [(1,)]

    with_primary(tmp_path, case, 1.0)


def test_one_that_settled_and_is_not_ended_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SETTLED_SECONDS", 0.2)

    async def case(system: LocalSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (a)")
        await asyncio.sleep(1.1)
        assert await primary.settle()
        del system.around.services["primary:shop"]

        async def crashed() -> bool:
            return [str(one) for one in system.around.crashes if "settled" in str(one)] != []

        await until(crashed)
        system.around.crashes.clear()

    with_primary(tmp_path, case, 1.0)


def test_without_a_time_a_primary_never_asks_for_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SETTLED_SECONDS", 0.01)

    async def case(system: LocalSystem, primary: Primary) -> None:
        await system.query("primary:shop", "CREATE TABLE t (a)")
        await asyncio.sleep(0.3)
        assert system.around.resting == []

    with_primary(tmp_path, case, 0.0)

"""The registry with real followers, and a cluster of names: what it makes, whom it starts, and what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from tests.services.local_system import LocalSystem
from tests.services.test_system import until
from tests.unit.cluster_world import FakeCluster

from raylite.actors.holders import holders
from raylite.actors.ports import Whereabouts
from raylite.actors.registry import Registry
from raylite.policies import limits
from raylite.policies.errors import DatabaseExists, DatabaseNotFound, InvalidName, Unreachable
from raylite.policies.quorum import Member, Members
from raylite.policies.system import REGISTRY, Node, PrimaryConfig, Site

NODES = [Node(str(number), ("enam", "weur", "apac")[number % 3]) for number in range(6)]


Event = Callable[[str], Awaitable[None]]


async def nothing(actor: str) -> None:
    pass


class EventfulCluster(FakeCluster):
    """Something happens when it is asked where an actor is, or is to end one."""

    on_look: Event = staticmethod(nothing)
    on_kill: Event = staticmethod(nothing)

    async def whereabouts(self, actor: str) -> Whereabouts:
        await self.on_look(actor)
        return await super().whereabouts(actor)

    async def kill(self, actor: str) -> None:
        await super().kill(actor)
        await self.on_kill(actor)


class World:
    """A registry over six followers, each on a node of its own."""

    def __init__(self, directory: Path) -> None:
        self.system, self.cluster = LocalSystem(directory), EventfulCluster(NODES)

    async def start(self) -> None:
        await self.system.start()
        self.system.start_follower(5)
        await self.registry().ready()

    def registry(self, directory: str = "registry") -> Registry:
        """Starts one, as if its database were the one that the system has."""
        system = self.system
        config = PrimaryConfig(
            system.database_id, "_registry", system.members, "enam", str(system.directory / directory)
        )
        sites = [Site(f"follower:{node.id}", node.id, node.region) for node in NODES]
        made = Registry(config, system.settings, system.around, self.cluster, sites)
        system.around.services[REGISTRY] = made
        return made

    @property
    def now(self) -> Registry:
        found = self.system.around.services[REGISTRY]
        assert isinstance(found, Registry)
        return found

    def starts(self, replica: str) -> int:
        return [one[:2] for one in self.cluster.done].count(("replica", replica))

    async def create(self, name: str) -> list[str]:
        """Makes a database, wakes it, and returns its followers."""
        await self.now.create(name, "weur", "enam", "auto")
        before = self.starts(f"replica:{name}:weur")
        entry = await self.now.wake(name)

        async def started() -> bool:
            return self.starts(f"replica:{name}:weur") > before

        await until(started)
        assert entry.members is not None
        return sorted(one.follower for one in entry.members.current)


def run(directory: Path, case: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World(directory)
        await world.start()
        try:
            await case(world)
        finally:
            await world.system.stop()

    uvloop.run(main())


def test_a_database_is_made_with_five_followers_and_copies_in_every_region(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        assert len(await world.create("a")) == 5
        started = {one[:2] for one in world.cluster.done if one[0] != "wait"}
        replicas = {("replica", f"replica:a:{region}") for region in ("enam", "weur", "apac")}
        assert replicas | {("primary", "a")} == started
        assert world.cluster.table.routes["a"].primary.region == "weur"
        with pytest.raises(DatabaseExists):
            await world.create("a")

    run(tmp_path, case)


def test_followers_that_do_not_answer_or_whose_node_is_gone_are_passed_over(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.system.end("follower:2")
        assert await world.create("a") == [f"follower:{number}" for number in (0, 1, 3, 4, 5)]
        del world.cluster.alive[4]
        with pytest.raises(Unreachable, match="4 of 5 answer"):
            await world.create("b")
        world.system.start_follower(2)
        entry = await world.now.lookup("b")
        assert entry.members is not None

    run(tmp_path, case)


def test_what_may_still_be_lost_is_said_of_followers_that_hold_what_they_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REJOIN_SECONDS", 600.0)

    async def case(world: World) -> None:
        await world.create("a")
        losses: list[int] = []
        for number in range(3):
            losses.append((await world.now.overview()).tolerated_nodes)
            await world.system.end(f"follower:{number}")
            (tmp_path / f"follower-{number}").rename(tmp_path / f"lost-{number}")
            world.system.start_follower(number)  # with an empty disk
        assert losses == [2, 1, 0]

    run(tmp_path, case)


def test_who_the_members_are_is_what_the_log_says_whatever_was_noted(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        database, members = world.system.database_id, world.system.members
        first, *others = members.current
        noted = Members((Member(first.follower, "another"), *others))
        everybody = {one.follower for one in members.current}
        assert await holders(world.now.dial, {database: noted}) == {database: everybody}

    run(tmp_path, case)


def test_a_database_whose_actors_do_not_start_holds_no_other_up_and_is_tried_again(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.create("a")
        await world.create("b")
        await world.system.end(REGISTRY)
        world.cluster.done.clear()
        world.cluster.failing.add("a")
        world.registry()

        async def only_b() -> bool:
            problems = (await world.now.status()).problems
            return ("primary", "b", "", False) in world.cluster.done and any("a: " in one for one in problems)

        await until(only_b)
        world.cluster.failing.clear()

        async def both() -> bool:
            return ("primary", "a", "", False) in world.cluster.done and not (
                await world.now.status()
            ).problems

        await until(both)

    run(tmp_path, case)


def test_a_later_registrys_tables_are_newer_than_all_of_an_earlier_one(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        for number in range(3):
            await world.create(f"a{number}")
        first = world.cluster.table.version
        await world.system.end(REGISTRY)
        world.registry()
        await world.now.publish()
        assert world.cluster.table.version >> 32 > first >> 32
        assert sorted(world.cluster.table.routes) == ["a0", "a1", "a2"]

    run(tmp_path, case)


def test_a_routing_actor_with_another_table_gets_this_one(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.create("a")
        table = world.cluster.table
        world.cluster.table = type(table)(0, {})

        async def has_it() -> bool:
            return list(world.cluster.table.routes) == ["a"]

        await until(has_it)

    run(tmp_path, case)


def test_followers_are_told_which_databases_there_are_not(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.create("a")
        entry = await world.now.lookup("a")
        own = world.system.database_id
        assert await world.now.report_silent([entry.database_id, own, "deleted"]) == ("deleted",)
        assert ("kill", "primary:a") in world.cluster.done

    run(tmp_path, case)


def test_a_lost_replica_is_replaced_if_there_should_be_one(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.create("a")
        assert await world.now.report_lost("replica:a:weur")
        assert not await world.now.report_lost("replica:a:oc")
        assert world.cluster.done[-1] == ("replica", "replica:a:weur", "node-1", False)

    run(tmp_path, case)


def test_where_replicas_are_can_be_changed_awake_and_asleep(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.create("a")
        entry = await world.now.replicate("a", "weur,oc")
        assert (entry.replication, entry.replicas) == ("weur,oc", ("weur",))
        ended = {one[1] for one in world.cluster.done if one[0] == "kill"}
        assert ended == {"replica:a:enam", "replica:a:apac"}
        assert [one.region for one in world.cluster.table.routes["a"].replicas] == ["weur"]
        before = len(world.cluster.done)
        assert (await world.now.replicate("a", "auto")).replicas == ("apac", "enam", "weur")
        assert ("replica", "replica:a:apac", "", False) in world.cluster.done[before:]
        sleeping = await world.now.create("b", "", "enam", "auto")
        assert (await world.now.replicate("b", "disabled")).replicas == ()
        assert not [one for one in world.cluster.done if one[1:2] == ("replica:b:weur",) and one[0] != "kill"]
        assert (await world.now.lookup(sleeping.database_id)).replication == "disabled"
        with pytest.raises(InvalidName):
            await world.now.replicate("a", "a region")
        with pytest.raises(DatabaseNotFound):
            await world.now.replicate("c", "auto")

    run(tmp_path, case)


@pytest.mark.parametrize("missed", ["primary:a", "replica:a:weur"])
@pytest.mark.parametrize("again", [False, True])
def test_a_name_that_is_given_away_meanwhile_is_not_touched(tmp_path: Path, missed: str, again: bool) -> None:
    async def case(world: World) -> None:
        async def delete(actor: str) -> None:
            world.cluster.on_look = nothing
            await world.now.delete("a")
            if again:
                await world.create("a")
            world.cluster.done.clear()

        await world.create("a")
        world.cluster.on_look = delete
        report = world.now.report_missing("a") if missed == "primary:a" else world.now.report_lost(missed)
        with pytest.raises(DatabaseNotFound):
            await report
        assert world.cluster.done == []

    run(tmp_path, case)


def test_a_deletion_of_an_id_leaves_another_database_of_that_name(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.create("a")
        first = await world.now.lookup("a")
        await world.now.delete("a")
        await world.create("a")
        second = await world.now.lookup("a")
        with pytest.raises(DatabaseNotFound):
            await world.now.delete("a", first.database_id)
        assert (await world.now.lookup("a")).database_id == second.database_id
        await world.now.delete("a", second.database_id)
        with pytest.raises(DatabaseNotFound):
            await world.now.lookup("a")

    run(tmp_path, case)


def test_a_deletion_waits_for_a_replacement_and_ends_whom_that_started(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        deletions: list[asyncio.Task[None]] = []

        async def delete(actor: str) -> None:
            world.cluster.on_kill = nothing
            deletions.append(asyncio.create_task(world.now.delete("a")))
            done, _ = await asyncio.wait(deletions, timeout=0.5)
            assert not done

        await world.create("a")
        world.cluster.on_kill = delete
        assert await world.now.report_missing("a")
        await asyncio.gather(*deletions)
        started = world.cluster.done.index(("primary", "a", "node-1", False))
        assert ("kill", "primary:a") in world.cluster.done[started:]

    run(tmp_path, case)


def test_a_half_made_database_whose_name_is_given_away_meanwhile_is_not_completed(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        async def create_half() -> None:
            with pytest.raises(Unreachable):
                await world.create("a")
            world.cluster.alive = list(NODES)

        del world.cluster.alive[4:]
        with pytest.raises(Unreachable):
            await world.create("a")
        (first,) = await world.now.databases()
        tasks = [asyncio.create_task(one) for one in (world.now.delete("a"), create_half())]
        second = await world.now.lookup("a")
        await asyncio.gather(*tasks)
        assert second.members is not None
        assert second.database_id != first.database_id

    run(tmp_path, case)


def test_a_registry_can_be_ended_the_moment_that_it_is_open(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        async with asyncio.timeout(20):
            await world.system.end(REGISTRY)

    run(tmp_path, case)

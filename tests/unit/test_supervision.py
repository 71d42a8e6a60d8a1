"""Whoever is missed is started anew once, elsewhere if that helps; nodes that come are looked at, once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest
from tests.unit.cluster_world import FakeCluster

from raylite.actors.core import messages as m
from raylite.actors.ports import Whereabouts
from raylite.actors.supervision import Supervision
from raylite.actors.surveyor import Surveyor
from raylite.policies import limits
from raylite.policies.bookmark import origin
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import DatabaseNotFound
from raylite.policies.quorum import Member, Members
from raylite.policies.system import Node, PrimaryConfig, Site

MEMBERS = Members(tuple(Member(f"follower:{number}", "x") for number in range(5)))
ENTRY = DatabaseEntry("id", "shop", MEMBERS, "weur", ("enam", "weur"), "auto", 0)
KILLED = ("kill", "primary:shop")


class World:
    """A supervised cluster whose followers all say the same about their lease."""

    def __init__(self, *, leased: bool = False) -> None:
        self.cluster, self.now, self.leased = FakeCluster(), 0.0, leased
        self.node_answers, self.is_deleted = True, False
        self.supervision = Supervision(
            self.cluster, self._config, self._inspect, self._answers, self._unchanged, lambda: self.now
        )

    def _config(self, entry: DatabaseEntry) -> PrimaryConfig:
        return PrimaryConfig(entry.database_id, entry.name, MEMBERS, entry.region, "somewhere")

    async def _inspect(self, database: str, member: Member) -> object:
        place = origin(database)
        return m.Holding(database, "x", 1, place, place, MEMBERS, 1.5 if self.leased else 0.0)

    async def _answers(self, node: str) -> bool:
        assert node == "node-1"
        return self.node_answers

    @contextlib.asynccontextmanager
    async def _unchanged(self, entry: DatabaseEntry) -> AsyncGenerator[None]:
        if self.is_deleted:
            raise DatabaseNotFound(entry.name)
        yield

    def miss(self, times: int = 1) -> list[bool]:
        async def all_at_once() -> list[bool]:
            return list(await asyncio.gather(*[self.supervision.primary_missed(ENTRY) for _ in range(times)]))

        return asyncio.run(all_at_once())


def test_a_missed_primary_is_ended_and_started_away_from_its_node_if_its_region_has_another() -> None:
    world = World()
    assert world.miss() == [True]
    assert world.cluster.done == [KILLED, ("primary", "shop", "node-1", False)]


def test_a_primary_that_a_quorum_gives_a_lease_is_left_alone() -> None:
    world = World(leased=True)
    assert world.miss() == [False]
    assert world.cluster.done == []


def test_many_that_miss_it_at_once_have_it_replaced_once() -> None:
    world = World()
    assert sum(world.miss(7)) == 1
    assert world.cluster.done.count(KILLED) == 1


def test_one_that_was_just_replaced_is_given_time() -> None:
    world = World()
    world.miss()
    world.now += limits.REPLACE_SECONDS - 0.1
    assert world.miss() == [False]


def test_where_nothing_on_the_node_answers_any_other_node_will_do() -> None:
    world = World()
    world.node_answers = False
    world.miss()
    assert world.cluster.done[-1] == ("primary", "shop", "node-1", True)


@pytest.mark.parametrize("there", [Whereabouts("node-1", starting=True), Whereabouts("", starting=True)])
def test_what_is_being_started_is_left_alone_but_not_for_ever(there: Whereabouts) -> None:
    world = World()
    world.cluster.there = there
    for _ in range(int(limits.START_SECONDS / limits.REPLACE_SECONDS)):
        assert world.miss() == [False]
        world.now += limits.REPLACE_SECONDS
    assert world.miss() == [True]


@pytest.mark.parametrize(
    ("state", "replaced"), [("taking over", False), ("open", True), ("over", True), ("", True)]
)
def test_a_primary_that_has_yet_to_open_is_given_time(state: str, replaced: bool) -> None:
    world = World()
    world.cluster.state = state
    assert world.miss() == [replaced]


def test_what_is_being_started_on_a_node_that_does_not_answer_is_started_elsewhere() -> None:
    world = World()
    world.cluster.there, world.node_answers = Whereabouts("node-1", starting=True), False
    assert world.miss() == [True]


def test_a_lost_replica_is_replaced_alike() -> None:
    world = World()
    assert asyncio.run(world.supervision.replica_lost(ENTRY, "weur"))
    assert not asyncio.run(world.supervision.replica_lost(ENTRY, "weur"))
    name = "replica:shop:weur"
    assert world.cluster.done == [("kill", name), ("replica", name, "node-1", False)]


def test_a_replica_that_answers_after_all_is_left_alone() -> None:
    world = World()
    world.cluster.state = "serving"
    assert not asyncio.run(world.supervision.replica_lost(ENTRY, "weur"))
    world.now += 10 * limits.START_SECONDS
    assert not asyncio.run(world.supervision.replica_lost(ENTRY, "weur"))


def test_what_belongs_to_a_database_that_is_gone_is_neither_ended_nor_started() -> None:
    world = World()
    world.is_deleted = True
    with pytest.raises(DatabaseNotFound):
        world.miss()
    with pytest.raises(DatabaseNotFound):
        asyncio.run(world.supervision.replica_lost(ENTRY, "weur"))
    assert world.cluster.done == []


# Nodes that come and go


FIVE = [Node(str(number), "enam" if number < 3 else "weur") for number in range(5)]
SITES = tuple(Site(f"follower:{node.id}", node.id, node.region) for node in FIVE)


class Looking:
    """A surveyor of five nodes with a follower each."""

    def __init__(self, *virtual: str) -> None:
        self.cluster, self.now = FakeCluster(FIVE), 1.0
        self.surveyor = Surveyor(self.cluster, SITES, virtual, lambda: self.now)

    def look(self) -> list[tuple[object, ...]]:
        self.cluster.done.clear()
        asyncio.run(self.surveyor.look())
        return self.cluster.done


def test_a_node_that_comes_is_looked_at_once() -> None:
    looking = Looking()
    assert looking.look() == []
    looking.cluster.alive.append(Node("5", "apac"))
    assert looking.look() == [("survey", False)]
    assert looking.surveyor.sites[-1].region == "apac"
    assert looking.look() == []
    assert asyncio.run(looking.surveyor.regions()) == ("enam", "weur", "apac")


def test_a_node_that_goes_takes_its_follower_out_of_what_is_present() -> None:
    looking = Looking()
    del looking.cluster.alive[4]
    assert looking.look() == []
    assert asyncio.run(looking.surveyor.present()) == SITES[:4]
    assert looking.surveyor.sites == SITES


def test_with_fewer_than_five_for_long_spare_followers_are_started() -> None:
    looking = Looking()
    del looking.cluster.alive[4]
    looking.look()
    looking.now += limits.SPARE_SECONDS - 1
    assert looking.look() == []
    looking.now += 1
    assert looking.look() == [("survey", True)]


def test_a_node_that_comes_back_in_time_needs_no_spare() -> None:
    looking = Looking()
    node = looking.cluster.alive.pop()
    looking.look()
    looking.cluster.alive.append(node)
    looking.look()
    looking.now += limits.SPARE_SECONDS
    assert looking.look() == []


def test_what_goes_wrong_is_said_and_tried_again() -> None:
    looking = Looking()
    looking.cluster.alive.append(Node("5", "apac"))
    looking.cluster.broken = True
    looking.look()
    assert "cannot be read" in looking.surveyor.problems[0]
    looking.cluster.broken = False
    assert looking.look() == [("survey", False)]
    assert looking.surveyor.problems == ()


def test_virtual_regions_have_one_node_and_need_no_look() -> None:
    looking = Looking("enam", "weur")
    looking.cluster.alive.append(Node("5", "apac"))
    assert looking.look() == []
    assert asyncio.run(looking.surveyor.regions()) == ("enam", "weur")

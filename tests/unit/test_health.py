"""The routing actor asks all copies how they are; routers then pass over the dead and the far behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tests.unit.virtual_loop import run

from raylite.actors.health import HealthWatch
from raylite.actors.routing import Routing
from raylite.policies import limits
from raylite.policies.catalogue import Placement, RouteEntry, RoutingTable
from raylite.policies.errors import Unreachable
from raylite.policies.freshness import Health
from raylite.policies.routing import Nearest
from raylite.policies.status import ActorStatus
from raylite.router.caller import candidates

REGIONS = ("enam", "weur", "apac")
PRIMARY = Placement("primary:shop", "enam")
ROUTE = RouteEntry("id", "shop", PRIMARY, tuple(Placement(f"replica:shop:{one}", one) for one in REGIONS))
WEUR = "replica:shop:weur"


class World:
    """Copies with the bookmarks of a case. A `Statuses`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.bookmarks = {one.actor: "0001" for one in (PRIMARY, *ROUTE.replicas)}
        self.silent: set[str] = set()
        self.kept = b""
        self.lost: list[str] = []
        self.told: list[dict[str, Health]] = []
        self.watch = HealthWatch(self, self.tell, lambda: self.now)
        self.watch.follow([ROUTE])

    async def status(self, actor: str) -> ActorStatus:
        if actor in self.silent:
            raise Unreachable(actor, "no answer")
        return ActorStatus(actor, "role", "region", 1, "state", bookmark=self.bookmarks[actor])

    async def report_lost(self, actor: str) -> None:
        self.lost.append(actor)

    async def keep_policy(self, policy: bytes) -> None:
        self.kept = policy

    async def kept_policy(self) -> bytes:
        return self.kept

    def crash(self, error: BaseException) -> None:
        raise error

    async def tell(self, health: dict[str, Health]) -> None:
        self.told.append(health)

    def round(self, *, after: float = 0.0, write: str = "") -> None:
        """Time passes, the primary confirms something, and everybody is asked."""
        self.now += after
        self.bookmarks[PRIMARY.actor] = write or self.bookmarks[PRIMARY.actor]
        run(self.watch.round())

    def asked_in(self, region: str) -> list[str]:
        """Whom a session in that region asks, in order."""
        ranked: Sequence[object] = Nearest().rank(region, candidates(ROUTE, self.watch.health, {}))
        return [getattr(one, "actor", "") for one in ranked]


def test_copies_that_are_well_are_all_asked_the_nearest_first() -> None:
    world = World()
    world.round()
    assert world.asked_in("weur")[0] == WEUR
    assert len(world.asked_in("weur")) == 4


def test_a_copy_that_does_not_answer_is_passed_over_until_it_does() -> None:
    world = World()
    world.silent.add(WEUR)
    world.round()
    assert WEUR not in world.asked_in("weur")
    world.silent.clear()
    world.round()
    assert world.asked_in("weur")[0] == WEUR


def test_a_replica_that_is_far_behind_is_passed_over_until_it_has_caught_up() -> None:
    world = World()
    world.round()
    for actor in ("replica:shop:enam", "replica:shop:apac"):
        world.bookmarks[actor] = "0002"
    world.round(after=1, write="0002")
    assert world.asked_in("weur")[0] == WEUR
    world.round(after=limits.ROUTING_LAG_MS / 1000 + 1)
    assert WEUR not in world.asked_in("weur")
    assert world.watch.health[WEUR].lag_ms == 10_000
    world.bookmarks[WEUR] = "0002"
    world.round()
    assert world.asked_in("weur")[0] == WEUR


def test_a_cut_off_primary_does_not_make_replicas_useless() -> None:
    world = World()
    world.round()
    world.silent.add(PRIMARY.actor)
    world.round(after=600)
    assert world.asked_in("weur") == [WEUR, "replica:shop:enam", "replica:shop:apac", PRIMARY.actor]


def test_routers_are_told_of_changes_only() -> None:
    world = World()
    for _ in range(5):
        world.round(after=2)
    assert len(world.told) == 1
    world.silent.add(WEUR)
    for _ in range(5):
        world.round(after=2)
    assert len(world.told) == 2


def test_a_replica_that_stays_silent_is_reported_and_a_primary_is_not() -> None:
    world = World()
    world.silent |= {WEUR, PRIMARY.actor}
    for _ in range(limits.HEALTH_SILENCES - 1):
        world.round(after=2)
    assert world.lost == []
    world.round(after=2)
    assert world.lost == [WEUR]
    world.silent.clear()
    world.round(after=2)
    assert world.lost == [WEUR]


def test_a_database_that_is_gone_leaves_nothing_behind() -> None:
    world = World()
    world.round()
    world.watch.follow([])
    world.round()
    assert world.watch.health == {}


def test_the_registrys_older_tables_replace_nothing_and_routers_see_rising_versions() -> None:
    async def case() -> None:
        world = World()
        routing = Routing(world)
        other = RouteEntry("id2", "other", PRIMARY, ())
        await routing.publish(RoutingTable(7, {"shop": ROUTE}))
        first = await routing.watch(0)
        await routing.set_policy(b"policy")
        await routing.publish(RoutingTable(6, {"other": other}))
        second = await routing.watch(first.version)
        assert (second.routes, second.policy) == ({"shop": ROUTE}, b"policy")
        await routing.publish(RoutingTable(8, {"other": other}))
        third = await routing.watch(second.version)
        assert (third.routes, third.policy) == ({"other": other}, b"policy")
        assert first.version < second.version < third.version
        assert await routing.published() == 8
        await routing.stop()

    asyncio.run(case())


def test_the_next_routing_actor_has_the_policy_of_the_one_before_in_its_first_table() -> None:
    async def case() -> None:
        world = World()
        for policy in (b"policy", b""):
            first = Routing(world)
            await first.set_policy(policy)
            await first.stop()
            second = Routing(world)
            await second.publish(RoutingTable(7, {"shop": ROUTE}))
            assert (await second.watch(0)).policy == policy
            await second.stop()

    asyncio.run(case())


def test_routers_hear_how_copies_are() -> None:
    async def case() -> None:
        world = World()
        world.silent.add(WEUR)
        routing = Routing(world)
        await routing.publish(RoutingTable(1, {"shop": ROUTE}))
        version = 0
        while True:
            table = await routing.watch(version)
            version = table.version
            if table.health:
                break
        assert not table.health[WEUR].alive
        assert table.health["replica:shop:apac"] == Health(True, 0.0)
        await routing.stop()

    asyncio.run(asyncio.wait_for(case(), 10))

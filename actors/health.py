"""How the copies of all databases are, asked again and again by one actor on behalf of all routers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from raylite.actors.ports import Statuses
from raylite.actors.service import boottime
from raylite.policies import limits
from raylite.policies.catalogue import RouteEntry
from raylite.policies.errors import Error
from raylite.policies.freshness import Health, Trail
from raylite.policies.status import ActorStatus

Clock = Callable[[], float]
Tell = Callable[[dict[str, Health]], Awaitable[None]]
"""Called with what is known of every actor, whenever that has changed."""


class HealthWatch:
    """Asks every copy how it is, a few databases at a time, the primary of each before its replicas.

    In that order a replica that is not behind shows at least what its primary had. A replica that stays silent is
    reported as lost, every few times; primaries are missed by others, who hear from them all the time.
    """

    def __init__(self, statuses: Statuses, tell: Tell, clock: Clock = boottime) -> None:
        self._statuses, self._tell, self._clock = statuses, tell, clock
        self._routes: tuple[RouteEntry, ...] = ()
        self._trails: dict[str, Trail] = {}
        self._silences: Counter[str] = Counter()
        self.health: dict[str, Health] = {}

    def follow(self, routes: Iterable[RouteEntry]) -> None:
        """These databases from here on, and no others."""
        self._routes = tuple(routes)
        actors = {one.actor for route in self._routes for one in (route.primary, *route.replicas)}
        self.health = {actor: health for actor, health in self.health.items() if actor in actors}
        self._silences = Counter({actor: n for actor, n in self._silences.items() if actor in actors})
        self._trails = {
            route.database_id: self._trails.get(route.database_id, Trail()) for route in self._routes
        }

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            await asyncio.gather(self.round(), asyncio.sleep(limits.HEALTH_SECONDS))

    async def round(self) -> None:
        """Asks everybody once."""
        room = asyncio.Semaphore(limits.HEALTH_ASKED_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for route in self._routes:
                await room.acquire()
                group.create_task(self._look_at(route)).add_done_callback(lambda _: room.release())
                await asyncio.sleep(limits.HEALTH_PAUSE_SECONDS * (1 + len(route.replicas)))

    async def _look_at(self, route: RouteEntry) -> None:
        trail = self._trails.get(route.database_id, Trail())
        primary = await self._ask(route.primary.actor)
        if primary is not None and primary.bookmark:
            trail.saw(primary.bookmark, self._clock())
        asked = [self._ask(one.actor) for one in route.replicas]
        replicas = await asyncio.gather(*asked)
        now = self._clock()
        found = {route.primary.actor: Health(primary is not None, 0.0)}
        for one, status in zip(route.replicas, replicas, strict=True):
            found[one.actor] = (
                Health(False) if status is None else Health(True, trail.lag_ms(status.bookmark, now))
            )
            await self._count(one.actor, status)
        if route.database_id in self._trails:
            await self._note(found)

    async def _ask(self, actor: str) -> ActorStatus | None:
        try:
            return await self._statuses.status(actor)
        except Error:
            return None

    async def _count(self, replica: str, status: ActorStatus | None) -> None:
        self._silences[replica] = 0 if status is not None else self._silences[replica] + 1
        if self._silences[replica] >= limits.HEALTH_SILENCES:
            self._silences[replica] = 0
            await self._statuses.report_lost(replica)

    async def _note(self, found: dict[str, Health]) -> None:
        if any(self.health.get(actor) != health for actor, health in found.items()):
            self.health = self.health | found
            await self._tell(self.health)

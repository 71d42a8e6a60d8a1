"""The routing actor: keeps the table of who serves which database and how they are, and tells routers of changes."""

from __future__ import annotations

import asyncio
import os

import msgspec

from raylite.actors.health import HealthWatch
from raylite.actors.ports import Statuses
from raylite.actors.service import wall_us
from raylite.policies.catalogue import RoutingTable
from raylite.policies.freshness import Health
from raylite.policies.limits import WATCH_SECONDS


class Routing:
    """The newest routing table. The registry pushes it, routers wait for it; it is on no query's path.

    Versions of the registry order what the registry says; routers see versions of this actor's own, which rise with
    every change.
    """

    def __init__(self, statuses: Statuses) -> None:
        self._table = RoutingTable(0, {})
        self._published = 0
        self._changed = asyncio.Condition()
        self._health = HealthWatch(statuses, self.heard)
        self._statuses = statuses
        loop = asyncio.get_running_loop()
        self._recalled, self._watch = loop.create_task(self._recall()), loop.create_task(self._health.run())
        for task in (self._recalled, self._watch):
            task.add_done_callback(lambda task: _crash(task, statuses))

    def __repr__(self) -> str:
        return "routing"

    async def publish(self, table: RoutingTable) -> None:
        """Replaces the table if the registry made this one later; a policy set by a driver stays, and health."""
        if table.version > self._published:
            self._published = table.version
            self._health.follow(table.routes.values())
            await self._change(routes=table.routes)

    async def published(self) -> int:
        """The version of the table that the registry handed over last, 0 before any."""
        return self._published

    async def set_policy(self, policy: bytes) -> None:
        """Hands a pickled routing policy (b"": the default) to every router; it outlives this process."""
        await asyncio.shield(self._recalled)
        await self._statuses.keep_policy(policy)
        await self._change(policy=policy)

    async def _recall(self) -> None:
        policy = await self._statuses.kept_policy()
        if policy:
            await self._change(policy=policy)

    async def heard(self, health: dict[str, Health]) -> None:
        """Tells routers how actors are."""
        await self._change(health=health)

    async def pid(self) -> int:
        """The id of its process."""
        return os.getpid()

    async def watch(self, version: int) -> RoutingTable:
        """The table once it is newer than `version`, or as it is after a while."""
        await asyncio.shield(self._recalled)
        async with self._changed:
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._changed.wait_for(lambda: self._table.version > version)
            except TimeoutError:
                pass
            return self._table

    async def stop(self) -> None:
        """Ends what runs in the background."""
        self._watch.cancel()
        self._recalled.cancel()
        await asyncio.gather(self._watch, self._recalled, return_exceptions=True)

    async def _change(self, **fields: object) -> None:
        # Above what an earlier process of this actor gave: routers keep what they have until they see a higher one.
        version = max(self._table.version + 1, wall_us())
        async with self._changed:
            self._table = msgspec.structs.replace(self._table, version=version, **fields)
            self._changed.notify_all()


def _crash(task: asyncio.Task[None], statuses: Statuses) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        statuses.crash(error)

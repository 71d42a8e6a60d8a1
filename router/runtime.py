"""One event loop's part in a running system: its connections, and the routing table as it changes."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, cast

import cloudpickle

from raylite.actors import handles, joining
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, Fork, RouteEntry, RoutingTable
from raylite.policies.errors import (
    DatabaseExists,
    DatabaseNotFound,
    Error,
    OutcomeUnknown,
    Unreachable,
)
from raylite.policies.freshness import Health
from raylite.policies.names import database_name
from raylite.policies.routing import Nearest, RoutingPolicy
from raylite.policies.status import ActorStatus, Restored, TimeSpan, Verified
from raylite.policies.system import REGISTRY, ROUTING, Settings, primary_name, replica_name
from raylite.router.caller import Caller
from raylite.router.client import AsyncDatabase, DatabaseInfo
from raylite.router.router import Router


class Runtime:
    """What databases of one event loop share. streams: whether queries use connections or only Ray's calls.

    follows: whether the routing actor told of changes when it was last asked.
    """

    def __init__(self, settings: Settings, *, streams: bool = True) -> None:
        self.settings, self.streams = settings, streams
        self.policy: RoutingPolicy = Nearest(settings.regions)
        self._table = RoutingTable(0, {})
        self._by_id: dict[str, RouteEntry] = {}
        self.follows = False
        self._pickled = b""
        self._callers: dict[str, Caller] = {}
        self._watch = asyncio.get_running_loop().create_task(self._follow_table())

    async def open(self, entry: DatabaseEntry, region: str) -> AsyncDatabase:
        """The database of this entry as seen from a region."""
        caller = self.caller(region)
        router = Router(entry.name, region, caller, caller)
        return AsyncDatabase(router, entry.database_id, _Desk(self, entry.name))

    def caller(self, region: str) -> Caller:
        """Connections from a region."""
        if region not in self._callers:
            self._callers[region] = Caller(self, region)
        return self._callers[region]

    async def entry(self, name: str) -> RouteEntry:
        """Who serves this database; one that neither this nor the routing actor knows of is woken by the registry.

        Raises `DatabaseNotFound`, and `Unreachable` if the registry cannot be asked, or the routing actor not be told.
        """
        if name not in self._table.routes:
            await self.refresh(0)
        if name not in self._table.routes:
            await handles.call(REGISTRY, "wake", name)
            await self.refresh(0)
        if name not in self._table.routes:
            raise Unreachable(
                primary_name(name), "it was woken, but the routing actor does not know of it yet"
            )
        return self._table.routes[name]

    def known(self, name: str) -> RouteEntry | None:
        """Who serves the database of this id, or name, as far as this was told; None if it was not."""
        return self._by_id.get(name) or self._table.routes.get(name)

    @property
    def health(self) -> Mapping[str, Health]:
        """How actors were when the routing actor asked them last, by name."""
        return self._table.health

    async def refresh(self, version: int) -> None:
        """Takes the routing table once it is newer than `version`."""
        table: RoutingTable = await handles.call(
            ROUTING, "watch", version, seconds=limits.WATCH_SECONDS + limits.CALL_SECONDS
        )
        if table.version < self._table.version:
            return
        if table.policy != self._pickled:
            self._pickled = table.policy
            self.policy = _unpickled(table.policy) if table.policy else Nearest(self.settings.regions)
        self._table = table
        self._by_id = {route.database_id: route for route in table.routes.values()}

    async def close(self) -> None:
        """Ends everything."""
        self._watch.cancel()
        await asyncio.gather(self._watch, return_exceptions=True)
        for caller in self._callers.values():
            await caller.close()

    async def _follow_table(self) -> None:
        while True:
            try:
                await self.refresh(self._table.version)
                self.follows = True
            except Error:
                self.follows = False
                await asyncio.sleep(limits.RETRY_SECONDS)


class _Desk:
    """See `Desk`: what the actors of one database say."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime, self._name = runtime, name

    async def describe(self) -> DatabaseInfo:
        known: DatabaseEntry = await handles.call(REGISTRY, "lookup", self._name)
        actors = (primary_name(known.name), *(replica_name(known.name, one) for one in known.replicas))
        statuses = () if known.asleep else await statuses_of(actors)
        return DatabaseInfo(
            known.name, known.database_id, known.region, known.replicas, statuses, known.fork, known.asleep
        )

    async def moment(self, time_us: int) -> str:
        found: str = await self._ask_primary("moment", time_us)
        return found

    async def restore(self, bookmark: str) -> Restored:
        entry = await self._runtime.entry(self._name)
        actor, seconds = entry.primary.actor, limits.LONGEST_QUERY_SECONDS
        try:
            found: Restored = await handles.call(actor, "restore", bookmark, seconds=seconds)
        except Unreachable as error:
            raise OutcomeUnknown(self._name, str(error)) from error
        return found

    async def fork(self, name: str, bookmark: str) -> AsyncDatabase:
        """The name is taken by the registry at the end; until that what was made is nobody's, and goes later."""
        database_name(name)
        with contextlib.suppress(DatabaseNotFound):
            await handles.call(REGISTRY, "lookup", name)
            raise DatabaseExists(name)
        fork_id = secrets.token_hex(16)
        fork: Fork = await self._ask_primary("fork", fork_id, bookmark)
        where = (await self._runtime.entry(self._name)).primary.region
        entry: DatabaseEntry = await handles.call(
            REGISTRY, "create", name, where, where, "auto", fork_id, fork, seconds=limits.START_SECONDS
        )
        return await self._runtime.open(entry, where)

    async def verify(self) -> Verified:
        entry = await self._runtime.entry(self._name)
        found: Verified = await handles.call(
            entry.primary.actor, "verify", seconds=limits.LONGEST_QUERY_SECONDS
        )
        return found

    async def span(self) -> TimeSpan:
        found: TimeSpan = await self._ask_primary("span")
        return found

    async def _ask_primary(self, method: str, *arguments: object) -> Any:
        entry = await self._runtime.entry(self._name)
        seconds = limits.COLD_FLUSH_SECONDS + limits.CALL_SECONDS
        return await handles.call(entry.primary.actor, method, *arguments, seconds=seconds)


async def statuses_of(actors: Sequence[str]) -> tuple[ActorStatus, ...]:
    """How these actors are; those that do not answer are missing."""
    asked = [handles.call(actor, "status", seconds=limits.STATUS_SECONDS) for actor in actors]
    found = await asyncio.gather(*asked, return_exceptions=True)
    return tuple(one for one in found if isinstance(one, ActorStatus))


def own_region(settings: Settings) -> str:
    """Where this process is: its node's label, or the first of the virtual regions."""
    return joining.own_region_label() or next(iter(settings.virtual), "local")


def _unpickled(policy: bytes) -> RoutingPolicy:
    """A policy that a driver of this very cluster has pickled: it may run code here as any Ray task may."""
    return cast(RoutingPolicy, cloudpickle.loads(policy))

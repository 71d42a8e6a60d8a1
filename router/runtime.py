"""One event loop's part in a running system: its connections, and the routing table as it changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, cast

import cloudpickle

from raylite.actors import handles, joining, ray_calls
from raylite.actors.handles import RaySurroundings
from raylite.actors.service import answers_nothing, distance_of
from raylite.actors.stream import Connection, Identity, connect, tls_from_environment
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, Fork, Placement, RouteEntry, RoutingTable
from raylite.policies.errors import (
    DatabaseExists,
    DatabaseNotFound,
    Error,
    NoReply,
    OutcomeUnknown,
    Unreachable,
)
from raylite.policies.freshness import Health
from raylite.policies.names import database_name
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.routing import Candidate, Nearest, RoutingPolicy
from raylite.policies.status import ActorStatus, Restored, TimeSpan, Verified
from raylite.policies.system import REGISTRY, ROUTING, Settings
from raylite.policies.transfer import TransferReply, TransferRequest
from raylite.router.client import AsyncDatabase, DatabaseInfo
from raylite.router.router import Route, Router


class Caller:
    """Connections from one region to actors, one each, dialled when they are first needed. A `Transport`."""

    def __init__(self, runtime: Runtime, region: str) -> None:
        settings = runtime.settings
        self._runtime, self.region = runtime, region
        self._identity = Identity(f"driver:{os.getpid()}", region, settings.key)
        self._distance = distance_of(settings)
        self._tls = tls_from_environment(os.environ)
        self._dials: dict[str, asyncio.Task[Connection]] = {}
        self._watches: set[asyncio.Task[None]] = set()
        self._round_trips_ms: dict[str, float] = {}

    async def ask(self, actor: str, query: Query, seconds: float) -> Answer | Failure:
        """What the actor answered: over its connection or, if there can be none, by Ray's own call."""
        if not self._runtime.streams:
            return await ray_calls.ask(actor, query, seconds)
        answer = await (await self._connected(actor, seconds)).ask(query, seconds)
        assert isinstance(answer, Answer | Failure), "a query is answered by nothing else"
        return answer

    async def request(self, actor: str, request: TransferRequest, seconds: float) -> TransferReply | None:
        """As `ask`, for one step of an export or import; raises the actor's error."""
        if not self._runtime.streams:
            return await ray_calls.request(actor, request, seconds)
        reply = await (await self._connected(actor, seconds)).call(request, seconds)
        assert reply is None or isinstance(reply, TransferReply), "a transfer is answered by nothing else"
        return reply

    async def route(self, name: str) -> Route:
        """The newest route known, with the round trips measured from here."""
        entry = await self._runtime.entry(name)
        copies = candidates(entry, self._runtime.health, self._round_trips_ms)
        return Route(entry.database_id, name, entry.primary.actor, copies, self._runtime.policy)

    async def missed(self, name: str) -> None:
        """Tells the registry that nobody has answered for this database's primary."""
        await RaySurroundings().report_missing(name)

    async def close(self) -> None:
        """Ends all connections."""
        for watch in (*self._watches,):
            watch.cancel()
        dials, self._dials = list(self._dials.values()), {}
        for dial in dials:
            dial.cancel()
        for found in await asyncio.gather(*dials, return_exceptions=True):
            if isinstance(found, Connection):
                await found.stop()

    async def _connected(self, actor: str, seconds: float) -> Connection:
        try:
            return await asyncio.wait_for(self.connection(actor), seconds)
        except (Unreachable, TimeoutError):
            self._round_trips_ms.pop(actor, None)
            raise Unreachable(actor, "it cannot be connected to") from None

    async def connection(self, actor: str) -> Connection:
        """The connection to this actor, dialled if there is none; raises `Unreachable`."""
        dial = self._dials.get(actor)
        if dial is None or (dial.done() and not _is_open(dial)):
            dial = self._dials[actor] = asyncio.create_task(self._dial(actor))
        return await asyncio.shield(dial)

    async def _dial(self, actor: str) -> Connection:
        endpoint = await RaySurroundings().endpoint(actor)
        connection = await connect(
            self._identity, endpoint, answers_nothing, tls=self._tls, distance=self._distance
        )
        self._round_trips_ms[actor] = 1000 * await connection.ping(limits.CONNECT_SECONDS)
        watch = asyncio.create_task(_watch(connection))
        self._watches.add(watch)
        watch.add_done_callback(self._watches.discard)
        return connection


async def _watch(connection: Connection) -> None:
    """Ends a connection whose process has stopped: it stays open, but nobody is there."""
    while connection.is_open:
        await asyncio.sleep(limits.PEER_SILENCE_SECONDS)
        if connection.waiting:
            try:
                await connection.ping(limits.MISSED_SECONDS)
            except (NoReply, Unreachable):
                connection.abort(f"no sign of life for {limits.MISSED_SECONDS:g} s")


def candidates(
    entry: RouteEntry, health: Mapping[str, Health], round_trips_ms: Mapping[str, float]
) -> tuple[Candidate, ...]:
    """Every copy as a routing policy sees it, the primary last. Who was never asked how he is counts as alive."""

    def candidate(one: Placement) -> Candidate:
        known = health.get(one.actor, Health())
        measured = round_trips_ms.get(one.actor)
        return Candidate(one.actor, one.region, measured, known.lag_ms, known.alive, one == entry.primary)

    return tuple(candidate(one) for one in (*entry.replicas, entry.primary))


class Runtime:
    """What databases of one event loop share. streams: whether queries use connections or only Ray's calls."""

    def __init__(self, settings: Settings, *, streams: bool = True) -> None:
        self.settings, self.streams = settings, streams
        self.policy: RoutingPolicy = Nearest(settings.regions)
        self._table = RoutingTable(0, {})
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
        """Who serves this database; asks the routing actor, then the registry, about one not heard of yet."""
        if name not in self._table.routes:
            await self.refresh(0)
        if name not in self._table.routes:
            await handles.call(REGISTRY, "lookup", name)
            await handles.call(REGISTRY, "publish")
            await self.refresh(0)
        if name not in self._table.routes:
            raise DatabaseNotFound(name)
        return self._table.routes[name]

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
            except Error:
                await asyncio.sleep(limits.RETRY_SECONDS)


class _Desk:
    """See `Desk`: what the actors of one database say."""

    def __init__(self, runtime: Runtime, name: str) -> None:
        self._runtime, self._name = runtime, name

    async def describe(self) -> DatabaseInfo:
        entry = await self._runtime.entry(self._name)
        actors = (entry.primary, *entry.replicas)
        statuses = await statuses_of([one.actor for one in actors])
        regions = tuple(one.region for one in entry.replicas)
        known: DatabaseEntry = await handles.call(REGISTRY, "lookup", self._name)
        return DatabaseInfo(
            self._name, entry.database_id, entry.primary.region, regions, statuses, known.fork
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
        """The name is taken by the registry at the end; what cold storage has then is nobody's until that."""
        database_name(name)
        with contextlib.suppress(DatabaseNotFound):
            await handles.call(REGISTRY, "lookup", name)
            raise DatabaseExists(name)
        fork_id = secrets.token_hex(16)
        time_us: int = await self._ask_primary("fork", fork_id, bookmark)
        fork = Fork(self._name, bookmark, time_us)
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


def _is_open(dial: asyncio.Task[Connection]) -> bool:
    return not dial.cancelled() and dial.exception() is None and dial.result().is_open


def own_region(settings: Settings) -> str:
    """Where this process is: its node's label, or the first of the virtual regions."""
    return joining.own_region_label() or next(iter(settings.virtual), "local")


def _unpickled(policy: bytes) -> RoutingPolicy:
    """A policy that a driver of this very cluster has pickled: it may run code here as any Ray task may."""
    return cast(RoutingPolicy, cloudpickle.loads(policy))

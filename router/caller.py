"""Connections from one region to actors, and how far away these are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections import deque
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Protocol

from raylite.actors import handles, ray_calls
from raylite.actors.handles import RaySurroundings
from raylite.actors.service import answers_nothing, distance_of
from raylite.actors.stream import Connection, Identity, connect, tls_from_environment
from raylite.policies import limits
from raylite.policies.backoff import Backoff
from raylite.policies.catalogue import Placement, RouteEntry
from raylite.policies.errors import Error, NoReply, Unreachable
from raylite.policies.freshness import Health
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.routing import Candidate
from raylite.policies.system import REGISTRY
from raylite.policies.transfer import TransferReply, TransferRequest
from raylite.router.router import Route

if TYPE_CHECKING:
    from raylite.router.runtime import Runtime

MEASURING = Backoff(0.1, limits.PEER_SILENCE_SECONDS)


class Watched(Protocol):
    """What `watch` needs of a connection."""

    @property
    def is_open(self) -> bool:
        """Until either side closes it."""
        ...

    @property
    def waiting(self) -> int:
        """Requests of this side that have no reply yet."""
        ...

    async def ping(self, seconds: float) -> float:
        """Seconds to the peer and back; raises `NoReply`, or `Unreachable`."""
        ...

    def abort(self, reason: str) -> None:
        """Close it at once."""
        ...


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
        self._round_trips: dict[str, deque[float]] = {}

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
        shortest_ms = {actor: min(measured) for actor, measured in self._round_trips.items()}
        copies = candidates(entry, self._runtime.health, shortest_ms)
        return Route(entry.database_id, name, entry.primary.actor, copies, self._runtime.policy)

    async def missed(self, name: str) -> None:
        """Tells the registry that nobody has answered for this database's primary, which may be asleep."""
        with contextlib.suppress(Error):
            await handles.call(REGISTRY, "wake", name)
        await RaySurroundings().report_missing(name)

    async def close(self) -> None:
        """Ends all connections."""
        for task in (*self._watches,):
            task.cancel()
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
            self._round_trips.pop(actor, None)
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
        first_ms = 1000 * await connection.ping(limits.CONNECT_SECONDS)
        measured = self._round_trips[actor] = deque([first_ms], limits.ROUND_TRIP_SAMPLES)
        task = asyncio.create_task(watch(connection, measured))
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
        return connection


async def watch(connection: Watched, measured: deque[float]) -> None:
    """Measures its round trip, ms, again and again, soon at first: one taken while everything starts says little.

    Ends a connection whose process has stopped while somebody waits for it: it stays open, but nobody is there.
    """
    pauses = (MEASURING.delay(taken, random.random()) for taken in count())
    while connection.is_open:
        await asyncio.sleep(next(pauses))
        try:
            measured.append(1000 * await connection.ping(limits.MISSED_SECONDS))
        except (NoReply, Unreachable):
            if connection.waiting:
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


def _is_open(dial: asyncio.Task[Connection]) -> bool:
    return not dial.cancelled() and dial.exception() is None and dial.result().is_open

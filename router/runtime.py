"""This process' part in a running system: its connections, its routing table, and the regions that it calls from."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Callable

from raylite.actors import handles
from raylite.actors.handles import RaySurroundings
from raylite.actors.service import distance_of
from raylite.actors.stream import (
    Connection,
    Endpoint,
    Identity,
    Payload,
    connect,
    from_failure,
    tls_from_environment,
)
from raylite.actors.stream_codec import decode_payload, encode_payload
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, RouteEntry, RoutingTable
from raylite.policies.errors import Error, Unreachable
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.routing import Candidate, Nearest, RoutingPolicy
from raylite.policies.system import REGISTRY, ROUTING, Settings


class Pool:
    """Connections from one region of this process to actors, one each, dialled when they are first needed."""

    def __init__(self, settings: Settings, region: str, *, streams: bool) -> None:
        """`streams` false: every query travels as Ray's call."""
        self._identity = Identity(f"driver:{os.getpid()}", region, settings.key)
        self._distance = distance_of(settings)
        self._tls = tls_from_environment(os.environ)
        self._streams = streams
        self._connections: dict[str, asyncio.Task[Connection]] = {}
        self.round_trips_ms: dict[str, float] = {}

    async def ask(self, actor: str, query: Query, seconds: float) -> Answer:
        """The actor's answer; raises its error, `Unreachable` (not sent), or `NoReply` (may have been received)."""
        try:
            connection = await self._connection(actor) if self._streams else None
        except Unreachable:
            connection = None
        if connection is None:
            return _answer(await handles.ask(actor, query, seconds))
        return _answer(await connection.ask(query, seconds))

    async def close(self) -> None:
        """Ends all connections."""
        for task in self._connections.values():
            task.cancel()
            if task.done() and not task.cancelled() and task.exception() is None:
                await task.result().stop()
        self._connections.clear()

    async def _connection(self, actor: str) -> Connection:
        task = self._connections.get(actor)
        if task is None or (task.done() and not _is_open(task)):
            task = self._connections[actor] = asyncio.create_task(self._dial(actor))
        return await asyncio.shield(task)

    async def _dial(self, actor: str) -> Connection:
        endpoint: Endpoint = await RaySurroundings().endpoint(actor)
        connection = await connect(
            self._identity, endpoint, _nothing_is_asked, tls=self._tls, distance=self._distance
        )
        self.round_trips_ms[actor] = 1000 * await connection.ping(limits.CONNECT_SECONDS)
        return connection


def _is_open(task: asyncio.Task[Connection]) -> bool:
    return not task.cancelled() and task.exception() is None and task.result().is_open


def _nothing_is_asked(connection: Connection, payload: Payload) -> None:
    raise Unreachable("a driver", "it answers nothing")


def _answer(answer: Payload | None) -> Answer:
    if isinstance(answer, Failure):
        raise from_failure(answer)
    assert isinstance(answer, Answer), "a query is answered by nothing else"
    return answer

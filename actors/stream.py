"""The stream between the processes of actors: authenticated, framed, pipelined, without pickle.

`Server.start` listens, `connect` dials; both give `Connection`s on which either side may ask. The cost is one small
write per turn of the event loop and peer, however much is posted in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

from raylite.actors.stream_asking import OnCrash, OnReply
from raylite.actors.stream_codec import Frame, Frames, Payload, Violation, from_failure, to_failure
from raylite.actors.stream_connection import Connection, Handler
from raylite.actors.stream_hello import (
    Dialling,
    Endpoint,
    Identity,
    Listening,
    Peer,
    Refused,
    derive_key,
    new_process_id,
)  # fmt: skip
from raylite.actors.stream_tls import Tls, tls_from_environment
from raylite.policies import limits
from raylite.policies.errors import Error, Unreachable

__all__ = [
    "Connection", "Distance", "Endpoint", "Handler", "Identity", "OnCrash", "OnReply", "Payload", "Peer",
    "Server", "Tls", "connect", "derive_key", "from_failure", "new_process_id", "report_crash", "tls_from_environment",
    "to_failure",
]  # fmt: skip

Distance = Callable[[str, str], float]
"""Seconds, one way, from the first region to the second: what each write of a connection is delayed by."""


def report_crash(error: BaseException) -> None:
    """The default on_crash: hand the bug to the event loop's own exception handler."""
    asyncio.get_running_loop().call_exception_handler(
        {"message": "a stream handler crashed", "exception": error}
    )


@dataclass(frozen=True, slots=True)
class _Local:
    """This side of every connection that it makes or takes."""

    identity: Identity
    handler: Handler
    on_crash: OnCrash
    distance: Distance | None

    def open(self, transport: asyncio.Transport, frames: Frames, peer: Peer) -> Connection:
        """The connection of a completed hello; bytes that came with the hello are read once it has an owner."""
        seconds = 0.0 if self.distance is None else self.distance(self.identity.region, peer.region)
        connection = Connection(transport, frames, peer, self.handler, self.on_crash, delay=seconds)
        frames.limit = limits.FRAME_BYTES
        transport.set_protocol(connection)
        return connection


class Server:
    """Listens for one actor; every connection that proves the key is served by the same handler.

    endpoint: where to reach it; refused: connections turned away before they had proven anything.
    """

    def __init__(self, local: _Local) -> None:
        self.endpoint = Endpoint("", 0, local.identity.actor, local.identity.region)
        self.refused = 0
        self._local = local
        self._greeting: set[_Guest] = set()
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None

    @classmethod
    async def start(
        cls, identity: Identity, handler: Handler, host: str, port: int = 0, *, on_crash: OnCrash = report_crash,
        tls: Tls | None = None, distance: Distance | None = None,
    ) -> Server:  # fmt: skip
        """A server that listens on `host`, on a free port unless one is given; raises OSError."""
        server = cls(_Local(identity, handler, on_crash, distance))
        context, limit = (None, None) if tls is None else (tls.server, limits.HELLO_SECONDS)
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: _Guest(server, identity), host, port, ssl=context, ssl_handshake_timeout=limit
        )
        server._listener = listener
        bound: int = listener.sockets[0].getsockname()[1]
        server.endpoint = Endpoint(host, bound, identity.actor, identity.region)
        return server

    @property
    def connections(self) -> frozenset[Connection]:
        """The connections that are open now."""
        return frozenset(connection for connection in self._connections if connection.is_open)

    @property
    def greeting(self) -> int:
        """Connections whose hello is not complete."""
        return len(self._greeting)

    async def stop(self) -> None:
        """Listen no more, end every connection, cancel what their handlers have under way, and wait for it."""
        if self._listener is not None:
            self._listener.close()
        for guest in list(self._greeting):
            guest.leave()
        await asyncio.gather(*(connection.stop() for connection in self._connections))
        if self._listener is not None:
            await self._listener.wait_closed()

    def arrived(self, guest: _Guest) -> bool:
        """Count a connection without a hello; False if there are too many."""
        self._greeting.add(guest)
        return len(self._greeting) <= limits.WAITING_HELLOS

    def gone(self, guest: _Guest) -> None:
        """A connection ended before its hello was complete."""
        self._greeting.discard(guest)
        self.refused += 1

    def admitted(self, guest: _Guest, transport: asyncio.Transport, frames: Frames, peer: Peer) -> None:
        """A connection proved itself."""
        self._greeting.discard(guest)
        connection = self._local.open(transport, frames, peer)
        self._connections.add(connection)
        connection.on_closed(lambda _: self._prune())
        connection.read()

    def _prune(self) -> None:
        self._connections = {one for one in self._connections if one.is_open or not one.idle}


class _Guest(asyncio.Protocol):
    """A connection that has arrived and proven nothing yet: bounded in bytes, time and number."""

    def __init__(self, server: Server, identity: Identity) -> None:
        self._server = server
        self._frames = Frames(limits.HELLO_BYTES)
        self._listening = Listening(identity)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._timer = asyncio.get_running_loop().call_later(limits.HELLO_SECONDS, self.leave)
        if not self._server.arrived(self):
            self.leave()

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        try:
            self._take_all()
        except (Violation, Refused) as refusal:
            self.leave(refusal.answer if isinstance(refusal, Refused) else b"")

    def connection_lost(self, exc: Exception | None) -> None:
        self._rest()
        self._server.gone(self)

    def leave(self, last_words: bytes = b"") -> None:
        """End it."""
        if self._transport is None:
            return
        if last_words and not self._transport.is_closing():
            self._transport.write(last_words)
            self._transport.close()
        else:
            self._transport.abort()

    def _take_all(self) -> None:
        while self._transport is not None and not self._transport.is_closing():
            frame = self._frames.next()
            if frame is None:
                return
            result = self._listening.take(frame)
            if isinstance(result, Peer):
                self._rest()
                self._server.admitted(self, self._transport, self._frames, result)
                return
            self._transport.write(result)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


async def connect(
    identity: Identity, endpoint: Endpoint, handler: Handler, *, on_crash: OnCrash = report_crash,
    tls: Tls | None = None, distance: Distance | None = None, seconds: float = limits.CONNECT_SECONDS,
) -> Connection:  # fmt: skip
    """An authenticated connection to that very actor, within `seconds`.

    Raises `Unauthorized` if the peer holds another key, and `Unreachable` if nobody answers there, another actor
    lives there, or it speaks another version.
    """
    local = _Local(identity, handler, on_crash, distance)
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[Connection] = loop.create_future()
    ready.add_done_callback(lambda _: ready.cancelled() or ready.exception())  # so that nobody need await it
    context = None if tls is None else tls.client
    try:
        async with asyncio.timeout(seconds):
            transport, _ = await loop.create_connection(
                lambda: _Caller(local, endpoint, ready), endpoint.host, endpoint.port, ssl=context
            )
            with ExitStack() as undo:
                undo.callback(transport.abort)
                connection = await ready
                undo.pop_all()
            return connection
    except TimeoutError:
        raise Unreachable(str(endpoint), f"no answer within {seconds:g} s") from None
    except OSError as error:
        raise Unreachable(str(endpoint), str(error)) from error


class _Caller(asyncio.Protocol):
    """A connection that dials and waits for the peer's welcome."""

    def __init__(self, local: _Local, endpoint: Endpoint, ready: asyncio.Future[Connection]) -> None:
        self._local, self._endpoint, self._ready = local, endpoint, ready
        self._frames = Frames(limits.HELLO_BYTES)
        self._dialling = Dialling(local.identity, endpoint)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._transport.write(self._dialling.hello())

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        try:
            frame = self._frames.next()
            if frame is not None:
                self._take(frame)
        except Violation as violation:
            self._fail(Unreachable(str(self._endpoint), str(violation)))
        except Error as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        reason = f"connection lost: {exc}" if exc else "it closed the connection"
        self._fail(Unreachable(str(self._endpoint), reason))

    def _take(self, frame: Frame) -> None:
        transport = self._transport
        if transport is None or self._ready.done():
            return
        peer, proof = self._dialling.take(frame)
        transport.write(proof)
        connection = self._local.open(transport, self._frames, peer)
        self._ready.set_result(connection)
        connection.read()

    def _fail(self, error: Error) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)

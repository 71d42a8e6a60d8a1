"""One authenticated connection: numbered requests both ways, pipelined, replies in any order.

Either side may ask. Requests are handed to the handler in the order in which they were sent; each gets exactly one
reply. On the asking side nothing waits: `post` leaves a callback that is called exactly once, later.

Bounds: a side has at most CONNECTION_REQUESTS requests waiting at its peer, and a peer reads no further above that. So
a side that keeps to it always reads, and two full connections cannot block each other. While the peer does
not read, replies are held back. Everything here belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from raylite.actors.stream_asking import Asking, OnCrash, OnReply, unwrapped
from raylite.actors.stream_codec import (
    EMPTY,
    PING,
    PONG,
    REPLY,
    REQUEST,
    Frame,
    Frames,
    Payload,
    Violation,
    decode_payload,
    from_failure,
)  # fmt: skip
from raylite.actors.stream_hello import Peer
from raylite.actors.stream_outgoing import Outgoing
from raylite.actors.stream_serving import Answering, Serving
from raylite.policies import limits
from raylite.policies.errors import Unreachable
from raylite.policies.query import Failure

Handler = Callable[["Connection", Payload], Answering]
"""Takes one request, at once; an awaitable is replied to when it is done. None: taken, nothing to say.

A raised raylite error becomes the reply; any other ends the connection and goes to on_crash.
"""


class Connection(asyncio.Protocol):
    """A connection to `peer`; made by `connect` or a `Server`.

    Errors of a request: `Unreachable`, `Overloaded`, `LimitExceeded`, `ParameterError` from here mean that no byte of
    it left; `NoReply` that it may have been received; all others are what the peer answered. Once closed, for
    good. on_crash: gets what a handler or callback raised that is no raylite error, after the connection has ended.
    """

    def __init__(
        self, transport: asyncio.Transport, frames: Frames, peer: Peer, handler: Handler, on_crash: OnCrash,
        *, delay: float = 0.0,
    ) -> None:  # fmt: skip
        self.peer = peer
        loop = self._loop = asyncio.get_running_loop()
        self._transport, self._frames, self._on_crash = transport, frames, on_crash
        self._outgoing = Outgoing(loop, transport, delay)
        self._asking = Asking(loop, self._outgoing, peer.actor, self._crash)
        self._serving = Serving(self._outgoing, partial(handler, self), self._crash, self._freed)
        self._reading = True
        self._writable = asyncio.Event()
        self._writable.set()
        self._reason: str | None = None
        self._closed: asyncio.Future[str] = loop.create_future()
        self._gone = asyncio.Event()
        self._linger: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<connection to {self.peer.actor}{'' if self.is_open else f', {self._reason}'}>"

    # Asking

    def post(self, message: Payload, on_reply: OnReply) -> None:
        """Send a request; `on_reply` gets reply, error or None as from `call`, once, never within this call."""
        self._asking.post(message, partial(unwrapped, on_reply))

    async def call(self, message: Payload, seconds: float = limits.CALL_SECONDS) -> Payload | None:
        """The reply, None if there is nothing to say; raises its error, or `NoReply` if none came within `seconds`."""
        reply = await self._asking.ask(message, seconds)
        if isinstance(reply, Failure):
            raise from_failure(reply)
        return reply

    async def ask(self, message: Payload, seconds: float = limits.CALL_SECONDS) -> Payload | None:
        """As `call`, but a `Failure` is returned as it came, with its bookmark."""
        return await self._asking.ask(message, seconds)

    async def ping(self, seconds: float = limits.CALL_SECONDS) -> float:
        """Seconds to the peer's loop and back; raises `NoReply` if they are more than `seconds`."""
        return await self._asking.ping(seconds)

    async def drain(self) -> None:
        """Return once the peer has taken all but WRITE_BUFFER_BYTES; raises `Unreachable` if the connection ends."""
        self._outgoing.flush()
        await self._writable.wait()
        if self._reason is not None:
            raise Unreachable(self.peer.actor, self._reason)

    @property
    def buffered_bytes(self) -> int:
        """Bytes sent here that the operating system has not taken yet."""
        return self._outgoing.bytes

    @property
    def waiting(self) -> int:
        """Requests of this side that have no reply yet, also those whose caller gave up."""
        return self._asking.waiting

    @property
    def under_way(self) -> int:
        """Requests of the peer whose replies have not been sent yet."""
        return self._serving.under_way

    @property
    def idle(self) -> bool:
        """Whether no coroutine that a handler returned is running."""
        return self._serving.idle

    # Ending

    @property
    def is_open(self) -> bool:
        """Whether requests can still be sent."""
        return self._reason is None

    @property
    def closed(self) -> asyncio.Future[str]:
        """A future that gets the reason when the connection has ended; cancelling it harms nobody else."""
        return asyncio.shield(self._closed)

    def on_closed(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the reason soon after the connection has ended."""
        self._closed.add_done_callback(lambda closed: callback(closed.result()))

    def close(self, reason: str = "closed here") -> None:
        """End it: whatever waits for a reply gets an error; queued bytes may still leave; handlers go on."""
        if self._reason is None:
            self._outgoing.flush()
            self._end(reason)
            self._transport.close()
            self._linger = self._loop.call_later(limits.CLOSE_SECONDS, self._transport.abort)

    def abort(self, reason: str) -> None:
        """End it at once; queued bytes are lost."""
        if self._reason is None:
            self._end(reason)
        self._transport.abort()

    async def stop(self) -> None:
        """Close it, cancel the coroutines that its handlers returned, and wait for all of it."""
        self.close("stopped here")
        await self._serving.stop()
        await self._gone.wait()

    # Called by the transport

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        self._frames.feed(data)
        self.read()

    def pause_writing(self) -> None:
        """The transport is full."""
        self._outgoing.paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        """The transport has room."""
        self._outgoing.paused = False
        self._serving.resume()
        if not self._outgoing.paused:
            self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        if self._reason is None:
            self._end(f"connection lost: {exc}" if exc else "the peer closed the connection")
        if self._linger is not None:
            self._linger.cancel()
        self._gone.set()

    # Inside

    def read(self) -> None:
        """Take the frames that have arrived, as far as the bounds allow."""
        try:
            self._take_all()
        except Violation as violation:
            self.abort(f"protocol violated: {violation}")
        except Exception as error:  # noqa: BLE001 - a handler's bug goes to on_crash, not into the event loop
            self._crash(error)
        self._outgoing.flush()

    def _take_all(self) -> None:
        while self._reading and self._reason is None and (frame := self._frames.next()) is not None:
            self._take(frame)
            if self._serving.under_way > limits.CONNECTION_REQUESTS:
                self._reading = False
                self._transport.pause_reading()

    def _take(self, frame: Frame) -> None:
        kind, number, payload = frame
        if kind == REQUEST:
            self._serving.take(number, decode_payload(payload))
        elif kind == REPLY:
            self._asking.replied(number, decode_payload(payload))
        elif kind == EMPTY:
            self._asking.replied(number, None)
        elif kind == PING:
            self._serving.ping(number)
        elif kind == PONG:
            self._asking.ponged(number)
        else:
            raise Violation(f"a frame of kind {kind}")

    def _freed(self) -> None:
        if not self._reading and self._serving.under_way == limits.CONNECTION_REQUESTS // 2:
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._reason is None and not self._reading:
            self._reading = True
            self._transport.resume_reading()
            self.read()

    def _crash(self, error: BaseException) -> None:
        self.abort(f"crashed: {error!r}")
        self._on_crash(error)

    def _end(self, reason: str) -> None:
        self._reason = reason
        self._frames = Frames(0)
        self._outgoing.stop()
        self._serving.end()
        self._asking.end(reason)
        self._writable.set()
        self._closed.set_result(reason)

"""What one connection has still to send: frames gather in one buffer and leave in one write.

Everything queued within one turn of the event loop is one write. With a delay, each write waits that long, in
order of time and under a single timer, as if the peer were that far away.
"""

from __future__ import annotations

import asyncio
from collections import deque

from raylite.actors.stream_codec import HEADER, Payload, append_frame, append_payload
from raylite.policies import limits
from raylite.policies.errors import LimitExceeded

_TICK_SECONDS = 0.001
"""The resolution of uvloop's timers: a write that is due so soon leaves with those that are due."""


class Outgoing:
    """The sending half of one connection.

    delay: seconds, one way; paused: the transport holds more than WRITE_BUFFER_BYTES that the peer has not taken;
    sent: the highest number that `queue` got of which bytes were handed to the transport.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, delay: float = 0.0
    ) -> None:
        self.paused = False
        self.sent = 0
        self._loop, self._transport, self._delay = loop, transport, delay
        self._buffer = bytearray()
        self._last = 0
        self._scheduled = False
        self._distant: deque[tuple[float, int, bytearray]] = deque()
        self._distant_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        transport.set_write_buffer_limits(high=limits.WRITE_BUFFER_BYTES)

    @property
    def bytes(self) -> int:
        """Bytes that the operating system has not taken yet."""
        return len(self._buffer) + self._distant_bytes + self._transport.get_write_buffer_size()

    def queue(self, kind: int, number: int, payload: Payload | None = None, *, mine: bool = False) -> None:
        """Add a frame; it leaves at the end of this turn of the loop. mine: its number counts for `sent`.

        Raises what `append_payload` raises, and `LimitExceeded` over FRAME_BYTES; nothing is queued then.
        """
        if payload is None:
            append_frame(self._buffer, kind, number)
        else:
            self._append(kind, number, payload)
        if mine:
            self._last = number
        if len(self._buffer) > limits.WRITE_BUFFER_BYTES:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def flush(self) -> None:
        """Hand everything queued to the transport now, or to the delay."""
        if not self._buffer:
            return
        data, self._buffer = self._buffer, bytearray()
        if self._delay:
            self._distant.append((self._loop.time() + self._delay, self._last, data))
            self._distant_bytes += len(data)
            self._arm()
        else:
            self._write(self._last, data)

    def stop(self) -> None:
        """Send nothing more; what is delayed is lost."""
        self._buffer.clear()
        self._distant.clear()
        self._distant_bytes = 0
        if self._timer is not None:
            self._timer.cancel()

    def _append(self, kind: int, number: int, payload: Payload) -> None:
        start = len(self._buffer)
        size = append_payload(self._buffer, kind, number, payload)
        if size + HEADER.size > limits.FRAME_BYTES:
            del self._buffer[start:]
            raise LimitExceeded("a message", size, limits.FRAME_BYTES - HEADER.size, "bytes")

    def _turn(self) -> None:
        self._scheduled = False
        self.flush()

    def _write(self, last: int, data: bytearray) -> None:
        self.sent = last
        self._transport.write(data)

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_at(self._distant[0][0], self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        now = self._loop.time() + _TICK_SECONDS
        while self._distant and self._distant[0][0] <= now:
            _, last, data = self._distant.popleft()
            self._distant_bytes -= len(data)
            self._write(last, data)
        if self._distant:
            self._arm()

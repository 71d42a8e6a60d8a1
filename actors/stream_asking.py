"""The requests of one side that wait for their reply."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from raylite.actors.stream_codec import PING, REQUEST, Payload, Violation, from_failure
from raylite.actors.stream_outgoing import Outgoing
from raylite.policies import limits
from raylite.policies.errors import Error, NoReply, Overloaded, Unreachable
from raylite.policies.query import Failure

_T = TypeVar("_T")
OnReply = Callable[[Payload | Error | None], None]
"""Gets the reply, an error, or None: the request was taken and there is nothing to say."""
OnCrash = Callable[[BaseException], None]


class Asking:
    """Numbers requests from 1 on and gives each reply to whoever waits for it.

    Every callback is called exactly once. crash: gets what a callback raised.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, outgoing: Outgoing, actor: str, crash: OnCrash
    ) -> None:
        self._loop, self._outgoing, self._actor, self._crash = loop, outgoing, actor, crash
        self._number = 0
        self._replies: dict[int, OnReply] = {}
        self._pongs: dict[int, asyncio.Future[None]] = {}
        self._ended: str | None = None

    @property
    def waiting(self) -> int:
        """Requests without a reply, also those whose caller gave up."""
        return len(self._replies) + len(self._pongs)

    def post(self, message: Payload, on_reply: OnReply) -> None:
        """Queue a request; errors, too, reach `on_reply` later and never from within this call."""
        error = self._refusal() or self._queue(message)
        if error is None:
            self._replies[self._number] = on_reply
        else:
            self._loop.call_soon(self._deliver, on_reply, error)

    async def ask(self, message: Payload, seconds: float) -> Payload | None:
        """The reply, a `Failure` as it came; raises the errors of `Connection`."""
        waiting: asyncio.Future[Payload | None] = self._loop.create_future()
        self.post(message, partial(_settle, waiting))
        return await self._within(waiting, seconds)

    async def ping(self, seconds: float) -> float:
        """Seconds to the peer's loop and back; raises `NoReply` if they are more than `seconds`."""
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        waiting: asyncio.Future[None] = self._loop.create_future()
        self._number += 1
        self._pongs[self._number] = waiting
        begin = time.perf_counter()  # uvloop's own clock counts in milliseconds
        self._outgoing.queue(PING, self._number, mine=True)
        self._outgoing.flush()
        await self._within(waiting, seconds)
        return time.perf_counter() - begin

    def replied(self, number: int, reply: Payload | None) -> None:
        """The peer's reply to that request, None for none; raises `Violation` if it does not wait."""
        self._deliver(_claim(self._replies, number), reply)

    def ponged(self, number: int) -> None:
        """The peer's answer to that ping; raises `Violation` if it does not wait."""
        _settle(_claim(self._pongs, number), None)

    def end(self, reason: str) -> None:
        """All that waits gets an error: `Unreachable` if no byte of it left, else `NoReply`."""
        self._ended = reason
        for number, on_reply in self._replies.items():
            self._loop.call_soon(self._deliver, on_reply, self._lost(number, reason))
        for number, waiting in self._pongs.items():
            _settle(waiting, self._lost(number, reason))
        self._replies.clear()
        self._pongs.clear()

    def _queue(self, message: Payload) -> Error | None:
        try:
            self._outgoing.queue(REQUEST, self._number + 1, message, mine=True)
        except Error as error:
            return error
        self._number += 1
        return None

    def _refusal(self) -> Error | None:
        if self._ended is not None:
            return Unreachable(self._actor, self._ended)
        if self.waiting >= limits.CONNECTION_REQUESTS:
            return Overloaded(f"the connection to {self._actor}", limits.CONNECTION_REQUESTS)
        if self._outgoing.bytes > limits.OUTGOING_BYTES:
            return Overloaded(f"bytes on their way to {self._actor}", limits.OUTGOING_BYTES)
        return None

    def _lost(self, number: int, reason: str) -> Error:
        left = number <= self._outgoing.sent
        return NoReply(self._actor, reason) if left else Unreachable(self._actor, reason)

    async def _within(self, waiting: asyncio.Future[_T], seconds: float) -> _T:
        timer = self._loop.call_later(seconds, self._expire, waiting, seconds)
        try:
            return await waiting
        finally:
            timer.cancel()

    def _expire(self, waiting: asyncio.Future[_T], seconds: float) -> None:
        _settle(waiting, NoReply(self._actor, f"no reply within {seconds:g} s"))

    def _deliver(self, on_reply: OnReply, result: Payload | Error | None) -> None:
        try:
            on_reply(result)
        except Exception as error:  # noqa: BLE001 - a callback's bug goes to `crash`, not into the event loop
            self._crash(error)


def unwrapped(on_reply: OnReply, result: Payload | Error | None) -> None:
    """Call `on_reply` with the error that a `Failure` stands for, or with the result as it is."""
    on_reply(from_failure(result) if isinstance(result, Failure) else result)


def _claim(waiting: dict[int, _T], number: int) -> _T:
    found = waiting.pop(number, None)
    if found is None:
        raise Violation(f"a reply to request {number}, which does not wait")
    return found


def _settle(waiting: asyncio.Future[_T], result: _T | Error) -> None:
    if waiting.done():
        return
    if isinstance(result, Error):
        waiting.set_exception(result)
    else:
        waiting.set_result(result)

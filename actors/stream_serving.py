"""The peer's requests that are under way here."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from raylite.actors.stream_codec import EMPTY, PONG, REPLY, Payload, to_failure
from raylite.actors.stream_outgoing import Outgoing
from raylite.policies import limits
from raylite.policies.errors import Error, LimitExceeded, NoReply, OutcomeUnknown

Answering = Awaitable[Payload | None] | Payload | None


class Serving:
    """Hands requests to `handle` in their order and sends each reply when it is there.

    While the peer does not read, replies are held back and still count as under way. crash: gets what was raised
    that is no raylite error; freed: called whenever a request is no longer under way.
    """

    def __init__(
        self, outgoing: Outgoing, handle: Callable[[Payload], Answering], crash: Callable[[BaseException], None],
        freed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.under_way = 0
        self._outgoing, self._handle, self._crash, self._freed = outgoing, handle, crash, freed
        self._held: deque[tuple[int, int, Payload | None]] = deque()
        self._tasks: set[asyncio.Future[Payload | None]] = set()
        self._ended = False

    @property
    def idle(self) -> bool:
        """Whether no coroutine that a handler returned is running."""
        return not self._tasks

    def take(self, number: int, message: Payload) -> None:
        """Start one request; what the handler raises and is no raylite error comes out."""
        self.under_way += 1
        try:
            answer = self._handle(message)
        except Error as error:
            answer = to_failure(error)
        if isinstance(answer, Awaitable):
            self._await(number, answer)
        else:
            self._reply(number, answer)

    def ping(self, number: int) -> None:
        """Answer a ping."""
        self.under_way += 1
        self._answer(PONG, number, None)

    def resume(self) -> None:
        """Send what was held back, as far as the peer takes it."""
        while self._held and not self._outgoing.paused:
            self._send(*self._held.popleft())

    def end(self) -> None:
        """Send nothing more; handlers go on."""
        self._ended = True
        self._held.clear()

    async def stop(self) -> None:
        """Cancel the coroutines that handlers returned, and wait for them."""
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _await(self, number: int, answer: Awaitable[Payload | None]) -> None:
        future = asyncio.ensure_future(answer)
        if future is not answer:
            self._tasks.add(future)
            future.add_done_callback(self._tasks.discard)
        future.add_done_callback(partial(self._finished, number))

    def _finished(self, number: int, future: asyncio.Future[Payload | None]) -> None:
        if future.cancelled():
            self._reply(number, to_failure(NoReply("the request", "it was cancelled there")))
            return
        error = future.exception()
        if error is None:
            self._reply(number, future.result())
        elif isinstance(error, Error):
            self._reply(number, to_failure(error))
        else:
            self._crash(error)

    def _reply(self, number: int, reply: Payload | None) -> None:
        self._answer(EMPTY if reply is None else REPLY, number, reply)

    def _answer(self, kind: int, number: int, reply: Payload | None) -> None:
        if self._ended:
            return
        if self._outgoing.paused:
            self._held.append((kind, number, reply))
        else:
            self._send(kind, number, reply)

    def _send(self, kind: int, number: int, reply: Payload | None) -> None:
        try:
            self._outgoing.queue(kind, number, reply)
        except LimitExceeded as error:
            self._outgoing.queue(kind, number, to_failure(OutcomeUnknown("the reply", _too_large(error))))
        except (ValueError, TypeError, OverflowError) as error:
            self._crash(error)
            return
        self.under_way -= 1
        self._freed()


def _too_large(error: LimitExceeded) -> str:
    return f"its {error.size} bytes are over the limit of {limits.FRAME_BYTES}"

"""One query on its way to an answer: who is asked next, and what an error means.

A query that certainly did not run is asked again, of whoever serves the database by then, until its deadline. So is a
read whose answer was lost. A write whose answer was lost is reported as `OutcomeUnknown` and never asked again.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from itertools import count

import msgspec

from raylite.actors.stream import from_failure
from raylite.policies import limits
from raylite.policies.backoff import Backoff
from raylite.policies.errors import (
    Corrupt,
    DatabaseNotFound,
    Error,
    Interrupted,
    NoQuorum,
    NoReply,
    NotPrimary,
    OutcomeUnknown,
    Unavailable,
    Unreachable,
)
from raylite.policies.query import Answer, Failure, Query
from raylite.router.ports import Directory, Reply, Route, Transport
from raylite.router.texts import Learned

RETRY = Backoff(0.02, 0.5)

_AGAIN = (Unreachable, NotPrimary, Interrupted)
"""Not run, and likely to be over soon: ask again until the deadline."""
_A_WHILE = (NoQuorum, DatabaseNotFound)
"""Not run: over soon if followers start again, or a routing table is on its way; else the caller should know."""
_LOST = (Unreachable, NotPrimary, OutcomeUnknown)
"""Not worth telling a caller whose time is up, but as the reason."""

_Attempt = asyncio.Task[Answer | Failure]


class Errand:
    """Carries out one query, once.

    A write is under way at one actor at most. A read that an actor leaves unanswered for long is asked of others
    too; the first answer counts. `_pending`: actors asked whose answer is still awaited.
    """

    def __init__(
        self,
        query: Query,
        name: str,
        region: str,
        transport: Transport,
        directory: Directory,
        learned: Learned,
    ) -> None:
        self._query, self._name, self._region = query, name, region
        self._transport, self._directory, self._learned = transport, directory, learned
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._deadline = self._began + query.seconds
        self._is_read = learned.reads(query)
        self._route: Route | None = None
        self._pending: dict[_Attempt, str] = {}
        self._report: asyncio.Task[None] | None = None
        self._report_at = math.inf
        self._attempts = 0
        self._last: Error = Unreachable(name, "nobody was asked")

    async def run(self) -> Reply:
        """The answer, or the actor's last word; raises an `Error` if nobody could say."""
        began = time.perf_counter()
        try:
            answer = await self._answer()
        finally:
            await self._abandon()
        if isinstance(answer, Answer):
            self._learned.learn(self._query, answer)
        return Reply(answer, self._attempts, 1000 * (time.perf_counter() - began))

    async def _answer(self) -> Answer | Failure:
        for failures in count():
            answer = await self._round()
            if answer is None:
                answer = await self._pause(RETRY.delay(failures, random.random()))
            if answer is not None:
                return answer
        raise AssertionError("unreachable: the deadline ends the loop")

    async def _round(self) -> Answer | Failure | None:
        """Asks the copies in order, the next when one cannot or does not answer; None if none did."""
        actors = await self._actors()
        for index, actor in enumerate(actors):
            if actor in self._pending.values():
                continue
            if not self._left():
                break
            answer = await self._hear(self._ask(actor), others=index + 1 < len(actors))
            if answer is not None:
                return answer
        return None

    async def _actors(self) -> list[str]:
        """Whom to ask, in order; nobody while that is not known."""
        route = await self._newest_route()
        if route is None:
            return []
        if self._query.primary or self._learned.writes(self._query):
            nearest: list[str] = []
        else:
            copies = {one.actor for one in route.candidates}
            ranked = route.policy.rank(self._region, route.candidates)
            nearest = [one.actor for one in ranked if one.actor in copies]
        if route.primary not in nearest:
            nearest.append(route.primary)
        return nearest

    async def _newest_route(self) -> Route | None:
        """The route; where none is to be had the one that was known goes on."""
        if not self._left():
            return self._route
        try:
            async with asyncio.timeout(self._left()):
                route = await self._directory.route(self._name)
        except TimeoutError:
            self._last = Unreachable(self._name, "nobody says who serves it")
        except Unavailable as error:
            self._last = error
        else:
            self._take(route)
        return self._route

    def _take(self, route: Route) -> None:
        """Keeps the route, unless it leads to another database of that name."""
        if route.database_id == self._query.database:
            self._route = route
            return
        self._last = DatabaseNotFound(self._name)
        if not self._goes_on(self._last, others=False):
            raise self._last

    def _ask(self, actor: str) -> _Attempt:
        if self._route is not None and actor == self._route.primary:
            self._report_at = min(self._report_at, self._loop.time() + limits.MISSED_SECONDS)
        self._attempts += 1
        attempt = self._loop.create_task(self._send(actor))
        self._pending[attempt] = actor
        return attempt

    async def _send(self, actor: str) -> Answer | Failure:
        left = self._left()
        query = msgspec.structs.replace(self._query, seconds=left)
        try:
            async with asyncio.timeout(left + limits.ANSWER_GRACE_SECONDS):
                return await self._transport.ask(actor, query, left)
        except TimeoutError:
            raise NoReply(actor, f"no reply within {left:g} s") from None

    async def _hear(self, attempt: _Attempt, *, others: bool) -> Answer | Failure | None:
        """What any attempt under way answers. None: this one failed, or is silent for too long for a read."""
        until = self._loop.time() + limits.READ_ATTEMPT_SECONDS if self._is_read else math.inf
        while attempt in self._pending and (left := until - self._loop.time()) > 0:
            answer = await self._settle(left, others=others)
            if answer is not None:
                return answer
        return None

    async def _pause(self, seconds: float) -> Answer | Failure | None:
        """Waits before the next round; the answer of a read that comes meanwhile."""
        if self._pending:  # each ends by itself, soon after the deadline at the latest
            return await self._settle(seconds, others=False)
        if self._left() <= seconds:
            raise self._verdict()
        self._report_if_missed()
        await asyncio.sleep(seconds)
        return None

    async def _settle(self, seconds: float, *, others: bool) -> Answer | Failure | None:
        """Waits for an attempt to end, or a while; what the caller gets, if that is clear then."""
        self._report_if_missed()
        moment = min(seconds, limits.MISSED_SECONDS)
        ended, _ = await asyncio.wait(self._pending, timeout=moment, return_when=asyncio.FIRST_COMPLETED)
        for attempt in ended:
            del self._pending[attempt]
            answer = self._judge(attempt, others=others)
            if answer is not None:
                return answer
        return None

    def _judge(self, attempt: _Attempt, *, others: bool) -> Answer | Failure | None:
        """What an ended attempt means: the answer; None to go on; raises what the caller must know."""
        try:
            answer = attempt.result()
            if isinstance(answer, Answer):
                return answer
            error = from_failure(answer)
        except Error as raised:
            answer, error = None, raised
        if self._goes_on(error, others=others):
            self._last = error
            return None
        if answer is not None:
            return answer
        if isinstance(error, NoReply):
            raise OutcomeUnknown(self._name, _reason(error)) from error
        raise error

    def _goes_on(self, error: Error, *, others: bool) -> bool:
        """Whether to ask on after this error. others: whether another copy is next, else it is the same ones later."""
        if isinstance(error, OutcomeUnknown | Corrupt):
            return self._is_read and (others or isinstance(error, OutcomeUnknown))
        if isinstance(error, _A_WHILE):
            return self._loop.time() < self._began + limits.CONFIRM_SECONDS
        return isinstance(error, Unavailable) and (others or isinstance(error, _AGAIN))

    def _verdict(self) -> Error:
        """What the caller gets whose time is up."""
        if isinstance(self._last, _LOST):
            return Unreachable(
                self._name, f"no answer within {self._query.seconds:g} s ({_reason(self._last)})"
            )
        return self._last

    def _left(self) -> float:
        return max(0.0, self._deadline - self._loop.time())

    def _report_if_missed(self) -> None:
        """Tells the registry of a primary that leaves this unanswered, without waiting for that."""
        if self._loop.time() < self._report_at or not (self._report is None or self._report.done()):
            return
        self._report_at = self._loop.time() + limits.MISSED_SECONDS
        self._report = self._loop.create_task(self._directory.missed(self._name))

    async def _abandon(self) -> None:
        """Ends whatever is still under way: reads that somebody else answered, or the waits of a cancelled caller."""
        if self._report is not None:
            self._report.cancel()
            await asyncio.gather(self._report, return_exceptions=True)
        if self._pending:
            for attempt in self._pending:
                attempt.cancel()
            await asyncio.gather(*self._pending, return_exceptions=True)


def _reason(error: Error) -> str:
    match error:
        case Unreachable():
            return f"{error.what}: {error.reason}"
        case NotPrimary():
            return f"its primary of epoch {error.epoch} reigns no more, and no other answers"
        case OutcomeUnknown():
            return f"{error.database}: {error.reason}"
        case _:
            return str(error)

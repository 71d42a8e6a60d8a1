"""One query on its way to an answer: who is asked next, and what an error means.

A query that certainly did not run is asked again, of whoever serves the database by then, until its deadline. So is a
read whose answer was lost; and a write, for all attempts at it have one key, by which a primary knows it. A script is
many transactions: if its answer is lost, that is reported as `OutcomeUnknown`.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Coroutine
from itertools import count

import msgspec

from raylite.actors.core.keys import KEY_BYTES
from raylite.actors.stream import from_failure
from raylite.policies import limits
from raylite.policies.backoff import Backoff
from raylite.policies.errors import (
    Corrupt,
    DatabaseNotFound,
    Error,
    KeyForgotten,
    NoReply,
    OutcomeUnknown,
    Unavailable,
    Unreachable,
)
from raylite.policies.query import Answer, Failure, Mode, Query
from raylite.router import reasons
from raylite.router.ports import Directory, Reply, Route, Transport
from raylite.router.texts import Learned

RETRY = Backoff(0.02, 0.5)

_Attempt = asyncio.Task[Answer | Failure]


class Errand:
    """Carries out one query, once.

    What may write is under way at one actor at most: `_asked`, "" for none. `_doubt`: why an earlier attempt at it may
    have run; then only a word about the query itself ends it. A read that an actor leaves unanswered for long is asked
    of others too, and the first answer counts; `_pending`: who has not answered it yet.
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
        self._name, self._region = name, region
        self._transport, self._directory, self._learned = transport, directory, learned
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._deadline = self._began + query.seconds
        self._is_read = bool(query.at) or learned.reads(query)
        self._query = query if self._is_read else _with_key(query, learned)
        self._doubt: OutcomeUnknown | None = None
        self._route: Route | None = None
        self._attempts = 0
        self._asked = ""
        self._pending: dict[_Attempt, str] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._report: asyncio.Task[None] | None = None
        self._last: Error = Unreachable(name, "nobody says who serves it")

    async def run(self) -> Reply:
        """The answer, or the actor's last word; raises an `Error` if nobody could say."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout_at(self._deadline + limits.ANSWER_GRACE_SECONDS):
                answer = await self._answer()
        except TimeoutError:
            raise self._overdue() from None
        finally:
            await self._abandon()
        self._learned.saw(answer.bookmark)
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
            if actor in self._pending.values() or not self._may_judge(actor):
                continue
            if not self._left():
                break
            ask = self._ask_read if self._is_read else self._ask_once
            answer = await ask(actor, others=index + 1 < len(actors))
            if answer is not None:
                return answer
        return None

    # Whom

    async def _actors(self) -> list[str]:
        """Whom to ask, in order; nobody while that is not known."""
        await self._find_route()
        route = self._route
        if route is None:
            return []
        if self._query.primary or self._learned.writes(self._query):
            return [route.primary]
        return [one for one in route.nearest(self._region) if self._may_judge(one)]

    def _may_judge(self, actor: str) -> bool:
        """Whether to ask this one: once an attempt may have run, only the primary knows of its key."""
        return self._doubt is None or (self._route is not None and actor == self._route.primary)

    async def _find_route(self) -> None:
        """Takes the newest route, unless it leads to another database of that name.

        Where none is to be had, the one that was known goes on.
        """
        try:
            route = await self._directory.route(self._name)
        except Unavailable as error:
            self._last = error
            return
        if route.database_id == self._query.database:
            self._route = route
            return
        self._last = DatabaseNotFound(self._name)
        if not self._goes_on(self._last, others=False):
            raise self._last

    # Asking

    async def _ask_once(self, actor: str, *, others: bool) -> Answer | Failure | None:
        """The answer of this actor alone; None if it certainly did not run the query."""
        self._asked = actor
        try:
            outcome: Answer | Failure | Error = await self._send(actor)
        except Error as error:
            outcome = error
        self._asked = ""
        return self._judge(outcome, others=others)

    async def _ask_read(self, actor: str, *, others: bool) -> Answer | Failure | None:
        """The first answer of this actor or an earlier one; None if this one failed, or is silent for long."""
        attempt = self._loop.create_task(self._send(actor))
        self._pending[attempt] = actor
        until = self._loop.time() + limits.READ_ATTEMPT_SECONDS
        while attempt in self._pending and (left := until - self._loop.time()) > 0:
            answer = await self._hear(left, others=others)
            if answer is not None:
                return answer
        return None

    def _send(self, actor: str) -> Coroutine[object, object, Answer | Failure]:
        self._attempts += 1
        if self._watch is None and self._route is not None and actor == self._route.primary:
            self._watch = self._loop.call_later(limits.MISSED_SECONDS, self._report_missed)
        left = self._left()
        query = msgspec.structs.replace(self._query, seconds=left, repeated=self._doubt is not None)
        return self._transport.ask(actor, query, left)

    async def _hear(self, seconds: float, *, others: bool) -> Answer | Failure | None:
        """Waits until an attempt at a read ends, or for a while; the answer if there is one then."""
        ended, _ = await asyncio.wait(self._pending, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for attempt in ended:
            del self._pending[attempt]
            answer = self._judge(_outcome(attempt), others=others)
            if answer is not None:
                return answer
        return None

    async def _pause(self, seconds: float) -> Answer | Failure | None:
        """Waits before the next round; the answer of a read that comes meanwhile."""
        if self._pending:
            return await self._hear(seconds, others=False)
        if self._left() <= seconds:
            raise self._verdict()
        await asyncio.sleep(seconds)
        return None

    # What it means

    def _judge(self, outcome: Answer | Failure | Error, *, others: bool) -> Answer | Failure | None:
        """The answer; None to ask on; raises what the caller must know."""
        if isinstance(outcome, Answer):
            return outcome
        error = from_failure(outcome) if isinstance(outcome, Failure) else outcome
        if isinstance(error, OutcomeUnknown) and self._query.key:
            self._doubt = error
        if isinstance(error, KeyForgotten) and isinstance(outcome, Failure) and self._doubt is None:
            self._query = msgspec.structs.replace(self._query, since=outcome.bookmark)
        if self._goes_on(error, others=others):
            self._last = error
            return None
        if self._doubt is not None and not isinstance(error, reasons.OF_THE_QUERY):
            raise self._unknown(self._doubt) from error
        if isinstance(outcome, Failure):
            return outcome
        if isinstance(error, NoReply):
            raise OutcomeUnknown(self._name, reasons.text(error)) from error
        raise error

    def _goes_on(self, error: Error, *, others: bool) -> bool:
        """Whether to ask on after this error. others: whether another copy is next, else it is the same ones later."""
        if isinstance(error, OutcomeUnknown):
            return self._is_read or bool(self._query.key)
        if isinstance(error, KeyForgotten):
            return self._doubt is None
        if isinstance(error, Corrupt):
            return self._is_read and others
        if isinstance(error, reasons.A_WHILE):
            return self._loop.time() < self._began + limits.CONFIRM_SECONDS
        return isinstance(error, Unavailable) and (others or isinstance(error, reasons.AGAIN))

    def _overdue(self) -> Error:
        """What the caller gets when somebody kept it waiting for longer than he should."""
        silent = ", ".join([self._asked, *self._pending.values()]).strip(", ")
        late = f"{silent}: no reply within {self._query.seconds:g} s"
        if self._asked:
            return OutcomeUnknown(self._name, late)
        if self._doubt is not None:
            return self._unknown(self._doubt)
        return Unreachable(self._name, late) if silent else self._verdict()

    def _verdict(self) -> Error:
        """What the caller gets whose time is up."""
        if self._doubt is not None:
            return self._unknown(self._doubt)
        if isinstance(self._last, reasons.LOST):
            return Unreachable(
                self._name, f"no answer within {self._query.seconds:g} s ({reasons.text(self._last)})"
            )
        return self._last

    def _unknown(self, doubt: OutcomeUnknown) -> OutcomeUnknown:
        """What the caller gets if an attempt may have run, and nobody says what came of it."""
        return OutcomeUnknown(self._name, reasons.text(doubt))

    def _left(self) -> float:
        return max(0.0, self._deadline - self._loop.time())

    # Around it

    def _report_missed(self) -> None:
        """Tells the registry of a primary that has left this unanswered for long, without waiting for that."""
        self._watch = self._loop.call_later(limits.MISSED_SECONDS, self._report_missed)
        if self._report is None or self._report.done():
            self._report = self._loop.create_task(self._directory.missed(self._name))

    async def _abandon(self) -> None:
        """Ends whatever is still under way: reads that somebody else answered, or the waits of a cancelled caller."""
        if self._watch is not None:
            self._watch.cancel()
        if self._report is not None:
            self._report.cancel()
            await asyncio.gather(self._report, return_exceptions=True)
        if self._pending:
            for attempt in self._pending:
                attempt.cancel()
            await asyncio.gather(*self._pending, return_exceptions=True)


def _with_key(query: Query, learned: Learned) -> Query:
    """The query as it can be sent again if its answer is lost. A script is many transactions, and goes as it is."""
    learned.saw(query.bookmark)
    if query.mode is Mode.SCRIPT or query.at:
        return query
    return msgspec.structs.replace(query, key=os.urandom(KEY_BYTES), since=learned.newest)


def _outcome(attempt: _Attempt) -> Answer | Failure | Error:
    try:
        return attempt.result()
    except Error as error:
        return error

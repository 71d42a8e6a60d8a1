"""Decides who is asked, and what an error means: repeat, ask another, or tell the caller (docs/architecture.md).

A query that certainly did not run is asked again until its deadline. A read whose answer was lost is repeated; a
write whose answer was lost is reported as `OutcomeUnknown` and never repeated.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from typing import Protocol

import msgspec

from raylite.policies import limits
from raylite.policies.backoff import Backoff
from raylite.policies.errors import NoReply, OutcomeUnknown, Unavailable, Unreachable
from raylite.policies.query import Answer, Failure, Query
from raylite.policies.routing import Candidate, RoutingPolicy

RETRY = Backoff(0.02, 0.5)


class Route(msgspec.Struct, frozen=True):
    """How to reach one database. candidates: every copy, the primary too."""

    database_id: str
    name: str
    primary: str
    candidates: tuple[Candidate, ...]
    policy: RoutingPolicy


class Transport(Protocol):
    """Carries one query to one actor."""

    async def ask(self, actor: str, query: Query, seconds: float) -> Answer | Failure:
        """What the actor answered; raises `Unreachable` (not sent) or `NoReply` (perhaps received)."""
        ...


class Directory(Protocol):
    """Knows who serves which database."""

    async def route(self, name: str) -> Route:
        """The newest route known; raises `DatabaseNotFound` or `Unreachable`."""
        ...

    async def missed(self, name: str) -> None:
        """Nobody has answered for this database's primary for a while: tell the registry. Does not raise."""
        ...


class Reply(msgspec.Struct, frozen=True):
    """What was answered, after how many attempts and how long."""

    answer: Answer | Failure
    attempts: int
    round_trip_ms: float


class Router:
    """Asks for one database from one region.

    `_writes` remembers texts of which an answer said that they write, `_reads` those that do not: nothing else tells
    a read whose answer was lost from a write.
    """

    def __init__(self, name: str, region: str, transport: Transport, directory: Directory) -> None:
        self.name, self.region = name, region
        self._transport, self._directory = transport, directory
        self._writes = Texts(limits.REMEMBERED_TEXTS)
        self._reads = Texts(limits.REMEMBERED_TEXTS)

    async def ask(self, query: Query) -> Reply:
        """The answer to `query`, whose `seconds` bound it all; raises an `Error` if there is none."""
        began = time.monotonic()
        deadline = began + query.seconds
        missed_at = began + limits.MISSED_SECONDS
        last: Unavailable = Unreachable(self.name, "nobody was asked")
        attempt = 0
        while (left := deadline - time.monotonic()) > 0:
            try:
                for actor in await self._actors(query):
                    attempt += 1
                    left = max(0.0, deadline - time.monotonic())
                    answer = await self._ask_one(actor, query, left)
                    if answer is not None:
                        return Reply(answer, attempt, 1000 * (time.monotonic() - began))
            except Unavailable as error:
                last = error
            if time.monotonic() >= missed_at:
                missed_at = time.monotonic() + limits.MISSED_SECONDS
                await self._directory.missed(self.name)
            await asyncio.sleep(min(RETRY.delay(min(attempt, 16), random.random()), max(0.0, left)))
        raise last

    async def _ask_one(self, actor: str, query: Query, seconds: float) -> Answer | Failure | None:
        """The answer of this actor; None if another should be asked, since this one has certainly not run it."""
        seconds = seconds if self._may_have_written(query) else min(seconds, limits.READ_ATTEMPT_SECONDS)
        sent = msgspec.structs.replace(query, seconds=seconds)
        try:
            answer = await self._transport.ask(actor, sent, seconds)
        except Unreachable:
            return None
        except NoReply as error:
            if self._may_have_written(query):
                raise OutcomeUnknown(self.name, str(error.args[1])) from error
            return None
        if isinstance(answer, Answer):
            self._remember(query, wrote=answer.wrote)
            return answer
        return None if answer.error in _NOT_RUN else answer

    async def _actors(self, query: Query) -> list[str]:
        """Whom to ask, in order."""
        route = await self._directory.route(self.name)
        if query.primary or any(one.sql in self._writes for one in query.statements):
            return [route.primary]
        ranked = route.policy.rank(self.region, route.candidates)
        return [one.actor for one in ranked] or [route.primary]

    def _may_have_written(self, query: Query) -> bool:
        return not all(one.sql in self._reads for one in query.statements)

    def _remember(self, query: Query, *, wrote: bool) -> None:
        if len(query.statements) > 1 and wrote:
            return  # which of them wrote is not known
        for one in query.statements:
            (self._writes if wrote else self._reads).add(one.sql)


class Texts:
    """The newest texts, at most `bound`."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._texts: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, text: str) -> bool:
        return text in self._texts

    def add(self, text: str) -> None:
        """Remember it as the newest; large texts are not worth their memory."""
        if len(text) > limits.REMEMBERED_TEXT_CHARACTERS:
            return
        self._texts[text] = None
        self._texts.move_to_end(text)
        if len(self._texts) > self._bound:
            self._texts.popitem(last=False)


_NOT_RUN = frozenset({"Unreachable", "NotPrimary"})
"""Answers after which the query certainly did not run and another actor, or the same one later, may run it."""

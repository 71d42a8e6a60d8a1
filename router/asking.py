"""Who asks: a database without order, a session one query after the other (docs/architecture.md, Sessions)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Protocol

import msgspec

from raylite.actors.stream import from_failure
from raylite.policies import limits
from raylite.policies.errors import Overloaded, Unreachable
from raylite.policies.query import Answer, Dialect, Mode, Query, Statement
from raylite.policies.session import SessionState
from raylite.router.parameters import seconds_of
from raylite.router.ports import Reply
from raylite.router.router import Router


class Asked(msgspec.Struct, frozen=True):
    """An answer without an error; the rest as in `Reply`."""

    answer: Answer
    attempts: int
    round_trip_ms: float


class Asker(Protocol):
    """Runs queries on one database."""

    @property
    def database_id(self) -> str:
        """The database."""
        ...

    async def ask(self, mode: Mode, statements: tuple[Statement, ...], seconds: float | None) -> Asked:
        """The answer within `seconds`, or within this asker's own time if None; raises the query's error."""
        ...


class PrimaryAsker:
    """Asks the primary, any number of queries at once.

    at: text of the bookmark whose state is read, "" for now; anywhere: such a state is asked of the nearest copy.
    """

    def __init__(
        self, router: Router, database_id: str, seconds: float, at: str = "", *, anywhere: bool = False
    ) -> None:
        self._router, self.database_id, self._seconds, self._at = router, database_id, seconds, at
        self._primary = not (at and anywhere)

    async def ask(self, mode: Mode, statements: tuple[Statement, ...], seconds: float | None) -> Asked:
        """The answer; raises the query's error. Cancelled, a write may still take effect."""
        given = seconds_of(seconds, self._seconds)
        query = Query(self.database_id, mode, statements, "", given, self._primary, self._at)
        return _asked(await self._router.ask(query))


class SessionAsker:
    """Asks whoever is nearest, one query at a time, in the order in which they were asked for.

    Invariant: `_turn` is held from before a query is sent until its outcome is known or its time is up, also when
    its caller has gone: two queries of a session never run at once. `state` only ever rises.
    """

    def __init__(
        self,
        router: Router,
        database_id: str,
        seconds: float,
        state: SessionState,
        dialect: Dialect = Dialect.RAYLITE,
    ) -> None:
        self._router, self.database_id, self._seconds = router, database_id, seconds
        self.state, self._dialect = state, dialect
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._task: asyncio.Task[Reply] | None = None

    async def ask(self, mode: Mode, statements: tuple[Statement, ...], seconds: float | None) -> Asked:
        """The answer; raises the query's error.

        Cancelled before its turn, a query does not run. Cancelled later it goes on, and the session's next query
        waits for its end.
        """
        deadline = asyncio.get_running_loop().time() + seconds_of(seconds, self._seconds)
        await self._wait_for_turn(deadline)
        query = Query(self.database_id, mode, statements, "", 0.0, dialect=self._dialect)
        work = self._ask(query, deadline)
        return _asked(await asyncio.shield(self._under_way(work)))

    def see(self, bookmark: str) -> None:
        """From now on queries see at least this bookmark, too; "" changes nothing. Raises `BookmarkError`."""
        self.state = self.state.see(bookmark)

    async def _wait_for_turn(self, deadline: float) -> None:
        if self._waiting >= limits.WAITING_QUERIES:
            raise Overloaded("this session's queries", limits.WAITING_QUERIES)
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            raise Unreachable(self._router.name, "an earlier query of this session is under way") from None
        finally:
            self._waiting -= 1

    def _under_way(self, work: Coroutine[object, object, Reply]) -> asyncio.Task[Reply]:
        """Starts the query whose turn it is; its end, whatever it is, is the next one's turn."""
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(lambda _: self._turn.release())
        return self._task

    async def _ask(self, query: Query, deadline: float) -> Reply:
        left = max(0.0, deadline - asyncio.get_running_loop().time())
        stamped = self.state.stamp(msgspec.structs.replace(query, seconds=left))
        reply = await self._router.ask(stamped)
        self.state = self.state.advance(reply.answer.bookmark)
        return reply


def _asked(reply: Reply) -> Asked:
    if isinstance(reply.answer, Answer):
        return Asked(reply.answer, reply.attempts, reply.round_trip_ms)
    raise from_failure(reply.answer)

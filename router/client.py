"""Databases, sessions and statements, awaited. `raylite.router.sync` has the same for callers without a loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from raylite.actors.stream import from_failure
from raylite.policies import limits
from raylite.policies.errors import LimitExceeded, Overloaded, ParameterError
from raylite.policies.query import Answer, Mode, Query, Rows, Statement, Value
from raylite.policies.session import FIRST_UNCONSTRAINED, PRIMARY_ONLY, SessionState, begin
from raylite.policies.status import ActorStatus
from raylite.router.result import Result, Row, as_lists, first_of, results_of
from raylite.router.router import Reply, Router

Bindable = None | bool | int | float | str | bytes | bytearray | memoryview


class DatabaseInfo(msgspec.Struct, frozen=True):
    """One database. actors: its primary first, then its replicas; those that did not answer are missing."""

    name: str
    database_id: str
    region: str
    replicas: tuple[str, ...]
    actors: tuple[ActorStatus, ...]


class AsyncStatement:
    """A statement of a session or, without one, of a database. `bind` makes a new one, so it can be used again."""

    def __init__(self, asker: Asker, sql: str, params: tuple[Value, ...] = ()) -> None:
        self._asker, self.sql, self.params = asker, sql, params

    def bind(self, *values: Bindable) -> AsyncStatement:
        """The statement with these values for its parameters, in order; raises `ParameterError` for other types."""
        return AsyncStatement(self._asker, self.sql, tuple(_value(i, one) for i, one in enumerate(values, 1)))

    async def all(self) -> Result:
        """Runs it: all its rows."""
        return (await self._asker.run(Mode.RUN, [self]))[0]

    async def run(self) -> Result:
        """Runs it: the same as `all`, the usual name for a statement that is run for what it does."""
        return await self.all()

    async def first(self, column: str | None = None) -> Row | Value:
        """Runs it: the first row, or one column of it; None without rows."""
        return first_of(await self._rows(), column)

    async def raw(self, column_names: bool = False) -> list[list[Value]]:
        """Runs it: its rows as lists, after the columns' names if they are wanted."""
        return as_lists(await self._rows(), column_names=column_names)

    async def _rows(self) -> Rows:
        reply = await self._asker.ask(Mode.RUN, [self])
        return reply.results[0]


class Asker:
    """Asks one query after another and keeps what was seen: what sessions and databases have in common."""

    def __init__(self, router: Router, database_id: str, state: SessionState, seconds: float) -> None:
        self._router, self._database_id, self._state, self._seconds = router, database_id, state, seconds
        self._turn = asyncio.Lock()
        self._waiting = 0

    def prepare(self, sql: str) -> AsyncStatement:
        """A statement, compiled when it runs."""
        return AsyncStatement(self, sql)

    async def batch(self, statements: Sequence[AsyncStatement]) -> list[Result]:
        """Runs the statements in one transaction: all of them or, on any error, none."""
        return await self.run(Mode.BATCH, statements)

    async def run(self, mode: Mode, statements: Sequence[AsyncStatement]) -> list[Result]:
        """The results of a query, one a statement."""
        reply = await self._reply(mode, statements)
        return results_of(_rows_of(reply), reply.round_trip_ms, reply.attempts)

    async def ask(self, mode: Mode, statements: Sequence[AsyncStatement]) -> Answer:
        """The answer to a query."""
        return _rows_of(await self._reply(mode, statements))

    async def _reply(self, mode: Mode, statements: Sequence[AsyncStatement]) -> Reply:
        if len(statements) > limits.BATCH_STATEMENTS:
            raise LimitExceeded("a batch", len(statements), limits.BATCH_STATEMENTS, "statements")
        texts = tuple(Statement(one.sql, one.params) for one in statements)
        query = Query(self._database_id, mode, texts, "", self._seconds)
        return await self._in_turn(query)

    async def _in_turn(self, query: Query) -> Reply:
        """One query of a session is under way; the others wait in order."""
        if self._waiting >= limits.WAITING_QUERIES:
            raise Overloaded("this session's queries", limits.WAITING_QUERIES)
        self._waiting += 1
        try:
            async with self._turn:
                reply = await self._router.ask(self._state.stamp(query))
                self._state = self._state.advance(reply.answer.bookmark)
                return reply
        finally:
            self._waiting -= 1


class AsyncSession(Asker):
    """Queries in order: each sees what all before it saw and wrote, whichever copy answers."""

    @property
    def bookmark(self) -> str:
        """The newest entry that this session has seen, to carry on elsewhere with `with_session`; "" before any."""
        return str(self._state.bookmark) if self._state.bookmark else ""

    def get_bookmark(self) -> str | None:
        """`bookmark`, but None before any."""
        return self.bookmark or None


class AsyncDatabase:
    """One database, asked from one region. Without a session every query goes to the primary, in no order."""

    def __init__(
        self,
        router: Router,
        database_id: str,
        describe: Callable[[], Awaitable[DatabaseInfo]],
        seconds: float = limits.QUERY_SECONDS,
    ) -> None:
        self.name, self.region = router.name, router.region
        self._describe = describe
        self._router, self._database_id, self._seconds = router, database_id, seconds

    def prepare(self, sql: str) -> AsyncStatement:
        """A statement for the primary, compiled when it runs."""
        return AsyncStatement(self._primary(), sql)

    async def batch(self, statements: Sequence[AsyncStatement]) -> list[Result]:
        """Runs the statements on the primary in one transaction: all of them or, on any error, none."""
        return await self._primary().batch(statements)

    async def exec(self, sql: str) -> list[Result]:
        """Runs a text of many statements on the primary, each in a transaction of its own; stops at an error."""
        return await self._primary().run(Mode.SCRIPT, [self.prepare(sql)])

    def with_session(self, constraint: str = FIRST_UNCONSTRAINED) -> AsyncSession:
        """A new session.

        constraint: "first-unconstrained" (the nearest copy answers first), "first-primary", or a bookmark that the
        first query must see; raises `BookmarkError` for anything else.
        """
        return AsyncSession(self._router, self._database_id, begin(constraint), self._seconds)

    async def info(self) -> DatabaseInfo:
        """Where the database is, and how its actors are."""
        return await self._describe()

    def _primary(self) -> Asker:
        return Asker(self._router, self._database_id, PRIMARY_ONLY, self._seconds)


def _rows_of(reply: Reply) -> Answer:
    if isinstance(reply.answer, Answer):
        return reply.answer
    raise from_failure(reply.answer)


def _value(position: int, value: Bindable) -> Value:
    match value:
        case bool():
            return int(value)
        case int() if not -(1 << 63) <= value < 1 << 63:
            raise ParameterError(f"parameter {position} is {value}, SQLite's integers have 64 bits")
        case None | int() | float() | str() | bytes():
            return value
        case bytearray() | memoryview():
            return bytes(value)
        case _:
            raise ParameterError(
                f"parameter {position} is a {type(value).__name__}, which SQLite does not have"
            )

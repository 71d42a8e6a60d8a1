"""Statements, sessions and past states, awaited. `raylite.router.sync` has the same for callers without a loop."""

# ruff: noqa: ASYNC109 - the name that users know; `asyncio.timeout` outside would cancel, and so lose the outcome

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import overload

from raylite.policies import limits
from raylite.policies.errors import LimitExceeded, ParameterError
from raylite.policies.query import Answer, Mode, Value
from raylite.policies.query import Statement as Text
from raylite.router.asking import Asked, Asker, PrimaryAsker, SessionAsker
from raylite.router.parameters import Bindable, checked, values
from raylite.router.result import Result, Row, as_lists, first_of, results_of


class AsyncStatement:
    """One SQL statement of a session or, without one, of a database; it can be run any number of times.

    `timeout` of its methods: seconds until an error comes instead of an answer, 30 unless given.
    """

    def __init__(self, asker: Asker, text: Text) -> None:
        self._asker, self._text = asker, text

    def __repr__(self) -> str:
        return f"<statement {self.sql[:60]!r} with {len(self.params)} parameters>"

    @property
    def sql(self) -> str:
        """Its text."""
        return self._text.sql

    @property
    def params(self) -> tuple[Value, ...]:
        """The values bound to it."""
        return self._text.params

    def bind(self, *values_: Bindable) -> AsyncStatement:
        """A new statement with these values for its parameters, in order; this one stays as it is.

        None, bool, int, float, str and bytes-like become NULL, INTEGER (True is 1), INTEGER, REAL, TEXT and BLOB; a
        NaN becomes NULL. Raises `ParameterError` at once for other types, integers past 64 bits and text that SQLite
        cannot hold, `LimitExceeded` for a value over 64 MiB or more than 32,766 values; a wrong number when it runs.
        """
        return AsyncStatement(self._asker, checked(Mode.RUN, self.sql, values(values_)))

    async def all(self, *, timeout: float | None = None) -> Result:
        """Runs it: all its rows, and what it did."""
        asked = await self._ask(timeout)
        return results_of(asked.answer, asked.round_trip_ms, asked.attempts)[0]

    async def run(self, *, timeout: float | None = None) -> Result:
        """Runs it: the same as `all`, the usual name for a statement that is run for what it does."""
        return await self.all(timeout=timeout)

    @overload
    async def first(self, column: None = None, *, timeout: float | None = None) -> Row | None: ...
    @overload
    async def first(self, column: str, *, timeout: float | None = None) -> Value: ...
    async def first(self, column: str | None = None, *, timeout: float | None = None) -> Row | Value:
        """Runs it: its first row as a dict, or one column of that; None without rows.

        Raises `StatementError` for a column that the result does not have; the statement has run then.
        """
        return first_of((await self._ask(timeout)).answer.results[0], column)

    async def raw(self, *, column_names: bool = False, timeout: float | None = None) -> list[list[Value]]:
        """Runs it: each row a list, columns of one name and all; in front the columns' names if they are wanted."""
        return as_lists((await self._ask(timeout)).answer.results[0], column_names=column_names)

    def text_for(self, database_id: str) -> Text:
        """What travels; raises `ParameterError` if it was prepared for another database."""
        if database_id != self._asker.database_id:
            raise ParameterError(f"{self!r} was prepared for another database")
        return self._text

    async def _ask(self, seconds: float | None) -> Asked:
        return await self._asker.ask(Mode.RUN, (self._text,), seconds)


class AsyncSession:
    """Queries in order, on the nearest copy: each sees all that the ones before it saw and wrote.

    One is under way at a time; others wait for it, in the order in which they were called. That is sequential
    consistency: the session reads its own writes and never goes back in time, whichever copy answers. Use it on one
    event loop.
    """

    def __init__(self, asker: SessionAsker) -> None:
        self._asker = asker

    @property
    def bookmark(self) -> str:
        """The newest entry that this session has seen, to carry on elsewhere with `with_session`; "" before any."""
        seen = self._asker.state.bookmark
        return str(seen) if seen else ""

    def get_bookmark(self) -> str | None:
        """`bookmark`, but None before any."""
        return self.bookmark or None

    def prepare(self, sql: str) -> AsyncStatement:
        """A statement of this session; the nearest copy compiles and runs it, and writes reach the primary."""
        return AsyncStatement(self._asker, checked(Mode.RUN, sql))

    async def batch(
        self, statements: Iterable[AsyncStatement], *, timeout: float | None = None
    ) -> list[Result]:
        """Runs the statements in one transaction, in order: all of them or, on any error, none. One result each."""
        return await batch_of(self._asker, statements, timeout)

    async def answer(
        self, texts: Sequence[Text], *, together: bool, after: str = "", timeout: float | None = None
    ) -> Answer:
        """Runs one text or, together, several in one transaction: columns and rows as they came.

        after: text of a bookmark that it must see besides all that the session has seen, "" for none.
        """
        self._asker.see(after)
        if not together:
            return (await self._asker.ask(Mode.RUN, tuple(texts), timeout)).answer
        return (await self._asker.ask(Mode.BATCH, _counted(texts), timeout)).answer


class AsyncPast:
    """A database as it was at one entry, which `bookmark` names: statements and batches that only read."""

    def __init__(self, asker: PrimaryAsker, bookmark: str) -> None:
        self._asker, self.bookmark = asker, bookmark

    def prepare(self, sql: str) -> AsyncStatement:
        """A statement that sees that state, whenever it runs; raises `NotAllowed` when it runs if it would write."""
        return AsyncStatement(self._asker, checked(Mode.RUN, sql))

    async def batch(
        self, statements: Iterable[AsyncStatement], *, timeout: float | None = None
    ) -> list[Result]:
        """Runs the statements in order. One result each."""
        return await batch_of(self._asker, statements, timeout)


async def batch_of(asker: Asker, statements: Iterable[AsyncStatement], seconds: float | None) -> list[Result]:
    """Runs these in one transaction; raises `ParameterError` for none, `LimitExceeded` for too many."""
    texts = _counted([one.text_for(asker.database_id) for one in statements])
    asked = await asker.ask(Mode.BATCH, texts, seconds)
    return results_of(asked.answer, asked.round_trip_ms, asked.attempts)


def _counted(texts: Sequence[Text]) -> tuple[Text, ...]:
    """The texts of a batch; raises `ParameterError` for none, `LimitExceeded` for too many."""
    if not texts:
        raise ParameterError("the batch holds no statement")
    if len(texts) > limits.BATCH_STATEMENTS:
        raise LimitExceeded("the batch", len(texts), limits.BATCH_STATEMENTS, "statements")
    return tuple(texts)

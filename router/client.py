"""Databases, sessions and statements, awaited. `raylite.router.sync` has the same for callers without a loop.

Every query has a deadline. Errors are those of `raylite.Error`: after any but `OutcomeUnknown` and `PartlyApplied`
nothing was applied. A cancelled write may have taken effect, as after `OutcomeUnknown`.
"""

# ruff: noqa: ASYNC109 - the name that users know; `asyncio.timeout` outside would cancel, and so lose the outcome

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import overload

from raylite.actors.transfers import Stop
from raylite.policies import limits
from raylite.policies.errors import LimitExceeded, OutcomeUnknown, ParameterError, Unreachable
from raylite.policies.query import Mode, Value
from raylite.policies.query import Statement as Text
from raylite.policies.session import FIRST_UNCONSTRAINED, begin
from raylite.policies.status import Restored, TimeSpan
from raylite.policies.transfer import Kind
from raylite.router.asking import Asked, Asker, PrimaryAsker, SessionAsker
from raylite.router.desk import DatabaseInfo, Desk
from raylite.router.dump import Selection
from raylite.router.exporting import Exporter, kind_of
from raylite.router.importing import Importer
from raylite.router.moments import Moment, bookmark_in, time_us
from raylite.router.moving import Exported, ImportedFile, Step, Watch
from raylite.router.parameters import Bindable, checked, seconds_of, values
from raylite.router.result import Result, Row, as_lists, first_of, results_of
from raylite.router.router import Router

__all__ = ["AsyncDatabase", "AsyncPast", "AsyncSession", "AsyncStatement", "Bindable", "DatabaseInfo"]


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
        return await _batch(self._asker, statements, timeout)


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
        return await _batch(self._asker, statements, timeout)


class AsyncDatabase:
    """One database, asked from one region. Without a session every query goes to the primary, in no order.

    seconds: how long a query may take unless its call says otherwise. Use it on one event loop.
    """

    def __init__(
        self,
        router: Router,
        database_id: str,
        desk: Desk,
        seconds: float = limits.QUERY_SECONDS,
    ) -> None:
        self.name, self.region, self.seconds = router.name, router.region, seconds
        self._router, self._desk = router, desk
        self._asker = PrimaryAsker(router, database_id, seconds)

    def __repr__(self) -> str:
        return f"<database {self.name} from {self.region}>"

    def prepare(self, sql: str) -> AsyncStatement:
        """A statement for the primary, compiled when it runs; raises `Invalid` for text that SQLite cannot take."""
        return AsyncStatement(self._asker, checked(Mode.RUN, sql))

    async def batch(
        self, statements: Iterable[AsyncStatement], *, timeout: float | None = None
    ) -> list[Result]:
        """Runs the statements on the primary in one transaction: all of them or, on any error, none."""
        return await _batch(self._asker, statements, timeout)

    async def exec(self, sql: str, *, timeout: float | None = None) -> list[Result]:
        """Runs a text of many statements on the primary, each in a transaction of its own. One result each.

        It stops at the first error, and what came before stays: then it raises `PartlyApplied`.
        """
        asked = await self._asker.ask(Mode.SCRIPT, (checked(Mode.SCRIPT, sql),), timeout)
        return results_of(asked.answer, asked.round_trip_ms, asked.attempts)

    def with_session(self, constraint: str = FIRST_UNCONSTRAINED) -> AsyncSession:
        """A new session.

        constraint: "first-unconstrained" (the nearest copy answers first; so does ""), "first-primary", or a bookmark
        that the first query must see, from another session's `bookmark`; raises `BookmarkError` for anything else.
        """
        state = begin(constraint or FIRST_UNCONSTRAINED)
        return AsyncSession(SessionAsker(self._router, self._asker.database_id, self.seconds, state))

    async def at(self, moment: Moment) -> AsyncPast:
        """The database as it was: at a bookmark, or at the newest entry that is not later than a time.

        Raises `BookmarkError` or `ParameterError` if cold storage keeps no such state, `Unreachable` if it is away.
        """
        bookmark = bookmark_in(moment) or await self._desk.moment(time_us(moment))
        return AsyncPast(
            PrimaryAsker(self._router, self._asker.database_id, self.seconds, bookmark), bookmark
        )

    async def restore(self, moment: Moment) -> Restored:
        """Makes the database what it was then, as one write: sessions go on, and earlier bookmarks stay what they were.

        Raises what `at` and what a write raise, `OutcomeUnknown` too. Restoring its `undo` takes it back.
        """
        bookmark = bookmark_in(moment) or await self._desk.moment(time_us(moment))
        return await self._desk.restore(bookmark)

    async def span(self) -> TimeSpan:
        """How far back `at` goes."""
        return await self._desk.span()

    async def export(
        self,
        path: str | PathLike[str],
        *,
        kind: str | None = None,
        tables: Sequence[str] = (),
        schema: bool = True,
        data: bool = True,
        progress: Watch | None = None,
        timeout: float | None = None,
    ) -> Exported:
        """Writes one state of the database, with all that was acknowledged before, into a file.

        kind: "sql", or "sqlite" for a SQLite database; by the file's name unless given. tables (only these, all if
        empty), schema, data: what SQL has. The file replaces what was there, once it is whole. Raises `StorageFull`
        if a copy's node or this one has no room for the database; timeout: seconds, an hour unless given.
        """
        target, chosen = Path(fspath(path)), Selection(tuple(tables), schema, data)
        form = kind_of(target) if kind is None else _kind(kind)
        if form is Kind.SQLITE and chosen != Selection():
            raise ParameterError("a SQLite file has all tables, their schema and data")
        stop = Stop(seconds_of(timeout, limits.LONGEST_QUERY_SECONDS))
        bookmark = await self._newest(min(stop.left, self.seconds))
        exporter = Exporter(self._router, self._asker.database_id, bookmark, stop, progress or _unwatched)
        return await exporter.run(target, form, chosen)

    async def import_file(
        self, path: str | PathLike[str], *, progress: Watch | None = None, timeout: float | None = None
    ) -> ImportedFile:
        """Applies a file in one transaction: all of it or, on any error, nothing.

        A SQLite database, which its first bytes tell, is taken as it is, into a database without tables; it must be
        UTF-8. Of SQL: foreign keys are checked at its end, BEGIN and COMMIT do nothing, ROLLBACK and savepoints are
        refused, and an error tells its line. Other queries of the primary wait meanwhile. Raises `OutcomeUnknown` if
        nobody can say whether it was applied; timeout: seconds, an hour unless given.
        """
        stop = Stop(seconds_of(timeout, limits.LONGEST_QUERY_SECONDS))
        importer = Importer(self._router, self._asker.database_id, stop, progress or _unwatched)
        return await importer.run(Path(fspath(path)))

    async def _newest(self, seconds: float) -> str:
        """A bookmark that covers all that was acknowledged by now."""
        try:
            asked = await self._asker.ask(Mode.RUN, (Text("SELECT 1"),), seconds)
        except OutcomeUnknown as error:
            raise Unreachable(self.name, error.reason) from error
        return asked.answer.bookmark

    async def info(self) -> DatabaseInfo:
        """Where the database is, and how its actors are."""
        return await self._desk.describe()


def _kind(name: str) -> Kind:
    try:
        return Kind(name)
    except ValueError:
        raise ParameterError(f"a file is of kind 'sql' or 'sqlite', not {name!r}") from None


def _unwatched(step: Step) -> None:
    """Tells nobody."""


async def _batch(asker: Asker, statements: Iterable[AsyncStatement], seconds: float | None) -> list[Result]:
    texts = tuple([one.text_for(asker.database_id) for one in statements])
    if not texts:
        raise ParameterError("the batch holds no statement")
    if len(texts) > limits.BATCH_STATEMENTS:
        raise LimitExceeded("the batch", len(texts), limits.BATCH_STATEMENTS, "statements")
    asked = await asker.ask(Mode.BATCH, texts, seconds)
    return results_of(asked.answer, asked.round_trip_ms, asked.attempts)

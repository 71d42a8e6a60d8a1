"""The client API for callers without an event loop: everything runs on one background loop of this process.

Safe from any thread. Ctrl-C ends the wait; a write that was sent by then may have taken effect.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TypeVar, overload

from raylite.policies import limits
from raylite.policies.query import Answer, Value
from raylite.policies.query import Statement as Text
from raylite.policies.session import FIRST_UNCONSTRAINED
from raylite.policies.status import Restored, TimeSpan, Verified
from raylite.router.background import background
from raylite.router.client import AsyncDatabase, DatabaseInfo
from raylite.router.moments import Moment
from raylite.router.moving import Exported, ImportedFile, Watch
from raylite.router.parameters import Bindable, seconds_of
from raylite.router.result import Result, Row
from raylite.router.statements import AsyncPast, AsyncSession, AsyncStatement

__all__ = ["Database", "Past", "Session", "Statement", "background"]

T = TypeVar("T")


class _Waiting:
    """What databases, sessions and statements have in common. seconds: for a query whose caller names none."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def _wait(self, ask: Callable[[float], Coroutine[object, object, T]], timeout: float | None) -> T:
        seconds = seconds_of(timeout, self._seconds)
        return background.run(ask(seconds), seconds + limits.THREAD_GRACE_SECONDS)


class Statement(_Waiting):
    """One SQL statement of a session or, without one, of a database; it can be run any number of times.

    `timeout` of its methods: seconds until an error comes instead of an answer, 30 unless given.
    """

    def __init__(self, inner: AsyncStatement, seconds: float) -> None:
        super().__init__(seconds)
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner)

    @property
    def inner(self) -> AsyncStatement:
        """The same statement for callers who await it."""
        return self._inner

    @property
    def sql(self) -> str:
        """Its text."""
        return self._inner.sql

    @property
    def params(self) -> tuple[Value, ...]:
        """The values bound to it."""
        return self._inner.params

    def bind(self, *values: Bindable) -> Statement:
        """A new statement with these values for its parameters, in order; this one stays as it is.

        None, bool, int, float, str and bytes-like become NULL, INTEGER (True is 1), INTEGER, REAL, TEXT and BLOB; a
        NaN becomes NULL. Raises `ParameterError` at once for other types, integers past 64 bits and text that SQLite
        cannot hold, `LimitExceeded` for a value over 64 MiB or more than 32,766 values; a wrong number when it runs.
        """
        return Statement(self._inner.bind(*values), self._seconds)

    def all(self, *, timeout: float | None = None) -> Result:
        """Runs it: all its rows, and what it did."""
        return self._wait(lambda seconds: self._inner.all(timeout=seconds), timeout)

    def run(self, *, timeout: float | None = None) -> Result:
        """Runs it: the same as `all`, the usual name for a statement that is run for what it does."""
        return self._wait(lambda seconds: self._inner.run(timeout=seconds), timeout)

    @overload
    def first(self, column: None = None, *, timeout: float | None = None) -> Row | None: ...
    @overload
    def first(self, column: str, *, timeout: float | None = None) -> Value: ...
    def first(self, column: str | None = None, *, timeout: float | None = None) -> Row | Value:
        """Runs it: its first row as a dict, or one column of that; None without rows.

        Raises `StatementError` for a column that the result does not have; the statement has run then.
        """
        if column is None:
            return self._wait(lambda seconds: self._inner.first(timeout=seconds), timeout)
        return self._wait(lambda seconds: self._inner.first(column, timeout=seconds), timeout)

    def raw(self, *, column_names: bool = False, timeout: float | None = None) -> list[list[Value]]:
        """Runs it: each row a list, columns of one name and all; in front the columns' names if they are wanted."""
        return self._wait(
            lambda seconds: self._inner.raw(column_names=column_names, timeout=seconds), timeout
        )


class Session(_Waiting):
    """Queries in order, on the nearest copy: each sees all that the ones before it saw and wrote.

    One is under way at a time; others wait for it, in the order in which they were called, also from several threads.
    That is sequential consistency: the session reads its own writes and never goes back in time, whichever copy
    answers.
    """

    def __init__(self, inner: AsyncSession, seconds: float) -> None:
        super().__init__(seconds)
        self._inner = inner

    @property
    def bookmark(self) -> str:
        """The newest entry that this session has seen, to carry on elsewhere with `with_session`; "" before any."""
        return self._inner.bookmark

    def get_bookmark(self) -> str | None:
        """`bookmark`, but None before any."""
        return self._inner.get_bookmark()

    def prepare(self, sql: str) -> Statement:
        """A statement of this session; the nearest copy compiles and runs it, and writes reach the primary."""
        return Statement(self._inner.prepare(sql), self._seconds)

    def batch(self, statements: Iterable[Statement], *, timeout: float | None = None) -> list[Result]:
        """Runs the statements in one transaction, in order: all of them or, on any error, none. One result each."""
        inner = [one.inner for one in statements]
        return self._wait(lambda seconds: self._inner.batch(inner, timeout=seconds), timeout)

    def answer(
        self, texts: Sequence[Text], *, together: bool, after: str = "", timeout: float | None = None
    ) -> Answer:
        """Runs one text or, together, several in one transaction: columns and rows as they came.

        after: text of a bookmark that it must see besides all that the session has seen, "" for none.
        """
        return self._wait(
            lambda seconds: self._inner.answer(texts, together=together, after=after, timeout=seconds),
            timeout,
        )


class Past(_Waiting):
    """A database as it was at one entry, which `bookmark` names: statements and batches that only read."""

    def __init__(self, inner: AsyncPast, seconds: float) -> None:
        super().__init__(seconds)
        self._inner = inner
        self.bookmark = inner.bookmark

    def prepare(self, sql: str) -> Statement:
        """A statement that sees that state, whenever it runs; raises `NotAllowed` when it runs if it would write."""
        return Statement(self._inner.prepare(sql), self._seconds)

    def batch(self, statements: Iterable[Statement], *, timeout: float | None = None) -> list[Result]:
        """Runs the statements in order. One result each."""
        inner = [one.inner for one in statements]
        return self._wait(lambda seconds: self._inner.batch(inner, timeout=seconds), timeout)


class Database(_Waiting):
    """One database, asked from one region. Without a session every query goes to the primary, in no order.

    Errors are those of `raylite.Error`: after any but `OutcomeUnknown` and `PartlyApplied` nothing was applied.
    """

    def __init__(self, inner: AsyncDatabase) -> None:
        super().__init__(inner.seconds)
        self._inner = inner
        self.name, self.region = inner.name, inner.region

    def __repr__(self) -> str:
        return repr(self._inner)

    def prepare(self, sql: str) -> Statement:
        """A statement for the primary, compiled when it runs; raises `Invalid` for text that SQLite cannot take."""
        return Statement(self._inner.prepare(sql), self._seconds)

    def batch(self, statements: Iterable[Statement], *, timeout: float | None = None) -> list[Result]:
        """Runs the statements on the primary in one transaction: all of them or, on any error, none."""
        inner = [one.inner for one in statements]
        return self._wait(lambda seconds: self._inner.batch(inner, timeout=seconds), timeout)

    def exec(self, sql: str, *, timeout: float | None = None) -> list[Result]:
        """Runs a text of many statements on the primary, each in a transaction of its own. One result each.

        It stops at the first error, and what came before stays: then it raises `PartlyApplied`.
        """
        return self._wait(lambda seconds: self._inner.exec(sql, timeout=seconds), timeout)

    def with_session(self, constraint: str = FIRST_UNCONSTRAINED) -> Session:
        """A new session.

        constraint: "first-unconstrained" (the nearest copy answers first; so does ""), "first-primary", or a bookmark
        that the first query must see, from another session's `bookmark`; raises `BookmarkError` for anything else.
        """
        return Session(self._inner.with_session(constraint), self._seconds)

    def at(self, moment: Moment, *, anywhere: bool = False) -> Past:
        """The database as it was: at a bookmark, or at the newest entry that is not later than a time.

        anywhere: ask the nearest copy, whose node builds that state once from cold storage, instead of the primary.
        Raises `BookmarkError` or `ParameterError` if cold storage keeps no such state, `Unreachable` if it is away.
        """
        work = self._inner.at(moment, anywhere=anywhere)
        inner = background.run(work, limits.COLD_FLUSH_SECONDS + limits.START_SECONDS)
        return Past(inner, self._seconds)

    def restore(self, moment: Moment) -> Restored:
        """Makes the database what it was then, as one write: sessions go on, and earlier bookmarks stay what they were.

        Raises what `at` and what a write raise, `OutcomeUnknown` too. Restoring its `undo` takes it back.
        """
        return background.run(
            self._inner.restore(moment), limits.LONGEST_QUERY_SECONDS + limits.START_SECONDS
        )

    def fork(self, name: str, moment: Moment | None = None) -> Database:
        """A new database that begins as this one was then, or is now; from there on they have nothing in common.

        Cold storage is not copied; the fork answers once its primary's file was built from there. Raises what `at`
        does, `DatabaseExists`, `InvalidName`, and `Unreachable` if nobody can say whether it was made.
        """
        seconds = limits.COLD_FLUSH_SECONDS + 2 * limits.START_SECONDS
        return Database(background.run(self._inner.fork(name, moment), seconds))

    def verify(self) -> Verified:
        """Compares the database, whole, with what cold storage alone gives of it; raises `Unreachable`."""
        return background.run(self._inner.verify(), limits.LONGEST_QUERY_SECONDS + limits.START_SECONDS)

    def span(self) -> TimeSpan:
        """How far back `at` goes."""
        return background.run(self._inner.span(), limits.COLD_FLUSH_SECONDS + limits.START_SECONDS)

    def export(
        self,
        path: str | os.PathLike[str],
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
        seconds = seconds_of(timeout, limits.LONGEST_QUERY_SECONDS)
        work = self._inner.export(
            path, kind=kind, tables=tables, schema=schema, data=data, progress=progress, timeout=seconds
        )
        return background.run(work, seconds + limits.THREAD_GRACE_SECONDS)

    def import_file(
        self, path: str | os.PathLike[str], *, progress: Watch | None = None, timeout: float | None = None
    ) -> ImportedFile:
        """Applies a file in one transaction: all of it or, on any error, nothing.

        A SQLite database, which its first bytes tell, is taken as it is, into a database without tables; it must be
        UTF-8. Of SQL: foreign keys are checked at its end, BEGIN and COMMIT do nothing, ROLLBACK and savepoints are
        refused, and an error tells its line. Other queries of the primary wait meanwhile. Raises `OutcomeUnknown` if
        nobody can say whether it was applied; timeout: seconds, an hour unless given.
        """
        seconds = seconds_of(timeout, limits.LONGEST_QUERY_SECONDS)
        work = self._inner.import_file(path, progress=progress, timeout=seconds)
        return background.run(work, seconds + limits.THREAD_GRACE_SECONDS)

    def info(self) -> DatabaseInfo:
        """Where the database is, and how its actors are."""
        return background.run(self._inner.info(), limits.START_SECONDS)

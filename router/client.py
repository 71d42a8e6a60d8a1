"""Databases, sessions and statements, awaited. `raylite.router.sync` has the same for callers without a loop.

Every query has a deadline. Errors are those of `raylite.Error`: after any but `OutcomeUnknown` and `PartlyApplied`
nothing was applied. A cancelled write may have taken effect, as after `OutcomeUnknown`.
"""

# ruff: noqa: ASYNC109 - the name that users know; `asyncio.timeout` outside would cancel, and so lose the outcome

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike, fspath
from pathlib import Path

from raylite.actors.transfers import Stop
from raylite.policies import limits
from raylite.policies.errors import OutcomeUnknown, ParameterError, Unreachable
from raylite.policies.query import Mode
from raylite.policies.query import Statement as Text
from raylite.policies.session import FIRST_UNCONSTRAINED, begin
from raylite.policies.status import Restored, TimeSpan, Verified
from raylite.policies.transfer import Kind
from raylite.router.asking import PrimaryAsker, SessionAsker
from raylite.router.desk import DatabaseInfo, Desk
from raylite.router.dump import Selection
from raylite.router.exporting import Exporter, kind_of
from raylite.router.importing import Importer
from raylite.router.moments import Moment, bookmark_in, time_us
from raylite.router.moving import Exported, ImportedFile, Step, Watch
from raylite.router.parameters import Bindable, checked, seconds_of
from raylite.router.result import Result, results_of
from raylite.router.router import Router
from raylite.router.statements import AsyncPast, AsyncSession, AsyncStatement, batch_of

__all__ = ["AsyncDatabase", "Bindable", "DatabaseInfo"]


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
        return await batch_of(self._asker, statements, timeout)

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

    async def at(self, moment: Moment, *, anywhere: bool = False) -> AsyncPast:
        """The database as it was: at a bookmark, or at the newest entry that is not later than a time.

        anywhere: ask the nearest copy, whose node builds that state once from cold storage, instead of the primary.
        Raises `BookmarkError` or `ParameterError` if cold storage keeps no such state, `Unreachable` if it is away.
        """
        bookmark = bookmark_in(moment) or await self._desk.moment(time_us(moment))
        asker = PrimaryAsker(self._router, self._asker.database_id, self.seconds, bookmark, anywhere=anywhere)
        return AsyncPast(asker, bookmark)

    async def restore(self, moment: Moment) -> Restored:
        """Makes the database what it was then, as one write: sessions go on, and earlier bookmarks stay what they were.

        Raises what `at` and what a write raise, `OutcomeUnknown` too. Restoring its `undo` takes it back.
        """
        bookmark = bookmark_in(moment) or await self._desk.moment(time_us(moment))
        return await self._desk.restore(bookmark)

    async def fork(self, name: str, moment: Moment | None = None) -> AsyncDatabase:
        """A new database that begins as this one was then, or is now; from there on they have nothing in common.

        Cold storage is not copied; the fork answers once its primary's file was built from there. Raises what `at`
        does, `DatabaseExists`, `InvalidName`, and `Unreachable` if nobody can say whether it was made.
        """
        bookmark = "" if moment is None else bookmark_in(moment)
        if bookmark is None:
            assert moment is not None, "now is no time"
            bookmark = await self._desk.moment(time_us(moment))
        return await self._desk.fork(name, bookmark)

    async def verify(self) -> Verified:
        """Compares the database, whole, with what cold storage alone gives of it; raises `Unreachable`."""
        return await self._desk.verify()

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

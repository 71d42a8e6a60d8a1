"""A connection of PEP 249: one session, so it sees what it wrote. Every statement, or batch, is its own transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from raylite.actors.storage.sql_file import statements
from raylite.policies import limits
from raylite.policies.errors import Error as RayliteError
from raylite.policies.query import Answer, Mode, Rows
from raylite.policies.query import Statement as Text
from raylite.policies.session import FIRST_UNCONSTRAINED
from raylite.router import api
from raylite.router.dbapi import errors
from raylite.router.dbapi.cursor import Cursor, positional
from raylite.router.parameters import Bindable, checked, values
from raylite.router.sync import Database, Session


class Seen:
    """What connections have seen together: each of them sees at least that. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bookmark = ""

    def note(self, bookmark: str) -> None:
        """A connection has seen this."""
        with self._lock:
            self.bookmark = max(self.bookmark, bookmark)


class Connection:
    """One session of one database; several threads may share it, and each has its own cursors.

    `commit` does nothing: what a statement wrote is confirmed when it returns. `rollback` after a write raises
    `NotSupportedError`. As a context manager it calls the one or the other, and does not close.
    timeout: seconds for a statement; seen: shared with other connections that shall see what this one does.
    """

    Warning, Error = errors.Warning, errors.Error
    InterfaceError, DatabaseError, DataError = errors.InterfaceError, errors.DatabaseError, errors.DataError
    OperationalError, IntegrityError = errors.OperationalError, errors.IntegrityError
    InternalError, ProgrammingError = errors.InternalError, errors.ProgrammingError
    NotSupportedError = errors.NotSupportedError

    __slots__ = ("__weakref__", "_closed", "_seen", "_session", "_wrote", "timeout")

    in_transaction = False

    def __init__(
        self, session: Session, timeout: float = limits.QUERY_SECONDS, seen: Seen | None = None
    ) -> None:
        self.timeout = timeout
        self._session, self._seen = session, seen or Seen()
        self._wrote = self._closed = False

    def __enter__(self) -> Self:
        self.check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.rollback()

    @property
    def autocommit(self) -> bool:
        """True; setting it to anything else raises `NotSupportedError`."""
        return True

    @autocommit.setter
    def autocommit(self, wanted: object) -> None:
        if wanted is not True:
            raise errors.NotSupportedError(
                "raylite has no transactions by hand: every statement is confirmed by itself, so autocommit stays on. "
                "Nothing was changed. Use `executemany`, `executescript` or `batch` for what must be all or nothing"
            )

    @property
    def bookmark(self) -> str:
        """The newest entry that this connection has seen, for a session or connection elsewhere; "" before any."""
        return self._session.bookmark

    def cursor(self) -> Cursor:
        """A new cursor; use it from one thread at a time."""
        self.check_open()
        return Cursor(self)

    def execute(self, sql: str, parameters: Sequence[Bindable] = ()) -> Cursor:
        """A new cursor that has run this statement, as in sqlite3."""
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Bindable]]) -> Cursor:
        """A new cursor that has run this statement with each of these, all in one transaction."""
        return self.cursor().executemany(sql, parameters)

    def executescript(self, sql: str) -> Cursor:
        """A new cursor that has run all statements of this text in one transaction."""
        return self.cursor().executescript(sql)

    def batch(self, work: Iterable[tuple[str, Sequence[Bindable]]]) -> list[Cursor]:
        """Runs these statements, with their parameters, in one transaction: all or, on any error, none.

        A cursor for each, with its rows. An addition to PEP 249, in place of transactions.
        """
        with errors.translating():
            texts = [checked(Mode.RUN, sql, values(positional(parameters))) for sql, parameters in work]
        return [Cursor(self, text.sql, rows) for text, rows in zip(texts, self.run_batch(texts), strict=True)]

    def commit(self) -> None:
        """Does nothing but begin the next unit of work: all that was written is confirmed already."""
        self.check_open()
        self._wrote = False

    def rollback(self) -> None:
        """Raises `NotSupportedError`, once, if something was written since the last commit: that stays.

        After reads alone it does nothing.
        """
        self.check_open()
        wrote, self._wrote = self._wrote, False
        if wrote:
            raise errors.NotSupportedError(
                "raylite cannot roll back: what was written since the last commit has taken effect and stays, each "
                "statement by itself. Use `executemany`, `executescript` or `batch` for what must be all or nothing.",
                0,
                True,
            )

    def close(self) -> None:
        """Ends the connection; what was written stays. Closing again does nothing."""
        self._closed = True

    # For cursors

    def run_one(self, sql: str, parameters: Sequence[Bindable]) -> tuple[Rows, bool]:
        """What one statement did, and whether it was one that writes."""
        self.check_open()
        with errors.translating():
            text = checked(Mode.RUN, sql, values(parameters))
        answer = self._ask([text], together=False)
        return answer.results[0], answer.wrote

    def run_batch(self, texts: Sequence[Text]) -> list[Rows]:
        """What each statement of one transaction did; nothing is sent for none."""
        self.check_open()
        return self._ask(texts, together=True).results if texts else []

    def run_script(self, sql: object) -> None:
        """Runs the statements of a text in one transaction."""
        if not isinstance(sql, str):
            raise errors.ProgrammingError(f"a script is text, not a {type(sql).__name__}. Nothing was run")
        with errors.translating():
            texts = [checked(Mode.RUN, one) for one in statements(sql)]
        self.run_batch(texts)

    def _ask(self, texts: Sequence[Text], *, together: bool) -> Answer:
        after = self._seen.bookmark if self._seen.bookmark > self.bookmark else ""
        try:
            answer = self._session.answer(texts, together=together, after=after, timeout=self.timeout)
        except RayliteError as error:
            self._wrote = self._wrote or error.may_have_applied
            errors.refuse(error)
        except BaseException:  # an interrupt: the statement goes on without its caller
            self._wrote = True
            raise
        finally:
            self._seen.note(self.bookmark)
        self._wrote = self._wrote or any(one.meta.changed_db for one in answer.results)
        return answer

    def check_open(self) -> None:
        """Raises `ProgrammingError` if the connection is closed."""
        if self._closed:
            raise errors.ProgrammingError("the connection is closed: nothing was run. Connect again")


def connect(
    name: str | Database,
    *,
    region: str | None = None,
    create: bool = False,
    consistency: str = FIRST_UNCONSTRAINED,
    timeout: float = limits.QUERY_SECONDS,
    seen: Seen | None = None,
) -> Connection:
    """A connection to the database of this name; joins a running system or starts one first if need be.

    name: or a `Database` that is at hand already; region, create: as in `raylite.connect`; consistency: as in
    `Database.with_session`; timeout: seconds for a statement; seen: as in `Connection`.
    Raises `OperationalError` if there is no such database or system, `ProgrammingError` for a name that is none.
    """
    with errors.translating():
        database = api.connect(name, create=create, region=region) if isinstance(name, str) else name
        return Connection(database.with_session(consistency), timeout, seen)

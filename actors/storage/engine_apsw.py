"""APSW as the engine uses it, as ports: APSW's own stubs leave bindings and trace events open to strict checkers.

Every method is APSW's of the same name (https://rogerbinns.github.io/apsw/connection.html).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import apsw

from raylite.policies import limits
from raylite.policies.query import Value

Row = tuple[Value, ...]
ExecTrace = Callable[[apsw.Cursor, str, object], bool]
"""Called with the cursor, a statement's text and its bindings, compiled and not yet run; False stops it."""

_STATEMENTS_KEPT: Final = 256
_OVERWRITE_PAGES: Final = 256


class Cursor(Protocol):
    """Runs SQL text; iterating goes on to the next row, over all statements of the text."""

    def execute(
        self, statements: str, bindings: Sequence[Value] | None = None, *, can_cache: bool = True
    ) -> Cursor:
        """Runs to the first row, or the end."""
        ...

    def __iter__(self) -> Iterator[Row]: ...

    def set_exec_trace(self, callable: ExecTrace | None) -> None:
        """Sets what is asked before each statement."""
        ...

    def close(self, force: bool = False) -> None:
        """Lets go of the statement under way; one that wrote is thereby committed."""
        ...


class Connection(Protocol):
    """One connection to SQLite."""

    in_transaction: bool

    def cursor(self) -> Cursor:
        """A new cursor."""
        ...

    def execute(
        self, statements: str, bindings: Sequence[Value] | None = None, *, can_cache: bool = True
    ) -> Cursor:
        """`Cursor.execute` on a new cursor."""
        ...

    def serialize(self, name: str) -> bytes:
        """All pages of a database, in one snapshot."""
        ...

    def backup(
        self, databasename: str, sourceconnection: apsw.Connection, sourcedatabasename: str
    ) -> apsw.Backup:
        """Copies the pages of another database over this one, in steps; one transaction."""
        ...

    def interrupt(self) -> None:
        """Makes the statement under way fail at its next step. Thread-safe."""
        ...

    def changes(self) -> int:
        """Rows that the last INSERT, UPDATE or DELETE changed itself, without triggers and foreign key actions."""
        ...

    def total_changes(self) -> int:
        """Rows changed since the connection was opened."""
        ...

    def last_insert_rowid(self) -> int:
        """The rowid of the last INSERT."""
        ...

    def data_version(self) -> int:
        """A number that changes when this connection sees another state of the database."""
        ...

    def trace_v2(
        self, mask: int, callback: Callable[[dict[str, Mapping[str, int]]], None] | None = None
    ) -> None:
        """Sets what gets SQLite's trace events."""
        ...

    def set_progress_handler(self, callable: Callable[[], bool] | None, nsteps: int = 100) -> None:
        """Sets what is asked every `nsteps` steps; True interrupts."""
        ...

    def set_authorizer(self, callable: apsw.Authorizer | None) -> None:
        """Sets what judges the actions of statements while they are compiled."""
        ...

    def set_wal_hook(self, callable: Callable[[apsw.Connection, str, int], int] | None) -> None:
        """Sets what is told of each commit: the database's name, the frames in the WAL."""
        ...

    def set_busy_timeout(self, milliseconds: int) -> None:
        """Sets how long a lock is waited for."""
        ...

    def config(self, op: int, *args: int) -> int:
        """Sets one of SQLITE_DBCONFIG_*."""
        ...

    def limit(self, id: int, newval: int = -1) -> int:
        """Sets one of SQLITE_LIMIT_*."""
        ...

    def wal_checkpoint(
        self, dbname: str | None = None, mode: int = apsw.SQLITE_CHECKPOINT_PASSIVE
    ) -> tuple[int, int]:
        """Runs a checkpoint: frames in the WAL, frames copied; (-1, -1) if SQLite knows no WAL yet."""
        ...

    def close(self, force: bool = False) -> None:
        """Closes the connection."""
        ...


def connect(path: str, flags: int) -> Connection:
    """A connection with foreign keys on, the limits set, and no checkpoint at its close. flags: SQLITE_OPEN_*."""
    connection: Connection = apsw.Connection(path, flags, statementcachesize=_STATEMENTS_KEPT)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_FKEY, 1)
    connection.limit(apsw.SQLITE_LIMIT_SQL_LENGTH, limits.SQL_BYTES)
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, limits.ROW_BYTES)
    connection.limit(apsw.SQLITE_LIMIT_VARIABLE_NUMBER, limits.PARAMETERS)
    connection.limit(apsw.SQLITE_LIMIT_ATTACHED, 1)  # VACUUM's own
    connection.set_busy_timeout(int(limits.BUSY_SECONDS * 1000))
    return connection


def viewed(connection: apsw.Connection) -> Connection:
    """The connection as this port, where both are needed."""
    return connection


def immutable(path: Path) -> tuple[str, int]:
    """Name and flags to open a whole database file by that nobody writes: no WAL, no lock."""
    return f"{path.absolute().as_uri()}?immutable=1", apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def overwrite(target: Connection, source: apsw.Connection, watch: Callable[[int], None]) -> None:
    """Makes one database what another is, in one commit, which SQLite's WAL hook is told of with the next statement.

    watch: told how many pages are copied, may raise to end it. After an error `target` is as it was.
    """
    with target.backup("main", source, "main") as backup:
        while not backup.done:
            backup.step(_OVERWRITE_PAGES)
            watch(backup.page_count - backup.remaining)


def code_of(error: apsw.Error) -> int:
    """SQLite's extended result code; SQLITE_ERROR for what is APSW's own."""
    code: int = getattr(error, "extendedresult", apsw.SQLITE_ERROR)
    return code


def offset_of(error: apsw.Error) -> int:
    """Where in the statement's UTF-8 the error is, -1 if SQLite does not say."""
    offset: int = getattr(error, "error_offset", -1)
    return offset

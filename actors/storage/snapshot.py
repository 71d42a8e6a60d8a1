"""One state of a database, held while it is copied into a file of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from raylite.actors.storage.engine_apsw import Connection, viewed
from raylite.actors.storage.engine_errors import translate
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.spool import translated

_STEP_PAGES: Final = 256
_VERSIONS_AT: Final = 18
_ROLLBACK_JOURNAL: Final = bytes((1, 1))
"""Write and read version of a database that is not in WAL mode (https://sqlite.org/fileformat2.html)."""


class Snapshot:
    """A read transaction of its own connection on a database in WAL mode; that WAL cannot be restarted meanwhile.

    size: bytes of the database. One thread uses it at a time.
    """

    def __init__(self, database: Path, first_page: bytes | None = None) -> None:
        """What the database is now. Raises the errors of `engine_errors.translate`.

        first_page: its page 1, which SQLite changes when it copies a database; needed for `clone` alone.
        """
        self._first_page = first_page
        try:
            self._connection = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            self._connection.set_busy_timeout(1000)
            view = viewed(self._connection)
            view.execute("BEGIN")
            self.size = PAGE_SIZE * _number(view, "PRAGMA page_count")
        except apsw.Error as error:
            raise translate(error, str(database)) from error

    def copy(self, target: Path, copied: Callable[[int], None]) -> None:
        """Makes `target` this database, not in WAL mode, then closes; memory is bounded. Blocks.

        copied: called with the bytes so far, and may raise to end it. Raises also as the constructor; then the
        target is of no use.
        """
        self._copy(target, copied)
        _overwrite(target, _VERSIONS_AT, _ROLLBACK_JOURNAL)

    def clone(self, target: Path) -> None:
        """Makes `target` the same bytes as this database, then closes. Blocks, and raises as `copy`."""
        assert self._first_page is not None, "a snapshot to be cloned is taken with page 1"
        self._copy(target, lambda _: None)
        _overwrite(target, 0, self._first_page)

    def _copy(self, target: Path, copied: Callable[[int], None]) -> None:
        try:
            _copy(self._connection, target, copied)
        except apsw.Error as error:
            raise translate(error, str(target)) from error
        finally:
            self.close()

    def close(self) -> None:
        """Lets go of the state; again does nothing."""
        self._connection.close(True)


def _copy(source: apsw.Connection, target: Path, copied: Callable[[int], None]) -> None:
    connection = apsw.Connection(str(target))
    view = viewed(connection)
    try:
        view.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE")
        with connection.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(_STEP_PAGES)
                copied(PAGE_SIZE * (backup.page_count - backup.remaining))
    finally:
        connection.close(True)


def _overwrite(target: Path, offset: int, data: bytes) -> None:
    with translated(target), target.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), data, offset)


def _number(connection: Connection, sql: str) -> int:
    for row in connection.execute(sql):
        assert isinstance(row[0], int)
        return row[0]
    raise AssertionError(f"{sql} gives a number")

"""Files to apply, and how the pages of a SQLite file become those of a database, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from raylite.actors.storage.engine_apsw import Connection, overwrite, viewed
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.spool import translated
from raylite.policies.errors import Error, ParameterError
from raylite.policies.transfer import Kind

_WANTED: Final = (("page_size", PAGE_SIZE), ("encoding", "UTF-8"))
"""What connections that are open on the target, here and at replicas, cannot take another value of."""
_RESERVED_AT: Final = 20
_PROGRESS_STEPS: Final = 100_000


class Load:
    """One file to apply. check: asked now and then, may raise to end it. done, statements: how far it is.

    The rest is known when it was applied: rows changed and read, which are 0 of a SQLite file, for it goes by pages,
    the id of the row inserted last, and the size of the database in bytes. The database's thread writes all of these;
    any thread may read them.
    """

    def __init__(self, path: Path, kind: Kind, check: Callable[[], None]) -> None:
        self.path, self.kind, self.check = path, kind, check
        self.done = self.statements = 0
        self.changes = self.rows_read = self.last_row_id = self.size_after = 0


def adopt(load: Load, target: Connection) -> None:
    """Makes `target` what the file is, in one commit, which SQLite's WAL hook is told of with the next statement.

    After an error `target` is as it was. Raises `ParameterError` for a file that is damaged or not fit, APSW's errors,
    and what `load.check` does. Memory is bounded.
    """

    def watch(pages: int) -> None:
        load.done = PAGE_SIZE * pages
        load.check()

    source = apsw.Connection(str(load.path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        _examine(load, source)
        overwrite(target, source, watch)
    finally:
        source.close(True)


def _examine(load: Load, source: apsw.Connection) -> None:
    """Raises unless SQLite finds nothing wrong with the file. It trusts nothing in it meanwhile."""
    stopped: list[Error] = []

    def check() -> bool:
        try:
            load.check()
        except Error as error:  # a progress handler can only say stop: it is raised below
            stopped.append(error)
        return bool(stopped)

    with translated(load.path), load.path.open("rb") as file:
        if file.read(_RESERVED_AT + 1)[_RESERVED_AT:] != b"\0":
            raise ParameterError("the SQLite file keeps bytes at the end of its pages for an extension")
    source.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    source.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    source.set_progress_handler(check, _PROGRESS_STEPS)
    try:
        _judge(viewed(source))
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise ParameterError(f"the SQLite file is damaged: {error}") from error
    except apsw.InterruptError:
        raise stopped[0] from None
    finally:
        source.set_progress_handler(None)


def _judge(source: Connection) -> None:
    for name, wanted in _WANTED:
        [(found,)] = source.execute(f"PRAGMA {name}")
        if found != wanted:
            raise ParameterError(f"the SQLite file's {name} is {found!r}, not {wanted!r}")
    problems = [str(row[0]) for row in source.execute("PRAGMA integrity_check(3)")]
    if problems != ["ok"]:
        raise ParameterError(f"the SQLite file is damaged: {'; '.join(problems)}")

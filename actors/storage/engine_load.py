"""The engine's way with whole files: all of one in one transaction, in bounded memory, or nothing of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from raylite.actors.storage.engine import Engine, Execution
from raylite.actors.storage.engine_adopt import Load, adopt
from raylite.actors.storage.engine_apsw import immutable, overwrite
from raylite.actors.storage.engine_errors import CAUGHT, translate
from raylite.actors.storage.spool import translated
from raylite.actors.storage.sql_file import Text, texts
from raylite.policies.errors import Error, NotAllowed, StatementError, Unreachable
from raylite.policies.transfer import Kind

_HEAD_BYTES: Final = 4096
_DEFERRED: Final = "PRAGMA defer_foreign_keys=ON"
_UNCHECKED: Final = "PRAGMA foreign_keys=OFF"
_BEGINS_UNCHECKED: Final = re.compile(
    r"(?:\s|--[^\n]*\n)*PRAGMA\s+foreign_keys\s*=\s*(?:OFF|0|FALSE|NO)\s*;", re.IGNORECASE
)
"""As files of `sqlite3`'s `.dump` begin: their rows may come before the tables that they refer to."""


class LoadingEngine(Engine):
    """A writer that also applies whole files."""

    def load(self, load: Load, seconds: float, refusal: Error | None = None) -> Execution:
        """Applies the file within `seconds`; nothing of it stays after an error. Its results are none.

        A SQLite file replaces a database that has nothing in it, page by page; it is examined first. It must have our
        page size. Of SQL:

        Foreign keys are checked at the end, or not at all if the file begins by switching them off. A BEGIN and a
        COMMIT do nothing; a ROLLBACK or savepoint is refused. An error of a statement says its line.
        """
        if self._commits.lost:
            return Execution([], False, self._given_up())
        if load.kind is Kind.SQLITE:
            return self._adopt(load, refusal)
        self._trace.start_loading(seconds, refusal)
        self._authorizer.wrapped = True
        problem: Error | None = None
        text, changes = Text("", 1, 0), self._connection.total_changes()
        try:
            if _begins_unchecked(load.path):
                self._own.once(_UNCHECKED)
            self._own.once("BEGIN IMMEDIATE")
            self._own.once(_DEFERRED)
            for text in _texts(load.path):
                self._load(text)
                load.done, load.statements = text.end, self._trace.loaded
                load.check()
            text = Text("", 0, 0)
            self._own.once("COMMIT")
            self._commits.settle()
            self._count(load, changes)
        except CAUGHT as caught:
            if self._commits.broken:
                raise
            problem = self._load_failed(caught, text)
        self._authorizer.wrapped = False
        self._trace.end()
        self._own.restore_settings()
        return Execution([], True, problem)

    def _adopt(self, load: Load, refusal: Error | None) -> Execution:
        try:
            if refusal is not None:
                raise refusal
            if self._own.number("SELECT count(*) FROM sqlite_schema"):
                raise NotAllowed("a SQLite file into a database that has tables", "Import it into a new one.")
            adopt(load, self._connection)
        except CAUGHT as caught:
            self._clean_up()
            return Execution([], True, translate(caught, self._path))
        self._commit_told()
        load.size_after = self._size.bytes_now()
        return Execution([], True)

    def _count(self, load: Load, changes_before: int) -> None:
        load.changes = self._connection.total_changes() - changes_before
        load.rows_read = self._trace.scanned
        load.last_row_id = self._connection.last_insert_rowid()
        load.size_after = self._size.bytes_now()

    def replace(self, path: Path) -> None:
        """Makes the database what the whole file at `path` holds, in one transaction; its commit was handed on then.

        Raises `StorageFull`, and whatever else SQLite says; nothing is changed then.
        """
        try:
            with closing(apsw.Connection(*immutable(path))) as source:
                overwrite(self._connection, source, lambda pages: None)
        except apsw.Error as error:
            self._clean_up()
            raise translate(error, self._path) from error
        self._commit_told()

    def _commit_told(self) -> None:
        self._own.repeatable("SELECT 1")  # SQLite calls the WAL hook only when a statement ends well
        self._commits.settle()

    def _load(self, text: Text) -> None:
        self._run_script(text.sql)
        if not self._connection.in_transaction:
            raise Unreachable(self._path, "a statement ended the transaction of the whole file")

    def _load_failed(self, caught: Exception, text: Text) -> Error:
        """Takes all back; the error, with the line where there is one. text: with line 0 behind the last."""
        trace = self._trace
        at = trace.consumed if self._next_does_not_compile(caught) else trace.began
        error, refusal = self._error(caught), self._authorizer.refusal
        trace.drop()
        self._clean_up()
        self._commits.settle()
        return _located(refusal or error, text, at) if text.line else error


def _texts(path: Path) -> Iterator[Text]:
    with translated(path), path.open("rb") as file:
        yield from texts(file)


def _begins_unchecked(path: Path) -> bool:
    with translated(path), path.open("rb") as file:
        return _BEGINS_UNCHECKED.match(file.read(_HEAD_BYTES).decode(errors="replace")) is not None


def _located(error: Error, text: Text, at: int) -> Error:
    """The error of the statement that begins at this character, if it is one, with its line in the file."""
    rest = text.sql[at:]
    begin = len(text.sql) - len(rest.lstrip())
    where = f"line {text.line + text.sql.count(chr(10), 0, begin)} of the file"
    if isinstance(error, StatementError) and "of the file" not in error.message:
        return type(error)(f"{where}: {error.message}", error.code, error.offset)
    if isinstance(error, NotAllowed):
        return NotAllowed(f"{where}: {error.what}", error.instead)
    return error

"""The SQL that makes a database anew, in the form and order of D1's export (and of `sqlite3`'s `.dump`).

First `PRAGMA defer_foreign_keys=TRUE;`, then all tables, then their rows, those of `sqlite_sequence` behind all others,
then views, triggers and indexes. (D1 has each table's rows behind it; then a row fails that refers to a later table.)
Rows come as `INSERT INTO "t" ("a","b") VALUES(1,'x');`, generated columns left out.
Virtual tables cannot be told in SQL that everybody accepts, so they are refused; a SQLite file has them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw
import msgspec

from raylite.actors.storage.engine_apsw import Connection, Row, viewed
from raylite.actors.storage.engine_errors import translate
from raylite.policies.errors import NotAllowed, ParameterError, StatementError
from raylite.policies.query import Value

_TABLES: Final = (
    "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND sql NOT NULL "
    "ORDER BY tbl_name = 'sqlite_sequence', rowid"
)
_REST: Final = (
    "SELECT tbl_name, sql, type, name FROM sqlite_schema WHERE sql NOT NULL "
    "AND type IN ('index', 'trigger', 'view') ORDER BY type COLLATE NOCASE DESC, rowid"
)
_SEQUENCE: Final = "sqlite_sequence"
_VIRTUAL: Final = "CREATE VIRTUAL TABLE"


class Selection(msgspec.Struct, frozen=True):
    """What of a database. tables: only these, with their indexes and triggers; all, and all views, if empty."""

    tables: tuple[str, ...] = ()
    schema: bool = True
    data: bool = True

    def has(self, table: str) -> bool:
        """Whether this table is wanted."""
        return not self.tables or table in self.tables


def dump(database: Path, selection: Selection) -> Iterator[str]:
    """The statements, each with its semicolon, in order. Blocks; memory is bounded by a row.

    database: a file that nobody writes. Raises `ParameterError` for a table that it does not have, `NotAllowed` for
    virtual tables, `StatementError` for text that is not UTF-8, `Corrupt`.
    """
    connection = viewed(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY))
    try:
        yield from _statements(connection, selection)
    except apsw.Error as error:
        raise translate(error, str(database)) from error
    finally:
        connection.close(True)


def literal(value: Value) -> str:
    """The value as SQL that gives exactly it, of the same type."""
    match value:
        case None:
            return "NULL"
        case int():
            return str(value)
        case float():
            return repr(value) if math.isfinite(value) else ("9e999" if value > 0 else "-9e999")
        case bytes():
            return f"X'{value.hex()}'"
        case str():
            return _text(value)


def quoted(name: str) -> str:
    """The name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    """As `sqlite3` writes it: line ends by `replace`, so that every statement is one line."""
    if "\0" in value:
        return f"CAST(X'{value.encode().hex()}' AS TEXT)"
    found = "'" + value.replace("'", "''") + "'"
    for character, name, code in (("\n", "\\n", 10), ("\r", "\\r", 13)):
        if character in value:
            mark = _unused(value, name)
            found = f"replace({found.replace(character, mark)},'{mark}',char({code}))"
    return found


def _unused(value: str, name: str) -> str:
    """A mark that does not occur in the text, nor comes about in it."""
    mark, number = name, 0
    while mark in value:
        mark, number = f"({name}{number})", number + 1
    return mark


def _statements(connection: Connection, selection: Selection) -> Iterator[str]:
    tables = [(str(name), str(sql)) for name, sql in connection.execute(_TABLES)]
    missing = sorted(set(selection.tables) - {name for name, _ in tables})
    if missing:
        raise ParameterError(f"there is no table {missing[0]!r} to export")
    yield "PRAGMA defer_foreign_keys=TRUE;"
    wanted = [(name, sql) for name, sql in tables if name == _SEQUENCE or selection.has(name)]
    for name, sql in wanted:
        yield from _table(name, sql, selection)
    for name, _ in wanted:
        yield from _data(connection, name, selection)
    if selection.schema:
        for table, made, kind, own in connection.execute(_REST):
            if selection.has(str(own if kind == "view" else table)):
                yield f"{made!s};"


def _table(name: str, sql: str, selection: Selection) -> Iterator[str]:
    if sql.upper().startswith(_VIRTUAL):
        instead = "Export a SQLite file, which has them, or name the tables that you want."
        raise NotAllowed(f"the virtual table {name!r} in an export as SQL", instead)
    if not selection.schema or name == _SEQUENCE:
        return
    yield "ANALYZE sqlite_schema;" if name.startswith("sqlite_stat") else f"{_careful(sql)};"


def _data(connection: Connection, name: str, selection: Selection) -> Iterator[str]:
    if name == _SEQUENCE:
        yield from _sequence(connection, selection)
    elif selection.data:
        yield from _rows(connection, name, "")


def _careful(sql: str) -> str:
    """As `sqlite3` does: where the name is quoted, only a table that does not exist is made."""
    if sql.startswith(('CREATE TABLE "', "CREATE TABLE '")):
        return f"CREATE TABLE IF NOT EXISTS {sql.removeprefix('CREATE TABLE ')}"
    return sql


def _sequence(connection: Connection, selection: Selection) -> Iterator[str]:
    """The counters of AUTOINCREMENT; of the wanted tables alone, if some are named."""
    names = ", ".join(literal(one) for one in selection.tables)
    where = f" WHERE name IN ({names})" if names else ""
    if selection.schema:
        yield f"DELETE FROM {_SEQUENCE}{where};"
    if selection.data:
        yield from _rows(connection, _SEQUENCE, where)


def _rows(connection: Connection, table: str, where: str) -> Iterator[str]:
    columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({quoted(table)})")]
    names = ",".join(map(quoted, columns))
    insert = f"INSERT INTO {quoted(table)} ({names}) VALUES("
    rows = iter(connection.execute(f"SELECT {names} FROM {quoted(table)}{where}"))
    while True:
        row = _next(rows, table)
        if row is None:
            return
        yield f"{insert}{','.join(map(literal, row))});"


def _next(rows: Iterator[Row], table: str) -> Sequence[Value] | None:
    try:
        return next(rows, None)
    except UnicodeDecodeError as error:
        problem = f"the table {table!r} holds text that is not UTF-8: export a SQLite file"
        raise StatementError(problem) from error

"""A cursor of PEP 249. Rows come whole with the answer, so fetching asks nobody."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Self, cast

from raylite.policies.query import Mode, Rows, Value
from raylite.router.dbapi import errors
from raylite.router.parameters import Bindable, checked, values

if TYPE_CHECKING:
    from raylite.router.dbapi.connection import Connection

Row = tuple[Value, ...]
Column = tuple[str, None, None, None, None, None, None]
_QUOTED: Final = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'[^']*'|"[^"]*"|`[^`]*`|\[[^]]*\]""", re.DOTALL
)  # a doubled quote inside ends one of these and begins the next
_INSERT: Final = re.compile(
    r"\s*(?:WITH\b.*\b)?(?:INSERT|REPLACE)(?:\s+OR\s+\w+)?\s+INTO\b", re.IGNORECASE | re.DOTALL
)


class Cursor:
    """The result of the last statement. Use it from one thread at a time.

    description: names of its columns, None without any; rowcount: rows that it changed, without those of triggers and
    foreign key actions, -1 for what only reads; lastrowid: of the row that it inserted last, else None.
    """

    __slots__ = (
        "__weakref__",
        "_closed",
        "_next",
        "_rows",
        "arraysize",
        "connection",
        "description",
        "lastrowid",
        "rowcount",
    )

    def __init__(self, connection: Connection, sql: str = "", rows: Rows | None = None) -> None:
        self.connection = connection
        self.arraysize = 1
        self._closed = False
        self._rows: list[Row] = []
        self._forget()
        if rows is not None:
            self._take(sql, rows, wrote=rows.meta.changed_db)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Row]:
        return self

    def __next__(self) -> Row:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def execute(self, sql: str, parameters: Sequence[Bindable] = ()) -> Self:
        """Runs one statement, with values for its `?` in order."""
        self._begin(parameters)
        rows, wrote = self.connection.run_one(sql, parameters)
        self._take(sql, rows, wrote=wrote)
        return self

    def executemany(self, sql: str, parameters: Iterable[Sequence[Bindable]]) -> Self:
        """Runs a statement with each of these, all in one transaction: all or, on any error, none.

        At most 10,000 of them, else `DataError`; rows that it returns are dropped.
        """
        self._begin(())
        with errors.translating():
            texts = [checked(Mode.RUN, sql, values(positional(one))) for one in parameters]
        self.rowcount = sum(one.meta.own_changes for one in self.connection.run_batch(texts))
        return self

    def executescript(self, sql: str) -> Self:
        """Runs all statements of a text in one transaction, unlike sqlite3: all or, on any error, none."""
        self._begin(())
        self.connection.run_script(sql)
        return self

    def fetchone(self) -> Row | None:
        """The next row, or None."""
        rows = self._left()
        if self._next >= len(rows):
            return None
        self._next += 1
        return rows[self._next - 1]

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next rows, `arraysize` of them unless given."""
        begin, count = self._next, self.arraysize if size is None else size
        found = self._left()[begin : begin + max(0, count)]
        self._next += len(found)
        return found

    def fetchall(self) -> list[Row]:
        """All rows that are left."""
        found = self._left()[self._next :]
        self._next += len(found)
        return found

    def close(self) -> None:
        """Lets the rows go; what it says of the last statement stays. Closing again does nothing."""
        self._rows = []
        self._closed = True

    def setinputsizes(self, sizes: object) -> None:
        """PEP 249 asks for it; it does nothing."""

    def setoutputsize(self, size: object, column: object = None) -> None:
        """PEP 249 asks for it; it does nothing."""

    def _begin(self, parameters: Sequence[Bindable]) -> None:
        if self._closed:
            raise errors.ProgrammingError("the cursor is closed: nothing was run. Make another one")
        self._forget()
        positional(parameters)

    def _forget(self) -> None:
        self.description: tuple[Column, ...] | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self._rows = []
        self._next = 0

    def _take(self, sql: str, rows: Rows, *, wrote: bool) -> None:
        self._rows = rows.rows
        if rows.columns:
            self.description = tuple((name, None, None, None, None, None, None) for name in rows.columns)
        if wrote:
            self.rowcount = rows.meta.own_changes
        if rows.meta.own_changes and _INSERT.match(_QUOTED.sub(" ", sql)):
            self.lastrowid = rows.meta.last_row_id

    def _left(self) -> list[Row]:
        self.connection.check_open()
        if self._closed or self.description is None:
            raise errors.ProgrammingError("the cursor has no rows: run a statement that returns some first")
        return self._rows


def positional(parameters: object) -> Sequence[Bindable]:
    """The parameters; raises `ProgrammingError` for those that have names, or are one text."""
    kind = type(parameters).__name__
    if isinstance(parameters, Mapping | str | bytes) or not isinstance(parameters, Sequence):
        raise errors.ProgrammingError(
            f"parameters are a sequence of values for `?`, not a {kind}. Nothing was run"
        )
    return cast("Sequence[Bindable]", parameters)

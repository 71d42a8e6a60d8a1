"""Values and rows as they are read from bytes: msgspec has no union of text and bytes, so what it read is checked."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final, TypeGuard

import msgspec

from raylite.policies.query import Rows, StatementMeta, Value

_VALUES: Final = frozenset({type(None), bool, int, float, str, bytes})


class OpenRows(msgspec.Struct, frozen=True, array_like=True):
    """`Rows` with values of any type."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    meta: StatementMeta

    def value(self) -> Rows:
        """The rows; raises TypeError if a value is none of SQLite's."""
        return Rows(self.columns, checked_rows(self.rows), self.meta)


def checked_row(row: tuple[object, ...]) -> tuple[Value, ...]:
    """The same row; raises TypeError if a value is none of SQLite's."""
    if not _is_row(row):
        raise TypeError("a value that SQLite does not have")
    return row


def checked_rows(rows: list[tuple[object, ...]]) -> list[tuple[Value, ...]]:
    """The same rows; raises TypeError if a value is none of SQLite's."""
    if not _is_rows(rows):
        raise TypeError("a value that SQLite does not have")
    return rows


def _are_values(row: Iterable[object]) -> bool:
    return _VALUES.issuperset(map(type, row))


def _is_row(row: tuple[object, ...]) -> TypeGuard[tuple[Value, ...]]:
    return _are_values(row)


def _is_rows(rows: list[tuple[object, ...]]) -> TypeGuard[list[tuple[Value, ...]]]:
    return _are_values(chain.from_iterable(rows))

"""What one statement did, while it runs and when it has ended."""

from __future__ import annotations

import re
from time import perf_counter
from typing import Final

from raylite.actors.storage.authorizer import keeps_compiled
from raylite.actors.storage.engine_apsw import Row
from raylite.policies.query import Rows, StatementMeta

_FROM: Final = re.compile(r"\bFROM\b", re.IGNORECASE)
_FINDS: Final = re.compile(r"\s*(UPDATE|DELETE)\b.*\bWHERE\b", re.IGNORECASE | re.DOTALL)
_MAKES: Final = re.compile(
    r"\s*(CREATE|DROP)\s+(?:UNIQUE\s+|VIRTUAL\s+)?(TABLE|VIEW|INDEX|TRIGGER)\b", re.IGNORECASE
)
_MADE: Final[dict[tuple[str, str], tuple[int, int]]] = {
    ("CREATE", "TABLE"): (1, 2),
    ("CREATE", "VIEW"): (1, 2),
    ("CREATE", "INDEX"): (2, 1),
    ("CREATE", "TRIGGER"): (0, 1),
    ("DROP", "TABLE"): (0, 0),
    ("DROP", "VIEW"): (0, 0),
    ("DROP", "INDEX"): (0, 0),
    ("DROP", "TRIGGER"): (0, 0),
}


class Traced:
    """One statement: its rows so far, and what its end adds."""

    __slots__ = (
        "changed", "changes", "columns", "duration", "last_row_id", "own_changes", "readonly", "rows", "scanned",
        "schema", "size", "sql", "started",
    )  # fmt: skip

    def __init__(
        self, sql: str, columns: tuple[str, ...], readonly: bool, schema: bool, changes: int
    ) -> None:
        self.sql, self.columns, self.readonly, self.schema = sql, columns, readonly, schema
        self.rows: list[Row] = []
        self.changes, self.changed = changes, False
        self.scanned = self.last_row_id = self.own_changes = 0
        self.size: int | None = None
        self.duration = 0.0
        self.started = perf_counter()

    def result(self, size_after: int) -> Rows:
        """The statement's result. size_after: bytes, unless they were measured when it ended."""
        meta = StatementMeta(
            self.duration * 1000, self.changes, self.last_row_id, self.changed,
            size_after if self.size is None else self.size, self._read(), self._written(), self.own_changes,
        )  # fmt: skip
        return Rows(self.columns, self.rows, meta)

    def _read(self) -> int:
        """Rows read, at least."""
        if self.readonly:
            return max(1, self.scanned, len(self.rows)) if _FROM.search(self.sql) else 0
        found = max(1, self.own_changes) if _FINDS.match(self.sql) else self._made()[0]
        return max(self.scanned, found)

    def _written(self) -> int | None:
        """Rows written, None if that is not known."""
        if self.readonly:
            return 0
        return self.changes if self.counted() else self._made()[1]

    def _made(self) -> tuple[int, int | None]:
        """What SQLite reads and writes in its schema for the statement, if that is a usual one."""
        known = _MAKES.match(self.sql) if self.schema else None
        return (0, None) if known is None else _MADE[known[1].upper(), known[2].upper()]

    def counted(self) -> bool:
        """Whether SQLite counts as rows what this statement writes."""
        return self.changes > 0 or (not self.schema and keeps_compiled(self.sql))


def row_bytes(row: Row) -> int:
    """At least the bytes of the row on the wire."""
    size = 5 + 9 * len(row)
    for value in row:
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode())
        elif isinstance(value, bytes):
            size += len(value)
    return size

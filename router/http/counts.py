"""What was run by way of this process, counted by database, hour and text: for `wrangler d1 info` and `insights`.

One table with a bound: of the texts that have not run for longest nothing is known any more.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from raylite.policies import limits
from raylite.policies.query import Rows, Statement

HOUR_SECONDS: Final = 3600


class Counted(msgspec.Struct, frozen=True):
    """Runs of one text. writes: those that wrote; sums over all of them: milliseconds and rows."""

    runs: int = 0
    writes: int = 0
    duration_ms: float = 0.0
    rows_read: int = 0
    rows_written: int = 0
    rows_returned: int = 0

    def __add__(self, other: Counted) -> Counted:
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Counted(*[mine + theirs for mine, theirs in pairs])


Key = tuple[str, int, str]
"""A database's id, the hour as seconds since 1970, the text."""


class Counts:
    """The table. now: seconds since 1970."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._held: OrderedDict[Key, Counted] = OrderedDict()

    def add(self, database_id: str, statements: Iterable[Statement], results: Sequence[Rows]) -> None:
        """These have run now."""
        hour = int(self._now()) // HOUR_SECONDS * HOUR_SECONDS
        for statement, rows in zip(statements, results, strict=True):
            key = (database_id, hour, statement.sql[: limits.REMEMBERED_TEXT_CHARACTERS])
            self._held[key] = self._held.pop(key, Counted()) + _counted(rows)
            if len(self._held) > limits.HTTP_COUNTED_TEXTS:
                self._held.popitem(last=False)

    def by_text(self, database_id: str, first: float, last: float) -> dict[str, Counted]:
        """Of the hours between these times, each whole."""
        found: dict[str, Counted] = {}
        for (_, _, text), one in self._between(database_id, first, last):
            found[text] = found.get(text, Counted()) + one
        return found

    def by_hour(self, database_id: str, first: float, last: float) -> dict[int, Counted]:
        """The same of each hour."""
        found: dict[int, Counted] = {}
        for (_, hour, _), one in self._between(database_id, first, last):
            found[hour] = found.get(hour, Counted()) + one
        return found

    def _between(self, database_id: str, first: float, last: float) -> Iterable[tuple[Key, Counted]]:
        for key, one in self._held.items():
            if key[0] == database_id and first - HOUR_SECONDS < key[1] <= last:
                yield key, one


def _counted(rows: Rows) -> Counted:
    meta = rows.meta
    wrote = meta.changed_db or bool(meta.rows_written)
    return Counted(
        1, int(wrote), meta.duration_ms, meta.rows_read or 0, meta.rows_written or 0, len(rows.rows)
    )

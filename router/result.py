"""What a query returns."""

from __future__ import annotations

import msgspec

from raylite.policies.errors import StatementError
from raylite.policies.query import Answer, Rows, Value

Row = dict[str, Value]


class Timings(msgspec.Struct, frozen=True):
    """Milliseconds. sql_duration_ms: in SQLite; round_trip_ms: as this process saw it, all attempts included."""

    sql_duration_ms: float
    round_trip_ms: float


class Meta(msgspec.Struct, frozen=True):
    """Who served a statement, and what it did.

    served_by: the actor's name; duration: milliseconds in SQLite; changes: rows changed; last_row_id: of the last
    INSERT; size_after: bytes of the database; rows_read, rows_written: estimates, None if unknown; total_attempts:
    how often the query was sent.
    """

    served_by: str
    served_by_region: str
    served_by_primary: bool
    timings: Timings
    duration: float
    changes: int
    last_row_id: int
    changed_db: bool
    size_after: int
    rows_read: int | None
    rows_written: int | None
    total_attempts: int


class Result(msgspec.Struct, frozen=True):
    """The rows of one statement, each a dict of its columns; of columns of one name the last one counts."""

    results: list[Row]
    meta: Meta
    success: bool = True


def results_of(answer: Answer, round_trip_ms: float, attempts: int) -> list[Result]:
    """One result a statement."""
    return [Result(as_dicts(rows), _meta(answer, rows, round_trip_ms, attempts)) for rows in answer.results]


def as_dicts(rows: Rows) -> list[Row]:
    """The rows as dicts."""
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


def as_lists(rows: Rows, *, column_names: bool) -> list[list[Value]]:
    """The rows as lists, after the columns' names if they are wanted."""
    head: list[list[Value]] = [list(rows.columns)] if column_names else []
    return head + [list(row) for row in rows.rows]


def first_of(rows: Rows, column: str | None) -> Row | Value:
    """The first row, or one column of it; None without rows. Raises `StatementError` for an unknown column."""
    if column is not None and column not in rows.columns:
        raise StatementError(f"there is no column {column!r} in {list(rows.columns)}; the statement has run")
    if not rows.rows:
        return None
    found: Row = dict(zip(rows.columns, rows.rows[0], strict=True))
    return found if column is None else found[column]


def _meta(answer: Answer, rows: Rows, round_trip_ms: float, attempts: int) -> Meta:
    did = rows.meta
    return Meta(
        answer.served_by, answer.region, answer.primary, Timings(did.duration_ms, round_trip_ms), did.duration_ms,
        did.changes, did.last_row_id, did.changed_db, did.size_after, did.rows_read, did.rows_written, attempts,
    )  # fmt: skip

"""Answers as the JSON that D1's binding takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from raylite.policies.query import Answer, Rows, Value
from raylite.router.asking import Asked
from raylite.router.http.requests import Group

ROWS_AND_COLUMNS: Final = "ROWS_AND_COLUMNS"

Cell = None | int | float | str | list[int]


def entries(asked: Asked, groups: Sequence[Group], form: str) -> list[dict[str, object]]:
    """One success a group, with the rows of its last statement and the changes of all of them."""
    found: list[dict[str, object]] = []
    begin = 0
    for one in groups:
        end = begin + len(one.statements)
        results = asked.answer.results[begin:end]
        meta = _meta(asked.answer, results, asked.attempts)
        found.append({"success": True, "results": _results(results[-1], form), "meta": meta})
        begin = end
    return found


def failure(text: str) -> dict[str, object]:
    """A failure, of one statement or of all: the binding looks at `error` alone."""
    return {"success": False, "error": text}


def _results(rows: Rows, form: str) -> object:
    cells = [[_cell(one) for one in row] for row in rows.rows]
    if form == ROWS_AND_COLUMNS:
        return {"columns": rows.columns, "rows": cells}
    return [dict(zip(rows.columns, row, strict=True)) for row in cells]


def _cell(value: Value) -> Cell:
    return list(value) if isinstance(value, bytes) else value


def _meta(answer: Answer, results: Sequence[Rows], attempts: int) -> dict[str, object]:
    each = [one.meta for one in results]
    duration = sum(one.duration_ms for one in each)
    return {
        "served_by": answer.served_by,
        "served_by_region": answer.region.upper(),
        "served_by_primary": answer.primary,
        "timings": {"sql_duration_ms": duration},
        "duration": duration,
        "changes": sum(one.changes for one in each),
        "last_row_id": each[-1].last_row_id,
        "changed_db": any(one.changed_db for one in each),
        "size_after": each[-1].size_after,
        "rows_read": each[-1].rows_read or 0,
        "rows_written": each[-1].rows_written or 0,
        "total_attempts": attempts,
    }

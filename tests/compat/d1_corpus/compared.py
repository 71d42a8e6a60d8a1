"""What of an answer is compared: all but times, where it was served, and how often it was tried."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeGuard

ANSWERS: Final = Path(__file__).with_name("answers.json")
COUNTERS: Final = ("rows_read", "rows_written")

_COMPARED: Final = ("changes", "last_row_id", "changed_db", "size_after", *COUNTERS)


def steady(answer: object) -> object:
    """The answer without what differs from one time to the next."""
    if is_list(answer):
        return [steady(one) for one in answer]
    if not is_object(answer) or not is_object(meta := answer.get("meta")):
        return answer
    return {**answer, "meta": {name: meta.get(name) for name in _COMPARED}}


def judged(answer: object) -> object:
    """The answer without its counters of rows, and with numbers as JavaScript reads them.

    One statement may be answered by an array of one, too: the binding takes both.
    """
    return _read(answer[0] if is_list(answer) and len(answer) == 1 else answer)


def metas(answer: object) -> list[dict[str, object]]:
    """The meta of each statement that has one."""
    entries = answer if is_list(answer) else [answer]
    found = [one.get("meta") for one in entries if is_object(one)]
    return [one for one in found if is_object(one)]


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether it was a JSON array."""
    return isinstance(value, list)


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether it was a JSON object."""
    return isinstance(value, dict)


def _read(value: object) -> object:
    if is_object(value):
        return {name: _read(one) for name, one in value.items() if name not in COUNTERS}
    if is_list(value):
        return [_read(one) for one in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

"""The checker of campaigns finds every kind of made-up violation, and none where there is none."""

from __future__ import annotations

import msgspec
import pytest
from tests.chaos.history import Operation, Outcome, violations

GOOD = [
    Operation("a", 1, 1, Outcome.DONE, 0.0, 1.0, "", "01"),
    Operation("b", 2, 1, Outcome.DONE, 0.5, 1.5, "", "02"),
    Operation("a", 1, 0, Outcome.DONE, 2.0, 2.5, "01", "01", {1: (1, 1)}),
    Operation("p", 3, 0, Outcome.DONE, 2.0, 2.5, "", "", {1: (1, 1), 2: (1, 1)}, primary=True),
    Operation("a", 1, 2, Outcome.UNKNOWN, 3.0, 8.0, "01", "01"),
    Operation("b", 2, 2, Outcome.FAILED, 3.0, 8.0, "02", "02"),
    Operation("b", 2, 3, Outcome.DONE, 9.0, 9.5, "02", "05"),
    Operation("b", 2, 0, Outcome.DONE, 10.0, 10.5, "05", "05", {1: (2, 2), 2: (3, 2)}),
    Operation("c", 4, 0, Outcome.DONE, 10.0, 10.5, "05", "07", {1: (2, 2), 2: (3, 2)}),
]
ROWS = [(1, 1), (2, 1), (1, 2), (2, 3)]


def changed(index: int, **fields: object) -> list[Operation]:
    """The good history with one operation changed."""
    return [*GOOD[:index], msgspec.structs.replace(GOOD[index], **fields), *GOOD[index + 1 :]]


@pytest.mark.parametrize("rows", [ROWS, [*ROWS, ROWS[0]][1:]], ids=["as written", "in another order"])
def test_nothing_is_wrong_with_a_good_history(rows: list[tuple[int, int]]) -> None:
    assert violations(GOOD, rows) == []


def test_an_unknown_write_may_be_there_or_not() -> None:
    without = changed(7, seen={1: (1, 1), 2: (3, 2)})[:8]
    assert violations(without, [one for one in ROWS if one != (1, 2)]) == []


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([one for one in ROWS if one != (2, 1)], "(2, 1) was acknowledged and is lost"),
        ([*ROWS, (1, 1)], "(1, 1) is there 2 times"),
        ([*ROWS, (1, 2)], "(1, 2) is there 2 times"),
        ([*ROWS, (2, 2)], "(2, 2) was refused and is there"),
        ([*ROWS, (9, 1)], "(9, 1) was never written"),
    ],
)
def test_what_is_lost_doubled_refused_or_made_up_is_found(rows: list[tuple[int, int]], text: str) -> None:
    assert any(text in one for one in violations(GOOD, rows))


@pytest.mark.parametrize(
    ("history", "text"),
    [
        (changed(2, bookmark="00"), "a went back from 01 to 00"),
        (changed(2, seen={}), "a does not see its own write 1"),
        (changed(8, seen={1: (1, 1), 2: (3, 2)}), "c asked with 05 and saw less of client 1 than was there"),
        (changed(8, seen={1: (2, 2), 2: (1, 1)}), "c asked with 05 and saw less of client 2"),
        (changed(8, before="", seen={1: (2, 2), 2: (1, 1), 3: (2, 2)}), "in all, and less of client"),
        (changed(3, seen={1: (1, 1)}), "p asked the primary after write 1 of client 2 was told"),
        (changed(7, bookmark="04"), "b went back"),
        (changed(6, start=11.0), "b saw write 3 of client 2, which nobody had asked for"),
        (changed(3, seen={1: (1, 2), 2: (1, 1)}), "p saw 2 rows of client 1, who had asked for 1"),
        (changed(8, seen={1: (2, 2), 2: (3, 3)}), "c saw 3 rows of client 2, who had asked for 2"),
    ],
)
def test_what_no_order_explains_is_found(history: list[Operation], text: str) -> None:
    assert any(text in one for one in violations(history, ROWS))


def test_an_unknown_write_that_was_shown_and_is_gone_is_found() -> None:
    found = violations(GOOD, [one for one in ROWS if one != (1, 2)])
    assert "b saw more of client 1 than is there in the end" in found


def test_a_primary_that_takes_back_what_another_read_was_shown_is_found() -> None:
    late = Operation("p", 3, 0, Outcome.DONE, 11.0, 11.5, "", "", {1: (1, 1), 2: (3, 2)}, primary=True)
    text = "p asked the primary after write 2 of client 1 was told, and missed it"
    assert text in violations([*GOOD, late], ROWS)

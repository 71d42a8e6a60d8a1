"""Ranges of a column's values: every row is in exactly one of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from hypothesis import given
from hypothesis import strategies as st

from raylite.router.partitions import Column, Kind, conditions

INTEGERS = st.integers(-(2**63), 2**63 - 1)
REALS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
VALUES = st.lists(st.none() | INTEGERS | REALS | st.integers(-5, 5), max_size=30)


@given(VALUES, st.integers(1, 12))
def test_every_row_is_in_exactly_one_part(values: list[int | float | None], count: int) -> None:
    numbers = [one for one in values if one is not None]
    low, high = (min(numbers), max(numbers)) if numbers else (None, None)
    parts = conditions(Column('a "b"', Kind.REAL, low, high), count)
    assert 1 <= len(parts) <= count
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute('CREATE TABLE t (n, "a ""b""")')
        connection.executemany("INSERT INTO t VALUES (?, ?)", enumerate(values))
        found = [
            n
            for condition, bounds in parts
            for (n,) in connection.execute(f"SELECT n FROM t {condition}", bounds)
        ]
    assert sorted(found) == list(range(len(values)))


def test_ranges_of_integers_are_equally_wide() -> None:
    parts = conditions(Column("a", Kind.INTEGER, 0, 99), 4)
    assert [bounds for _, bounds in parts] == [(25,), (25, 50), (50, 75), (75,)]
    assert len(conditions(Column("a", Kind.INTEGER, 7, 9), 10)) == 3

"""How old a replica's data is, told from what its primary was seen to have confirmed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.policies.freshness import Trail, rounded_up
from raylite.policies.limits import HEALTH_SAMPLES


def _trail(*samples: tuple[float, str]) -> Trail:
    trail = Trail()
    for now, bookmark in samples:
        trail.saw(bookmark, now)
    return trail


def test_a_replica_that_shows_what_the_primary_has_is_not_behind() -> None:
    assert _trail((0, "1"), (2, "2")).lag_ms("2", 60) == 0
    assert _trail((0, "1"), (2, "2")).lag_ms("3", 60) == 0
    assert Trail().lag_ms("1", 60) == 0


def test_a_replica_is_as_old_as_the_first_entry_that_it_lacks() -> None:
    trail = _trail((0, "1"), (10, "2"), (14, "3"), (19, "4"))
    assert trail.lag_ms("2", 19) == 5000
    assert trail.lag_ms("1", 20) == 10_000


def test_a_database_that_rests_does_not_make_its_replicas_older() -> None:
    trail = _trail((0, "1"), (100, "1"), (200, "1"))
    assert trail.lag_ms("1", 300) == 0


def test_less_than_a_second_is_nothing() -> None:
    assert _trail((0, "1"), (10, "2")).lag_ms("1", 10.9) == 0


@pytest.mark.parametrize(
    ("seconds", "rounded"), [(1, 1), (1.1, 2), (2.1, 5), (5, 5), (5.1, 10), (31, 50), (99, 100), (101, 200)]
)
def test_ages_are_rounded_up_so_that_they_change_seldom(seconds: float, rounded: float) -> None:
    assert rounded_up(seconds) == rounded


@given(st.lists(st.floats(0, 50), min_size=1, max_size=5 * HEALTH_SAMPLES), st.data())
def test_an_age_is_never_too_high_and_who_is_behind_is_never_taken_for_fresh(
    pauses: list[float], data: st.DataObject
) -> None:
    trail, moments, now = Trail(), list[float](), 0.0
    for number, pause in enumerate(pauses):
        now += pause
        moments.append(now)
        trail.saw(f"{number:04}", now)
    shown = data.draw(st.integers(0, len(moments) - 1))
    age = now + 1000 - moments[shown + 1] if shown + 1 < len(moments) else 0.0
    told = trail.lag_ms(f"{shown:04}", now + 1000) / 1000
    assert told <= (rounded_up(age) if age else 0)
    assert told >= (1000 if age else 0)

"""Waits before trying again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.policies.backoff import Backoff

_BACKOFF = Backoff(0.1, 5.0)


def test_waits_double_until_their_bound() -> None:
    assert [_BACKOFF.delay(n, 1.0) for n in range(8)] == pytest.approx(
        [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    )


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_a_wait_lies_between_half_of_its_bound_and_its_bound(attempt: int, jitter: float) -> None:
    bound = _BACKOFF.delay(attempt, 1.0)
    assert bound / 2 <= _BACKOFF.delay(attempt, jitter) <= bound <= 5.0


@given(st.integers(0, 100), st.floats(0, 1))
def test_waits_never_shrink_from_one_failure_to_the_next(attempt: int, jitter: float) -> None:
    assert _BACKOFF.delay(attempt, jitter) <= _BACKOFF.delay(attempt + 1, jitter)


def test_waits_that_cannot_grow_are_refused() -> None:
    for first, most in ((0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="do not grow"):
            Backoff(first, most)


def test_a_jitter_outside_its_range_is_refused() -> None:
    for attempt, jitter in ((-1, 0.5), (0, 1.5), (0, -0.1)):
        with pytest.raises(ValueError, match="jitter"):
            _BACKOFF.delay(attempt, jitter)

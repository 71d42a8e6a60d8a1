"""How many requests a caller may make."""

from __future__ import annotations

from raylite.policies.rate import Rates


def test_a_caller_may_make_a_second_of_requests_at_once_and_then_so_many_a_second() -> None:
    rates = Rates(10.0, most=100)
    allowed = [now for now in range(1000) if rates.wait("a", 5.0 + now / 100) == 0.0]
    assert allowed[:10] == list(range(10))
    assert 10 + 90 <= len(allowed) <= 10 + 101
    assert rates.wait("b", 5.0) == 0.0


def test_a_refused_caller_is_told_when_to_come_again() -> None:
    rates = Rates(2.0, most=100)
    assert [rates.wait("a", 1.0), rates.wait("a", 1.0)] == [0.0, 0.0]
    wait = rates.wait("a", 1.0)
    assert 0 < wait <= 0.5
    assert rates.wait("a", 1.0 + wait + 1e-6) == 0.0


def test_a_rate_below_one_a_second_lets_a_request_through() -> None:
    rates = Rates(0.1, most=100)
    assert rates.wait("a", 0.0) == 0.0
    assert 9 < rates.wait("a", 0.5) < 10
    assert rates.wait("a", 10.2) == 0.0


def test_only_so_many_callers_are_remembered() -> None:
    rates = Rates(1.0, most=2)
    for caller in "abc":
        assert rates.wait(caller, 0.0) == 0.0
    assert rates.wait("c", 0.0) > 0
    assert rates.wait("a", 0.0) == 0.0

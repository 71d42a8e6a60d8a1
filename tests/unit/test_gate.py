"""The output gate, against a model that keeps everything in a list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.policies.errors import NotPrimary, Overloaded
from raylite.policies.gate import Gate

_OVER = NotPrimary("shop", 3)


def _gate(*sequences: int, bound: int = 100) -> Gate[str]:
    gate = Gate[str](bound)
    for number, sequence in enumerate(sequences):
        assert not gate.wait(sequence, f"{sequence}.{number}")
    return gate


def test_a_response_waits_until_its_mark_is_confirmed() -> None:
    gate = _gate(5)
    assert gate.confirmed(4) == []
    assert gate.confirmed(5) == ["5.0"]
    assert gate.confirmed(6) == []


def test_a_response_whose_mark_is_confirmed_passes_at_once() -> None:
    gate = _gate()
    gate.confirmed(5)
    assert gate.wait(5, "late")
    assert len(gate) == 0


def test_responses_leave_by_mark_and_then_by_arrival() -> None:
    assert _gate(7, 5, 7, 6, 5).confirmed(7) == ["5.1", "5.4", "6.3", "7.0", "7.2"]


def test_an_older_confirmation_takes_nothing_back() -> None:
    gate = _gate()
    gate.confirmed(5)
    assert gate.confirmed(3) == []
    assert gate.wait(5, "late")


def test_a_full_gate_refuses_and_holds_what_it_held() -> None:
    gate = _gate(1, 2, bound=2)
    with pytest.raises(Overloaded, match="2 wait already"):
        gate.wait(3, "one too many")
    assert gate.confirmed(9) == ["1.0", "2.1"]


def test_a_full_gate_lets_pass_what_need_not_wait() -> None:
    gate = _gate(bound=1)
    gate.confirmed(5)
    gate.wait(6, "held")
    assert gate.wait(5, "at once")


def test_breaking_gives_back_everyone_who_waited_in_order() -> None:
    gate = _gate(7, 5)
    assert gate.break_(_OVER) == ["5.1", "7.0"]
    assert gate.break_(_OVER) == []


def test_nothing_passes_a_broken_gate_not_even_what_was_confirmed() -> None:
    gate = _gate()
    gate.confirmed(5)
    gate.break_(_OVER)
    with pytest.raises(NotPrimary):
        gate.wait(5, "late")
    assert gate.confirmed(9) == []


def test_a_gate_keeps_the_error_that_broke_it() -> None:
    gate = _gate()
    gate.break_(_OVER)
    gate.break_(Overloaded("later", 1))
    with pytest.raises(NotPrimary):
        gate.wait(1, "late")


def test_those_who_gave_up_are_taken_out_and_the_others_stay() -> None:
    gate = _gate(7, 5, 6)
    assert gate.drop(lambda waiter: waiter != "6.2") == ["5.1", "7.0"]
    assert gate.confirmed(9) == ["6.2"]


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 20)),
        st.tuples(st.just("confirm"), st.integers(0, 20)),
        st.tuples(st.just("drop"), st.integers(2, 5)),
    ),
    max_size=60,
)


@given(_STEPS)
def test_a_gate_does_what_a_list_would(steps: list[tuple[str, int]]) -> None:
    gate, model, mark = Gate[tuple[int, int]](8), list[tuple[int, int]](), -1
    for number, (verb, value) in enumerate(steps):
        waiter = (value, number)
        if verb == "wait" and value > mark and len(model) == 8:
            with pytest.raises(Overloaded):
                gate.wait(value, waiter)
        elif verb == "wait":
            assert gate.wait(value, waiter) == (value <= mark)
            model += [waiter] if value > mark else []
        elif verb == "confirm":
            mark = max(mark, value)
            assert gate.confirmed(value) == sorted(one for one in model if one[0] <= mark)
            model = [one for one in model if one[0] > mark]
        else:
            gone = {one for one in model if one[1] % value == 0}
            assert gate.drop(gone.__contains__) == sorted(gone)
            model = [one for one in model if one not in gone]
        assert len(gate) == len(model)

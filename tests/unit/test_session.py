"""What a session demands of whoever answers its next query."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import BookmarkError
from raylite.policies.query import Mode, Query, Statement
from raylite.policies.session import PRIMARY_ONLY, SessionState, begin

_HERE, _ELSEWHERE = origin("here").history, origin("elsewhere").history
_QUERY = Query("shop", Mode.RUN, (Statement("SELECT 1"),), "", 5.0)
_MARKS = st.builds(
    Bookmark, st.integers(0, 3), st.integers(0, 9), st.just(_HERE), st.binary(min_size=12, max_size=12)
)


def _mark(epoch: int, sequence: int, history: bytes = _HERE) -> Bookmark:
    return Bookmark(epoch, sequence, history, bytes(12))


def _demands(state: SessionState) -> tuple[str, bool]:
    stamped = state.stamp(_QUERY)
    return stamped.bookmark, stamped.primary


def test_an_unconstrained_session_demands_nothing_at_first() -> None:
    assert _demands(begin()) == ("", False)
    assert _demands(begin("first-unconstrained")) == ("", False)


def test_a_session_that_starts_at_the_primary_may_read_anywhere_after_its_first_answer() -> None:
    session = begin("first-primary")
    assert _demands(session) == ("", True)
    text = str(_mark(1, 5))
    assert _demands(session.advance(text)) == (text, False)


def test_a_session_that_starts_at_the_primary_stays_there_until_something_was_answered() -> None:
    assert _demands(begin("first-primary").advance("")) == ("", True)


def test_a_session_can_start_at_a_bookmark() -> None:
    text = str(_mark(3, 2))
    assert _demands(begin(text)) == (text, False)


def test_without_a_session_every_query_goes_to_the_primary() -> None:
    assert _demands(PRIMARY_ONLY.advance(str(_mark(1, 5)))) == ("", True)


@pytest.mark.parametrize("wrong", ["", "first", "FIRST-PRIMARY", "first-primary ", "0" * 50, "x" * 10_000])
def test_what_is_no_constraint_is_refused_and_the_error_names_those_that_are(wrong: str) -> None:
    with pytest.raises(BookmarkError, match="first-unconstrained") as caught:
        begin(wrong)
    assert len(str(caught.value)) < 400


def test_a_bookmark_of_another_database_is_refused() -> None:
    session = begin(str(_mark(1, 5)))
    with pytest.raises(BookmarkError, match="another database"):
        session.advance(str(_mark(2, 6, _ELSEWHERE)))


@given(st.lists(_MARKS, min_size=1))
def test_a_session_never_goes_back_and_ends_at_the_highest_that_it_has_seen(marks: list[Bookmark]) -> None:
    states = [begin()]
    for mark in marks:
        states.append(states[-1].advance(str(mark)))
    seen = [state.bookmark for state in states[1:] if state.bookmark]
    assert all(earlier <= later for earlier, later in pairwise(seen))
    assert seen[-1] == max(marks)
    assert states[-1].stamp(_QUERY).bookmark == max(map(str, marks))


def test_a_stamp_changes_nothing_else_of_a_query() -> None:
    stamped = begin(str(_mark(1, 1))).stamp(_QUERY)
    assert (stamped.database, stamped.mode, stamped.statements, stamped.seconds) == (
        _QUERY.database, _QUERY.mode, _QUERY.statements, _QUERY.seconds,
    )  # fmt: skip

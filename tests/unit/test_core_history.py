"""Which bookmarks belong to a log, against the whole log."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.actors.core.history import History
from raylite.policies.bookmark import Bookmark, extend, origin
from raylite.policies.errors import BookmarkError
from raylite.policies.limits import REMEMBERED_PLACES

START = origin("db")


def chain(after: Bookmark, epochs: list[int], salt: bytes = b"") -> list[Bookmark]:
    """The places of entries of these epochs behind `after`."""
    places: list[Bookmark] = []
    for epoch in epochs:
        before = places[-1] if places else after
        digest = extend(before.digest, salt + bytes([epoch]))
        places.append(Bookmark(epoch, before.sequence + 1, after.history, digest))
    return places


def belongs(history: History, bookmark: Bookmark) -> bool:
    try:
        history.check(bookmark)
    except BookmarkError:
        return False
    return True


EPOCHS = st.lists(st.integers(1, 5), min_size=1, max_size=6).map(sorted)


@given(EPOCHS, EPOCHS, st.integers(0, 8))
def test_places_of_the_log_belong_and_those_of_another_branch_do_not(
    epochs: list[int], others: list[int], shared: int
) -> None:
    log = chain(START, epochs)
    history = History(START)
    for place in log:
        history.extend(place)
    root = log[: min(shared, len(log))]
    branch = chain(root[-1] if root else START, others, salt=b"other")
    assert all(belongs(history, place) for place in [START, *log])
    assert not any(belongs(history, place) for place in branch)
    assert [history.covers(place) for place in log] == [True] * len(log)
    assert history.end == log[-1]


@given(EPOCHS, st.integers(1, 8), st.integers(1, 5))
def test_what_is_not_remembered_is_judged_by_the_epoch_of_its_sequence(
    epochs: list[int], sequence: int, epoch: int
) -> None:
    log = chain(START, epochs)
    table = [(one, epochs.index(one) + 1) for one in sorted(set(epochs))]
    history = History(log[-1], table)
    assert all(belongs(history, place) for place in [START, *log])
    bookmark = Bookmark(epoch, sequence, START.history, bytes(12))
    expected = sequence < len(log) and epochs[sequence - 1] == epoch
    assert belongs(history, bookmark) == expected


def test_another_database_s_bookmark_is_refused_wherever_it_points() -> None:
    history = History(START)
    with pytest.raises(BookmarkError, match="another database"):
        history.check(origin("another"))
    with pytest.raises(BookmarkError, match="another database"):
        history.check_database(origin("another"))


def test_the_end_itself_needs_the_right_digest() -> None:
    (end,) = chain(START, [3])
    assert belongs(History(end), end)
    assert not belongs(History(end), msgspec.structs.replace(end, digest=bytes(12)))


def test_a_copy_that_was_not_told_the_epochs_accepts_what_it_cannot_judge() -> None:
    log = chain(START, [1, 1, 2])
    history = History(log[-1])
    assert all(belongs(history, place) for place in log)
    history.learn_epochs([(1, 1), (2, 3)])
    assert all(belongs(history, place) for place in log)
    assert not belongs(history, Bookmark(2, 2, START.history, bytes(12)))


def test_a_table_that_is_told_late_takes_nothing_back() -> None:
    log = chain(START, [1, 1, 2, 3])
    history = History(log[0], [(1, 1)])
    for place in log[1:]:
        history.extend(place)
    assert history.epochs == ((1, 1), (2, 3), (3, 4))
    history.learn_epochs([(1, 1), (2, 3)])
    assert history.epochs == ((1, 1), (2, 3), (3, 4))
    history.learn_epochs([])
    assert history.epochs == ((1, 1), (2, 3), (3, 4))


def test_the_number_of_remembered_digests_is_bounded() -> None:
    history = History(START)
    for sequence in range(1, REMEMBERED_PLACES + 2):
        history.extend(Bookmark(1, sequence, START.history, sequence.to_bytes(12)))
    forgotten, remembered = (Bookmark(1, sequence, START.history, bytes(12)) for sequence in (1, 2))
    assert belongs(history, forgotten)
    assert not belongs(history, remembered)

"""A leader's window against a plain list of all pieces that it ever had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raylite.actors.core.piece import Kind, Piece
from raylite.actors.core.window import Window
from raylite.policies.bookmark import Bookmark, origin

START = origin("db")


def entry(sequence: int, count: int, size: int) -> list[Piece]:
    """An entry in so many pieces of so many bytes."""
    places = [Bookmark(1, sequence, START.history, bytes([sequence, number] * 6)) for number in range(count)]
    return [
        Piece(place, Kind.WRITE, number, number == count - 1, size) for number, place in enumerate(places)
    ]


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, 50)), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 24)), max_size=4),
    st.integers(0, 2),
)
def test_a_window_is_the_end_of_a_list(
    shapes: list[tuple[int, int]], shrinks: list[tuple[int, int]], missing: int
) -> None:
    everything = [
        piece for sequence, shape in enumerate(shapes, 1) for piece in entry(sequence, shape[0], shape[1])
    ]
    everything = everything[: len(everything) - missing]  # the last entry may be incomplete
    window = Window(START)
    for piece in everything:
        window.add(piece)
    check(window, everything)
    for limit, keep in shrinks:
        before, first = window.size, window.first
        window.shrink(limit, keep)
        check(window, everything)
        assert window.first <= max(first, keep)
        assert window.first == first or before > limit
        assert window.size <= limit or next_entry(everything, window.first) > keep


def next_entry(pieces: list[Piece], first: int) -> int:
    """Where the entry that begins at `first` ends; far away if it does not."""
    return next((end for end in range(first + 1, len(pieces) + 1) if pieces[end - 1].last), 1 << 30)


def check(window: Window, everything: list[Piece]) -> None:
    """The window tells what the list does."""
    places = [START, *(piece.place for piece in everything)]
    inside = range(window.first, len(everything) + 1)
    assert window.end == len(everything)
    assert window.start == places[window.first]
    assert window.first == 0 or everything[window.first - 1].last
    assert window.size == sum(piece.size for piece in everything[window.first :])
    assert [window.find(place) for place in places] == [
        ordinal if ordinal in inside else None for ordinal in range(len(places))
    ]
    assert [window.place(ordinal) for ordinal in inside] == [places[ordinal] for ordinal in inside]
    assert list(window.run(window.first, window.end)) == everything[window.first :]
    for ordinal in inside:
        ends = [end for end in range(window.first + 1, ordinal + 1) if everything[end - 1].last]
        assert window.whole(ordinal) == (ends[-1] if ends else window.first)
        assert list(window.run(ordinal, window.end)) == everything[ordinal:]

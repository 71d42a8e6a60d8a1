"""The index of a log against a plain list of its pieces."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios.names import Entries, members_of

from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Kind, Piece
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt
from raylite.policies.quorum import Members

FIRST_MEMBERS = members_of("a,b,c")


def whole(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces up to the end of the last whole entry."""
    ends = [count for count, piece in enumerate(pieces, 1) if piece.last]
    return list(pieces[: ends[-1]]) if ends else []


def members(pieces: Sequence[Piece]) -> Members:
    named = [piece.members for piece in pieces if piece.members is not None]
    return named[-1] if named else FIRST_MEMBERS


def epochs(pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    first: dict[int, int] = {}
    for piece in pieces:
        first.setdefault(piece.place.epoch, piece.place.sequence)
    return list(first.items())


def check(index: LogIndex, pieces: Sequence[Piece], gone: Sequence[Bookmark]) -> None:
    """The index tells what the list does."""
    complete = whole(pieces)
    assert index.pieces == list(pieces)
    assert index.tail == (complete[-1].place if complete else index.base)
    assert index.tail_us == (complete[-1].time_us if complete else 0)
    assert index.members == members(pieces)
    assert index.epochs == epochs(pieces)
    assert [index.find(piece.place) for piece in pieces] == list(range(1, len(pieces) + 1))
    assert index.find(index.base) == 0
    assert all(index.find(place) is None for place in gone)
    counts = range(len(pieces) + 1)
    assert [index.whole(count) for count in counts] == [len(whole(pieces[:count])) for count in counts]


@given(st.data())
@settings(max_examples=50)
def test_an_index_is_a_list_of_pieces(data: st.DataObject) -> None:
    entries = Entries()
    index = LogIndex(entries.places["0/0"], FIRST_MEMBERS)
    pieces: list[Piece] = []
    gone: list[Bookmark] = []
    epoch = 1
    for _ in range(data.draw(st.integers(1, 8))):
        pieces = whole(pieces) if data.draw(st.booleans()) else pieces
        index.cut(len(pieces))
        gone = [place for place in gone if index.find(place) is None]
        if not pieces or pieces[-1].last:
            epoch += data.draw(st.integers(0, 1))
            sequence = len({piece.place.sequence for piece in pieces}) + 1
            kind = data.draw(st.sampled_from(["", "*2", "*3", "{a,b,c|b,c,d}", "{b,c,d}"]))
            name = next(
                f"{epoch}/{sequence}{letter}"
                for letter in ["", *"abcdefghij"]
                if f"{epoch}/{sequence}{letter}" not in entries.made
            )
            made = entries.make(index.tail, [name + kind])
            for piece in made[: data.draw(st.integers(1, len(made)))]:
                index.append(piece)
                pieces.append(piece)
        check(index, pieces, gone)
        kept = data.draw(st.integers(0, len(pieces)))
        gone += [piece.place for piece in pieces[kept:]]
        index.cut(kept)
        pieces = pieces[:kept]
        check(index, pieces, gone)
    assert LogIndex(index.base, FIRST_MEMBERS, pieces).pieces == pieces


def test_what_cannot_stand_at_the_end_is_refused_and_changes_nothing() -> None:
    entries = Entries()
    first, second, *large = entries.make(entries.places["0/0"], ["2/1", "2/2", "2/3*3"])
    other = entries.make(second.place, ["3/3*2"])
    index = LogIndex(entries.places["0/0"], FIRST_MEMBERS, [first])
    older = msgspec.structs.replace(second, place=msgspec.structs.replace(second.place, epoch=1))
    unnamed = msgspec.structs.replace(second, kind=Kind.MEMBERS)
    for piece in (first, large[0], large[1], older, unnamed):
        with pytest.raises(Corrupt):
            index.append(piece)
        check(index, [first], [])
    index.append(second)
    index.append(large[0])
    for piece in (large[0], large[2], other[1], other[0], second):
        with pytest.raises(Corrupt):
            index.append(piece)
        check(index, [first, second, large[0]], [])


def test_without_members_there_are_none() -> None:
    entries = Entries()
    index = LogIndex(entries.places["0/0"], None)
    assert index.members is None
    (piece,) = entries.make(index.base, ["1/1{a,b}"])
    index.append(piece)
    assert index.members == members_of("a,b")
    index.cut(0)
    assert index.members is None

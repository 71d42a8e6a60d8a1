"""Pieces as bytes: what goes in comes out, and nothing else is ever taken for it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.actors.core.piece import (
    Header,
    Kind,
    Pages,
    decode_header,
    decode_members,
    decode_pages,
    describe,
    describe_all,
    encode,
    encode_members,
    runs,
)
from raylite.policies.bookmark import Bookmark, extend, origin
from raylite.policies.errors import Corrupt
from raylite.policies.quorum import Member, Members

U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
START = origin("db")
MEMBERS = Members((Member("follower:0", "a1"), Member("follower:1", "b1")), (Member("follower:2", "c1"),))


@st.composite
def pieces(draw: st.DrawFn) -> tuple[Header, Pages]:
    """Any header, with pages of its page size."""
    size = draw(st.sampled_from([0, 1, 8]))
    contents = draw(st.lists(st.binary(min_size=size, max_size=size), max_size=2))
    header = Header(
        draw(st.sampled_from(Kind)), draw(st.booleans()), draw(U32), draw(U64), draw(U32), draw(U64), size,
        draw(U32), draw(st.binary(max_size=8)),
    )  # fmt: skip
    most = max(header.database_pages, len(contents))
    chosen = st.lists(
        st.integers(1, max(1, most)), min_size=len(contents), max_size=len(contents), unique=True
    )
    return msgspec.structs.replace(header, database_pages=most), Pages(sorted(draw(chosen)), contents)


def small(epoch: int = 1, sequence: int = 1, content: bytes = b"0123456789abcdef") -> bytes:
    return encode(Header(Kind.WRITE, True, epoch, sequence, 0, 5, len(content), 1), Pages([1], [content]))


@given(pieces())
def test_a_piece_is_decoded_to_what_was_encoded(piece: tuple[Header, Pages]) -> None:
    header, pages = piece
    encoded = encode(header, pages)
    decoded, found = decode_pages(encoded)
    assert decoded == header
    assert list(found.numbers) == list(pages.numbers)
    assert [bytes(one) for one in found.contents] == list(pages.contents)
    assert decode_header(memoryview(encoded)) == (header, len(pages.numbers))


@given(pieces(), st.binary(min_size=1, max_size=8))
def test_a_piece_that_is_cut_short_or_continued_is_refused(piece: tuple[Header, Pages], more: bytes) -> None:
    encoded = encode(*piece)
    for size in range(len(encoded)):
        with pytest.raises(Corrupt):
            decode_header(encoded[:size])
    with pytest.raises(Corrupt):
        decode_header(encoded + more)


def test_no_flipped_bit_is_ever_taken_for_the_piece() -> None:
    encoded = small()
    place = describe(START, encoded).place
    for bit in range(8 * len(encoded)):
        flipped = bytearray(encoded)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            found = describe(START, bytes(flipped))
        except Corrupt:
            continue
        assert found.place.digest != place.digest, f"bit {bit}"


@given(st.binary(max_size=120))
def test_any_bytes_are_refused_or_are_a_piece_that_encodes_to_them(data: bytes) -> None:
    try:
        header, pages = decode_pages(data)
    except Corrupt:
        return
    assert encode(header, pages) == data


@given(st.lists(st.integers(1, 12), unique=True).map(sorted))
def test_runs_are_the_longest_stretches_of_pages_that_follow_each_other(numbers: list[int]) -> None:
    contents = [bytes([number] * 2) for number in numbers]
    found = list(runs(Pages(numbers, contents)))
    assert b"".join(one for _, one in found) == b"".join(contents)
    written = [first + index for first, one in found for index in range(len(one) // 2)]
    assert written == numbers
    ends = [first + len(one) // 2 for first, one in found]
    assert not {first for first, _ in found} & set(ends)


@given(pieces(), st.data())
def test_a_piece_of_which_a_byte_differs_is_refused_or_encodes_to_what_was_read(
    piece: tuple[Header, Pages], data: st.DataObject
) -> None:
    changed = bytearray(encode(*piece))
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        header, pages = decode_pages(bytes(changed))
    except Corrupt:
        return
    assert encode(header, pages) == changed


@pytest.mark.parametrize("numbers", [(0,), (4,), (2, 1), (2, 2), (0, 1)])
def test_pages_that_no_database_of_that_size_has_are_refused(numbers: tuple[int, ...]) -> None:
    """Whoever writes them to a file would write before its beginning, or make it larger than it says."""
    header = Header(Kind.WRITE, True, 1, 1, 0, 5, 4, 3)
    with pytest.raises(Corrupt, match="not in order"):
        decode_pages(encode(header, Pages(numbers, [b"page"] * len(numbers))))


def test_pages_are_views_of_the_encoded_bytes() -> None:
    encoded = bytearray(small())
    _, pages = decode_pages(memoryview(encoded))
    encoded[-1] ^= 0xFF
    assert pages.contents[0][-1] == encoded[-1]


def test_a_place_covers_all_that_came_before() -> None:
    first, other, second = small(), small(content=b"another content!"), small(sequence=2)
    one, two = describe_all(START, [first, second])
    assert one.place == Bookmark(1, 1, START.history, extend(START.digest, first))
    assert two.place == Bookmark(1, 2, START.history, extend(one.place.digest, second))
    assert describe_all(START, [other, second])[1].place != two.place


@pytest.mark.parametrize(("epoch", "sequence"), [(4, 8), (5, 6), (5, 9), (5, 0)])
def test_what_cannot_follow_is_refused(epoch: int, sequence: int) -> None:
    previous = Bookmark(5, 7, START.history, START.digest)
    with pytest.raises(Corrupt):
        describe(previous, small(epoch, sequence))


@pytest.mark.parametrize(("epoch", "sequence"), [(5, 7), (5, 8), (6, 8)])
def test_what_goes_on_with_an_entry_or_begins_the_next_may_follow(epoch: int, sequence: int) -> None:
    previous = Bookmark(5, 7, START.history, START.digest)
    place = describe(previous, small(epoch, sequence)).place
    assert (place.epoch, place.sequence) == (epoch, sequence)


def test_an_entry_of_members_tells_them() -> None:
    header = Header(Kind.MEMBERS, True, 1, 1, 0, 5, 0, 1, encode_members(MEMBERS))
    piece = describe(START, encode(header, Pages([], [])))
    assert piece.members == MEMBERS
    assert describe(START, small()).members is None


@given(st.binary(max_size=40))
def test_members_are_refused_or_what_was_meant(data: bytes) -> None:
    try:
        members = decode_members(data)
    except Corrupt:
        return
    assert decode_members(encode_members(members)) == members


def test_members_whose_text_is_no_text_are_refused() -> None:
    name = MEMBERS.current[0].follower.encode()
    with pytest.raises(Corrupt):
        decode_members(encode_members(MEMBERS).replace(name, b"\xff" * len(name)))


@given(st.data())
def test_members_that_are_cut_short_are_refused(data: st.DataObject) -> None:
    encoded = encode_members(MEMBERS)
    with pytest.raises(Corrupt):
        decode_members(encoded[: data.draw(st.integers(0, len(encoded) - 1))])

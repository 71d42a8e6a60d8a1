"""Records and segment headers as bytes: round trips, and nothing else passes for one."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.actors.core.base import Base
from raylite.actors.core.piece import Kind as PieceKind
from raylite.actors.core.piece import Piece
from raylite.actors.core.store import (
    StoreBase,
    StoreConfirmed,
    StoreCut,
    StoreDropped,
    StoreFounded,
    StoreGaveUp,
    StorePiece,
    StorePromise,
)
from raylite.actors.storage.log_records import (
    PLACE_BYTES,
    SYNCED,
    Change,
    Encoder,
    Head,
    Kind,
    Parts,
    Record,
    StoreJoined,
    decode_change,
    decode_head,
    decode_place,
    encode_place,
    take_apart,
)
from raylite.actors.storage.log_segment import BLOCK_BYTES, FIRST, Header, decode_header, encode_header
from raylite.policies.bookmark import DIGEST_BYTES, HISTORY_BYTES, Bookmark, origin
from raylite.policies.errors import Corrupt
from raylite.policies.quorum import Member, Members

SALT = b"8 bytes!"
places = st.builds(
    Bookmark,
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 64) - 1),
    st.binary(min_size=HISTORY_BYTES, max_size=HISTORY_BYTES),
    st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES),
)
members = st.builds(
    Members, st.lists(st.builds(Member, st.text(), st.text()), max_size=5).map(tuple[Member, ...])
)
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(StoreConfirmed, places),
    st.builds(StorePromise, st.integers(0, (1 << 32) - 1)),
    st.builds(StoreCut, places),
    st.builds(StoreFounded, members),
    st.builds(
        StoreBase, st.builds(Base, places, members, st.just(((1, 7), (3, 9))), st.integers(0, 1 << 50))
    ),
    st.builds(StoreJoined, st.text(min_size=1)),
    st.just(StoreGaveUp()),
    st.just(StoreDropped()),
)
records = st.builds(Record, st.text(min_size=1, max_size=60), changes)


def head_of(data: bytes, index: int, offset: int, salt: bytes = SALT) -> Head:
    head = decode_head(memoryview(data), index, offset, salt)
    assert head is not None
    return head


@given(st.lists(records, min_size=1, max_size=8), st.integers(0, 1 << 30))
def test_records_come_back_as_they_were_one_behind_the_other(made: list[Record], offset: int) -> None:
    encoder = Encoder(3, SALT, offset, 77, set())
    locations = encoder.add_all(map(take_apart, made))
    data = encoder.take()
    index, seen = 0, set[str]()
    for record, location in zip(made, locations, strict=True):
        head = head_of(data, index, offset + index)
        seen.add(record.database)
        assert (head.database, head.databases, head.synced) == (record.database, len(seen), 77)
        assert (location.segment, location.offset, location.size) == (3, head.start, head.end - head.start)
        payload = memoryview(data)[head.payload - offset : head.end - offset]
        assert decode_change(head.kind, payload) == record.change
        index += location.size
    assert (index, encoder.end) == (len(data), offset + len(data))


@given(places, st.binary())
def test_a_piece_is_its_place_and_its_bytes(place: Bookmark, encoded: bytes) -> None:
    piece = Piece(place, PieceKind.WRITE, 0, True, len(encoded))
    parts = take_apart(Record("a", StorePiece(piece, encoded)))
    encoder = Encoder(1, SALT, 0, 0, set())
    encoder.add(parts)
    data = encoder.take()
    head = head_of(data, 0, 0)
    assert parts.size == len(data) == head.end
    assert decode_place(memoryview(data)[head.payload :]) == place
    with pytest.raises(Corrupt, match="27 bytes"):
        decode_place(memoryview(data)[head.payload :][:27])
    assert data[head.payload + PLACE_BYTES :] == encoded


@given(records, st.data())
def test_a_record_passes_only_in_its_own_place_with_its_own_salt_and_whole(
    record: Record, data: st.DataObject
) -> None:
    encoder = Encoder(1, SALT, 500, 0, set())
    encoder.add(take_apart(record))
    encoded = encoder.take()
    size = head_of(encoded, 0, 500).payload - 500
    assert decode_head(memoryview(encoded), 0, 501, SALT) is None
    assert decode_head(memoryview(encoded), 0, 500, b"another!") is None
    assert decode_head(memoryview(encoded)[: size - 1], 0, 500, SALT) is None
    damaged = bytearray(encoded)
    damaged[data.draw(st.integers(0, size - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert decode_head(memoryview(damaged), 0, 500, SALT) is None


@given(st.integers(0, 20), st.binary(max_size=40))
def test_whatever_bytes_a_payload_has_it_is_a_change_or_corrupt(kind: int, payload: bytes) -> None:
    try:
        change = decode_change(kind, memoryview(payload))
    except Corrupt:
        return
    assert kind not in (Kind.PIECE, Kind.SYNCED)
    assert kind in tuple(Kind)
    assert isinstance(change, Change)


def test_a_mark_names_no_database_and_counts_for_none() -> None:
    encoder = Encoder(1, SALT, 0, 40, {b"a"})
    encoder.add(SYNCED)
    head = head_of(encoder.take(), 0, 0)
    assert (head.kind, head.database, head.databases, head.synced) == (Kind.SYNCED, "", 1, 40)


def test_a_segments_header_is_read_from_either_copy_and_only_under_its_own_number() -> None:
    header = Header(9, SALT, 8, 12345, 3, 9000, 2)
    encoded = encode_header(header)
    assert len(encoded) == FIRST
    assert decode_header(encoded, 9) == header
    assert decode_header(bytes(BLOCK_BYTES) + encoded[BLOCK_BYTES:], 9) == header
    assert decode_header(encoded[:BLOCK_BYTES], 9) == header
    assert decode_header(encoded, 8) is None
    for short in (b"", encoded[:40], bytes(FIRST)):
        assert decode_header(short, 9) is None


def test_a_record_of_a_later_version_is_refused_not_taken_for_damage() -> None:
    encoder = Encoder(1, SALT, 0, 0, set())
    encoder.add(SYNCED)
    fixed = bytearray(encoder.take()[:-4])
    fixed[12] = 2
    later = bytes(fixed) + struct.pack(">I", zlib.crc32(fixed))
    with pytest.raises(Corrupt, match="version 2"):
        decode_head(memoryview(later), 0, 0, SALT)


def test_a_record_of_a_database_whose_id_is_no_text_is_no_record() -> None:
    encoder = Encoder(1, b"saltsalt", 0, 0, set())
    encoder.add(Parts(Kind.GAVE_UP, b"\xff\xfe"))
    assert decode_head(memoryview(encoder.take()), 0, 0, b"saltsalt") is None


@pytest.mark.parametrize("kind", [Kind.CONFIRMED, Kind.CUT, Kind.GAVE_UP, Kind.DROPPED])
def test_a_payload_that_is_longer_than_its_kind_has_is_refused(kind: Kind) -> None:
    with pytest.raises(Corrupt):
        decode_change(kind, memoryview(encode_place(origin("a")) + b"x"))

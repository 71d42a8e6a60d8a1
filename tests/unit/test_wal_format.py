"""Headers and checksums are those that SQLite writes and believes."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.replica_world import Primary

from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.wal_format import (
    FRAME_BYTES,
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    Checksum,
    FrameHeader,
    Order,
    WalHeader,
    checksum,
    frame_offset,
    seal_frames,
    start_frame,
)
from raylite.policies.errors import Corrupt

ORDERS: tuple[Order, ...] = ("little", "big")


def chained_by_word(frames: bytes, start: Checksum, order: Order) -> Checksum:
    """The slow, obvious model: SQLite's loop over the words."""
    for at in range(0, len(frames), FRAME_BYTES):
        start = checksum(frames[at : at + 8], start, order)
        start = checksum(frames[at + FRAME_HEADER_BYTES : at + FRAME_BYTES], start, order)
    return start


@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), start=st.tuples(*[st.integers(0, 2**32 - 1)] * 2))
def test_frames_are_sealed_as_the_loop_over_words_would(order: Order, seed: int, start: Checksum) -> None:
    randbytes = Random(seed).randbytes
    frames = bytearray(3 * FRAME_BYTES)
    for index in range(3):
        start_frame(frames, index, index + 1, 0, randbytes(PAGE_SIZE))
    total = seal_frames(frames, b"saltsalt", start, order)
    for index in range(3):
        upto = bytes(frames[: (index + 1) * FRAME_BYTES])
        header = FrameHeader.decode(frames, index * FRAME_BYTES)
        assert header == FrameHeader(index + 1, 0, b"saltsalt", chained_by_word(upto, start, order))
    assert total == chained_by_word(bytes(frames), start, order)


@pytest.mark.parametrize("order", ORDERS)
def test_a_header_comes_back_as_it_went(order: Order) -> None:
    header = WalHeader(order, 7, b"12345678")
    encoded, _ = header.encode()
    assert len(encoded) == HEADER_BYTES
    assert WalHeader.decode(encoded) == header


@pytest.mark.parametrize("at", range(HEADER_BYTES))
def test_a_header_with_a_changed_byte_is_refused(at: int) -> None:
    encoded, _ = WalHeader("little", 7, b"12345678").encode()
    with pytest.raises(Corrupt):
        WalHeader.decode(encoded[:at] + bytes([encoded[at] ^ 1]) + encoded[at + 1 :])
    with pytest.raises(Corrupt):
        WalHeader.decode(encoded[:at])


def test_a_wal_of_sqlite_is_encoded_to_the_same_bytes(tmp_path: Path) -> None:
    primary = Primary(tmp_path)
    primary.run("CREATE TABLE t (x)")
    primary.run("INSERT INTO t VALUES (randomblob(30000))")
    wal = primary.path.with_name("primary.db-wal").read_bytes()
    primary.close()
    header = WalHeader.decode(wal[:HEADER_BYTES])
    encoded, start = header.encode()
    assert encoded == wal[:HEADER_BYTES]
    frames = bytearray(wal[HEADER_BYTES:])
    for at in range(0, len(frames), FRAME_BYTES):
        frames[at + 8 : at + FRAME_HEADER_BYTES] = bytes(16)
    seal_frames(frames, header.salts, start, header.order)
    assert bytes(frames) == wal[HEADER_BYTES:]
    assert frame_offset(1 + len(frames) // FRAME_BYTES) == len(wal)

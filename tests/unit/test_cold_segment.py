"""Segments: what goes in comes out, from any place on; no damage is ever taken for a log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cold_world import DATABASE, Log, MemoryStore

from raylite.actors.cold import codec
from raylite.actors.cold.names import (
    CHUNK_DIGEST_BYTES,
    ChunkName,
    SegmentName,
    SnapshotName,
    folder,
    from_sequence,
    pin_name,
)
from raylite.actors.cold.segment import MAGIC, Contents, Segment, cut, decode
from raylite.actors.cold.segment_reader import SegmentReader
from raylite.actors.core.piece import Header, Kind, Pages, describe_all, encode
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt, ParameterError

_DIGESTS = st.binary(min_size=12, max_size=12)
bookmarks = st.builds(
    Bookmark,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.just(origin(DATABASE).history),
    _DIGESTS,
)


def piece(epoch: int, sequence: int, number: int, *, last: bool, time_us: int, pages: int = 1) -> bytes:
    header = Header(Kind.WRITE, last, epoch, sequence, number, time_us, 64 if pages else 0, pages)
    return encode(header, Pages(range(1, pages + 1), [bytes([sequence % 256]) * 64] * pages))


@st.composite
def stretches(draw: st.DrawFn) -> tuple[Bookmark, list[bytes]]:
    """Pieces that follow a place, which may be inside an entry; the last entry may not be whole."""
    start = origin(DATABASE)
    epoch, sequence, number, time_us = draw(st.integers(1, 5)), draw(st.integers(0, 9)), 0, 0
    after = Bookmark(epoch, sequence, start.history, draw(_DIGESTS))
    whole = True
    pieces: list[bytes] = []
    for _ in range(draw(st.integers(1, 12))):
        if whole:
            epoch, sequence, number = epoch + draw(st.integers(0, 1)), sequence + 1, 0
        whole, time_us = draw(st.booleans()), time_us + draw(st.integers(0, 3))
        pages = draw(st.sampled_from([0, 1, 2, 5000]))
        pieces.append(piece(epoch, sequence, number, last=whole, time_us=time_us, pages=pages))
        number += 1
    return after, pieces


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Segment, list[bytes]]]:
    """A small segment of a real database."""
    log = Log(tmp_path_factory.mktemp("small"))
    log.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x)")
    log.fill(10)
    log.fill(20)
    yield cut(DATABASE, log.start, log.pieces()), log.pieces()
    log.close()


@given(stretches())
def test_what_is_cut_is_read_back_and_verified(stretch: tuple[Bookmark, list[bytes]]) -> None:
    after, pieces = stretch
    segment = cut(DATABASE, after, pieces)
    contents, found = decode(segment.data, "here")
    assert found == pieces
    assert contents == segment.contents
    assert [one.place for one in contents.entries] == [one.place for one in describe_all(after, pieces)]
    assert SegmentName.parse(str(segment.name)) == segment.name


@given(stretches(), st.data())
def test_a_reader_begins_and_ends_anywhere_and_reads_no_more_than_that(
    stretch: tuple[Bookmark, list[bytes]], data: st.DataObject
) -> None:
    after, pieces = stretch
    segment = cut(DATABASE, after, pieces)
    store = MemoryStore()
    store.put(str(segment.name), segment.data)
    first = data.draw(st.integers(0, len(pieces)))
    end = data.draw(st.integers(first, len(pieces)))
    places = [after, *(one.place for one in segment.contents.entries)]
    reader = SegmentReader(store)
    assert list(reader.pieces(segment.name, places[first], places[end])) == pieces[first:end]
    assert reader.contents(segment.name) == segment.contents
    assert store.read_bytes <= len(segment.data) + (64 << 10)
    if first < end:
        with pytest.raises(Corrupt):
            list(reader.pieces(segment.name, places[end], places[first]))


def test_a_reader_of_the_end_leaves_the_beginning_where_it_is(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x)")
    for _ in range(12):
        log.fill(500_000)
    segment = cut(DATABASE, log.start, log.pieces())
    log.close()
    store = MemoryStore()
    store.put(str(segment.name), segment.data)
    found = list(SegmentReader(store).pieces(segment.name, log.entries[-2].place, log.end))
    assert found == list(log.entries[-1].pieces)
    assert store.read_bytes < 1_000_000 < len(segment.data) / 5


@given(stretches(), st.integers(0, 11))
def test_pieces_that_do_not_follow_each_other_are_no_segment(
    stretch: tuple[Bookmark, list[bytes]], gap: int
) -> None:
    after, pieces = stretch
    far = piece(1, 50, 0, last=True, time_us=99)
    with pytest.raises(Corrupt):
        cut(DATABASE, after, [*pieces[:gap], far, *pieces[gap:]])
    with pytest.raises(Corrupt):
        cut(DATABASE, after, [])


def test_no_flipped_bit_passes(small: tuple[Segment, list[bytes]]) -> None:
    segment, pieces = small
    for at in range(len(segment.data)):
        damaged = bytearray(segment.data)
        damaged[at] ^= 1 << at % 8
        with pytest.raises(Corrupt):
            decode(bytes(damaged), "here")
        assert read_all(segment.name, bytes(damaged)) in (None, pieces)


def test_no_shortened_and_no_longer_segment_passes(small: tuple[Segment, list[bytes]]) -> None:
    segment, pieces = small
    for size in range(len(segment.data)):
        with pytest.raises(Corrupt):
            decode(segment.data[:size], "here")
        assert read_all(segment.name, segment.data[:size]) in (None, pieces)
    for more in (b"\0", segment.data):
        with pytest.raises(Corrupt):
            decode(segment.data + more, "here")


def read_all(name: SegmentName, data: bytes) -> list[bytes] | None:
    """What a reader of parts makes of it, None if it says that it is damaged."""
    store = MemoryStore()
    store.put(str(name), data)
    try:
        return list(SegmentReader(store).pieces(name, name.after, name.last))
    except Corrupt:
        return None


def test_a_segment_under_another_name_is_damage(small: tuple[Segment, list[bytes]]) -> None:
    segment, _ = small
    other = SegmentName(DATABASE, segment.name.after, segment.name.last, segment.name.last_us + 1, True)
    store = MemoryStore()
    store.put(str(other), segment.data)
    for read in (SegmentReader(store).contents, SegmentReader(store).verified):
        with pytest.raises(Corrupt, match="what belongs to"):
            read(other)


@given(st.data())
def test_contents_that_lie_are_found_out_although_their_checksums_fit(
    small: tuple[Segment, list[bytes]], data: st.DataObject
) -> None:
    """Whoever can write an object can give it checksums; what is read must still be the log, or damage."""
    segment, pieces = small
    contents = segment.contents
    index = data.draw(st.integers(0, len(contents.entries) - 1))
    field = data.draw(st.sampled_from(["number", "time_us", "database_pages", "block", "offset", "size"]))
    change = {field: data.draw(st.integers(-2, 2**40))}
    entry = msgspec.structs.replace(contents.entries[index], **change)
    entries = (*contents.entries[:index], entry, *contents.entries[index + 1 :])
    lie = msgspec.structs.replace(contents, entries=entries)
    frames = segment.data[len(codec.seal(MAGIC, contents)) : -codec.CHECK_BYTES]
    forged = codec.seal(MAGIC, lie) + frames
    try:
        _, found = decode(forged + codec.check(forged), "here")
    except Corrupt:
        return
    assert (entry, found) == (contents.entries[index], pieces)


@given(st.binary(max_size=200))
def test_any_bytes_are_damage_and_nothing_worse(data: bytes) -> None:
    for attempt in (data, data + codec.check(data)):
        with pytest.raises(Corrupt):
            decode(attempt, "here")


def test_a_frame_that_claims_a_huge_size_takes_no_memory() -> None:
    frame = bytearray(codec.pack(b"x" * 300))
    for claimed in (0, 299, 301, 1 << 60):
        with pytest.raises(Corrupt):
            codec.unpack(bytes(frame), claimed, "here")
    assert codec.unpack(bytes(frame), 300, "here") == b"x" * 300


def test_an_envelope_of_a_later_version_is_refused(small: tuple[Segment, list[bytes]]) -> None:
    later = bytearray(small[0].data)
    later[4] += 1
    with pytest.raises(Corrupt, match="version 2"):
        codec.unseal(MAGIC, bytes(later), Contents, "here")


# Names


@given(bookmarks, bookmarks, st.integers(0, 2**63), st.booleans())
def test_names_of_segments_are_read_as_they_were_written(
    one: Bookmark, other: Bookmark, time_us: int, whole: bool
) -> None:
    after, last = sorted((one, other))
    name = SegmentName(DATABASE, after, last, time_us, whole)
    if after.digest == last.digest:
        with pytest.raises(Corrupt):
            SegmentName.parse(str(name))
    else:
        assert SegmentName.parse(str(name)) == name
    snapshot = SnapshotName(DATABASE, last, time_us)
    assert SnapshotName.parse(str(snapshot)) == snapshot


@given(bookmarks, bookmarks)
def test_names_sort_as_history_does(one: Bookmark, other: Bookmark) -> None:
    first, second = (str(SnapshotName(DATABASE, place, 7)) for place in (one, other))
    assert (first < second) == (one < other) or one == other
    prefix = f"{folder(DATABASE)}/snapshots/{from_sequence(one)}"
    assert prefix < first
    if (other.epoch, other.sequence) < (one.epoch, one.sequence):
        assert second < prefix


@given(st.text(max_size=80))
def test_other_texts_are_no_names(text: str) -> None:
    for parse in (SegmentName.parse, SnapshotName.parse):
        for name in (text, f"databases/{DATABASE}/log/{text}", f"databases/{DATABASE}/snapshots/{text}"):
            with pytest.raises(Corrupt):
                parse(name)


@pytest.mark.parametrize("database_id", ["", "a/b", "..", "a b", "x" * 129, "ü"])
def test_an_id_that_would_leave_its_folder_is_refused(database_id: str) -> None:
    with pytest.raises(ParameterError):
        folder(database_id)
    with pytest.raises(ParameterError):
        pin_name(DATABASE, database_id)


def test_a_chunk_has_a_run_and_a_digest() -> None:
    digest = bytes(CHUNK_DIGEST_BYTES)
    assert str(ChunkName(DATABASE, "0" * 16, digest)).endswith(f"chunks/{'0' * 16}/{digest.hex()}")
    for run, wrong in (("0" * 15, digest), ("0" * 15 + "/", digest), ("0" * 16, digest[1:])):
        with pytest.raises(ParameterError):
            ChunkName(DATABASE, run, wrong)

"""Bytes that a disk or a store gave back wrong: whatever they are, their reader refuses them in its own words.

What has a checksum is never taken for something that was not written. Pieces, frames of connections, greetings,
manifests and segments have tests of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.cold_world import DATABASE, ImagePages, MemoryStore, new_run
from tests.unit.log_disk import Disk
from tests.unit.log_model import DIRECTORY, OWNER, opened

from raylite.actors.cold import marker
from raylite.actors.cold.manifest import State
from raylite.actors.cold.snapshot import read_chunk, write_snapshot
from raylite.actors.core.store import StorePromise
from raylite.actors.storage.directory import Record
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.log_directory import OWNER as OWNER_FILE
from raylite.actors.storage.log_records import Encoder, decode_head, take_apart
from raylite.actors.storage.log_records import Record as JournalRecord
from raylite.actors.storage.log_segment import Header, decode_header, encode_header
from raylite.actors.storage.wal_format import WalHeader
from raylite.actors.storage.wal_index import IndexHeader
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt, ForeignDirectory

SALT = b"saltsalt"
RECORD = Record("d0c", "a boot", origin("d0c"), origin("d0c"))
STORE = MemoryStore()
(CHUNK,) = write_snapshot(
    STORE, ImagePages(State(DATABASE, origin(DATABASE), 0, 1), b"page" * (PAGE_SIZE // 4)), None, new_run()
).chunks


class Reader(msgspec.Struct, frozen=True):
    """What reads some bytes, and such bytes. A reader returns None, or raises as documented, if they are none."""

    what: str
    sound: bytes
    read: Callable[[bytes], object]


def journal_record() -> bytes:
    encoder = Encoder(1, SALT, 0, 0, set())
    encoder.add(take_apart(JournalRecord("a", StorePromise(7))))
    return encoder.take()


def open_journal(owner: bytes) -> object:
    disk = Disk()
    descriptor = disk.open(DIRECTORY / OWNER_FILE, create=True)
    disk.pwrite(descriptor, owner, 0)
    disk.close(descriptor)
    opened(disk).close()
    return OWNER


def find_marker(data: bytes) -> object:
    store = MemoryStore()
    store.put(marker.NAME, data)
    marker.check(store, "mine")
    return "mine"


def claimed() -> bytes:
    store = MemoryStore()
    marker.claim(store, "mine")
    return store.objects[marker.NAME][0]


def chunk(data: bytes) -> object:
    store = MemoryStore()
    store.put(str(CHUNK.name), data)
    return read_chunk(store, CHUNK)


READERS = [
    Reader("the header of a WAL", WalHeader("little", 7, SALT).encode()[0], WalHeader.decode),
    Reader(
        "a journal's segment", encode_header(Header(3, SALT, 2, 9000)), lambda data: decode_header(data, 3)
    ),
    Reader("a journal's record", journal_record(), lambda data: decode_head(memoryview(data), 0, 0, SALT)),
    Reader("a journal's owner", msgspec.json.encode(OWNER), open_journal),
    Reader("a cold store's marker", claimed(), find_marker),
    Reader("a chunk of a snapshot", STORE.objects[str(CHUNK.name)][0], chunk),
]


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """Other bytes altogether, or a stretch cut out of these and others put there."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=200))
    first = draw(st.integers(0, len(sound)))
    end = draw(st.integers(first, min(len(sound), first + 20)))
    return sound[:first] + draw(st.binary(max_size=20)) + sound[end:]


@pytest.mark.parametrize("reader", READERS, ids=lambda one: one.what)
@settings(max_examples=60)
@given(data=st.data())
def test_what_is_damaged_is_refused_or_was_not_harmed(reader: Reader, data: st.DataObject) -> None:
    given_back = data.draw(damaged(reader.sound))
    try:
        found = reader.read(given_back)
    except (Corrupt, ForeignDirectory):
        return
    assert found is None or found == reader.read(reader.sound)


@pytest.mark.parametrize("reader", READERS, ids=lambda one: one.what)
def test_what_is_whole_is_read(reader: Reader) -> None:
    assert reader.read(reader.sound) is not None


@settings(max_examples=60)
@given(st.binary(min_size=48, max_size=48), st.integers(0, 47), st.integers(1, 255))
def test_a_copy_of_the_wal_index_s_header_that_is_not_whole_is_refused(
    noise: bytes, at: int, mask: int
) -> None:
    sound = bytearray(IndexHeader(7, 5, 3, (1, 2), SALT).encode())
    sound[at] ^= mask
    for one in (noise, bytes(sound)):
        with pytest.raises(Corrupt):
            IndexHeader.decode(one)


@settings(max_examples=100)
@given(damaged(RECORD.encode()))
@example(RECORD.encode().replace(b"a boot", b"\xff"))
@example(b'{"x":' + b"[" * 100_000)
def test_a_copy_s_record_is_refused_or_a_record(data: bytes) -> None:
    """It has no checksum: it is replaced whole, and counts within one boot only."""
    try:
        found = Record.decode(data)
    except Corrupt:
        return
    assert Record.decode(found.encode()) == found

"""The WAL-index finds what SQLite's search finds: the newest frame of a page that is not beyond the reader's end."""

from __future__ import annotations

import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.replica_world import EXAMPLES

from raylite.actors.storage.wal_index import (
    BLOCK_BYTES,
    BLOCK_FRAMES,
    FIRST_FRAMES,
    HEADER_BYTES,
    SLOTS,
    IndexHeader,
    WalIndex,
)
from raylite.actors.storage.wal_medium import Direct
from raylite.policies.errors import Corrupt

HEADER = IndexHeader(7, 5, 3, (1, 2), b"saltsalt")


def find(shm: bytes, page: int, last: int) -> int:
    """SQLite's walFindFrame, over the file's bytes; 0 if the page is in no frame up to `last`."""
    for number in range((last - 1 - FIRST_FRAMES) // BLOCK_FRAMES + 1, -1, -1):
        block = shm[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
        before = FIRST_FRAMES + (number - 1) * BLOCK_FRAMES if number else 0
        start = 0 if number else HEADER_BYTES
        slot, found = page * 383 % SLOTS, 0
        for _ in range(SLOTS):
            (place,) = struct.unpack_from("=H", block, BLOCK_BYTES - 2 * SLOTS + 2 * slot)
            if not place:
                break
            (named,) = struct.unpack_from("=I", block, start + 4 * (place - 1))
            if before + place <= last and named == page:
                found = before + place
            slot = (slot + 1) % SLOTS
        else:
            raise AssertionError("probing never ends")
        if found:
            return found
    return 0


class Indexed:
    """A WAL-index and the list that it must agree with. frames: the page of each, from frame 1."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(BLOCK_BYTES))
        self.index = WalIndex(path, Direct())
        self.frames: list[int] = []

    def add(self, pages: list[int]) -> None:
        self.index.reserve(len(self.frames) + len(pages))
        for page in pages:
            self.frames.append(page)
            self.index.add(len(self.frames), page)

    def cut(self, frames: int) -> None:
        self.index.cut(frames)
        del self.frames[frames:]

    def check(self, pages: range, last: int) -> None:
        shm = self.path.read_bytes()
        for page in pages:
            newest = max((i for i, one in enumerate(self.frames[:last], 1) if one == page), default=0)
            assert find(shm, page, last) == newest, (page, last)


@settings(max_examples=20 * EXAMPLES, deadline=None)
@given(
    before=st.sampled_from((0, 1, FIRST_FRAMES - 3, FIRST_FRAMES, FIRST_FRAMES + BLOCK_FRAMES - 2)),
    steps=st.lists(
        st.one_of(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 9)), max_size=8
    ),
)
def test_frames_are_found_after_any_appends_and_cuts_at_block_boundaries(
    before: int, steps: list[list[int] | int]
) -> None:
    with TemporaryDirectory() as directory:
        indexed = Indexed(Path(directory) / "shm")
        indexed.add([20 + i % 5000 for i in range(before)])
        for step in steps:
            if isinstance(step, list):
                indexed.add(step)
            else:
                indexed.cut(max(before, len(indexed.frames) - step))
        for last in {before, len(indexed.frames)} - {0}:
            indexed.check(range(1, 30), last)
        indexed.index.close()


def test_a_hash_table_survives_being_filled_and_cut_for_ever(tmp_path: Path) -> None:
    indexed = Indexed(tmp_path / "shm")
    indexed.add([1, 2, 3])
    for _ in range(5):
        indexed.add(list(range(100, 100 + FIRST_FRAMES - 3)))
        indexed.cut(3)
    indexed.check(range(1, 120), 3)
    indexed.index.close()


def test_a_cut_changes_nothing_of_the_frames_that_stay(tmp_path: Path) -> None:
    indexed = Indexed(tmp_path / "shm")
    indexed.add([page % 97 + 1 for page in range(200)])
    before = indexed.path.read_bytes()
    indexed.add([7, 8, 9] * 50)
    indexed.cut(200)
    assert indexed.path.read_bytes() == before
    indexed.index.close()


def test_the_header_comes_back_as_it_was_published(tmp_path: Path) -> None:
    indexed = Indexed(tmp_path / "shm")
    indexed.index.publish(HEADER)
    assert indexed.index.header() == HEADER
    indexed.index.close()


@pytest.mark.parametrize("at", [0, 12, 16, 47, 48 + 16, 95])
def test_a_header_of_which_a_byte_differs_is_not_believed(tmp_path: Path, at: int) -> None:
    indexed = Indexed(tmp_path / "shm")
    indexed.index.publish(HEADER)
    raw = bytearray(indexed.path.read_bytes())
    raw[at] ^= 1
    indexed.path.write_bytes(raw)
    with pytest.raises(Corrupt):
        indexed.index.header()
    indexed.index.close()


class Recorder(Direct):
    """Notes the order of stores into the header."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def copy(self, target: memoryview, offset: int, data: bytes) -> None:
        self.seen.append(f"copy at {offset}")
        super().copy(target, offset, data)

    def barrier(self) -> None:
        self.seen.append("barrier")
        super().barrier()


def test_the_second_copy_is_stored_before_the_first_with_a_barrier_between(tmp_path: Path) -> None:
    path = tmp_path / "shm"
    path.write_bytes(bytes(BLOCK_BYTES))
    recorder = Recorder()
    index = WalIndex(path, recorder)
    index.publish(HEADER)
    assert recorder.seen == ["copy at 48", "barrier", "copy at 0"]
    index.close()

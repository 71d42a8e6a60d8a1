"""SQLite's WAL-index, the `-shm` file (https://sqlite.org/walformat.html, section 2; `wal.c`).

Blocks of 32 KiB. Each has page numbers, one 32-bit cell a frame, and behind them 8192 hash slots of 16 bits; a slot
holds the place of a frame in its block, from 1. In the first block 136 bytes of header take the place of 34 page
numbers: two copies of 48 bytes that say how far the WAL is committed, and 40 bytes for checkpoints and locks, which
belong to SQLite and are never touched here.

A reader believes the header if both copies are equal and their checksum is right, and looks at no frame beyond it.
So whoever holds SQLite's write lock may fill in cells and slots beyond the header; they show when it is published.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.wal_format import Checksum, checksum, native_order
from raylite.actors.storage.wal_medium import Medium, full_or
from raylite.policies.errors import Corrupt

BLOCK_BYTES: Final = 32 << 10
HEADER_BYTES: Final = 136
SLOTS: Final = 8192
FIRST_FRAMES: Final = 4062
"""Frames of the first block."""
BLOCK_FRAMES: Final = 4096
"""Frames of each further block."""

_COPY_BYTES: Final = 48
_SLOTS_OFFSET: Final = BLOCK_BYTES - 2 * SLOTS
_MAP_BLOCKS: Final = 2
"""Blocks that are mapped at once: a map may begin at any multiple of 64 KiB on every machine."""
_VERSION: Final = 3_007_000
_HEADER = struct.Struct("=III?BHIIII8s")
_SUM = struct.Struct("=II")


class IndexHeader(msgspec.Struct, frozen=True):
    """What the header says. All numbers in the machine's byte order.

    change: counts publications; frames: committed ones; database_pages: size of the database with them; checksum: of
    the last of them; salts: the WAL's, 8 bytes.
    """

    change: int
    frames: int
    database_pages: int
    checksum: Checksum
    salts: bytes

    def encode(self) -> bytes:
        """One copy, 48 bytes."""
        head = _HEADER.pack(
            _VERSION, 0, self.change & 0xFFFFFFFF, True, sys.byteorder == "big", PAGE_SIZE,
            self.frames, self.database_pages, *self.checksum, self.salts,
        )  # fmt: skip
        return head + _SUM.pack(*checksum(head, (0, 0), native_order()))

    @classmethod
    def decode(cls, encoded: bytes) -> IndexHeader:
        """The header in one copy; raises `Corrupt` if SQLite would not believe it."""
        if len(encoded) != _COPY_BYTES:
            raise Corrupt("a WAL-index", "its header", f"{len(encoded)} bytes")
        head = encoded[: _HEADER.size]
        version, _, change, is_init, _, _, frames, pages, s1, s2, salts = _HEADER.unpack(head)
        found = _SUM.unpack(encoded[_HEADER.size : _COPY_BYTES])
        if not is_init or version != _VERSION or checksum(head, (0, 0), native_order()) != found:
            raise Corrupt("a WAL-index", "its header", f"version {version}, checksum {found}")
        return cls(change, frames, pages, (s1, s2), salts)


class Block(msgspec.Struct, frozen=True):
    """The part of a block that holds frames. before: frames in the blocks before it."""

    before: int
    memory: memoryview
    pages: memoryview
    slots: memoryview

    @classmethod
    def at(cls, number: int, memory: memoryview) -> Block:
        """The block of this number (from 0) in its 32 KiB of memory."""
        start = HEADER_BYTES if number == 0 else 0
        before = 0 if number == 0 else FIRST_FRAMES + (number - 1) * BLOCK_FRAMES
        pages = memory[start:_SLOTS_OFFSET].cast("I")
        return cls(before, memory[start:], pages, memory[_SLOTS_OFFSET:].cast("H"))

    def release(self) -> None:
        """Lets go of the memory."""
        for view in (self.pages, self.slots, self.memory):
            view.release()


class WalIndex:
    """The mapped `-shm` of one database. The caller holds SQLite's write lock, but when it only reads the header.

    A descriptor of `-shm` stays open until `close`: closing any drops all locks of this process on the file, those
    of SQLite included. So the caller closes every connection of this process to the database first.
    """

    def __init__(self, path: Path, medium: Medium) -> None:
        """Maps a file that SQLite has made."""
        self._medium = medium
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._maps: list[mmap.mmap] = []
        self._memories: list[memoryview] = []
        self._blocks: list[Block] = []
        self._grow()

    def header(self) -> IndexHeader:
        """The header; raises `Corrupt` if its copies differ, which cannot be while nobody writes."""
        first, second = (self._memories[0][at : at + _COPY_BYTES].tobytes() for at in (0, _COPY_BYTES))
        if first != second:
            raise Corrupt("a WAL-index", "its header", "the two copies differ")
        return IndexHeader.decode(first)

    def publish(self, header: IndexHeader) -> None:
        """Commits all frames up to the header's: every snapshot that is taken from now on has them."""
        encoded = header.encode()
        self._medium.copy(self._memories[0], _COPY_BYTES, encoded)
        self._medium.barrier()
        self._medium.copy(self._memories[0], 0, encoded)

    def reserve(self, frames: int) -> None:
        """Makes the file long enough; raises `StorageFull`. After it `add` of these frames cannot fail."""
        while _block_of(frames) >= len(self._blocks):
            self._grow()

    def add(self, frame: int, page: int) -> None:
        """Says that this frame, the next one, holds that page; readers do not see it before `publish`."""
        block = self._blocks[_block_of(frame)]
        place = frame - block.before
        if place == 1:
            self._medium.copy(block.memory, 0, bytes(len(block.memory)))
        slots, slot = block.slots, (page * 383) & (SLOTS - 1)
        for _ in range(place):
            if not slots[slot]:
                break
            slot = (slot + 1) & (SLOTS - 1)
        else:
            raise Corrupt("a WAL-index", f"frame {frame}", "its hash table has more entries than frames")
        self._medium.put(block.pages, place - 1, page)
        self._medium.put(slots, slot, place)

    def cut(self, frames: int) -> None:
        """Forgets every frame beyond this many, none of them published (`walCleanupHash`).

        Later blocks need nothing: a block is zeroed when its first frame is added. Removing later entries breaks no
        probe for an earlier one, since that was put where it is before them.
        """
        if not frames:
            return
        block = self._blocks[_block_of(frames)]
        kept = frames - block.before
        slots = np.frombuffer(block.slots, np.uint16)
        for slot in np.flatnonzero(slots > kept).tolist():
            self._medium.put(block.slots, slot, 0)
        beyond = np.frombuffer(block.pages, np.uint32)[kept:]
        self._medium.copy(block.memory, 4 * kept, bytes(beyond.nbytes))

    def close(self) -> None:
        """Unmaps the file. No connection of this process may have the database open any more."""
        for block in self._blocks:
            block.release()
        for memory, mapped in zip(self._memories, self._maps, strict=True):
            memory.release()
            mapped.close()
        self._blocks, self._memories, self._maps = [], [], []
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _grow(self) -> None:
        offset, size = len(self._blocks) * BLOCK_BYTES, _MAP_BLOCKS * BLOCK_BYTES
        try:
            os.posix_fallocate(
                self._fd, offset, size
            )  # a store to memory without a disk block behind it kills
        except OSError as error:
            raise full_or(error, "a copy's WAL-index") from error
        mapped = mmap.mmap(self._fd, size, offset=offset)
        memory = memoryview(mapped)
        self._maps.append(mapped)
        self._memories.append(memory)
        for number in range(_MAP_BLOCKS):
            part = memory[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES]
            self._blocks.append(Block.at(len(self._blocks), part))


def _block_of(frame: int) -> int:
    """The number of the block that has this frame."""
    return (frame - 1 - FIRST_FRAMES) // BLOCK_FRAMES + 1

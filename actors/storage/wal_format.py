"""SQLite's WAL file: header, frames and their checksums (https://sqlite.org/fileformat2.html, section 4).

A file header of 32 bytes, then frames of 24 bytes and a page. Each frame's checksum goes on from the one before
it, so a frame is valid only behind the very frames that it was written behind. The checksum is a linear
recurrence modulo 2**32 over pairs of 32-bit words:

    s1 += x0 + s2;  s2 += x1 + s1

So n words act on (s1, s2) as one 2x2 matrix, plus two dot products of the words with constant weights.
"""

from __future__ import annotations

import struct
import sys
from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from raylite.actors.storage.image import PAGE_SIZE
from raylite.policies.errors import Corrupt

Order = Literal["little", "big"]
Checksum = tuple[int, int]
Words = npt.NDArray[np.uint32]

HEADER_BYTES: Final = 32
FRAME_HEADER_BYTES: Final = 24
FRAME_BYTES: Final = FRAME_HEADER_BYTES + PAGE_SIZE
CHUNK_FRAMES: Final = 256
"""Frames that are read or written at once: about a mebibyte."""

_MAGIC: Final = 0x377F0682
_VERSION: Final = 3_007_000
_MASK: Final = 0xFFFFFFFF
_HEADER = struct.Struct(">IIII8sII")
_FRAME = struct.Struct(">II8sII")
_START = struct.Struct(">II8s")
_SUM = struct.Struct(">II")


class WalHeader(msgspec.Struct, frozen=True):
    """The first 32 bytes. order: of the words that checksums run over; checkpoint: a counter; salts: 8 bytes."""

    order: Order
    checkpoint: int
    salts: bytes

    def encode(self) -> tuple[bytes, Checksum]:
        """The header's bytes, and the checksum that the first frame goes on from."""
        magic = _MAGIC | (self.order == "big")
        head = _HEADER.pack(magic, _VERSION, PAGE_SIZE, self.checkpoint, self.salts, 0, 0)[:-8]
        total = checksum(head, (0, 0), self.order)
        return head + _SUM.pack(*total), total

    @classmethod
    def decode(cls, encoded: bytes) -> WalHeader:
        """The header in 32 bytes; raises `Corrupt` if it is none, or of a page size other than `PAGE_SIZE`."""
        if len(encoded) != HEADER_BYTES:
            raise Corrupt("a WAL", "its header", f"{len(encoded)} bytes")
        magic, version, page_size, checkpoint, salts, *total = _HEADER.unpack(encoded)
        if magic & ~1 != _MAGIC or version != _VERSION or page_size != PAGE_SIZE:
            raise Corrupt("a WAL", "its header", f"magic {magic:x}, version {version}, pages of {page_size}")
        order: Order = "big" if magic & 1 else "little"
        if checksum(encoded[:-8], (0, 0), order) != tuple(total):
            raise Corrupt("a WAL", "its header", "the checksum differs")
        return cls(order, checkpoint, salts)


class FrameHeader(msgspec.Struct, frozen=True):
    """The head of a frame. database_pages: 0 unless the frame ends a transaction, then the database's size."""

    page: int
    database_pages: int
    salts: bytes
    checksum: Checksum

    @classmethod
    def decode(cls, encoded: bytes | bytearray, offset: int = 0) -> FrameHeader:
        """The frame header at this offset, unchecked."""
        page, database_pages, salts, s1, s2 = _FRAME.unpack_from(encoded, offset)
        return cls(page, database_pages, salts, (s1, s2))


def frame_offset(frame: int) -> int:
    """Where in the file a frame begins; frames count from 1."""
    return HEADER_BYTES + (frame - 1) * FRAME_BYTES


def native_order() -> Order:
    """The order of words that SQLite itself uses on this machine."""
    return "little" if sys.byteorder == "little" else "big"


def checksum(data: bytes | memoryview, start: Checksum, order: Order) -> Checksum:
    """The checksum of some words (a multiple of 8 bytes) that goes on from `start`; for short data."""
    s1, s2 = start
    words = struct.unpack(f"{'<' if order == 'little' else '>'}{len(data) // 4}I", data)
    for x0, x1 in zip(words[::2], words[1::2], strict=True):
        s1 = (s1 + x0 + s2) & _MASK
        s2 = (s2 + x1 + s1) & _MASK
    return s1, s2


def start_frame(
    frames: bytearray, index: int, page: int, database_pages: int, content: bytes | memoryview
) -> None:
    """Puts a page into the buffer's frame of this index (from 0), without salts and checksum."""
    offset = index * FRAME_BYTES
    _START.pack_into(frames, offset, page, database_pages, b"")
    frames[offset + FRAME_HEADER_BYTES : offset + FRAME_BYTES] = content


def seal_frames(frames: bytearray, salts: bytes, start: Checksum, order: Order) -> Checksum:
    """Fills in salts and checksums of a buffer of whole frames; returns the last one's checksum."""
    words = np.frombuffer(frames, "<u4" if order == "little" else ">u4").reshape(-1, FRAME_BYTES // 4)
    first, second = words.dot(_WEIGHTS[0]).tolist(), words.dot(_WEIGHTS[1]).tolist()
    (a, b), (c, d) = _STEP
    s1, s2 = start
    for index, (x, y) in enumerate(zip(first, second, strict=True)):
        s1, s2 = (a * s1 + b * s2 + x) & _MASK, (c * s1 + d * s2 + y) & _MASK
        frames[index * FRAME_BYTES + 8 : index * FRAME_BYTES + 16] = salts
        _SUM.pack_into(frames, index * FRAME_BYTES + 16, s1, s2)
    return s1, s2


def _weigh(pairs: int) -> tuple[list[Checksum], list[Checksum], tuple[Checksum, Checksum]]:
    """What each of the words adds to s1 and to s2 (a pair of weights for each of its pairs), and the matrix."""
    first: list[Checksum] = []
    second: list[Checksum] = []
    (a, b), (c, d) = (1, 0), (0, 1)
    for _ in range(pairs):
        first.append(((a + b) & _MASK, b))
        second.append(((c + d) & _MASK, d))
        a, b, c, d = (a + b) & _MASK, (a + 2 * b) & _MASK, (c + d) & _MASK, (c + 2 * d) & _MASK
    return first[::-1], second[::-1], ((a, b), (c, d))


def _frame_weights() -> tuple[tuple[Words, Words], tuple[Checksum, Checksum]]:
    """Weights for the words of a whole frame: its first 8 bytes and its page count, salts and checksum do not."""
    first, second, step = _weigh(1 + PAGE_SIZE // 8)
    for weights in (first, second):
        weights[1:1] = [(0, 0), (0, 0)]
    return (np.array(first, np.uint32).ravel(), np.array(second, np.uint32).ravel()), step


_WEIGHTS, _STEP = _frame_weights()

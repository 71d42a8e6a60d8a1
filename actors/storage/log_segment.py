"""Segments of a follower's journal: preallocated files, each written once from front to back.

A segment's header stands in its first two blocks, the same twice. It is durable before the file gets its name, and
all of the segment before is synced by then, up to the end that the header gives; what lies beyond that end is dead.
So only the newest segment can have a torn tail, and no file is ever written over: nothing stale can follow an end.
Layout of the header, big-endian (docs/formats.md): magic, version, salt, number, previous number, its end, how many
databases it has, up to where this one was synced when it got its name, how many databases it had then, checksum.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from raylite.actors.storage.files import Files, full_as_error, is_full
from raylite.actors.storage.log_directory import SEGMENT_SUFFIX
from raylite.actors.storage.log_records import LAZY, SALT_BYTES, SYNCED, Encoder, Location, Parts
from raylite.policies.errors import Corrupt, StorageFull
from raylite.policies.limits import JOURNAL_ZERO_BYTES

VERSION = 1
MAGIC = b"RLJS"
BLOCK_BYTES = 4096
FIRST = 2 * BLOCK_BYTES
"""Offset of the first record."""
_HEADER = struct.Struct(f">4sB3x{SALT_BYTES}sQQIIII")
_CHECKSUM = struct.Struct(">I")
_SPARE = "spare"
_NAME = re.compile(rf"([0-9a-f]{{16}}){re.escape(SEGMENT_SUFFIX)}")


class Header(msgspec.Struct, frozen=True):
    """A segment's own description. previous: number of the one before, 0 if this is the first; ends are offsets."""

    number: int
    salt: bytes
    previous: int = 0
    previous_end: int = 0
    previous_databases: int = 0
    synced: int = FIRST
    databases: int = 0


def encode_header(header: Header) -> bytes:
    """The first `FIRST` bytes of a segment."""
    fixed = _HEADER.pack(
        MAGIC, VERSION, header.salt, header.number, header.previous, header.previous_end,
        header.previous_databases, header.synced, header.databases,
    )  # fmt: skip
    return (fixed + _CHECKSUM.pack(zlib.crc32(fixed))).ljust(BLOCK_BYTES, b"\0") * 2


def decode_header(data: bytes, number: int) -> Header | None:
    """The header of segment `number` from its first bytes, None if both copies are damaged."""
    for start in (0, BLOCK_BYTES):
        header = _decode_copy(data[start : start + BLOCK_BYTES])
        if header is not None and header.number == number:
            return header
    return None


def _decode_copy(block: bytes) -> Header | None:
    if len(block) < _HEADER.size + _CHECKSUM.size or block[: len(MAGIC)] != MAGIC:
        return None
    (checksum,) = _CHECKSUM.unpack_from(block, _HEADER.size)
    if checksum != zlib.crc32(block[: _HEADER.size]):
        return None
    _, version, salt, number, previous, end, databases, synced, own = _HEADER.unpack_from(block)
    if version != VERSION:
        raise Corrupt("a journal", f"segment {number}", f"version {version}, this reads {VERSION}")
    return Header(number, salt, previous, end, databases, synced, own)


def path_of(directory: Path, number: int) -> Path:
    """Where a segment is."""
    return directory / f"{number:016x}{SEGMENT_SUFFIX}"


def numbers(files: Files, directory: Path) -> list[int]:
    """The numbers of the segments in a directory, ascending."""
    found = map(_NAME.fullmatch, files.names(directory))
    return sorted(int(match[1], 16) for match in found if match is not None)


class OpenSegment:
    """The segment that is written to. Used by one thread.

    Invariants: synced <= end <= capacity; a mark always fits behind what was written.
    """

    def __init__(self, files: Files, descriptor: int, header: Header, databases: set[bytes]) -> None:
        self._files, self._descriptor, self._databases = files, descriptor, databases
        self.header = header
        self.capacity = files.size(descriptor)
        self.end = self.synced = self._needed = header.synced
        self._noting = self._noted = header.synced
        self._zeroed = min(self.end + JOURNAL_ZERO_BYTES, self.capacity)

    @property
    def unsynced(self) -> bool:
        """Whether something was written that counts only once it is synced."""
        return self._needed > self.synced

    @property
    def unmarked(self) -> bool:
        """Whether the disk does not say yet that all is synced which is."""
        return min(self._needed, self.synced) > self._noted

    @property
    def databases(self) -> int:
        """How many databases have records here."""
        return len(self._databases)

    def fits(self, size: int) -> bool:
        """Whether records of `size` bytes in all have room, and a mark behind them."""
        return self.end + size + SYNCED.size <= self.capacity

    def append(self, records: Sequence[Parts]) -> list[Location]:
        """Writes records that fit, by one call to the system. After an error the segment must not be written to."""
        encoder = Encoder(self.header.number, self.header.salt, self.end, self.synced, self._databases)
        locations = encoder.add_all(records)
        ahead = self._ahead(encoder.end)
        self._files.pwrite(self._descriptor, encoder.take(zeros=ahead), self.end)
        self._zeroed = max(self._zeroed, encoder.end + ahead)
        self.end, self._noting = encoder.end, self.synced
        if any(one.kind not in LAZY for one in records):
            self._needed = self.end
        return locations

    def sync(self) -> None:
        """All that was written is durable on return. After an error the segment must not be written to."""
        self._files.fdatasync(self._descriptor)
        self.synced, self._noted = self.end, self._noting

    def close(self) -> None:
        """Gives the file back."""
        self._files.close(self._descriptor)

    def _ahead(self, end: int) -> int:
        """How many zeros to write behind records that end there: none if the next ones overwrite zeros anyway."""
        if end <= self._zeroed or end - self.end >= JOURNAL_ZERO_BYTES:
            return 0
        return min(JOURNAL_ZERO_BYTES, self.capacity - end)


def create(files: Files, directory: Path, header: Header, body: bytes, sizes: Sequence[int]) -> int:
    """A descriptor of a new segment that holds `body` durably; an older file of its number is replaced in one step.

    sizes: bytes to preallocate, the next one is tried when there is no room. Raises `StorageFull`, with nothing
    changed, if there is none for the last.
    """
    with full_as_error(directory):
        descriptor = files.open(directory / _SPARE, create=True)
        try:
            _reserve(files, descriptor, sizes)
            files.pwrite(descriptor, encode_header(header) + body, 0)
            _zero(files, descriptor, header.synced)
            files.fdatasync(descriptor)
            files.rename(directory / _SPARE, path_of(directory, header.number))
        except OSError:
            files.close(descriptor)
            raise
    files.sync_directory(directory)
    return descriptor


def prepare(files: Files, directory: Path, size: int) -> bool:
    """Whether the file that becomes the next segment is preallocated; False if there is no room for it."""
    with suppress(StorageFull), full_as_error(directory):
        descriptor = files.open(directory / _SPARE, create=True)
        try:
            _reserve(files, descriptor, [size])
        finally:
            files.close(descriptor)
        return True
    return False


def _reserve(files: Files, descriptor: int, sizes: Sequence[int]) -> None:
    for size in sizes:
        try:
            files.allocate(descriptor, size)
        except OSError as error:
            files.truncate(descriptor, 0)
            if not is_full(error) or size == sizes[-1]:
                raise
        else:
            return


def _zero(files: Files, descriptor: int, end: int) -> None:
    """Zeros behind `end`: blocks that were never written sync more slowly."""
    ahead = min(JOURNAL_ZERO_BYTES, files.size(descriptor) - end)
    if ahead > 0:
        files.pwrite(descriptor, bytes(ahead), end)

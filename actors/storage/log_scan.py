"""What is in one segment of a journal: sound records, and damage with its bounds."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from raylite.actors.storage.files import Files
from raylite.actors.storage.log_records import MAGIC, Head, decode_head
from raylite.actors.storage.log_segment import BLOCK_BYTES, FIRST, Header, decode_header, path_of


class Good(msgspec.Struct, frozen=True, gc=False):
    """A record whose checksums fit."""

    head: Head
    payload: memoryview

    @property
    def start(self) -> int:
        """Offset of the record."""
        return self.head.start


class Bad(msgspec.Struct, frozen=True, gc=False):
    """Bytes that are no sound record. database: whose record it is if its head is sound, else None."""

    start: int
    end: int
    database: str | None = None


class Scan(msgspec.Struct, frozen=True):
    """One segment. synced: everything before this offset was once synced; databases: how many it has had.

    header: None if it is damaged, and then there are no items; seen: the databases of all sound heads.
    """

    number: int
    header: Header | None
    items: Sequence[Good | Bad]
    synced: int
    databases: int
    seen: frozenset[str]

    @property
    def live(self) -> Sequence[Good]:
        """Records that were not certainly synced, up to the first bad one."""
        tail: list[Good] = []
        for item in self.items:
            if item.start >= self.synced:
                if isinstance(item, Bad):
                    break
                tail.append(item)
        return tail

    @property
    def end(self) -> int:
        """Where the live records end."""
        live = self.live
        return live[-1].head.end if live else self.synced


def scan(files: Files, directory: Path, number: int, following: Header | None) -> Scan:
    """Everything in one segment; following: the header of the next one, which says where this one ends."""
    descriptor = files.open(path_of(directory, number))
    try:
        data = _read(files, descriptor, files.size(descriptor))
    finally:
        files.close(descriptor)
    header = decode_header(data[:FIRST], number)
    if header is None:
        return Scan(number, None, (), FIRST, 0, frozenset())
    end = following.previous_end if following else len(data)
    return _summed_up(header, list(_items(data, header.salt, end)), end, following)


def read_header(files: Files, directory: Path, number: int) -> Header | None:
    """The header of one segment, None if it is damaged."""
    descriptor = files.open(path_of(directory, number))
    try:
        return decode_header(_read(files, descriptor, FIRST), number)
    finally:
        files.close(descriptor)


def _read(files: Files, descriptor: int, size: int) -> bytes:
    """The first `size` bytes; blocks that the disk cannot read are zeros, and so found damaged."""
    try:
        return files.pread(descriptor, size, 0)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    return b"".join(
        _read_block(files, descriptor, min(BLOCK_BYTES, size - offset), offset)
        for offset in range(0, size, BLOCK_BYTES)
    )


def _read_block(files: Files, descriptor: int, size: int, offset: int) -> bytes:
    try:
        return files.pread(descriptor, size, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return bytes(size)


def _summed_up(
    header: Header, found: list[tuple[Good | Bad, Head | None]], end: int, following: Header | None
) -> Scan:
    heads = [head for _, head in found if head is not None]
    synced = end if following else max((header.synced, *(head.synced for head in heads)))
    counts = (header.databases, *(head.databases for head in heads))
    databases = max(counts if following is None else (following.previous_databases, *counts))
    seen = frozenset(head.database for head in heads if head.database)
    return Scan(header.number, header, [item for item, _ in found], synced, databases, seen)


def _items(data: bytes, salt: bytes, end: int) -> Iterator[tuple[Good | Bad, Head | None]]:
    """Good and bad stretches from the first record to `end`, each with its head if that is sound."""
    view = memoryview(data)
    offset = FIRST
    while offset < end:
        head = decode_head(view, offset, offset, salt)
        if head is None:
            start, offset = offset, _next(data, view, offset + 1, salt, end)
            yield Bad(start, offset), None
        else:
            offset = min(head.end, end)
            yield _judged(view, head, end), head


def _judged(view: memoryview, head: Head, end: int) -> Good | Bad:
    payload = view[head.payload : head.end]
    if head.end <= min(end, len(view)) and zlib.crc32(payload) == head.checksum:
        return Good(head, payload)
    return Bad(head.start, min(head.end, end), head.database)


def _next(data: bytes, view: memoryview, offset: int, salt: bytes, end: int) -> int:
    """Where the next record with a sound head begins, `end` if none does."""
    marker = MAGIC + salt
    while (offset := data.find(marker, offset, end)) >= 0:
        if decode_head(view, offset, offset, salt) is not None:
            return offset
        offset += 1
    return end

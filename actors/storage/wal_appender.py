"""Puts frames into a `-wal` file and its WAL-index as a writing client of SQLite does, up to the publication.

SQLite's recovery believes every whole transaction that it finds in a WAL. So that it can never find one that is not
confirmed, the first frame of an entry lies in the file without its 24-byte header until the entry is published: the
chain of checksums ends there. Readers never look at frame headers.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from raylite.actors.storage.wal_format import (
    FRAME_BYTES,
    FRAME_HEADER_BYTES,
    Checksum,
    Order,
    WalHeader,
    frame_offset,
    native_order,
    seal_frames,
)
from raylite.actors.storage.wal_index import IndexHeader, WalIndex
from raylite.actors.storage.wal_medium import Medium
from raylite.policies.errors import Corrupt


class Mark(msgspec.Struct, frozen=True):
    """An end of frames. frames: how many there are up to it; checksum: of the last of them."""

    frames: int
    checksum: Checksum


class Written(msgspec.Struct, frozen=True):
    """Frames that were put behind others. head: the first one's header if it was left out of the file, or empty."""

    start: Mark
    end: Mark
    head: bytes


class WalAppender:
    """The writing end of one WAL. Used by one thread, under SQLite's write lock.

    Invariant: `end` is behind all that was appended, `published` behind what readers see; frames between them are in
    file and index. After an error of `append` both are as before.
    """

    def __init__(self, wal: Path, index: WalIndex, medium: Medium) -> None:
        """A WAL that SQLite has made and that has no frames."""
        self._medium, self._index = medium, index
        self._fd = os.open(wal, os.O_RDWR | os.O_CLOEXEC)
        self._order: Order = native_order()
        self._checkpoints = 0
        self._begin(index.header())

    @property
    def size(self) -> int:
        """Bytes of the WAL up to its end."""
        return frame_offset(self.end.frames + 1)

    def reload(self) -> bool:
        """Whether SQLite has begun the WAL anew; then no frame is in it any more, and other salts are."""
        header = self._index.header()
        if header == self._shown:
            return False
        self._begin(header)
        return True

    def _begin(self, header: IndexHeader) -> None:
        if header.frames:
            raise Corrupt("a WAL", f"{header.frames} frames", "another client of SQLite wrote them")
        self._salts = header.salts if any(header.salts) else os.urandom(8)
        encoded, start = WalHeader(self._order, self._checkpoints, self._salts).encode()
        self._medium.write(self._fd, encoded, 0)
        self._checkpoints += 1
        self._shown = header
        self.published = self.end = Mark(0, start)

    def append(self, frames: bytearray, *, leads: bool) -> Written:
        """Puts frames (page and commit fields filled in) behind the end. leads: they begin an entry."""
        start, count = self.end, len(frames) // FRAME_BYTES
        pages = [int.from_bytes(frames[at : at + 4]) for at in range(0, len(frames), FRAME_BYTES)]
        total = seal_frames(frames, self._salts, start.checksum, self._order)
        head = bytes(frames[:FRAME_HEADER_BYTES]) if leads else b""
        frames[: len(head)] = bytes(len(head))
        self._medium.write(self._fd, frames, frame_offset(start.frames + 1))
        self._index.reserve(start.frames + count)
        for frame, page in enumerate(pages, start.frames + 1):
            self._index.add(frame, page)
        self.end = Mark(start.frames + count, total)
        return Written(start, self.end, head)

    def complete(self, written: Written) -> None:
        """Puts the missing header in its place: from now on recovery may believe this entry."""
        if written.head:
            self._medium.write(self._fd, written.head, frame_offset(written.start.frames + 1))

    def publish(self, mark: Mark, database_pages: int) -> None:
        """Shows all frames up to the mark, which ends an entry; all up to it must be complete."""
        header = IndexHeader(self._shown.change + 1, mark.frames, database_pages, mark.checksum, self._salts)
        self._index.publish(header)
        self._shown = header
        self.published = mark

    def cut(self, mark: Mark) -> None:
        """Takes back every frame beyond the mark, none of them published."""
        assert mark.frames >= self.published.frames, "readers may use what is published"
        self._index.cut(mark.frames)
        self.end = mark

    def read(self, written: Written) -> bytearray:
        """Frames as they were given to `append`, but for salts and checksums."""
        size = (written.end.frames - written.start.frames) * FRAME_BYTES
        frames = bytearray(os.pread(self._fd, size, frame_offset(written.start.frames + 1)))
        frames[: len(written.head)] = written.head
        return frames

    def close(self) -> None:
        """Closes the descriptor of `-wal`, on which SQLite has no locks."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

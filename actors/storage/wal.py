"""Takes each commit of a primary out of SQLite's `-wal` file, where SQLite has just written it.

The WAL hook tells how many frames the WAL has after a commit; the commit's frames are those behind the last
commit's, or all of them if SQLite has restarted the WAL, which other salts in its header show. What lies behind the
hook's count belongs to nobody: open and rolled-back transactions leave frames there.

Checksums are not computed again: these frames come out of the page cache into which this very process put them, and
SQLite itself reads pages from a WAL without checking. Salts and commit marks are compared, so a count and a file
that do not belong together are found out.

The descriptor is the reader's own. SQLite locks the database file and `-shm`, never `-wal`, so closing it drops no
lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.wal_format import (
    CHUNK_FRAMES,
    FRAME_BYTES,
    FRAME_HEADER_BYTES,
    HEADER_BYTES,
    FrameHeader,
    WalHeader,
    frame_offset,
)
from raylite.policies.errors import Corrupt


class Commit(msgspec.Struct, frozen=True):
    """One committed transaction in the WAL.

    database_pages: size of the database after it; pages: (page number, frame), ascending by page number, each page
    once, with the frame of its last version; generation: the WAL's salts, while which are the same the frames last.
    """

    page_size: int
    database_pages: int
    pages: list[tuple[int, int]]
    generation: bytes


class Recent(msgspec.Struct, frozen=True):
    """Frames `first` and after, as they are in the file."""

    first: int
    data: bytes


class WalReader:
    """The commits of one `-wal` file, which one connection writes.

    `commit` belongs to that connection's thread; `read` may be called from any.
    """

    def __init__(self, path: Path) -> None:
        """The file may not exist yet; it does at the first commit."""
        self._path = path
        self._fd = -1
        self._raw: bytes = b""
        self._header = WalHeader("little", 0, b"")
        self._frames = 0
        self._first_page = 0
        self._recent = Recent(1, b"")
        self.size = 0

    @property
    def generation(self) -> bytes:
        """The WAL's salts: when they change, frame numbers begin anew and earlier frames are gone."""
        return self._header.salts

    def commit(self, frames: int) -> Commit:
        """What was committed since the last call. frames: as the WAL hook reported, right after the COMMIT.

        Memory is bounded by the page numbers: pages are read again with `read`. Raises `Corrupt` if the frames are
        not one transaction of this WAL; nothing more can be taken from it then.
        """
        self._load_header()
        latest: dict[int, int] = {}
        database_pages = 0
        for frame, header in self._new_frames(frames):
            if header.salts != self._header.salts or database_pages or not header.page:
                raise Corrupt("a WAL", f"frame {frame}", f"it is not in a transaction that ends at {frames}")
            database_pages = header.database_pages
            latest[header.page] = frame
        if not database_pages:
            raise Corrupt("a WAL", f"frame {frames}", f"no commit ends there (the last: {self._frames})")
        self._frames = frames
        self._first_page = latest.get(1, self._first_page)
        self.size = frame_offset(frames + 1)
        pages = sorted((page, frame) for page, frame in latest.items() if page <= database_pages)
        return Commit(PAGE_SIZE, database_pages, pages, self.generation)

    def read(self, frame: int) -> bytes:
        """The page in a frame: what `Commit` named while the generation is the same, any page after that.

        Raises `Corrupt` if the file is shorter, OSError after `close`.
        """
        recent = self._recent
        offset = (frame - recent.first) * FRAME_BYTES + FRAME_HEADER_BYTES
        if 0 <= offset < len(recent.data):
            return recent.data[offset : offset + PAGE_SIZE]
        page = os.pread(self._fd, PAGE_SIZE, frame_offset(frame) + FRAME_HEADER_BYTES)
        if len(page) != PAGE_SIZE:
            raise Corrupt("a WAL", f"frame {frame}", "the file ends before it")
        return page

    def first_page(self) -> bytes | None:
        """Page 1 as it was last committed; None if it is in the database file. For the connection's thread."""
        if self._first_page and os.pread(self._fd, HEADER_BYTES, 0) == self._raw:
            return self.read(self._first_page)
        return None

    def checkpointed(self) -> None:
        """The WAL was copied to its end: `size` counts anew from the next commit's place in the file."""
        self.size = 0

    def close(self) -> None:
        """Closes the reader's own descriptor."""
        fd, self._fd = self._fd, -1
        self._recent = Recent(1, b"")
        if fd >= 0:
            os.close(fd)

    def _load_header(self) -> None:
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        raw = os.pread(self._fd, HEADER_BYTES, 0)
        if raw != self._raw:
            self._header = WalHeader.decode(raw)
            self._raw, self._frames, self._recent = raw, 0, Recent(1, b"")
            self._first_page = 0

    def _new_frames(self, frames: int) -> Iterator[tuple[int, FrameHeader]]:
        for first in range(self._frames + 1, frames + 1, CHUNK_FRAMES):
            count = min(CHUNK_FRAMES, frames + 1 - first)
            data = os.pread(self._fd, count * FRAME_BYTES, frame_offset(first))
            if len(data) != count * FRAME_BYTES:
                raise Corrupt("a WAL", f"frame {first}", f"the file ends before frame {frames}")
            self._recent = Recent(first, data)
            for index in range(count):
                yield first + index, FrameHeader.decode(data, index * FRAME_BYTES)

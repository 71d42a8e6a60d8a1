"""Database files as sources of pages: for snapshots, and for what a restore in place has to change."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from raylite.actors.cold.manifest import State
from raylite.actors.cold.snapshot import CHUNK_PAGES, PageSource
from raylite.actors.storage.image import PAGE_SIZE
from raylite.policies.errors import Corrupt

_COUNTER: Final = 24
_COOKIE: Final = 40
_VALID_FOR: Final = 92
_NUMBER: Final = struct.Struct(">I")


class FilePages:
    """See `PageSource`: a file that nobody writes, as a restore leaves it. A context manager."""

    def __init__(self, path: Path, state: State) -> None:
        """Raises OSError if there is no such file, `Corrupt` if it is not of the state's size."""
        self._state = state
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        size = os.fstat(self._descriptor).st_size
        if size != state.database_pages * PAGE_SIZE:
            os.close(self._descriptor)
            raise Corrupt("a database file", str(path), f"{size} bytes, not {state.database_pages} pages")

    @property
    def state(self) -> State:
        """See `PageSource.state`."""
        return self._state

    def read(self, first: int, count: int) -> bytes:
        """See `PageSource.read`."""
        return os.pread(self._descriptor, count * PAGE_SIZE, (first - 1) * PAGE_SIZE)

    def close(self) -> None:
        """Gives the descriptor back; never while SQLite has that file open in this process: its locks would go."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def differing(current: PageSource, past: PageSource) -> Iterator[tuple[int, bytes]]:
    """The pages that make the current database what it was in the past, with their numbers, ascending.

    Of both a chunk is in memory. Page 1 is always among them, and its counters go on from the current ones: SQLite
    keeps what it knows of a schema while that number stays, and two schemas of two pasts can have the same number.
    The database then has the past's size.
    """
    pages = past.state.database_pages
    for first in range(1, pages + 1, CHUNK_PAGES):
        count = min(CHUNK_PAGES, pages + 1 - first)
        new = past.read(first, count)
        old = current.read(first, max(0, min(count, current.state.database_pages + 1 - first)))
        for index in range(count):
            page = new[index * PAGE_SIZE : (index + 1) * PAGE_SIZE]
            before = old[index * PAGE_SIZE : (index + 1) * PAGE_SIZE]
            if first + index == 1:
                yield 1, _going_on(before, page)
            elif page != before:
                yield first + index, page


def _going_on(current: bytes, past: bytes) -> bytes:
    page = bytearray(past)
    for offset in (_COUNTER, _COOKIE):
        (number,) = _NUMBER.unpack_from(current, offset)
        _NUMBER.pack_into(page, offset, (number + 1) % (1 << 32))
    page[_VALID_FOR : _VALID_FOR + 4] = page[_COUNTER : _COUNTER + 4]
    return bytes(page)

"""Database files as sources of pages for snapshots."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final, Self

from raylite.actors.cold.manifest import State
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

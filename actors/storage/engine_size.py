"""How large an engine's database is, told without asking SQLite where that can be avoided."""

from __future__ import annotations

import contextlib
import os
from typing import Final

import apsw

from raylite.actors.storage.engine_apsw import Connection
from raylite.actors.storage.engine_own import OwnStatements

_WAL_HEADER: Final = 32
_FRAME_HEADER: Final = 24


class Size:
    """The size of one database. A writer notes its own commits; a reader looks whether somebody else committed."""

    def __init__(self, path: str, connection: Connection, own: OwnStatements, reader: bool) -> None:
        self._path, self._connection, self._own, self._reader = path, connection, own, reader
        self._wal: int | None = None
        self.page_bytes = own.number("PRAGMA page_size")
        self._pages = own.number("PRAGMA page_count")
        self._version = connection.data_version()

    def committed(self, frames: int) -> None:
        """Notes the size that the commit in the WAL's last frame, of so many, left: 1 us, a PRAGMA takes 10."""
        if self._wal is None:
            self._wal = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        at = _WAL_HEADER + (frames - 1) * (_FRAME_HEADER + self.page_bytes) + 4
        self._pages = int.from_bytes(os.pread(self._wal, 4, at), "big")

    def bytes_now(self) -> int:
        """The size as this connection sees it."""
        if self._reader and self._connection.data_version() != self._version:
            with contextlib.suppress(
                apsw.Error
            ):  # the query is done and keeps its answer, with the older size
                self._pages = self._own.number("PRAGMA page_count")
                self._version = self._connection.data_version()
        return self._pages * self.page_bytes

    def close(self) -> None:
        """Closes the WAL, of which it has read; again does nothing."""
        if self._wal is not None:
            os.close(self._wal)
            self._wal = None

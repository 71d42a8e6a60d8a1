"""How a replica's leader stores into `-wal` and `-shm`: a port, so that a test can count each store and stop at it."""

from __future__ import annotations

import os
import threading
from typing import Final, Protocol

from raylite.actors.storage.files import is_full
from raylite.policies.errors import StorageFull

_LOCK: Final = threading.Lock()


class Medium(Protocol):
    """Stores, in the order of the calls as every other process sees them once `barrier` has returned."""

    def write(self, fd: int, data: bytes | bytearray, offset: int) -> None:
        """Writes all of `data` into a file; raises `StorageFull` or OSError, what was written then is undefined."""

    def put(self, cells: memoryview, index: int, value: int) -> None:
        """Stores one aligned 16- or 32-bit cell of mapped memory, atomically."""

    def copy(self, target: memoryview, offset: int, data: bytes) -> None:
        """Copies bytes into mapped memory."""

    def barrier(self) -> None:
        """No store after this is seen before one that came before it."""


class Direct:
    """The medium itself."""

    def write(self, fd: int, data: bytes | bytearray, offset: int) -> None:
        """See `Medium`."""
        write_all(fd, data, offset, "a copy's WAL")

    def put(self, cells: memoryview, index: int, value: int) -> None:
        """See `Medium`."""
        cells[index] = value

    def copy(self, target: memoryview, offset: int, data: bytes) -> None:
        """See `Medium`."""
        target[offset : offset + len(data)] = data

    def barrier(self) -> None:
        """See `Medium`. Releasing a lock and taking it again orders what came before against what follows."""
        with _LOCK:
            pass
        with _LOCK:
            pass


def write_all(fd: int, data: bytes | bytearray | memoryview, offset: int, what: str) -> None:
    """Writes all of `data` at `offset`; raises `StorageFull` that names `what`, or OSError."""
    try:
        written = os.pwrite(fd, data, offset)
        while written < len(data):
            written += os.pwrite(fd, memoryview(data)[written:], offset + written)
    except OSError as error:
        raise full_or(error, what) from error


def full_or(error: OSError, what: str) -> StorageFull | OSError:
    """`StorageFull` if that is what the error says, else the error."""
    return StorageFull(what, str(error)) if is_full(error) else error

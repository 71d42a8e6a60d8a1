"""Files on their way in or out of a copy, in one folder of its directory; none outlives its process for long."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Generator
from hashlib import blake2b
from pathlib import Path
from typing import Final

from raylite.actors.storage.wal_medium import full_or, write_all
from raylite.policies.errors import Error, StorageFull, Unreachable

_BLOCK: Final = 1 << 20
DIGEST_BYTES: Final = 16


class Spool:
    """The folder; the directory that it is in belongs to this process alone, so what is in it is left over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)

    def create(self, size: int) -> SpoolFile:
        """A new empty file for `size` bytes; raises `StorageFull` if the disk has no room for them. Blocks."""
        with translated(self.folder):
            self.folder.mkdir(exist_ok=True)
            free = shutil.disk_usage(self.folder).free
            if free < size:
                needs = f"a transfer needs {size} bytes on this disk beside the database, {free} are free"
                raise StorageFull(str(self.folder), needs)
            return SpoolFile(self.folder / secrets.token_hex(8))


class SpoolFile:
    """One file; made empty, gone after `remove`. Its methods block, and may be called from any thread.

    They raise `StorageFull`, or `Unreachable` where the disk fails or the file was removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch(exist_ok=False)

    def write(self, data: bytes, offset: int) -> None:
        """Writes all of `data` at `offset`."""
        with translated(self.path), self.path.open("r+b", buffering=0) as file:
            write_all(file.fileno(), data, offset, str(self.path))

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset` on."""
        with translated(self.path), self.path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, offset)

    def digest(self, check: Callable[[], None]) -> str:
        """The digest of all its bytes; `check` is called between blocks and may raise."""
        with translated(self.path):
            return digest_of(self.path, check)

    def remove(self) -> None:
        """Removes it, and what SQLite has left beside it; what a failing disk keeps, the next process removes."""
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def translated(path: Path) -> Generator[None]:
    """Turns what a disk refuses into errors of the tree."""
    try:
        yield
    except OSError as error:
        problem = full_or(error, str(path))
        raise problem if isinstance(problem, Error) else Unreachable(str(path), str(error)) from error


def digest_of(path: Path, check: Callable[[], None]) -> str:
    """BLAKE2b of a file, 16 bytes as hexadecimal digits. Blocks; `check` is called between blocks and may raise."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    with path.open("rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            check()
    return digest.hexdigest()

"""The file port: every call by which a journal touches the disk, so that tests can number and fail each one."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from raylite.policies.errors import StorageFull

_LOCK_RETRY_SECONDS = 0.02
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def is_full(error: OSError) -> bool:
    """Whether there was no room: on the disk, in a quota, or within the size that a file may have."""
    return error.errno in _FULL


@contextmanager
def full_as_error(directory: Path) -> Generator[None]:
    """Turns the system's errors about a lack of room into `StorageFull`."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise StorageFull(str(directory), str(error)) from error


class Files(Protocol):
    """Files by descriptor. Every method raises `OSError` as the system does; nothing is durable before a sync."""

    def open(self, path: Path, *, create: bool = False) -> int:
        """A descriptor for reading and writing; `create`: the file is made if there is none."""
        ...

    def close(self, descriptor: int) -> None:
        """Gives the descriptor back, and the lock that it holds."""
        ...

    def size(self, descriptor: int) -> int:
        """The file's size in bytes."""
        ...

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        """`size` bytes from `offset`, fewer only at the file's end."""
        ...

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        """Writes all of `data`; after an error any part of it may be there."""
        ...

    def allocate(self, descriptor: int, size: int) -> None:
        """Makes the file at least `size` bytes long, zeros where nothing was, with the disk's blocks reserved."""
        ...

    def truncate(self, descriptor: int, size: int) -> None:
        """Makes the file `size` bytes long."""
        ...

    def fdatasync(self, descriptor: int) -> None:
        """Contents and size are durable on return. After an error nobody knows which parts are: never retry."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Names made, changed and removed in this directory are durable on return."""
        ...

    def make_directory(self, path: Path) -> None:
        """The directory and those above it exist, durably."""
        ...

    def names(self, path: Path) -> list[str]:
        """The names in a directory, ascending."""
        ...

    def rename(self, old: Path, new: Path) -> None:
        """`new` names the file of `old`, in one step; what `new` named is gone."""
        ...

    def unlink(self, path: Path) -> None:
        """Removes a name."""
        ...

    def lock(self, path: Path, seconds: float) -> int:
        """A descriptor that holds the lock of this file, made if need be, until it is closed or the process ends.

        Waits at most `seconds`, then raises `BlockingIOError`.
        """
        ...


class RealFiles:
    """The operating system's files."""

    def open(self, path: Path, *, create: bool = False) -> int:
        """See `Files.open`."""
        return os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)

    def close(self, descriptor: int) -> None:
        """See `Files.close`."""
        os.close(descriptor)

    def size(self, descriptor: int) -> int:
        """See `Files.size`."""
        return os.fstat(descriptor).st_size

    def pread(self, descriptor: int, size: int, offset: int) -> bytes:
        """See `Files.pread`."""
        data = os.pread(descriptor, size, offset)
        if len(data) == size:
            return data
        parts = [data]
        while parts[-1] and (missing := size - sum(map(len, parts))):
            parts.append(os.pread(descriptor, missing, offset + size - missing))
        return b"".join(parts)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        """See `Files.pwrite`."""
        written = os.pwrite(descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(descriptor, memoryview(data)[written:], offset + written)

    def allocate(self, descriptor: int, size: int) -> None:
        """See `Files.allocate`."""
        os.posix_fallocate(descriptor, 0, size)

    def truncate(self, descriptor: int, size: int) -> None:
        """See `Files.truncate`."""
        os.ftruncate(descriptor, size)

    def fdatasync(self, descriptor: int) -> None:
        """See `Files.fdatasync`."""
        os.fdatasync(descriptor)

    def sync_directory(self, path: Path) -> None:
        """See `Files.sync_directory`."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_directory(self, path: Path) -> None:
        """See `Files.make_directory`."""
        if path.is_dir():
            return
        self.make_directory(path.parent)
        path.mkdir(exist_ok=True)
        self.sync_directory(path.parent)

    def names(self, path: Path) -> list[str]:
        """See `Files.names`."""
        return sorted(os.listdir(path))

    def rename(self, old: Path, new: Path) -> None:
        """See `Files.rename`."""
        os.rename(old, new)

    def unlink(self, path: Path) -> None:
        """See `Files.unlink`."""
        os.unlink(path)

    def lock(self, path: Path, seconds: float) -> int:
        """See `Files.lock`. By `flock`, so a descriptor of the same process shuts others of it out, too."""
        deadline = time.monotonic() + seconds
        with ExitStack() as undo:
            descriptor = self.open(path, create=True)
            undo.callback(os.close, descriptor)
            while not _locked(descriptor, deadline):
                time.sleep(_LOCK_RETRY_SECONDS)
            undo.pop_all()
        return descriptor


def _locked(descriptor: int, deadline: float) -> bool:
    """Whether the lock was free; raises once the deadline is over."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if time.monotonic() >= deadline:
            raise
        return False
    return True

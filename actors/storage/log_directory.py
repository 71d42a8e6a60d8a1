"""The directory of a follower's journal: whose it is, and that one process at a time uses it.

`lock` is held by `flock` while the journal is open; `owner` says for which follower of which system it was made.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import msgspec

from raylite.actors.storage.files import Files, full_as_error
from raylite.policies.errors import Corrupt, ForeignDirectory, Unreachable

LOCK = "lock"
OWNER = "owner"
SEGMENT_SUFFIX = ".journal"
_NEW_OWNER = "owner.new"
_OWNER_BYTES = 4096


class Owner(msgspec.Struct, frozen=True):
    """Whose a journal is. follower: the actor's name; system_id: the system that it belongs to."""

    follower: str
    system_id: str

    def __str__(self) -> str:
        return f"{self.follower} of system {self.system_id}"


def claim(files: Files, directory: Path, owner: Owner, seconds: float) -> int:
    """A descriptor that holds the directory's lock; an empty directory becomes this owner's, durably.

    Raises `Unreachable` if another process holds the lock for `seconds`, `ForeignDirectory` if it is another's,
    `StorageFull` if there is no room for its first files.
    """
    with full_as_error(directory):
        return _claim(files, directory, owner, seconds)


def _claim(files: Files, directory: Path, owner: Owner, seconds: float) -> int:
    files.make_directory(directory)
    try:
        lock = files.lock(directory / LOCK, seconds)
    except BlockingIOError as error:
        raise Unreachable(str(directory), f"another process has held its lock for {seconds} s") from error
    with ExitStack() as undo:
        undo.callback(files.close, lock)
        _settle(files, directory, owner)
        undo.pop_all()
    return lock


def _settle(files: Files, directory: Path, owner: Owner) -> None:
    """Writes the owner into a directory that has no segment yet, else compares."""
    names = files.names(directory)
    if OWNER in names:
        found = _read(files, directory)
        if found != owner:
            raise ForeignDirectory(str(directory), str(found), str(owner))
    elif any(name.endswith(SEGMENT_SUFFIX) for name in names):
        raise Corrupt("a journal's directory", str(directory), f"it has segments but no `{OWNER}`")
    else:
        _write(files, directory, owner)


def _write(files: Files, directory: Path, owner: Owner) -> None:
    descriptor = files.open(directory / _NEW_OWNER, create=True)
    try:
        files.truncate(descriptor, 0)
        files.pwrite(descriptor, msgspec.json.encode(owner), 0)
        files.fdatasync(descriptor)
    finally:
        files.close(descriptor)
    files.rename(directory / _NEW_OWNER, directory / OWNER)
    files.sync_directory(directory)


def _read(files: Files, directory: Path) -> Owner:
    descriptor = files.open(directory / OWNER)
    try:
        return msgspec.json.decode(files.pread(descriptor, _OWNER_BYTES, 0), type=Owner)
    except (ValueError, RecursionError) as error:  # also text that is no UTF-8
        raise Corrupt("a journal's directory", str(directory / OWNER), str(error)) from error
    finally:
        files.close(descriptor)

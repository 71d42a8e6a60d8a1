"""What a journal still knows of segments that are gone: for every database, the state before those that are left.

A segment goes when nothing in it is needed but such states: they are written here first, durably, in one step. What
they say is that of the moment of writing; the segments that are left may begin earlier, so each says from which
record on they go on from it.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from raylite.actors.core.base import Base
from raylite.actors.storage.files import Files, full_as_error
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt
from raylite.policies.quorum import Members

NAME = "checkpoint"
_NEW_NAME = "checkpoint.new"
_MAGIC = b"RLJC"
_VERSION = 1
_HEAD = struct.Struct(">4sB3xI")


class Awaited(enum.IntEnum):
    """The record from which on a database's records count: any, its JOINED, or the one that ends at its base."""

    NOTHING = 0
    JOINED = 1
    BASE = 2


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One database. members: None before it was founded, and then `place` is its origin."""

    database: str
    incarnation: str
    promised: int
    place: Bookmark
    members: Members | None
    epochs: tuple[tuple[int, int], ...]
    time_us: int
    awaited: Awaited
    gave_up: bool
    dropped: bool

    @property
    def base(self) -> Base | None:
        """Where its log begins, None if that is its origin and it was not founded yet."""
        return Base(self.place, self.members, self.epochs, self.time_us) if self.members else None


class State(Protocol):
    """One database, as a journal has stored it."""

    @property
    def oldest(self) -> int | None:
        """The segment of the first piece that is needed, None if none is."""
        ...

    def keep(self, first: int) -> Kept:
        """The state for a checkpoint whose oldest segment is `first`."""
        ...


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """first: the oldest segment that counts; those with lower numbers are gone, or about to be."""

    first: int
    databases: tuple[Kept, ...]

    @classmethod
    def of(cls, states: Collection[State], reached: int) -> Checkpoint:
        """One that lets go all segments in which there is nothing of these states' logs.

        reached: no record that is not in the states yet lies in a segment before this one.
        """
        needed = [state.oldest for state in states]
        first = min([reached, *(one for one in needed if one is not None)])
        return cls(first, tuple(state.keep(first) for state in states))


def write(files: Files, directory: Path, checkpoint: Checkpoint) -> None:
    """Replaces the checkpoint, durably, in one step; raises `StorageFull` with nothing changed."""
    data = encoded(checkpoint)
    with full_as_error(directory):
        descriptor = files.open(directory / _NEW_NAME, create=True)
        try:
            files.truncate(descriptor, 0)
            files.pwrite(descriptor, data, 0)
            files.fdatasync(descriptor)
        finally:
            files.close(descriptor)
        files.rename(directory / _NEW_NAME, directory / NAME)
    files.sync_directory(directory)


def read(files: Files, directory: Path) -> Checkpoint | None:
    """The checkpoint, None if there is none or it is damaged: then what only it knew counts as never joined."""
    if NAME not in files.names(directory):
        return None
    descriptor = files.open(directory / NAME)
    try:
        return decode(files.pread(descriptor, files.size(descriptor), 0))
    except (OSError, Corrupt):
        return None
    finally:
        files.close(descriptor)


def encoded(checkpoint: Checkpoint) -> bytes:
    """The bytes of a checkpoint."""
    payload = msgspec.msgpack.encode(checkpoint)
    return _HEAD.pack(_MAGIC, _VERSION, zlib.crc32(payload)) + payload


def decode(data: bytes) -> Checkpoint:
    """The checkpoint in these bytes; raises `Corrupt` if there is none."""
    if len(data) < _HEAD.size:
        raise Corrupt("a journal's checkpoint", "its head", f"{len(data)} bytes")
    magic, version, checksum = _HEAD.unpack_from(data)
    payload = data[_HEAD.size :]
    if magic != _MAGIC or version != _VERSION or zlib.crc32(payload) != checksum:
        raise Corrupt(
            "a journal's checkpoint", "its head", f"version {version}, or the checksum does not fit"
        )
    try:
        return msgspec.msgpack.decode(payload, type=Checkpoint)
    except (ValueError, RecursionError) as error:
        raise Corrupt("a journal's checkpoint", "its payload", str(error)) from error


def remove_before(files: Files, directory: Path, paths: Iterable[Path]) -> None:
    """Removes the segments that a durable checkpoint has made superfluous."""
    gone = list(paths)
    for path in gone:
        files.unlink(path)
    if gone:
        files.sync_directory(directory)

"""Names of objects in cold storage; their text order is the order of history. Layout: docs/formats.md.

A name says what an object should be; what it is says the object, which is checked against its name.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError, Corrupt, ParameterError

Reach = tuple[int, int, bool]
"""How far a place is along a log: epoch, sequence, whether the entry is whole there."""

CHUNK_DIGEST_BYTES: Final = 32
DATABASES: Final = "databases"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
_RUN: Final = re.compile(r"[0-9a-f]{16}")
_TIME: Final = re.compile(r"[0-9a-f]{16}")
_ENDS: Final = {"whole": True, "part": False}


def is_id(text: str) -> bool:
    """Whether this can be the id of a database in cold storage: a part of a name, and no more."""
    return _ID.fullmatch(text) is not None


def folder(database_id: str) -> str:
    """The folder of a database's archive; raises `ParameterError` if the id cannot be a part of a name."""
    if not is_id(database_id):
        raise ParameterError(f"{database_id[:200]!r} cannot be the id of a database in cold storage")
    return f"{DATABASES}/{database_id}"


def log_folder(database_id: str) -> str:
    """Where the segments of a database's log are."""
    return f"{folder(database_id)}/log"


def snapshot_folder(database_id: str) -> str:
    """Where the manifests of a database's snapshots are."""
    return f"{folder(database_id)}/snapshots"


def chunk_folder(database_id: str) -> str:
    """Where the chunks are that a database's own snapshots wrote."""
    return f"{folder(database_id)}/chunks"


def pin_folder(database_id: str) -> str:
    """Where the pins of forks are that refer to a database's objects."""
    return f"{folder(database_id)}/forks"


def pin_name(database_id: str, fork_id: str) -> str:
    """The pin by which a fork keeps objects of another database."""
    folder(fork_id)
    return f"{pin_folder(database_id)}/{fork_id}"


def pinned(pin: str) -> str:
    """The id of the fork whose pin has this name."""
    return pin.rpartition("/")[2]


def from_sequence(place: Bookmark) -> str:
    """A text that comes before all names of what ends at that entry or later, and after all names before it."""
    return str(place)[: len("EEEEEEEE-SSSSSSSS-ssssssss")]


class SegmentName(msgspec.Struct, frozen=True):
    """A segment: the pieces behind `after` up to `last`.

    last_us: the time in its last piece; whole: that piece completes its entry.
    """

    database_id: str
    after: Bookmark
    last: Bookmark
    last_us: int
    whole: bool

    def __str__(self) -> str:
        end = "whole" if self.whole else "part"
        return f"{log_folder(self.database_id)}/{self.last}.{self.after}.{self.last_us:016x}.{end}"

    @property
    def reach(self) -> Reach:
        """How far it reaches."""
        return self.last.epoch, self.last.sequence, self.whole

    @classmethod
    def parse(cls, name: str) -> SegmentName:
        """The segment of that name; raises `Corrupt` if it is none."""
        database_id, kind, rest = _split(name)
        parts = rest.split(".")
        if kind != "log" or len(parts) != 4 or parts[3] not in _ENDS:
            raise Corrupt("cold storage", name, "it is no name of a segment")
        last, after = _bookmark(parts[0], name), _bookmark(parts[1], name)
        if (after.epoch, after.sequence) > (last.epoch, last.sequence) or after.digest == last.digest:
            raise Corrupt("cold storage", name, "it ends before it begins")
        return cls(database_id, after, last, _time(parts[2], name), _ENDS[parts[3]])


class SnapshotName(msgspec.Struct, frozen=True):
    """The manifest of a snapshot at a whole entry. time_us: the time in that entry."""

    database_id: str
    bookmark: Bookmark
    time_us: int

    def __str__(self) -> str:
        return f"{snapshot_folder(self.database_id)}/{self.bookmark}.{self.time_us:016x}"

    @property
    def reach(self) -> Reach:
        """How far it reaches."""
        return self.bookmark.epoch, self.bookmark.sequence, True

    @classmethod
    def parse(cls, name: str) -> SnapshotName:
        """The snapshot of that name; raises `Corrupt` if it is none."""
        database_id, kind, rest = _split(name)
        parts = rest.split(".")
        if kind != "snapshots" or len(parts) != 2:
            raise Corrupt("cold storage", name, "it is no name of a snapshot")
        return cls(database_id, _bookmark(parts[0], name), _time(parts[1], name))


class ChunkName(msgspec.Struct, frozen=True):
    """A chunk of pages. run: 16 hexadecimal digits of the one run that made it; digest: of the pages."""

    database_id: str
    run: str
    digest: bytes

    def __post_init__(self) -> None:
        if _RUN.fullmatch(self.run) is None or len(self.digest) != CHUNK_DIGEST_BYTES:
            raise ParameterError(f"a chunk of run {self.run[:40]!r} with {len(self.digest)} bytes of digest")

    def __str__(self) -> str:
        return f"{chunk_folder(self.database_id)}/{self.run}/{self.digest.hex()}"


def _split(name: str) -> tuple[str, str, str]:
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != DATABASES or not is_id(parts[1]):
        raise Corrupt("cold storage", name, "it is no name of an object of a database")
    return parts[1], parts[2], parts[3]


def _bookmark(text: str, name: str) -> Bookmark:
    try:
        return Bookmark.parse(text)
    except BookmarkError as error:
        raise Corrupt("cold storage", name, str(error)) from error


def _time(text: str, name: str) -> int:
    if _TIME.fullmatch(text) is None:
        raise Corrupt("cold storage", name, f"{text[:40]!r} is no time")
    return int(text, 16)

"""A copy's directory on disk: its one owner, and the record of what is in it (see `generation`)."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Final, Self

import msgspec

from raylite.actors.core.keys import Keys
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.wal_medium import full_or
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError, Corrupt, Unreachable

DATABASE: Final = "database"
_LOCK: Final = "lock"
_RECORD: Final = "record"
_NEW_RECORD: Final = "record.new"
_KEYS: Final = "keys"
_FOLDER: Final = "generation-"
_SPOOL: Final = "transfers"
_FOLDER_DIGITS: Final = 8
_FRESH: Final = ".fresh-"
_ID_BYTES: Final = 16
_CHECK_BYTES: Final = 16
_RECORD_VERSION: Final = 2


def current_boot() -> str:
    """The id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Record(msgspec.Struct, frozen=True):
    """What a database file holds; as a file it has a checksum, for a flipped bit can make a bookmark of another epoch.

    certain: every entry up to this one, whole. goal: if there is one, parts of entries up to it as well, so nothing
    is read from the file before all up to the goal has been written to it again.
    """

    database_id: str
    boot: str
    certain: Bookmark
    goal: Bookmark | None = None

    def encode(self) -> bytes:
        """The record as JSON."""
        goal = str(self.goal) if self.goal else ""
        stored = _Stored(_RECORD_VERSION, self.database_id, self.boot, str(self.certain), goal)
        return msgspec.json.encode(msgspec.structs.replace(stored, check=stored.checksum()))

    @classmethod
    def decode(cls, encoded: bytes) -> Record:
        """The record in these bytes; raises `Corrupt` if there is none."""
        try:
            stored = msgspec.json.decode(encoded, type=_Stored)
            goal = Bookmark.parse(stored.goal) if stored.goal else None
            certain = Bookmark.parse(stored.certain)
        except (ValueError, RecursionError, BookmarkError) as error:  # also text that is no UTF-8
            raise Corrupt("a copy's record", "its text", str(error)) from error
        if stored.version != _RECORD_VERSION:
            raise Corrupt("a copy's record", "its version", f"{stored.version}")
        if stored.check != stored.checksum():
            raise Corrupt("a copy's record", "its checksum", "it does not fit what the record says")
        return cls(stored.database_id, stored.boot, certain, goal)


class _Stored(msgspec.Struct, frozen=True):
    version: int
    database_id: str
    boot: str
    certain: str
    goal: str
    check: str = ""

    def checksum(self) -> str:
        """Of all but `check`."""
        body = msgspec.json.encode(msgspec.structs.replace(self, check=""))
        return blake2b(body, digest_size=_CHECK_BYTES).hexdigest()


class Directory:
    """A directory that this process alone uses until `release` or its end.

    id: 32 hex digits, made with the directory.
    """

    def __init__(self, path: Path, lock: int, boot: str) -> None:
        self.path, self.boot = path, boot
        self._lock = lock
        self.id = self._read_id()

    @classmethod
    def claim(cls, path: Path, seconds: float) -> Self:
        """The directory, made if need be; raises `Unreachable` if another holds it for `seconds`. Blocks."""
        while True:
            path.mkdir(parents=True, exist_ok=True)
            try:
                lock = RealFiles().lock(path / _LOCK, seconds)
            except BlockingIOError as error:
                raise Unreachable(str(path), f"another process has held its lock for {seconds} s") from error
            if _names(path / _LOCK, lock):
                return cls(path, lock, current_boot())
            os.close(lock)

    @classmethod
    def claim_or_fresh(cls, path: Path, seconds: float) -> Self:
        """`claim`, or if another holds it, a new directory beside it; left-overs of that kind are removed. Blocks."""
        try:
            directory = cls.claim(path, seconds)
        except Unreachable:
            return cls.claim(path.with_name(f"{path.name}{_FRESH}{secrets.token_hex(4)}"), 0)
        for stale in path.parent.iterdir():
            if stale.name.startswith(f"{path.name}{_FRESH}"):
                with contextlib.suppress(Unreachable):  # its owner still lives
                    left_over = cls.claim(stale, 0)
                    shutil.rmtree(stale)
                    left_over.release()
        return directory

    def release(self) -> None:
        """Lets others claim the directory. Nothing in it may be in use."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def read_record(self) -> Record | None:
        """The record, None if there is none; raises `Corrupt`."""
        try:
            return Record.decode((self.path / _RECORD).read_bytes())
        except FileNotFoundError:
            return None

    def write_record(self, record: Record) -> None:
        """Replaces the record in one step; raises `StorageFull` or OSError, then the old one stands."""
        try:
            (self.path / _NEW_RECORD).write_bytes(record.encode())
            os.replace(self.path / _NEW_RECORD, self.path / _RECORD)
        except OSError as error:
            raise full_or(error, str(self.path)) from error

    def read_keys(self, certain: Bookmark) -> Keys:
        """The keys of writes at that entry, as far as they were written with it; else all up to it are forgotten."""
        try:
            return open_keys(certain, (self.path / _KEYS).read_bytes())
        except (FileNotFoundError, Corrupt):
            return Keys(certain.sequence)

    def write_keys(self, certain: Bookmark, keys: Keys) -> None:
        """Keeps the keys for a record that has this place; raises `StorageFull` or OSError."""
        try:
            (self.path / _KEYS).write_bytes(seal_keys(certain, keys))
        except OSError as error:
            raise full_or(error, str(self.path)) from error

    @property
    def spool(self) -> Path:
        """The folder of files on their way in or out of the copy."""
        return self.path / _SPOOL

    def forget(self) -> None:
        """From now on no generation can begin with what is in the directory."""
        (self.path / _RECORD).unlink(missing_ok=True)

    def folders(self) -> list[Path]:
        """The folders of generations, oldest first."""
        return sorted(self.path.glob(f"{_FOLDER}{'[0-9]' * _FOLDER_DIGITS}"))

    def next_folder(self) -> Path:
        """Makes a folder with a number above all there are."""
        folders = self.folders()
        number = int(folders[-1].name.removeprefix(_FOLDER)) + 1 if folders else 1
        folder = self.folder(number)
        folder.mkdir()
        return folder

    def folder(self, number: int) -> Path:
        """The folder of a generation, the first of which has number 1."""
        return self.path / f"{_FOLDER}{number:0{_FOLDER_DIGITS}}"

    def _read_id(self) -> str:
        text = os.pread(self._lock, 2 * _ID_BYTES, 0).decode("ascii", "replace")
        if len(text) == 2 * _ID_BYTES and set(text) <= set("0123456789abcdef"):
            return text
        text = secrets.token_hex(_ID_BYTES)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, text.encode(), 0)
        return text


def seal_keys(certain: Bookmark, keys: Keys) -> bytes:
    """The keys at that entry, as a file has them."""
    body = str(certain).encode() + keys.encode()
    return blake2b(body, digest_size=_CHECK_BYTES).digest() + body


def open_keys(certain: Bookmark, data: bytes) -> Keys:
    """The keys in these bytes; raises `Corrupt` if they are damaged, or those of another entry.

    There is a checksum because nothing else would show that a key or an outcome changed.
    """
    check, body = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
    place = str(certain).encode()
    if check != blake2b(body, digest_size=_CHECK_BYTES).digest() or not body.startswith(place):
        raise Corrupt("a copy's keys", str(certain), "they are damaged, or those of another entry")
    return Keys.decode(body[len(place) :], certain.sequence)


def _names(path: Path, descriptor: int) -> bool:
    """Whether the file of this name is the one of this descriptor: it may have been removed meanwhile."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

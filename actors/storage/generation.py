"""A copy's directory on disk: whose it is, what its database file certainly holds, and one folder a process.

    lock                     held by `flock` while a process uses the directory; its text is the directory's id
    record                   what the database file holds, and in which boot of the machine that was true
    generation-00000007/     database, database-wal, database-shm of the process that uses it now
    transfers/               whole databases on their way in or out; emptied at a start

SQLite believes every whole transaction that it finds in a `-wal`, confirmed or not. So a process never opens what an
earlier one left there: it moves the database file alone into a folder of its own, which no name ever meant before.

Nothing here is synced. The files are a cache: after a reboot the record does not count, and within one boot the
system's page cache keeps what a process wrote before it died.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Final, Self

import msgspec

from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.image import EMPTY, PAGE_SIZE
from raylite.actors.storage.wal_medium import full_or
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import BookmarkError, Corrupt, Unreachable

DATABASE: Final = "database"
_LOCK: Final = "lock"
_RECORD: Final = "record"
_NEW_RECORD: Final = "record.new"
_FOLDER: Final = "generation-"
_SPOOL: Final = "transfers"
_FOLDER_DIGITS: Final = 8
_FRESH: Final = ".fresh-"
_ID_BYTES: Final = 16
_RECORD_VERSION: Final = 1
_COUNT_AT: Final = 28


def current_boot() -> str:
    """The id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class Record(msgspec.Struct, frozen=True):
    """What a database file holds.

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
        return msgspec.json.encode(
            _Stored(_RECORD_VERSION, self.database_id, self.boot, str(self.certain), goal)
        )

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
        return cls(stored.database_id, stored.boot, certain, goal)


class _Stored(msgspec.Struct, frozen=True):
    version: int
    database_id: str
    boot: str
    certain: str
    goal: str


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
        folder = self.path / f"{_FOLDER}{number:0{_FOLDER_DIGITS}}"
        folder.mkdir()
        return folder

    def _read_id(self) -> str:
        text = os.pread(self._lock, 2 * _ID_BYTES, 0).decode("ascii", "replace")
        if len(text) == 2 * _ID_BYTES and set(text) <= set("0123456789abcdef"):
            return text
        text = secrets.token_hex(_ID_BYTES)
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, text.encode(), 0)
        return text


class Generation:
    """One process's folder with the database file, which nothing else has open at first.

    doubt: why the file was made anew, empty, at the database's origin; "" if it was carried over or never was.
    """

    def __init__(self, directory: Directory, path: Path, record: Record, doubt: str) -> None:
        self.directory, self.path, self.record, self.doubt = directory, path, record, doubt
        self.database = path / DATABASE
        self._forgotten = False

    @classmethod
    def begin(cls, directory: Directory, database_id: str) -> Generation:
        """A generation with the file that the one before left, if its record vouches for it, else an empty one.

        If the record has a goal the file may hold parts of entries: see `Record`.
        """
        try:
            record, database = _examine(directory, database_id)
        except Corrupt as error:
            return cls.anew(directory, database_id, str(error))
        if record is None:
            return cls.anew(directory, database_id, "")
        folder = directory.next_folder()
        os.replace(database, folder / DATABASE)
        _remove_all_but(directory, folder)
        generation = cls(directory, folder, record, "")
        if record.goal:
            generation._lengthen()
        return generation

    @classmethod
    def anew(cls, directory: Directory, database_id: str, doubt: str) -> Generation:
        """A generation with an empty file at the database's origin; what was there before is removed."""
        directory.forget()
        folder = directory.next_folder()
        _remove_all_but(directory, folder)
        try:
            (folder / DATABASE).write_bytes(EMPTY)
        except OSError as error:
            raise full_or(error, str(folder)) from error
        record = Record(database_id, directory.boot, origin(database_id))
        directory.write_record(record)
        return cls(directory, folder, record, doubt)

    @property
    def certain(self) -> Bookmark:
        """The entry that the file is certainly at."""
        return self.record.certain

    @property
    def goal(self) -> Bookmark | None:
        """The entry up to which parts may be in the file."""
        return self.record.goal

    def set_goal(self, goal: Bookmark) -> None:
        """To be called before anything of the entries up to `goal`, all confirmed, is written to the file.

        Raises `Corrupt` if the file may hold parts beyond it already.
        """
        if self.record.goal and self.record.goal.sequence > goal.sequence:
            raise Corrupt("a copy's file", str(self.record.goal), f"it may hold entries beyond {goal}")
        if goal != self.record.goal and goal.digest != self.record.certain.digest:
            self._replace(msgspec.structs.replace(self.record, goal=goal))

    def set_certain(self, certain: Bookmark) -> None:
        """To be called when the file holds all up to `certain` and nothing more."""
        if self.record.goal or certain != self.record.certain:
            self._replace(msgspec.structs.replace(self.record, certain=certain, goal=None))

    def forget(self) -> None:
        """Makes the next generation begin with an empty file. Any thread may call it."""
        self._forgotten = True
        self.directory.forget()

    def _replace(self, record: Record) -> None:
        self.directory.write_record(record)
        self.record = record
        if self._forgotten:  # by another thread meanwhile
            self.directory.forget()

    def _lengthen(self) -> None:
        """SQLite opens no file that is shorter than page 1 says; pages that are missing come with the goal."""
        with self.database.open("r+b") as file:
            head = file.read(_COUNT_AT + 4)
            size = int.from_bytes(head[_COUNT_AT:]) * PAGE_SIZE
            if os.fstat(file.fileno()).st_size < size:
                file.truncate(size)


def _examine(directory: Directory, database_id: str) -> tuple[Record | None, Path]:
    """The record and the database file that it vouches for; no record: no file counts. Raises `Corrupt`."""
    record = directory.read_record()
    if record is None:
        return None, directory.path
    if record.database_id != database_id or record.boot != directory.boot:
        raise Corrupt("a copy", str(directory.path), "it is of another database or of another boot")
    found = [folder / DATABASE for folder in directory.folders() if (folder / DATABASE).exists()]
    if len(found) != 1:
        raise Corrupt("a copy", str(directory.path), f"it has {len(found)} database files")
    size = found[0].stat().st_size
    if not size or size % PAGE_SIZE:
        raise Corrupt("a copy", str(found[0]), f"{size} bytes are not whole pages")
    return record, found[0]


def _remove_all_but(directory: Directory, kept: Path) -> None:
    for folder in directory.folders():
        if folder != kept:
            shutil.rmtree(folder)


def _names(path: Path, descriptor: int) -> bool:
    """Whether the file of this name is the one of this descriptor: it may have been removed meanwhile."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)

"""A copy's directory on disk: whose it is, what its database file certainly holds, and one folder a process.

    lock                     held by `flock` while a process uses the directory; its text is the directory's id
    record                   what the database file holds, and in which boot of the machine that was true
    generation-00000007/     database, database-wal, database-shm of the process that uses it now
    keys                     a primary's: which writes it made lately (see `Keys`), and at which entry that was so
    transfers/               whole databases on their way in or out; emptied at a start

SQLite believes every whole transaction that it finds in a `-wal`, confirmed or not. So a process never opens what an
earlier one left there: it moves the database file alone into a folder of its own, which no name ever meant before.

Nothing here is synced. The files are a cache: after a reboot the record does not count, and within one boot the
system's page cache keeps what a process wrote before it died.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from raylite.actors.core.keys import Keys
from raylite.actors.storage.directory import DATABASE, Directory, Record
from raylite.actors.storage.image import EMPTY, PAGE_SIZE
from raylite.actors.storage.wal_medium import full_or
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt, Unreachable

_COUNT_AT: Final = 28


class Generation:
    """One process's folder with the database file, which nothing else has open at first.

    doubt: why the file was made anew, empty, at the database's origin; "" if it was carried over or never was.
    keys: those of writes at the entry that the file is certainly at; a primary and its replay keep them there.
    """

    def __init__(self, directory: Directory, path: Path, record: Record, doubt: str) -> None:
        self.directory, self.path, self.record, self.doubt = directory, path, record, doubt
        self.database = path / DATABASE
        self.keys = directory.read_keys(record.certain)
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
            try:
                generation._lengthen()
            except OSError as error:
                return cls.anew(directory, database_id, f"the size in its first page cannot be: {error}")
        return generation

    @classmethod
    def anew(cls, directory: Directory, database_id: str, doubt: str) -> Generation:
        """A generation with an empty file at the database's origin; what was there before is removed."""

        def write(path: Path) -> None:
            try:
                path.write_bytes(EMPTY)
            except OSError as error:
                raise full_or(error, str(path)) from error

        return cls._made(directory, Record(database_id, directory.boot, origin(database_id)), write, doubt)

    @classmethod
    def seed(cls, path: Path, database_id: str, certain: Bookmark, write: Callable[[Path], None]) -> None:
        """Has the directory at `path` hold a file that `write` makes, which is at that entry, for whoever claims it.

        Raises `Unreachable` if a process uses the directory, and what `write` raises; then it holds nothing.
        """
        directory = Directory.claim(path, 0)
        try:
            cls._made(directory, Record(database_id, directory.boot, certain), write, "")
        finally:
            directory.release()

    @staticmethod
    def unseed(path: Path) -> None:
        """Removes what `seed` laid there, unless somebody has taken it, or does now."""
        if not path.is_dir():
            return
        try:
            directory = Directory.claim(path, 0)
        except Unreachable:
            return
        try:
            if directory.folders() == [directory.folder(1)]:
                shutil.rmtree(path)
        finally:
            directory.release()

    @classmethod
    def _made(
        cls, directory: Directory, record: Record, write: Callable[[Path], None], doubt: str
    ) -> Generation:
        directory.forget()
        folder = directory.next_folder()
        _remove_all_but(directory, folder)
        write(folder / DATABASE)
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

    def set_certain(self, certain: Bookmark, keys: Keys | None = None) -> None:
        """To be called when the file holds all up to `certain` and nothing more. keys: there, if they are known."""
        if keys is not None:
            self.directory.write_keys(certain, keys)
            self.keys = keys
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

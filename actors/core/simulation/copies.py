"""The files of a primary and of a replica: what of them outlives a process, and what SQLite would show of them.

A database file has a record beside it: the entry that it is certainly at, and while it is written to, the entry up to
which parts may be in it. A `-wal` dies with its process: nobody opens what an earlier one left.
"""

from __future__ import annotations

import msgspec

from raylite.actors.core.keys import Keys
from raylite.actors.core.piece import Piece
from raylite.actors.core.simulation.entries import State, changes
from raylite.policies.bookmark import Bookmark


class DatabaseFile:
    """A database file and its record; both outlive the process that writes them.

    keys: of writes, at the entry that it is certainly at; a primary's alone.
    """

    def __init__(self, start: Bookmark, keys: Keys | None = None) -> None:
        self.origin, self._first_keys = start, keys or Keys()
        self.keys = self._first_keys
        self.pages: State = {}
        self.certain = start
        self.goal: Bookmark | None = None

    def anew(self) -> None:
        """Starts with an empty file."""
        self.pages, self.certain, self.goal = {}, self.origin, None
        self.keys = self._first_keys

    def write(self, encoded: bytes) -> None:
        """Puts a piece's pages into the file."""
        self.pages.update(changes(encoded))

    def put(self, pages: State) -> None:
        """Copies pages into the file."""
        self.pages.update(pages)

    def reach(self, place: Bookmark, keys: Keys | None = None) -> None:
        """The file holds everything up to `place` and nothing more. keys: there, if they are known."""
        self.certain, self.goal = place, None
        self.keys = keys or self.keys


class Frame(msgspec.Struct, frozen=True):
    """One piece in a WAL."""

    place: Bookmark
    pages: State


class ReplicaFile:
    """A replica's copy as one process uses it: a database file, a WAL, and how much of the WAL is shown."""

    def __init__(self, database: DatabaseFile, left_over: list[Frame]) -> None:
        self.database = database
        self.goal = database.goal
        self.mark = database.certain
        self.view: State = dict(database.pages)
        self.wal: list[Frame] = []
        self._shown = 0
        self.start(left_over)

    def start(self, left_over: list[Frame]) -> None:
        """What an earlier process left in its WAL is not opened."""

    @property
    def ready(self) -> bool:
        """Whether readers may use the copy: not before what an earlier process left half done is whole again."""
        return self.goal is None

    def append(self, piece: Piece, encoded: bytes) -> None:
        """Puts a piece behind the tail; nobody sees it."""
        self.wal.append(Frame(piece.place, dict(changes(encoded))))

    def cut(self, place: Bookmark) -> None:
        """Takes back what lies behind `place`."""
        while len(self.wal) > self._shown and self.wal[-1].place != place:
            self.wal.pop()

    def publish(self, place: Bookmark) -> None:
        """Shows everything up to `place`."""
        while self._shown < len(self.wal):
            frame = self.wal[self._shown]
            self._shown += 1
            self.view.update(frame.pages)
            if self.goal is not None and frame.place.sequence >= self.goal.sequence:
                self.goal = None
            if frame.place == place:
                break
        self.mark = place

    def begin_checkpoint(self) -> None:
        """Copies a part of what is shown into the database file."""
        self.database.goal = self.mark
        pages = sorted(self.view)
        self.database.put({page: self.view[page] for page in pages[: len(pages) // 2]})

    def end_checkpoint(self) -> None:
        """Copies the rest; the WAL begins anew with what waits."""
        self.database.put(self.view)
        self.database.reach(self.mark)
        del self.wal[: self._shown]
        self._shown = 0

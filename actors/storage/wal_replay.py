"""Brings a database file that nobody has open to a confirmed entry, without a WAL: for a primary that starts."""

from __future__ import annotations

import os
from typing import Self

from raylite.actors.core.piece import decode_pages, describe, note_of
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.wal_medium import write_all
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt


class Replay:
    """Pages go straight into the database file; SQLite must not have it open. A context manager.

    The record's goal is set on entering and its certain place on leaving, if all went well and `place` is reached.
    """

    def __init__(self, generation: Generation, place: Bookmark) -> None:
        self.place, self.reached = place, generation.certain
        self._generation = generation
        self._old_goal = generation.goal
        self._keys = generation.keys.copy()
        self._whole = True
        self._fd = -1

    def __enter__(self) -> Self:
        self._generation.set_goal(self.place)
        self._fd = os.open(self._generation.database, os.O_RDWR | os.O_CLOEXEC)
        return self

    def write(self, encoded: bytes | memoryview) -> Bookmark:
        """Writes the next piece; returns its place. Raises `Corrupt` if it cannot be the next, `StorageFull`."""
        piece = describe(self.reached, encoded)
        header, pages = decode_pages(encoded)
        if self.reached == self.place or (pages.numbers and header.page_size != PAGE_SIZE):
            raise Corrupt(
                "a replay", str(piece.place), f"page size {header.page_size}, the end is {self.place}"
            )
        for number, content in zip(pages.numbers, pages.contents, strict=True):
            write_all(self._fd, content, (number - 1) * PAGE_SIZE, str(self._generation.database))
        if header.last and header.database_pages:
            os.ftruncate(self._fd, header.database_pages * PAGE_SIZE)
        self._keys.add(piece.place.sequence, note_of(header))
        self._advance(piece.place, whole=piece.last)
        return piece.place

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        os.close(self._fd)
        if kind is not None:
            return
        if self.reached.digest != self.place.digest or not self._whole or self._old_goal:
            raise Corrupt("a replay", str(self.reached), f"it did not pass {self._old_goal or self.place}")
        self._generation.set_certain(self.place, self._keys)

    def _advance(self, place: Bookmark, *, whole: bool) -> None:
        self.reached, self._whole = place, whole
        if whole and self._old_goal and self._old_goal.digest == place.digest:
            self._old_goal = None

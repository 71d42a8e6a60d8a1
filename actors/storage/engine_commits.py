"""A writer's commits on their way out: SQLite tells of each in a hook, where nothing may be done about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import apsw

T = TypeVar("T")
OnCommit = Callable[[int, T | None], None]
"""Takes a commit: frames in the WAL up to it, and what the query that made it did, if that is known."""


class Commits(Generic[T]):
    """What SQLite has committed and `on_commit` has not taken yet.

    broken: `on_commit` has raised, so a commit is lost to it. noted: called with the frames of each commit first.
    """

    def __init__(self, noted: Callable[[int], None], on_commit: OnCommit[T] | None) -> None:
        self.broken = False
        self._noted, self._on_commit = noted, on_commit
        self._told: int | None = None
        self._held: int | None = None
        self._holds = False

    @property
    def lost(self) -> bool:
        """Whether there is a commit, between two queries, that was not handed on: nothing may follow it."""
        return self.broken or self._held is not None

    def hook(self, _connection: apsw.Connection, _database: str, frames: int) -> int:
        """SQLite's WAL hook."""
        self._told = frames
        return apsw.SQLITE_OK

    def hold(self, holds: bool) -> None:
        """Whether the query that begins holds its commit, of which it makes one at most, until `release`."""
        self._holds = holds

    def settle(self) -> bool:
        """Hands on what the hook was told, unless it is held; whether there was anything."""
        frames, self._told = self._told, None
        if frames is None:
            return False
        self._noted(frames)
        if self._holds:
            self._held = frames
        else:
            self._hand_on(frames, None)
        return True

    def release(self, done: T) -> None:
        """The query is over and has done this: hands on what was held."""
        frames, self._held, self._holds = self._held, None, False
        if frames is not None:
            self._hand_on(frames, done)

    def _hand_on(self, frames: int, done: T | None) -> None:
        if self._on_commit is not None:
            self.broken = True
            self._on_commit(frames, done)
            self.broken = False

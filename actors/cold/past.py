"""Databases as they once were, as files in a node's cache, to be read."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.restore import restore
from raylite.actors.storage.engine import Engine, Execution
from raylite.actors.storage.files import Files
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import BookmarkError
from raylite.policies.limits import COLD_CACHE_BYTES, COLD_LEFTOVER_SECONDS
from raylite.policies.query import Query

_SUFFIX: Final = ".database"
_MAKING: Final = ".making"


class Past:
    """One directory of such files. Any number of processes may share it. clock: seconds since 1970, of this machine.

    A file is a whole database that never changes: open it read-only and as immutable. It may be removed at any time
    once another one is asked for; who has it open can go on.
    """

    def __init__(
        self, directory: Path, files: Files, clock: Callable[[], float], limit: int = COLD_CACHE_BYTES
    ) -> None:
        self._directory, self._files, self._clock, self._limit = directory, files, clock, limit
        files.make_directory(directory)

    def file(self, archive: Archive, goal: Bookmark) -> Path:
        """The file of the archive's database at `goal`, built if need be; raises what `restore` raises."""
        if goal.history != origin(archive.database_id).history:
            raise BookmarkError(str(goal), "is of another database")
        path = self._directory / f"{archive.database_id}.{goal}{_SUFFIX}"
        if not self._use(path):
            self._build(archive, goal, path)
            self._evict(path)
        return path

    def _use(self, path: Path) -> bool:
        try:
            os.utime(path, (self._clock(), self._clock()))
        except FileNotFoundError:
            return False
        return True

    def _build(self, archive: Archive, goal: Bookmark, path: Path) -> None:
        making = path.with_name(f"{path.stem}.{secrets.token_hex(4)}{_MAKING}")
        with contextlib.ExitStack() as undo:
            undo.callback(self._discard, making)
            restore(archive, goal, self._files, making)
            self._files.rename(making, path)
            undo.pop_all()
        self._use(path)

    def _discard(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            self._files.unlink(path)

    def _evict(self, kept: Path) -> None:
        """Removes files that were not used for longest until the rest is small enough, and what was left half made."""
        found: list[tuple[float, Path, int]] = []
        for path in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if path.suffix == _SUFFIX:
                    found.append((status.st_mtime, path, status.st_size))
                elif path.suffix == _MAKING and status.st_mtime < self._clock() - COLD_LEFTOVER_SECONDS:
                    path.unlink()
        size = sum(one for _, _, one in found)
        for _, path, one in sorted(found):
            if size <= self._limit:
                return
            if path != kept:
                path.unlink(missing_ok=True)
                size -= one


def execute(path: Path, query: Query, seconds: float) -> Execution:
    """What a query finds in such a file."""
    with contextlib.closing(Engine.past(path)) as engine:
        return engine.execute(query, seconds)

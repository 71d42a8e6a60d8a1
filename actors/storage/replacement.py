"""A restore in place, as a job of the database's thread."""

from __future__ import annotations

from pathlib import Path

from raylite.actors.storage.primary_file import PrimaryFile, Ran
from raylite.policies.errors import Error


class Replacement:
    """Makes a database what the whole file at `path` holds. undo: afterwards, text of the entry before it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.undo = ""

    def run(self, file: PrimaryFile, _seconds: float, refusal: Error | None) -> Ran:
        """The work; raises the refusal, if there is one, or what `Engine.replace` raises. Nothing is changed then."""
        if refusal is not None:
            raise refusal
        before, ran = file.replace(self._path)
        self.undo = str(before)
        return ran

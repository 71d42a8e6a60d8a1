"""Carries out what a replica's core wants of its file, on the thread that writes it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from raylite.actors.core import replica as core
from raylite.actors.storage.replica_file import ReplicaFile
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import StorageFull

Change = core.Write | core.CutTo | core.Publish


class Applier:
    """The way of changes into one file. `apply` and `take_back` belong to the file's thread.

    Once something did not fit nothing that follows it is applied, until `resume`.
    """

    def __init__(self, file: ReplicaFile) -> None:
        self._file = file
        self._overflown = threading.Event()

    def apply(self, changes: Sequence[Change]) -> None:
        """Carries these out in order; raises `StorageFull` at the first for which there is no room, or `Corrupt`."""
        if self._overflown.is_set():
            raise StorageFull(str(self._file.database), "it follows what did not fit")
        try:
            for change in changes:
                self._apply(change)
        except StorageFull:
            self._overflown.set()
            raise

    def take_back(self) -> Bookmark:
        """Forgets what readers do not see yet; returns what they see. Raises `Corrupt`."""
        self._file.cut(self._file.published)
        return self._file.published

    def resume(self) -> None:
        """What comes from now on follows what readers see."""
        self._overflown.clear()

    def _apply(self, change: Change) -> None:
        match change:
            case core.Write():
                self._file.append(change.pieces, change.encoded)
            case core.CutTo():
                self._file.cut(change.place)
            case core.Publish():
                self._file.publish(change.place)

"""Removes what is older than the retention and no longer needed, in an order that may be cut anywhere.

Everything is judged by the age of objects in the store's own clock. Only what lies below a snapshot that was just read
whole, and from which the log leads to its end, is removed: first manifests, then, once pins and manifests of forks
have been read, segments and chunks. A chunk that no manifest names stays for `COLD_GRACE_SECONDS`, longer than any
run that could be about to name it may take.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from raylite.actors.cold import names
from raylite.actors.cold.archive import Archive, Held
from raylite.actors.cold.chain import Segments
from raylite.actors.cold.manifest import Manifest, read_manifest
from raylite.actors.cold.names import Reach, SegmentName, SnapshotName
from raylite.actors.cold.needs import needed_objects
from raylite.actors.cold.snapshot import read_chunk
from raylite.actors.cold.store import Object
from raylite.policies.errors import Corrupt, ParameterError
from raylite.policies.limits import COLD_CLOCK_SECONDS, COLD_GRACE_SECONDS, COLD_RETENTION_SECONDS

Clock = Callable[[], float]


class Swept(msgspec.Struct, frozen=True):
    """What a sweep did. kept_from: name of the snapshot below which it removed, "" if there is none old enough.

    problem: why it stopped, in words, "" if all is well; damaged: objects that it found damaged.
    """

    snapshots: int = 0
    segments: int = 0
    chunks: int = 0
    kept_from: str = ""
    problem: str = ""
    damaged: tuple[str, ...] = ()


class Retention:
    """Sweeps one database's archive. seconds: how long every entry can be restored; clock: seconds since 1970."""

    def __init__(self, archive: Archive, clock: Clock, seconds: float = COLD_RETENTION_SECONDS) -> None:
        if seconds < COLD_GRACE_SECONDS:
            least = COLD_GRACE_SECONDS / 3600
            raise ParameterError(f"a retention of {seconds / 3600:g} hours is shorter than {least:g}")
        self._archive, self._clock, self._seconds = archive, clock, seconds
        self._store = archive.store
        self._checked: SnapshotName | None = None

    def sweep(self) -> Swept:
        """Removes what may go. Cut anywhere, everything that is kept can be restored, and the next sweep goes on.

        Raises what the store raises.
        """
        now = self._store.now()
        apart = now - self._clock()
        if abs(apart) > COLD_CLOCK_SECONDS:
            return Swept(
                problem=f"the clock of cold storage {self._store.address} is {apart:+.0f} s from ours: nothing is "
                "removed until they agree"
            )
        try:
            held = self._archive.held()
            base = self._base(held, now - self._seconds) if held else None
            if base is not None and base.state.name != self._checked and self._has_below(base):
                check_snapshot(self._archive, base)
                self._checked = base.state.name
        except Corrupt as error:
            return Swept(problem=str(error), damaged=(error.where,))
        if held is not None and held.problems:
            return Swept(problem="; ".join(held.problems))
        return self._remove(base, now)

    def _base(self, held: Held | None, horizon: float) -> Manifest | None:
        """The newest snapshot that is old enough and leads to the end of the log."""
        for name, one in reversed(self._archive.snapshots()):
            if held is None or one.modified > horizon:
                continue
            listed = [segment for segment, _ in self._archive.segments(name.bookmark)]
            segments = Segments(listed, self._archive.reader.contents)
            if segments.lead(name.bookmark, held.newest.bookmark) is not None:
                return read_manifest(self._store, name)
        return None

    def _has_below(self, base: Manifest) -> bool:
        """Whether there is anything below it, so that it must be known to be whole."""
        return any(_is_below(name, base.reach) for name, _ in self._archive.snapshots()) or any(
            _is_below(name, base.reach) for name, _ in self._archive.segments()
        )

    def _remove(self, base: Manifest | None, now: float) -> Swept:
        horizon = now - self._seconds
        below = 0
        if base is not None:
            for name, one in self._archive.snapshots():
                if _is_below(name, base.reach) and one.modified <= horizon:
                    self._store.delete(one.name)
                    below += 1
        kept_from = str(base.state.name) if base else ""
        try:
            needed = needed_objects(self._store, self._archive.database_id, now)
        except Corrupt as error:
            return Swept(below, kept_from=kept_from, problem=str(error), damaged=(error.where,))
        if needed is None:
            return Swept(below, kept_from=kept_from)
        segments = self._remove_all(self._old_segments(base, horizon), needed)
        chunks = self._remove_all(self._old_chunks(now), needed)
        return Swept(below, segments, chunks, kept_from)

    def _remove_all(self, objects: list[Object], needed: set[str]) -> int:
        unneeded = [one for one in objects if one.name not in needed]
        for one in unneeded:
            self._store.delete(one.name)
        return len(unneeded)

    def _old_segments(self, base: Manifest | None, horizon: float) -> list[Object]:
        """Segments that no snapshot goes on with: those below all snapshots, also a young one of an old entry."""
        if base is None:
            return []
        floor = min(base.reach, *(name.reach for name, _ in self._archive.snapshots()))
        listed = self._archive.segments()
        return [one for name, one in listed if _is_below(name, floor) and one.modified <= horizon]

    def _old_chunks(self, now: float) -> list[Object]:
        listed = self._store.list(names.chunk_folder(self._archive.database_id))
        return [one for one in listed if one.modified <= now - COLD_GRACE_SECONDS]


def check_snapshot(archive: Archive, manifest: Manifest) -> None:
    """Reads all that a snapshot needs; raises `Corrupt` that names the first object which is damaged or gone."""
    for chunk in manifest.chunks:
        read_chunk(archive.store, chunk)
    for tail in manifest.tails:
        for name in tail.segments:
            archive.reader.verified(SegmentName.parse(name))


def _is_below(name: SnapshotName | SegmentName, reach: Reach) -> bool:
    """Whether nothing of it lies beyond that reach; a snapshot at it is not below it."""
    return name.reach < reach if isinstance(name, SnapshotName) else name.reach <= reach

"""One database's archive: what cold storage holds of it, and what is read to have it at some entry again.

The archive begins with a snapshot, that of the database before its first entry or of its parent. Segments and further
snapshots come after that. It never believes a listing alone: what counts is what the running digest leads to.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from raylite.actors.cold import names
from raylite.actors.cold.chain import Chain, Segments, Step
from raylite.actors.cold.manifest import Manifest, read_manifest
from raylite.actors.cold.names import SegmentName, SnapshotName
from raylite.actors.cold.segment import Entry, cut
from raylite.actors.cold.segment_reader import SegmentReader
from raylite.actors.cold.snapshot import EmptySource, PageSource, Run, write_snapshot
from raylite.actors.cold.store import Object, Store
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import BookmarkError, Corrupt
from raylite.policies.limits import COLD_LOG_LEAST_BYTES, COLD_LOG_SEGMENTS


class Moment(msgspec.Struct, frozen=True):
    """A whole entry and the time in it, microseconds since 1970."""

    bookmark: Bookmark
    time_us: int


class Held(msgspec.Struct, frozen=True):
    """What cold storage holds of a database: everything up to `newest`, from the snapshot `manifest` on.

    chain: the log behind that snapshot; log_bytes: objects that a restore reads besides chunks; problems: in words.
    """

    newest: Moment
    manifest: Manifest
    chain: Chain
    log_bytes: int
    problems: tuple[str, ...] = ()

    def wants_snapshot(
        self, least_bytes: int = COLD_LOG_LEAST_BYTES, most_segments: int = COLD_LOG_SEGMENTS
    ) -> bool:
        """Whether it is time for a new one: the log behind the last is longer than the database, or in many parts."""
        segments = len(self.chain.steps) + sum(len(one.segments) for one in self.manifest.tails)
        return segments > most_segments or self.log_bytes > max(self.manifest.chunk_bytes, least_bytes)


class Plan(msgspec.Struct, frozen=True):
    """What makes the database at `goal`: a snapshot, and a chain from there that ends at it."""

    goal: Bookmark
    manifest: Manifest
    chain: Chain


class Archive:
    """The archive of one database. For one thread at a time; any number of processes may have one."""

    def __init__(self, store: Store, database_id: str) -> None:
        """Raises `ParameterError` if the id cannot be a part of a name."""
        self.store, self.database_id = store, database_id
        self.reader = SegmentReader(store)
        names.folder(database_id)

    # Writing

    def found(self, run: Run) -> Manifest:
        """The snapshot that the archive of a database that is no fork begins with, held; the same at each call."""
        return write_snapshot(self.store, EmptySource(self.database_id), None, run)

    def upload(self, after: Bookmark, pieces: Sequence[bytes]) -> SegmentName:
        """The segment of these confirmed pieces behind `after`, held: written, durable, and read back whole.

        `after` is a place that is held already. Raises what the store raises, and `Corrupt` if the pieces do not
        follow `after` or what is there under that name is damaged; the next attempt may cut elsewhere.
        """
        segment = cut(self.database_id, after, pieces)
        self.store.put(str(segment.name), segment.data)
        self.reader.verified(segment.name)
        return segment.name

    def snapshot(self, source: PageSource, run: Run, damaged: Collection[str] = ()) -> Manifest:
        """The snapshot of `source`, held. damaged: chunks that must not be taken over, but written anew.

        Raises `BookmarkError` unless the archive's log leads to that entry: a snapshot ahead of the log would leave
        a gap behind it.
        """
        newest = next(self._manifests((), {}), None)
        self.plan(source.state.bookmark, damaged)
        return write_snapshot(self.store, source, newest, run, damaged)

    # Reading

    def snapshots(self) -> list[tuple[SnapshotName, Object]]:
        """All snapshots, ascending. Objects with other names are left out."""
        found = self.store.list(names.snapshot_folder(self.database_id))
        return [(name, one) for one in found if (name := _parsed_snapshot(one.name))]

    def segments(self, since: Bookmark | None = None) -> list[tuple[SegmentName, Object]]:
        """All segments that end at or behind that entry. Objects with other names are left out."""
        folder = names.log_folder(self.database_id)
        after = f"{folder}/{names.from_sequence(since)}" if since else ""
        return [(name, one) for one in self.store.list(folder, after) if (name := _parsed_segment(one.name))]

    def held(self) -> Held | None:
        """What is held; None if the archive was never begun.

        The last segment is read whole: whoever wrote it may have ended before reading it back, whoever went on from
        it had read it. Damaged objects are left out and named among the problems. Raises `Corrupt` if there are
        snapshots but none can be read, so nobody takes damage for an empty archive.
        """
        damaged: dict[str, str] = {}
        while True:
            try:
                return self._verified(damaged)
            except Corrupt as error:
                if error.where in damaged or _parsed_segment(error.where) is None:
                    raise
                damaged[error.where] = str(error)

    def plan(self, goal: Bookmark, without: Collection[str] = ()) -> Plan:
        """What to read to have the database at `goal`, a whole entry; nothing of what `without` names.

        Raises `BookmarkError` if the archive does not lead there, `Corrupt` if it only does by way of `without`.
        """
        if goal.history != origin(self.database_id).history:
            raise BookmarkError(str(goal), "is of another database")
        problems: dict[str, str] = {}
        for manifest in self._manifests(without, problems, goal):
            if chain := self.lead(manifest.state.bookmark, goal, without):
                return Plan(goal, manifest, chain)
        if problems or without:
            reason = "; ".join(problems.values()) or "no other objects lead there"
            raise Corrupt("cold storage", f"the way to {goal}", reason)
        raise BookmarkError(str(goal), "is not in what cold storage keeps of this database")

    def last_whole(self, steps: Sequence[Step], until_us: int | None = None) -> Entry | None:
        """The last entry in these steps that is whole, its time at most `until_us`; None if there is none."""
        for step in reversed(steps):
            contents = self.reader.contents(step.segment)
            first, end = contents.index(step.after), contents.index(step.last)
            for entry in reversed(contents.entries[first:end]):
                if entry.last and (until_us is None or entry.time_us <= until_us):
                    return entry
        return None

    def _verified(self, damaged: dict[str, str]) -> Held | None:
        found = self._best(damaged)
        if found and found.chain.steps:
            self.reader.verified(found.chain.steps[-1].segment)
        return found

    def _best(self, damaged: dict[str, str]) -> Held | None:
        """What is held by the snapshot whose log reaches farthest; the newest, if all is well."""
        best: Held | None = None
        problems = dict(damaged)
        reach = (0, 0, False)
        for manifest in self._manifests(damaged, problems):
            listed = self.segments(manifest.state.bookmark)
            segments = Segments([one for one, _ in listed if str(one) not in damaged], self.reader.contents)
            chain = segments.follow(manifest.state.bookmark)
            problems.update({str(name): text for name, text in segments.damaged.items()})
            reach = max(reach, segments.reach)
            if best is None or chain.reach > best.chain.reach:
                best = self._held(manifest, chain, {str(name): one.size for name, one in listed})
            if best.chain.reach >= reach:
                return msgspec.structs.replace(best, problems=tuple(problems.values()))
        if best is None:
            if problems:
                raise Corrupt("cold storage", names.folder(self.database_id), "; ".join(problems.values()))
            return None
        gap = f"segments behind {best.chain.end} do not continue the log"
        return msgspec.structs.replace(best, problems=(*problems.values(), gap))

    def _held(self, manifest: Manifest, chain: Chain, sizes: dict[str, int]) -> Held:
        last = self.last_whole(chain.steps)
        state = manifest.state
        newest = Moment(last.place, last.time_us) if last else Moment(state.bookmark, state.time_us)
        size = sum(sizes[str(step.segment)] for step in chain.steps)
        return Held(newest, manifest, chain, size + manifest.tail_bytes)

    def _manifests(
        self, bad: Collection[str], problems: dict[str, str], until: Bookmark | None = None
    ) -> Iterator[Manifest]:
        """The manifests up to that entry that can be read and need nothing of `bad`, the newest first."""
        for name, _ in reversed(self.snapshots()):
            if until and name.reach > (until.epoch, until.sequence, True):
                continue
            try:
                manifest = read_manifest(self.store, name)
            except Corrupt as error:
                problems[str(name)] = str(error)
                continue
            if manifest.objects.isdisjoint(bad):
                yield manifest

    def lead(self, start: Bookmark, goal: Bookmark, bad: Collection[str] = ()) -> Chain | None:
        """The log that leads from the whole entry `start` to `goal`, with nothing of `bad`; None if none does."""
        listed = [name for name, _ in self.segments(start) if str(name) not in bad]
        chain = Segments(listed, self.reader.contents).lead(start, goal)
        if chain is None or not chain.steps:
            return chain
        last = self.last_whole(chain.steps[-1:])
        return chain if last and last.place.digest == goal.digest else None


def _parsed_segment(name: str) -> SegmentName | None:
    try:
        return SegmentName.parse(name)
    except Corrupt:
        return None


def _parsed_snapshot(name: str) -> SnapshotName | None:
    try:
        return SnapshotName.parse(name)
    except Corrupt:
        return None

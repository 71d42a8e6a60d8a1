"""A follower's journal: what it promised and stored, of all its databases, in one sequence of segments.

One thread writes and syncs; any thread reads. What `sync` has covered is found again by every later `open`, or its
loss is noticed: then the databases that it concerns are given up, and the others go on. After a write or a sync that
failed the journal is broken for good, and its process ends: only the next start can tell what the disk holds. A full
disk is no such failure: space is reserved before anything is written, so nothing is half done.
"""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path

from raylite.actors.storage import log_checkpoint
from raylite.actors.storage import log_segment as segments
from raylite.actors.storage.files import Files, RealFiles
from raylite.actors.storage.log_checkpoint import Checkpoint
from raylite.actors.storage.log_directory import Owner, claim
from raylite.actors.storage.log_records import (
    PLACE_BYTES,
    SALT_BYTES,
    SYNCED,
    Kind,
    Location,
    Record,
    decode_head,
    take_apart,
)
from raylite.actors.storage.log_recovery import Fresh, Recovery
from raylite.actors.storage.log_segment import FIRST, Header, OpenSegment
from raylite.actors.storage.log_state import Recovered
from raylite.policies.errors import Corrupt, StorageFailed, StorageFull
from raylite.policies.limits import DIRECTORY_LOCK_SECONDS, SEGMENT_BYTES

KEPT_SHARE = 64
SMALL_BYTES = 1024
"""The last of a segment's 64 parts takes only batches of at most so many bytes, if there is no next segment."""


def new_salt() -> bytes:
    """Bytes that no other segment has."""
    return secrets.token_bytes(SALT_BYTES)


class Journal:
    """An open journal. recovered: what it held at the start, by database id; all of it is durable.

    oldest: the first segment that there is; started_in: the one that was the newest at the start.
    """

    def __init__(
        self,
        files: Files,
        directory: Path,
        *,
        lock: int,
        recovery: Recovery,
        current: OpenSegment,
        segment_bytes: int,
        salt: Callable[[], bytes],
    ) -> None:
        self.recovered: dict[str, Recovered] = recovery.states
        self.oldest, self.started_in = min(recovery.salts), current.header.number
        self._files, self._directory, self._lock = files, directory, lock
        self._salts, self._current = recovery.salts, current
        self._segment_bytes, self._salt = segment_bytes, salt
        self._prepared = self._refused = False
        self._broken = ""

    @classmethod
    def open(
        cls,
        directory: Path,
        owner: Owner,
        files: Files | None = None,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        lock_seconds: float = DIRECTORY_LOCK_SECONDS,
        salt: Callable[[], bytes] = new_salt,
    ) -> Journal:
        """The journal in this directory, an empty one if there is none. Blocks while it reads all segments.

        Raises `Unreachable` if another process keeps the directory, `ForeignDirectory` if it is another follower's,
        `StorageFull` if not even what was not yet certainly synced can be stored again, `OSError` if the disk fails.
        """
        files = files or RealFiles()
        recovery = Recovery()
        with ExitStack() as undo:
            lock = claim(files, directory, owner, lock_seconds)
            undo.callback(files.close, lock)
            fresh = recovery.run(files, directory, segments.numbers(files, directory), salt())
            current = _start(files, directory, fresh, segment_bytes)
            undo.pop_all()
        return cls(
            files,
            directory,
            lock=lock,
            recovery=recovery,
            current=current,
            segment_bytes=segment_bytes,
            salt=salt,
        )

    @property
    def unsynced(self) -> bool:
        """Whether something was written that counts only once it is synced; a confirmed mark is not."""
        return self._current.unsynced

    @property
    def unmarked(self) -> bool:
        """Whether damage to what was synced last could still pass for a torn tail."""
        return self._current.unmarked

    @property
    def has_room(self) -> bool:
        """Whether what comes next has room: in this segment, or in a next one, as far as that was tried."""
        return not self._refused

    def write(self, records: Sequence[Record]) -> list[Location]:
        """Where each record is now, in order; durable after the next `sync`.

        Raises `StorageFull` with nothing written, and `StorageFailed` for good. On a full disk some place is kept for
        small records: promises and marks, with which databases can still be taken over and read.
        """
        if not records:
            return []
        parts = [take_apart(record) for record in records]
        size = sum(one.size for one in parts)
        kept = self._current.capacity // KEPT_SHARE if size > SMALL_BYTES else 0
        with self._or_broken("a write failed"):
            if not self._current.fits(size + kept):
                self._rotate(size)
            return self._current.append(parts)

    def sync(self) -> None:
        """All that was written is durable on return. Raises `StorageFailed`, for good."""
        with self._or_broken("a sync failed"):
            self._current.sync()

    def mark(self) -> None:
        """All that was written, but confirmed marks, is durable, and from now on damage to it is no torn tail."""
        with self._or_broken("a mark failed"):
            if self.unsynced:
                self._current.sync()  # a mark tells of what is synced before it, and has room for one only
            if self.unmarked:
                self._current.append([SYNCED])
                self._current.sync()

    def prepare(self) -> None:
        """Reserves the next segment if the current one is nearly full; cheap otherwise, and once that is done.

        `has_room` tells whether it worked; if not, this tries again at each call.
        """
        if not self._prepared and (self._nearly_full or self._refused):
            with self._or_broken("preallocation failed"):
                self._prepared = segments.prepare(self._files, self._directory, self._segment_bytes)
            self._refused = not self._prepared

    @property
    def _nearly_full(self) -> bool:
        return self._current.capacity - self._current.end < self._segment_bytes // 4

    def read(self, location: Location) -> bytes:
        """The bytes of the piece stored there; raises `Corrupt` if they are not what was written."""
        return self.read_many([location])[0]

    def read_many(self, locations: Sequence[Location]) -> list[bytes]:
        """The bytes of the pieces stored there, in order; raises `Corrupt` if any are not what was written."""
        found: list[bytes] = []
        for segment, group in groupby(locations, key=lambda location: location.segment):
            with self._opened(segment) as descriptor:
                found += [self._read(descriptor, location) for location in group]
        return found

    def discard(self, checkpoint: Checkpoint) -> None:
        """Removes the segments before the checkpoint's first; what is left of them is in it. Cheap if there are none.

        Raises `StorageFull` with nothing changed: the checkpoint needs room, too.
        """
        old = range(self.oldest, checkpoint.first)
        if not old:
            return
        with self._or_broken("segments could not be removed"):
            log_checkpoint.write(self._files, self._directory, checkpoint)
            paths = [segments.path_of(self._directory, number) for number in old if number in self._salts]
            log_checkpoint.remove_before(self._files, self._directory, paths)
        self.oldest = checkpoint.first

    def close(self) -> None:
        """Syncs and marks what was written, and gives the directory back. Nothing may be called after this."""
        try:
            if not self._broken:
                self.mark()
        finally:
            self._current.close()
            self._files.close(self._lock)

    def _rotate(self, size: int) -> None:
        """Goes on in a new segment; the old one is synced by then, so nothing in it can be a torn tail."""
        old = self._current
        if old.synced < old.end:
            old.sync()
        header = Header(old.header.number + 1, self._salt(), old.header.number, old.end, old.databases)
        needed = max(self._segment_bytes, FIRST + size + SYNCED.size)
        try:
            descriptor = segments.create(self._files, self._directory, header, b"", [needed])
        except StorageFull:
            self._refused, self._prepared = True, False
            raise
        self._salts[header.number] = header.salt
        self._current = OpenSegment(self._files, descriptor, header, set())
        self._prepared = self._refused = False
        old.close()

    def _read(self, descriptor: int, location: Location) -> bytes:
        data = memoryview(self._files.pread(descriptor, location.size, location.offset))
        head = decode_head(data, 0, location.offset, self._salts[location.segment])
        if head is None or head.kind != Kind.PIECE or head.end - head.start != len(data):
            raise _damaged(location, "there is no such record")
        payload = data[head.payload - head.start :]
        if zlib.crc32(payload) != head.checksum:
            raise _damaged(location, "the checksum does not fit")
        return bytes(payload[PLACE_BYTES:])

    @contextmanager
    def _opened(self, segment: int) -> Generator[int]:
        try:
            descriptor = self._files.open(segments.path_of(self._directory, segment))
        except FileNotFoundError as error:
            raise Corrupt("a journal", f"segment {segment}", "the file is gone") from error
        try:
            yield descriptor
        except OSError as error:
            raise Corrupt("a journal", f"segment {segment}", str(error)) from error
        finally:
            self._files.close(descriptor)

    @contextmanager
    def _or_broken(self, what: str) -> Generator[None]:
        if self._broken:
            raise StorageFailed(str(self._directory), self._broken)
        try:
            yield
        except OSError as error:
            self._broken = f"{what}: {error}"
            raise StorageFailed(str(self._directory), self._broken) from error


def _damaged(location: Location, reason: str) -> Corrupt:
    return Corrupt("a journal", f"segment {location.segment} offset {location.offset}", reason)


def _start(files: Files, directory: Path, fresh: Fresh, segment_bytes: int) -> OpenSegment:
    """The segment that the journal goes on with, durable. With little room it is smaller, so that reads go on."""
    if fresh.last:
        _give_back(files, directory, fresh)
    least = FIRST + len(fresh.body)
    sizes = [segment_bytes >> shift for shift in range(0, 12, 2) if segment_bytes >> shift > least]
    descriptor = segments.create(files, directory, fresh.header, fresh.body, [*sizes, least])
    return OpenSegment(files, descriptor, fresh.header, set(fresh.databases))


def _give_back(files: Files, directory: Path, fresh: Fresh) -> None:
    """Returns what the newest segment had reserved behind its last live record; it is not written to again."""
    descriptor = files.open(segments.path_of(directory, fresh.last))
    try:
        files.truncate(descriptor, fresh.last_end)
    finally:
        files.close(descriptor)

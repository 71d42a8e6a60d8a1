"""A replica's copy: a plain SQLite database in WAL mode that SQLite itself reads, written as SQLite writes.

Entries go into `-wal` and the WAL-index as soon as they arrive. To SQLite they are a transaction that is not
committed yet, so no reader sees them; when they are confirmed, the WAL-index header is published and they are.

A guard connection holds SQLite's write lock all the while. Without it a reader that meets the header between the
stores of its two copies would take the lock, recover, and wipe from the index whatever waits beyond.

While a checkpoint runs the guard is down and nothing is published, so no reader meets a torn header. Entries that wait
beyond the header are copied to a file without a name first, and put into the new WAL after it: memory stays bounded
by one piece.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from raylite.actors.core.piece import Header, Pages, Piece, decode_pages
from raylite.actors.storage.directory import Directory, Record
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.replica_guard import Guard
from raylite.actors.storage.wal_appender import Mark, WalAppender, Written
from raylite.actors.storage.wal_format import FRAME_BYTES, start_frame
from raylite.actors.storage.wal_index import WalIndex
from raylite.actors.storage.wal_medium import Direct, Medium
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt

_RETRY_BYTES: Final = limits.WAL_CHECKPOINT_BYTES // 4


class Held(msgspec.Struct, frozen=True):
    """A piece beyond what is published. end: where its frames end; written: None if it has no pages."""

    place: Bookmark
    last: bool
    database_pages: int
    end: Mark
    written: Written | None


class ReplicaFile:
    """One copy, written by one thread. Readers are other connections, read-only, in this and other processes.

    Invariants: readers see exactly what `published` names, which is confirmed; `_held` follows it, piece by piece;
    the database file never holds anything that is not confirmed.
    `StorageFull` leaves all as it was, except where a checkpoint lost what waits; after that, as after `Corrupt`, every
    call raises `Corrupt`. Readers are not concerned.
    """

    def __init__(self, generation: Generation, medium: Medium | None = None) -> None:
        """Opens the generation's file. Raises `Corrupt` if SQLite cannot, `StorageFull`."""
        self._generation = generation
        self.database = generation.database
        self.published = self.mark = generation.certain
        self.goal = generation.goal
        self._held: list[Held] = []
        self._hidden = 0
        self._due_bytes = limits.WAL_CHECKPOINT_BYTES
        self._broken = ""
        self._guard = Guard(self.database)
        medium = medium or Direct()
        self._index = WalIndex(_beside(self.database, "shm"), medium)
        self._wal = WalAppender(_beside(self.database, "wal"), self._index, medium)

    @classmethod
    def open(cls, directory: Directory, database_id: str) -> ReplicaFile:
        """The copy in this directory in a new generation, at `record.certain`: empty if nothing vouches for it."""
        return cls(Generation.begin(directory, database_id))

    @property
    def record(self) -> Record:
        """What the database file holds by itself."""
        return self._generation.record

    @property
    def ready(self) -> bool:
        """Whether readers may use the copy: not before what an earlier process left half done is whole again."""
        return self.goal is None

    @property
    def tail(self) -> Bookmark:
        """Where what was appended ends."""
        return self._held[-1].place if self._held else self.published

    @property
    def wal_bytes(self) -> int:
        """Bytes of the WAL in use, published or not."""
        return self._wal.size

    def append(self, pieces: Sequence[Piece], encoded: Sequence[bytes | memoryview]) -> None:
        """Puts pieces behind the tail; readers see nothing of them. An entry may come in many calls.

        pieces: what `encoded` are, each known to follow the one before. Raises `Corrupt` if one cannot be applied,
        `StorageFull`; the pieces before it were taken.
        """
        self._check()
        for piece, one in zip(pieces, encoded, strict=True):
            try:
                header, pages = decode_pages(one)
            except Corrupt as error:
                raise self._break(error.reason) from error
            self._put(piece.place, header, pages)

    def publish(self, place: Bookmark) -> None:
        """Shows all up to this entry, whole: every snapshot taken from now on has it. It must be confirmed.

        `mark` is raised before. Until the goal of an earlier process is passed, this only notes the place. Raises
        `Corrupt` if the entry is not held, or the goal is not in this log.
        """
        self._check()
        count = self._count_to(place)
        if count and not self._held[count - 1].last:
            raise self._break(f"{place} is inside an entry")
        self.mark = place
        self._hidden = count
        if self._passes_goal(count):
            self._show(count)

    def cut(self, place: Bookmark) -> None:
        """Takes back all that was appended behind this place; raises `Corrupt` if that was published already."""
        self._check()
        count = self._count_to(place)
        if count < self._hidden:
            raise self._break(f"what follows {place} is confirmed")
        if count < len(self._held):
            self._wal.cut(self._held[count - 1].end if count else self._wal.published)
            del self._held[count:]

    def checkpoint(self) -> bool:
        """Copies what is published into the database file; whether the WAL is empty of it after that.

        Waits up to `limits.CHECKPOINT_WAIT_SECONDS` for readers whose snapshots need the WAL. Raises `StorageFull`.
        """
        self._check()
        if not self.ready:
            return False
        if not self._wal.published.frames:
            self._generation.set_certain(self.published)
            return True
        self._generation.set_goal(self.published)
        with tempfile.TemporaryFile(dir=self._generation.path) as spare:
            try:
                with self._guard.lowered():
                    if not self._guard.copy_wal():
                        return False
                    self._generation.set_certain(self.published)
                    self._set_aside(spare)
                    self._guard.restart_wal()
            finally:
                self._broken = "" if self._guard.is_up else "another client of SQLite took its write lock"
            return self._take_up(spare)

    def checkpoint_if_due(self) -> None:
        """`checkpoint` if the WAL has grown enough since the last one, or since readers kept it from its end."""
        if self.wal_bytes >= self._due_bytes:
            done = self.checkpoint()
            self._due_bytes = limits.WAL_CHECKPOINT_BYTES if done else self.wal_bytes + _RETRY_BYTES

    def forget(self) -> None:
        """Makes the next generation of this directory begin with an empty copy."""
        self._generation.forget()

    def close(self) -> None:
        """Closes the copy, and checkpoints nothing.

        Every reader of this process must be closed before: closing our descriptor of `-shm` drops its locks.
        """
        self._broken = self._broken or "it is closed"
        self._guard.close()
        self._wal.close()
        self._index.close()

    # Appending

    def _put(self, place: Bookmark, header: Header, pages: Pages) -> None:
        inside = bool(self._held) and not self._held[-1].last
        if place.sequence != self.tail.sequence + (not inside):
            raise self._break(f"{place} cannot follow {self.tail}")
        if pages.numbers:
            frames = self._frames(place, header, pages)
            written = self._wal.append(frames, leads=not inside)
        elif inside:
            raise self._break(f"{place} has no pages, but the piece before it is not the last of its entry")
        else:
            written = None
        self._held.append(Held(place, header.last, header.database_pages, self._wal.end, written))

    def _frames(self, place: Bookmark, header: Header, pages: Pages) -> bytearray:
        count = len(pages.numbers)
        if header.page_size != PAGE_SIZE:
            raise self._break(f"{place} has pages of {header.page_size} bytes")
        frames = bytearray(count * FRAME_BYTES)
        for index, (number, content) in enumerate(zip(pages.numbers, pages.contents, strict=True)):
            commits = header.last and index == count - 1
            start_frame(frames, index, number, header.database_pages if commits else 0, content)
        return frames

    # Publishing

    def _count_to(self, place: Bookmark) -> int:
        """How many held pieces there are up to this place."""
        if place.digest == self.published.digest:
            return 0
        for count, held in enumerate(self._held, 1):
            if held.place.digest == place.digest:
                return count
        raise self._break(f"{place} is not among the {len(self._held)} pieces behind {self.published}")

    def _passes_goal(self, count: int) -> bool:
        """Whether the copy is whole once the first `count` pieces show."""
        goal = self.goal
        if goal is None or any(held.last and held.place.digest == goal.digest for held in self._held[:count]):
            return True
        if self.mark.sequence >= goal.sequence:
            raise self._break(f"it may hold parts of {goal}, which is not in the log up to {self.mark}")
        return False

    def _show(self, count: int) -> None:
        shown = self._held[:count]
        for held in reversed(shown):  # with the first of them recovery finds all, before that none
            if held.written:
                self._wal.complete(held.written)
        commits = [held for held in shown if held.written and held.last]
        if commits:
            self._wal.publish(commits[-1].end, commits[-1].database_pages)
        self.published, self.goal, self._hidden = self.mark, None, 0
        del self._held[:count]

    # Checkpoints

    def _set_aside(self, spare: IO[bytes]) -> None:
        for held in self._held:
            if held.written:
                spare.write(self._wal.read(held.written))
        spare.seek(0)

    def _take_up(self, spare: IO[bytes]) -> bool:
        """Puts what was set aside behind the beginning of the new WAL, if there is a new one."""
        waiting = self._held
        try:
            if not self._wal.reload():
                return False
            self._held = []
            for held in waiting:
                self._held.append(self._again(held, spare))
        except BaseException as error:
            self._break(f"what waits for its confirmation is lost: {error}")
            raise
        return True

    def _again(self, held: Held, spare: IO[bytes]) -> Held:
        written = held.written
        if written:
            size = (written.end.frames - written.start.frames) * FRAME_BYTES
            written = self._wal.append(bytearray(spare.read(size)), leads=bool(written.head))
        return msgspec.structs.replace(held, end=self._wal.end, written=written)

    # Errors

    def _check(self) -> None:
        if self._broken:
            raise Corrupt("a replica's copy", str(self.database), self._broken)

    def _break(self, reason: str) -> Corrupt:
        self._broken = reason
        return Corrupt("a replica's copy", str(self.database), reason)


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(f"{database.name}-{suffix}")

"""Writes a database file as the database was at some entry, out of cold storage alone.

Memory: a few chunks and segments. Every byte that is written was verified: chunks by the digests in the manifest,
pieces by the running digest of the log. Where an object turns out to be damaged, another way is taken if there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from raylite.actors.cold.ahead import ahead
from raylite.actors.cold.archive import Archive, Plan
from raylite.actors.cold.chain import Step
from raylite.actors.cold.manifest import State, Tail
from raylite.actors.cold.names import SegmentName
from raylite.actors.cold.segment_reader import SegmentReader
from raylite.actors.cold.snapshot import read_chunk
from raylite.actors.core.keys import Keys
from raylite.actors.core.piece import Piece, decode_header, decode_pages, describe, note_of, runs
from raylite.actors.storage.files import Files, full_as_error
from raylite.actors.storage.image import PAGE_SIZE
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError, Corrupt
from raylite.policies.quorum import Members

_MAGIC: Final = b"SQLite format 3\0"


def restore(archive: Archive, goal: Bookmark, files: Files, path: Path) -> State:
    """The state that the file at `path` then holds, synced: the database as it was at the whole entry `goal`.

    What was at `path` is written over; after an error it holds nothing of use. Raises `BookmarkError` if the archive
    does not lead to `goal`, `Corrupt` if damage leaves no way there, `StorageFull`, and what the store raises.
    """
    damaged: dict[str, str] = {}
    while True:
        try:
            plan = archive.plan(goal, damaged)
        except (BookmarkError, Corrupt) as error:
            if not damaged:
                raise
            raise Corrupt("cold storage", f"the way to {goal}", "; ".join(damaged.values())) from error
        try:
            return write(archive, plan, files, path)
        except Corrupt as error:
            if error.where in damaged:
                raise
            damaged[error.where] = str(error)


def write(archive: Archive, plan: Plan, files: Files, path: Path) -> State:
    """Carries out one plan; see `restore`. Raises `Corrupt` that names the first object which does not fit."""
    with full_as_error(path.parent):
        descriptor = files.open(path, create=True)
        try:
            files.truncate(descriptor, 0)
            state = _Writing(archive, plan, files, descriptor).run()
            files.fdatasync(descriptor)
        finally:
            files.close(descriptor)
    return state


class _Writing:
    """A file in the making. place: of the last piece written, in the log that it came from."""

    def __init__(self, archive: Archive, plan: Plan, files: Files, descriptor: int) -> None:
        self._archive, self._plan, self._files, self._descriptor = archive, plan, files, descriptor
        state = plan.manifest.state
        self._place = state.bookmark
        self._time_us = state.time_us
        self._pages = 0
        self._epochs = list(state.epochs)
        self._members: Members | None = state.members
        self._keys = Keys.decode(state.keys, state.bookmark.sequence)

    def run(self) -> State:
        self._write_chunks()
        for tail in self._plan.manifest.tails:
            self._write_tail(tail)
        state = self._plan.manifest.state
        if self._pages != state.database_pages:
            raise Corrupt("cold storage", str(state.name), f"{self._pages} pages, not {state.database_pages}")
        self._place = state.bookmark
        for where, pieces in self._read(self._plan.chain.steps):
            for encoded in pieces:
                self._note(self._write_piece(encoded, where), note_of(decode_header(encoded)[0]))
        self._check()
        return State(
            state.database_id, self._place, self._time_us, self._pages, PAGE_SIZE, tuple(self._epochs),
            self._members, self._keys.encode(),
        )  # fmt: skip

    def _write_chunks(self) -> None:
        store = self._archive.store
        for pages in ahead(lambda one: read_chunk(store, one), self._plan.manifest.chunks):
            self._files.pwrite(self._descriptor, pages, self._pages * PAGE_SIZE)
            self._pages += len(pages) // PAGE_SIZE

    def _write_tail(self, tail: Tail) -> None:
        self._place = tail.after
        for where, pieces in self._read(_steps(tail)):
            for encoded in pieces:
                self._write_piece(encoded, where)
        if self._place.digest != tail.last.digest:
            raise Corrupt("cold storage", tail.segments[-1], f"it does not lead to {tail.last}")

    def _read(self, steps: Iterable[Step]) -> Iterator[tuple[str, list[bytes]]]:
        store = self._archive.store

        def read(step: Step) -> tuple[str, list[bytes]]:
            pieces = SegmentReader(store).pieces(step.segment, step.after, step.last)
            return str(step.segment), list(pieces)

        return ahead(read, steps)

    def _write_piece(self, encoded: bytes, where: str) -> Piece:
        piece = describe(self._place, encoded)
        self._place = piece.place
        try:
            header, pages = decode_pages(encoded)
        except Corrupt as error:
            raise Corrupt("cold storage", where, error.reason) from error
        if pages.numbers and header.page_size != PAGE_SIZE:
            raise Corrupt("cold storage", where, f"the piece at {piece.place} has pages of another size")
        for number, contents in runs(pages):
            self._files.pwrite(self._descriptor, contents, (number - 1) * PAGE_SIZE)
        if header.last and header.database_pages:
            self._pages = header.database_pages
            self._files.truncate(self._descriptor, self._pages * PAGE_SIZE)
        return piece

    def _note(self, piece: Piece, note: bytes) -> None:
        """What the database's own log says besides pages."""
        self._keys.add(piece.place.sequence, note)
        self._time_us = piece.time_us
        if not self._epochs or self._epochs[-1][0] < piece.place.epoch:
            self._epochs.append((piece.place.epoch, piece.place.sequence))
        self._members = piece.members or self._members

    def _check(self) -> None:
        """The last entry is there whole, and what was written begins as a database does."""
        goal = self._plan.goal
        if self._place.digest != goal.digest:
            raise Corrupt("cold storage", str(goal), f"its objects lead to {self._place}")
        head = self._files.pread(self._descriptor, len(_MAGIC), 0)
        size = self._files.size(self._descriptor)
        if head != _MAGIC or size != self._pages * PAGE_SIZE:
            raise Corrupt("cold storage", str(goal), f"a file of {size} bytes that begins with {head!r}")


def _steps(tail: Tail) -> Iterator[Step]:
    place = tail.after
    for text in tail.segments:
        name = SegmentName.parse(text)
        last = tail.last if text == tail.segments[-1] else name.last
        yield Step(name, place, last)
        place = last

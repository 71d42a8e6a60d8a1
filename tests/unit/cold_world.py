"""What tests of cold storage share: a store in memory that can fail, and a real database whose commits are a log."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Self

import apsw
import msgspec
from tests.unit.replica_process import check_of

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.manifest import Manifest, State
from raylite.actors.cold.names import SegmentName
from raylite.actors.cold.restore import restore
from raylite.actors.cold.snapshot import Run
from raylite.actors.cold.store import Object, Store
from raylite.actors.core.piece import decode_pages
from raylite.actors.storage.engine_apsw import connect
from raylite.actors.storage.entries import EntryWriter, Made, Span
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.image import EMPTY, PAGE_SIZE
from raylite.actors.storage.wal import WalReader
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Error
from raylite.policies.quorum import Members

DATABASE = "c01dc01d"
DAY = 24 * 3600.0
START_US = 1_800_000_000_000_000


class Crash(Exception):
    """The process ends here."""


class MemoryStore:
    """A store in memory. time: its clock; writes: puts and deletes so far.

    crash_at: the write that is done and then ends the process; fail: an error for a call, by operation and name.
    """

    address = "memory"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.time = START_US / 1e6
        self.writes = 0
        self.reads = 0
        self.read_bytes = 0
        self.crash_at: int | None = None
        self.fail: Callable[[str, str], Error | None] = lambda _operation, _name: None
        self._lock = threading.Lock()

    def put(self, name: str, data: bytes) -> bool:
        self._begin("put", name)
        made = name not in self.objects
        self.objects.setdefault(name, (data, self.time))
        self._written()
        return made

    def read(self, name: str, first: int = 0, size: int | None = None) -> bytes | None:
        self._begin("read", name)
        found = self.objects.get(name)
        if found is None:
            return None
        data = found[0][first:] if size is None else found[0][first : first + size]
        with self._lock:
            self.reads += 1
            self.read_bytes += len(data)
        return data

    def list(self, prefix: str, after: str = "") -> list[Object]:
        self._begin("list", prefix)
        inside = prefix + "/" if prefix else ""
        return sorted(
            Object(name, len(data), modified)
            for name, (data, modified) in self.objects.items()
            if name.startswith(inside) and name > after
        )

    def delete(self, name: str) -> None:
        self._begin("delete", name)
        self.objects.pop(name, None)
        self._written()

    def now(self) -> float:
        self._begin("now", "")
        return self.time

    def change(self, name: str, data: bytes) -> None:
        """Damages an object."""
        self.objects[name] = (data, self.objects[name][1])

    def copy(self) -> MemoryStore:
        other = MemoryStore()
        other.objects, other.time = dict(self.objects), self.time
        return other

    def _begin(self, operation: str, name: str) -> None:
        error = self.fail(operation, name)
        if error is not None:
            raise error

    def _written(self) -> None:
        self.writes += 1
        if self.writes == self.crash_at:
            raise Crash


class Entry(msgspec.Struct, frozen=True):
    """An entry: its place, time, pieces, and what the database is after it, byte for byte."""

    place: Bookmark
    time_us: int
    pieces: tuple[bytes, ...]
    image: bytes


class Log:
    """A real database, every commit of which becomes an entry, and beside it the plainest model of its pages."""

    def __init__(
        self,
        directory: Path,
        database_id: str = DATABASE,
        epoch: int = 1,
        start: Bookmark | None = None,
        image: bytes = EMPTY,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / "log.db"
        self.path.write_bytes(image)
        self.database_id, self.start, self.image = database_id, start or origin(database_id), image
        self.time_us = START_US
        self.writer = EntryWriter(epoch, self.start, 0, lambda: self.time_us)
        self.connection = connect(str(self.path), apsw.SQLITE_OPEN_READWRITE)
        self.connection.execute("PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF")
        self.connection.set_wal_hook(self._on_commit)
        self.reader = WalReader(self.path.with_name("log.db-wal"))
        self.entries: list[Entry] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def end(self) -> Bookmark:
        return self.writer.tail

    def begin(self) -> None:
        """The first reign, with the table that `fill` writes to."""
        self.empty(1)
        self.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x)")

    def grow(self, count: int, size: int) -> None:
        """Fills until there are `count` entries."""
        while len(self.entries) < count:
            self.fill(size)

    def run(self, sql: str, *values: bytes | str | int) -> Entry:
        """Runs what makes exactly one commit, a second later."""
        self.time_us += 1_000_000
        count = len(self.entries)
        self.connection.execute(sql, values)
        assert len(self.entries) == count + 1, f"{sql} is not one commit"
        return self.entries[-1]

    def fill(self, size: int) -> Entry:
        """Writes `size` random bytes in one transaction."""
        return self.run("INSERT INTO t (x) VALUES (randomblob(?))", size)

    def empty(self, epoch: int, note: bytes = b"") -> Entry:
        """A new reign begins. note: of a write with a key that changed nothing."""
        self.time_us += 1_000_000
        self.writer = EntryWriter(epoch, self.end, self.time_us, lambda: self.time_us)
        return self._add([self.writer.empty(note)])

    def members(self, members: Members) -> Entry:
        self.time_us += 1_000_000
        return self._add([self.writer.members(members)])

    def pieces(self, first: int = 0, end: int | None = None) -> list[bytes]:
        return [piece for entry in self.entries[first:end] for piece in entry.pieces]

    def place(self, count: int) -> Bookmark:
        """Where the first `count` entries end."""
        return self.entries[count - 1].place if count else self.start

    def close(self) -> None:
        self.reader.close()
        self.connection.close()

    def _on_commit(self, _connection: apsw.Connection, _name: str, frames: int) -> int:
        commit = self.reader.commit(frames)
        made = self.writer.write(commit.page_size, commit.database_pages, commit.pages, self.reader.read)
        self._add(list(made))
        return apsw.SQLITE_OK

    def _add(self, made: Sequence[Made]) -> Entry:
        pieces = tuple(_bytes(one.source) for one in made)
        for one in pieces:
            header, pages = decode_pages(one)
            image = bytearray(self.image.ljust(header.database_pages * PAGE_SIZE, b"\0"))
            for number, content in zip(pages.numbers, pages.contents, strict=True):
                image[(number - 1) * PAGE_SIZE : number * PAGE_SIZE] = content
            if header.database_pages:
                self.image = bytes(image[: header.database_pages * PAGE_SIZE])
        self.entries.append(Entry(self.end, made[-1].piece.time_us, pieces, self.image))
        return self.entries[-1]


def _bytes(source: bytes | Span) -> bytes:
    return source.load() if isinstance(source, Span) else source


_RUNS = iter(range(1, 1 << 62))


def new_run() -> Run:
    return Run(f"{next(_RUNS):016x}", lambda: 0.0)


def begun(store: Store | None = None) -> Archive:
    """An archive with nothing but its beginning."""
    made = Archive(store or MemoryStore(), DATABASE)
    made.found(new_run())
    return made


def upload(archive: Archive, log: Log, cuts: Sequence[int], first: int = 0) -> list[SegmentName]:
    """Uploads the log's entries in segments that end behind these numbers of entries."""
    names: list[SegmentName] = []
    for cut in cuts:
        names.append(archive.upload(log.place(first), log.pieces(first, cut)))
        first = cut
    return names


class ImagePages(msgspec.Struct, frozen=True):
    """A source of pages in memory."""

    state: State
    image: bytes

    def read(self, first: int, count: int) -> bytes:
        return self.image[(first - 1) * PAGE_SIZE : (first - 1 + count) * PAGE_SIZE]


def snapshot_at(
    archive: Archive, log: Log, count: int, run: Run | None = None, damaged: Collection[str] = ()
) -> Manifest:
    """A snapshot of the log's database after `count` entries."""
    entry = log.entries[count - 1]
    pages = len(entry.image) // PAGE_SIZE
    state = State(log.database_id, entry.place, entry.time_us, pages, epochs=((1, 1),))
    return archive.snapshot(ImagePages(state, entry.image), run or new_run(), damaged)


def restored(archive: Archive, goal: Bookmark, path: Path) -> bytes:
    """The file that a restore makes, which SQLite finds whole."""
    state = restore(archive, goal, RealFiles(), path)
    image = path.read_bytes()
    assert state.bookmark == goal
    assert state.database_pages * PAGE_SIZE == len(image)
    assert integrity(path) == "ok"
    return image


def integrity(path: Path) -> str:
    """What SQLite says of a file that nobody writes."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    connection = connect(f"file:{path}?immutable=1", flags)
    try:
        return check_of(connection)
    finally:
        connection.close()


def digest(store: MemoryStore) -> str:
    """Of all that is in a store."""
    return hashlib.blake2b(repr(sorted(store.objects.items())).encode()).hexdigest()


def run_within(store: MemoryStore, outer: Callable[[], object], inner: Callable[[], object], at: int) -> bool:
    """Whether the outer job made so many calls; before call `at` the inner one ran."""
    calls = itertools.count()

    def interrupt(_operation: str, _name: str) -> None:
        if next(calls) == at:
            store.fail = lambda _operation, _name: None
            inner()

    store.fail = interrupt
    outer()
    if next(calls) > at:
        return True
    store.fail = lambda _operation, _name: None
    inner()
    return False

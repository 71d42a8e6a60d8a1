"""A primary's process may die before, and half-way through, any write to its file, its WAL, its record or its keys.

What it leaves is looked at as the next primary does: the database file and the record, never the WAL. Nothing of an
entry that was not confirmed is in them, and the confirmed log brings the file to the confirmed state, byte for byte.
A restore is an entry like any other. Keys are known then, or known to be forgotten.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec
import pytest

from raylite.actors.core.keys import KEY_BYTES, Keys
from raylite.actors.core.piece import decode_pages
from raylite.actors.storage.directory import Directory, Record
from raylite.actors.storage.engine_apsw import connect
from raylite.actors.storage.entries import EntryWriter, Made
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.image import EMPTY, PAGE_SIZE
from raylite.actors.storage.primary_file import PrimaryFile
from raylite.actors.storage.wal_replay import Replay
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.query import Mode, Query, Statement

DATABASE = "d0c"
VFS_NAME = "numbered"

Cut = Callable[[Path, bytes, int], None]
"""Told of every write before it is done: the file, the bytes, where."""


class _File(apsw.VFSFile):
    def __init__(self, name: apsw.URIFilename | str | None, flags: list[int], cut: Cut) -> None:
        super().__init__("unix", name, flags)
        text = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._path, self._cut = Path(text or ""), cut

    def xWrite(self, data: bytes, offset: int) -> None:
        self._cut(self._path, bytes(data), offset)
        super().xWrite(data, offset)  # pyright: ignore[reportUnknownMemberType]: apsw's stub does not know its data

    def xTruncate(self, newsize: int) -> None:
        self._cut(self._path, b"", newsize)
        super().xTruncate(newsize)


class _Vfs(apsw.VFS):
    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        super().__init__(VFS_NAME, "unix", makedefault=True)

    def xOpen(self, name: apsw.URIFilename | str | None, flags: list[int]) -> apsw.VFSFile:
        return _File(name, flags, self._cut)


def _nothing(_path: Path, _data: bytes, _offset: int) -> None:
    """A write that nobody cuts."""


class _Directory(Directory):
    """One that tells of writes to the record and the keys."""

    cut: Cut = staticmethod(_nothing)

    def write_record(self, record: Record) -> None:
        self.cut(self.path / "record.new", record.encode(), 0)
        super().write_record(record)

    def write_keys(self, certain: Bookmark, keys: Keys) -> None:
        self.cut(self.path / "keys", b"half of what was to be written", 0)
        super().write_keys(certain, keys)


class Left(msgspec.Struct, frozen=True):
    """What a killed process leaves, and the newest confirmed entry then. before: the write that it cut."""

    path: Path
    confirmed: Bookmark
    before: str


class Entry(msgspec.Struct, frozen=True):
    """place, pieces, and the file with it and all before it applied."""

    place: Bookmark
    encoded: tuple[bytes, ...]
    image: bytes


class Life:
    """A primary's life. left: what it would leave, were it killed at any of its writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.left: list[Left] = []
        self.entries: list[Entry] = [Entry(origin(DATABASE), (), EMPTY)]
        self.confirmed = origin(DATABASE)
        self._directory = _Directory.claim(path / "primary", 0)
        generation = Generation.begin(self._directory, DATABASE)
        self._directory.cut = self.cut
        self._open: list[bytes] = []
        self._writer = EntryWriter(1, origin(DATABASE), 0, lambda: 1)
        self.file = PrimaryFile(generation, self._writer, self._take)

    @property
    def tail(self) -> Bookmark:
        return self._writer.tail

    def write(self, sql: str = "INSERT INTO t VALUES (randomblob(9000))") -> None:
        key = (self.tail.sequence + 1).to_bytes(KEY_BYTES)
        query = Query(DATABASE, Mode.RUN, (Statement(sql),), "", 5.0, key=key)
        assert self.file.run(query, 5.0).execution.error is None

    def confirm(self) -> None:
        self.confirmed = self.tail

    def cut(self, path: Path, data: bytes, offset: int) -> None:
        """Twice: before the write, and with half of its bytes written."""
        if not path.is_relative_to(self._path / "primary") or path.suffix == ".db-journal":
            return
        what = f"{path.name} at {offset}: {len(data)} bytes"
        whole = self._copied(what)
        if data:
            torn = self._copied(f"half of {what}") / path.relative_to(self._path / "primary")
            with torn.open("r+b" if torn.exists() else "w+b") as file:
                file.seek(offset)
                file.write(data[: len(data) // 2])
        assert whole.exists()

    def close(self) -> None:
        self.file.close()
        self._directory.release()

    def _copied(self, what: str) -> Path:
        path = self._path / f"left-{len(self.left)}"
        shutil.copytree(self._path / "primary", path, ignore=shutil.ignore_patterns("*-shm"))
        self.left.append(Left(path, self.confirmed, what))
        return path

    def _take(self, made: Sequence[Made]) -> None:
        for one in made:
            source = one.source
            self._open.append(source if isinstance(source, bytes) else source.load())
            if one.piece.last:
                image = applied(self.entries[-1].image, self._open)
                self.entries.append(Entry(one.piece.place, tuple(self._open), image))
                self._open = []


@contextmanager
def numbered(path: Path) -> Generator[Life]:
    """A life of which every write by SQLite is cut, too."""
    lives: list[Life] = []

    def cut(written: Path, data: bytes, offset: int) -> None:
        for life in lives:
            life.cut(written, data, offset)

    vfs = _Vfs(cut)
    try:
        lives.append(Life(path))
        yield lives[0]
        lives[0].close()
    finally:
        vfs.unregister()


def applied(image: bytes, encoded: Sequence[bytes]) -> bytes:
    """The pages of an entry over those before it, by the plainest means."""
    for one in encoded:
        header, pages = decode_pages(one)
        size = header.database_pages * PAGE_SIZE
        new = bytearray(image.ljust(size, b"\0")[: size or None])
        for number, content in zip(pages.numbers, pages.contents, strict=True):
            new[(number - 1) * PAGE_SIZE : number * PAGE_SIZE] = content
        image = bytes(new)
    return image


def checkpoints(life: Life) -> None:
    """Of a growing file, beside a reader that holds some of the WAL back, beside an unconfirmed entry, of a smaller
    file."""
    life.write("CREATE TABLE t (a)")
    for _ in range(3):
        life.write()
    life.confirm()
    assert life.file.checkpoint(life.confirmed) == 0
    life.write()
    reader = connect(str(life.file.database), apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN; SELECT count(*) FROM t")
    life.write("UPDATE t SET a = randomblob(6000)")
    life.confirm()
    assert life.file.checkpoint(life.confirmed) > 0
    reader.close()
    life.write()
    assert life.file.checkpoint(life.confirmed) > 0, "what is not confirmed is not copied"
    life.confirm()
    assert life.file.checkpoint(life.confirmed) == 0
    life.write("DELETE FROM t WHERE rowid > 2")
    life.write("VACUUM")
    life.confirm()
    assert life.file.checkpoint(life.confirmed) == 0
    life.write()


def restore(life: Life, path: Path) -> None:
    """To the third entry, beside an entry that is in the WAL alone; confirmed and copied; then its undo."""
    life.write("CREATE TABLE t (a)")
    for _ in range(5):
        life.write()
    life.confirm()
    assert life.file.checkpoint(life.confirmed) == 0
    life.write("UPDATE t SET a = randomblob(20000)")
    life.confirm()
    path.write_bytes(life.entries[3].image)
    before, ran = life.file.replace(path)
    assert ran.committed
    assert before == life.confirmed
    assert life.file.checkpoint(life.confirmed) > 0
    life.confirm()
    assert life.file.checkpoint(life.confirmed) == 0
    path.write_bytes(life.entries[-2].image)
    life.file.replace(path)
    life.confirm()
    assert life.file.checkpoint(life.confirmed) == 0


def recovered(left: Left, entries: Sequence[Entry]) -> Generation:
    """The next primary's file, at what was confirmed."""
    directory = Directory.claim(left.path, 0)
    generation = Generation.begin(directory, DATABASE)
    assert max(generation.certain, generation.goal or generation.certain) <= left.confirmed, left.before
    if generation.doubt:
        assert left.before.startswith("half of database at"), left.before
        assert "not whole pages" in generation.doubt, (
            "a file that ends inside a page is made anew from the log"
        )
    elif generation.goal is None:
        certain = next(one for one in entries if one.place == generation.certain)
        assert generation.database.read_bytes() == certain.image, (
            f"{left.before}: nobody says it is half done"
        )
    with Replay(generation, left.confirmed) as replay:
        for entry in entries:
            if generation.certain.sequence < entry.place.sequence <= left.confirmed.sequence:
                for one in entry.encoded:
                    replay.write(one)
    directory.release()
    return generation


def check(left: Left, entries: Sequence[Entry]) -> None:
    generation = recovered(left, entries)
    expected = next(one for one in entries if one.place == left.confirmed)
    assert generation.database.read_bytes() == expected.image, left.before
    for entry in entries[1:]:
        sequence = entry.place.sequence
        known = generation.keys.outcome(sequence.to_bytes(KEY_BYTES)) is not None
        written = any(key_of(one) for one in entry.encoded) and sequence <= left.confirmed.sequence
        assert known <= written, "what is not in the log is not remembered"
        assert known or not written or generation.keys.may_have_forgotten(sequence - 1), left.before


def key_of(encoded: bytes) -> bytes:
    return decode_pages(encoded)[0].extra


@pytest.mark.parametrize("what", ["checkpoints", "restore"])
def test_a_kill_at_any_write_leaves_what_the_confirmed_log_makes_whole(tmp_path: Path, what: str) -> None:
    with numbered(tmp_path) as life:
        if what == "checkpoints":
            checkpoints(life)
        else:
            restore(life, tmp_path / "past")
    assert {one.before.split(" at ")[0].removeprefix("half of ") for one in life.left} >= {
        "database", "database-wal", "record.new", "keys",
    }  # fmt: skip
    for left in life.left:
        check(left, life.entries)

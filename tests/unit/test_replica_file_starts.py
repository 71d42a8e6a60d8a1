"""What a copy is after a full disk, a stolen lock, the end of its process, or a checkpoint that was half done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.unit.replica_process import check_of
from tests.unit.replica_world import DATABASE, Copy, Primary, Process, doomed

from raylite.actors.core.piece import decode_pages
from raylite.actors.storage.directory import Directory, Record
from raylite.actors.storage.engine import Engine
from raylite.actors.storage.engine_apsw import Connection, connect
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.replica_file import ReplicaFile
from raylite.actors.storage.wal_medium import Direct
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt, StorageFull


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    with closing(Primary.with_rows(tmp_path)) as made:
        yield made


@pytest.fixture
def copy(tmp_path: Path, primary: Primary, process: Process) -> Iterator[Copy]:
    with closing(Copy(tmp_path / "replica", primary, process)) as made:
        yield made


# A full disk


class Full(Direct):
    """A disk that has room for so many more bytes of the WAL."""

    def __init__(self) -> None:
        self.room: int | None = None

    def write(self, fd: int, data: bytes | bytearray, offset: int) -> None:
        if self.room is None:
            super().write(fd, data, offset)
            return
        part = min(self.room, len(data))
        super().write(fd, data[:part], offset)
        self.room -= part
        if part < len(data):
            raise StorageFull("a copy's WAL", "no space left")


@pytest.fixture
def full(tmp_path: Path, primary: Primary, process: Process) -> Iterator[tuple[Copy, Full]]:
    disk = Full()
    made = Copy(tmp_path / "full", primary, process, disk)
    made.apply(*primary.entries[:2])
    yield made, disk
    made.close()


def test_a_full_disk_leaves_the_copy_as_it_was(full: tuple[Copy, Full], primary: Primary) -> None:
    copy, disk = full
    for room in (0, 100, 3 * PAGE_SIZE):
        disk.room = room
        with pytest.raises(StorageFull):
            copy.append(primary.entries[2])
        copy.file.cut(primary.entries[1].place)
        copy.check(whole=True)
        disk.room = None
    copy.apply(*primary.entries[2:])
    copy.check(whole=True)


@pytest.mark.parametrize("room", [0, 32, 5000])
def test_a_disk_that_fills_in_a_checkpoint_ends_the_copy_and_not_its_readers(
    full: tuple[Copy, Full], primary: Primary, room: int
) -> None:
    copy, disk = full
    copy.append(primary.entries[2], primary.entries[3])
    disk.room = room
    with pytest.raises(StorageFull):
        copy.file.checkpoint()
    disk.room = None
    copy.check(whole=True)
    with pytest.raises(Corrupt, match="lost"):
        copy.file.publish(primary.entries[2].place)
    copy.check(whole=True)
    copy.close()
    copy.open()
    assert copy.file.published == primary.entries[1].place
    copy.apply(*primary.entries[2:])
    copy.check(whole=True)


class Robbed(Directory):
    """While a checkpoint notes what it did, and the guard is down, another client takes the write lock."""

    thief: Connection | None = None

    def write_record(self, record: Record) -> None:
        super().write_record(record)
        if self.thief and not record.goal:
            self.thief.execute("BEGIN IMMEDIATE")


def test_a_copy_whose_write_lock_another_took_in_a_checkpoint_takes_nothing_more(
    tmp_path: Path, primary: Primary
) -> None:
    directory = Robbed.claim(tmp_path / "robbed", 0)
    file = ReplicaFile.open(directory, DATABASE)
    first = primary.entries[0]
    file.append(first.pieces, first.encoded)
    file.publish(first.place)
    directory.thief = connect(str(file.database), apsw.SQLITE_OPEN_READWRITE)
    with pytest.raises(Corrupt):
        file.checkpoint()
    with pytest.raises(Corrupt, match="write lock"):
        file.cut(first.place)
    directory.thief.close()
    file.close()
    directory.release()


# What the next process finds


def test_the_next_process_begins_at_the_last_checkpoint(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries[:3])
    assert copy.file.checkpoint()
    copy.apply(primary.entries[3])
    copy.append(primary.entries[4], doomed(primary.entries[4].place, 7))
    copy.close()
    copy.open()
    assert copy.file.published == primary.entries[2].place
    copy.check(whole=True)
    copy.apply(*primary.entries[3:])
    copy.check(whole=True)


def half_copied(copy: Copy, primary: Primary) -> None:
    """Makes it the copy of a process that died in a checkpoint: of its pages only page 1 reached the file."""
    copy.apply(*primary.entries[:2])
    assert copy.file.checkpoint()
    copy.close()
    copy.generation.set_goal(primary.entries[4].place)
    page_one = decode_pages(primary.entries[4].encoded[0])[1].contents[0]
    with copy.file.database.open("r+b") as file:
        file.write(page_one)
    copy.open()


def test_what_a_checkpoint_left_half_done_is_whole_before_it_is_shown(copy: Copy, primary: Primary) -> None:
    half_copied(copy, primary)
    assert not copy.file.ready
    Engine.reader(str(copy.file.database)).close()
    assert copy.file.goal == primary.entries[4].place
    copy.append(*primary.entries[2:4])
    copy.file.publish(primary.entries[3].place)
    assert not copy.file.ready
    assert copy.file.published == primary.entries[1].place
    assert not copy.file.checkpoint()
    copy.append(primary.entries[4], primary.entries[5])
    copy.file.publish(primary.entries[5].place)
    assert copy.file.ready
    copy.check(whole=True)
    assert copy.file.checkpoint()
    assert copy.file.record.goal is None
    copy.close()
    primary.checkpoint()
    assert copy.file.database.read_bytes() == primary.path.read_bytes()


def test_a_goal_that_is_not_in_the_log_makes_the_copy_unusable(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries[:2])
    copy.close()
    copy.generation.set_goal(doomed(primary.entries[1].place, 3).place)
    copy.open()
    with pytest.raises(Corrupt, match="not in the log"):
        copy.apply(*primary.entries)
    copy.file.forget()
    copy.close()
    copy.open()
    assert copy.file.published == origin(DATABASE)
    copy.check(whole=True)


def test_what_a_checkpoint_hid_cannot_be_cut(copy: Copy, primary: Primary) -> None:
    half_copied(copy, primary)
    copy.append(*primary.entries[2:4])
    copy.file.publish(primary.entries[2].place)
    copy.file.cut(primary.entries[2].place)
    with pytest.raises(Corrupt, match="is confirmed"):
        copy.file.cut(primary.entries[1].place)
    copy.close()


def test_sqlite_s_checks_pass_on_a_copy_of_many_small_transactions(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries)
    for number in range(150):
        copy.apply(primary.run("INSERT INTO t (x) VALUES (?)", number))
        if number % 40 == 39:
            assert copy.file.checkpoint()
    copy.check(whole=True)
    assert check_of(copy.near()) == "ok"

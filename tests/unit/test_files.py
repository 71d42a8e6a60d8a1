"""The real file port, and the disk in memory that stands for it in tests of the journal."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from threading import Timer

import pytest
from tests.unit.log_disk import SECTOR, Disk, PowerLoss

from raylite.actors.storage.files import Files, RealFiles, is_full

FILE = Path("/file")


def test_what_is_written_is_read_back_and_short_only_at_the_end(tmp_path: Path) -> None:
    files: Files = RealFiles()
    descriptor = files.open(tmp_path / "file", create=True)
    files.pwrite(descriptor, b"hello", 3)
    files.fdatasync(descriptor)
    assert files.pread(descriptor, 100, 0) == b"\0\0\0hello"
    assert files.size(descriptor) == 8
    files.allocate(descriptor, 4096)
    files.allocate(descriptor, 10)
    assert files.size(descriptor) == 4096
    files.truncate(descriptor, 4)
    assert files.pread(descriptor, 100, 0) == b"\0\0\0h"
    files.close(descriptor)


def test_names_change_and_go(tmp_path: Path) -> None:
    files: Files = RealFiles()
    deep = tmp_path / "a" / "b"
    files.make_directory(deep)
    files.make_directory(deep)
    for name in ("two", "one"):
        files.close(files.open(deep / name, create=True))
    files.sync_directory(deep)
    assert files.names(deep) == ["one", "two"]
    files.rename(deep / "one", deep / "two")
    assert files.names(deep) == ["two"]
    files.unlink(deep / "two")
    assert files.names(deep) == []
    with pytest.raises(FileNotFoundError):
        files.open(deep / "two")


def test_a_lock_is_held_until_it_is_closed_and_waited_for_no_longer_than_asked(tmp_path: Path) -> None:
    files = RealFiles()
    held = files.lock(tmp_path / "lock", 0)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BlockingIOError):
        files.lock(tmp_path / "lock", 0.05)
    assert len(os.listdir("/proc/self/fd")) == before
    timer = Timer(0.05, files.close, [held])
    timer.start()
    files.close(files.lock(tmp_path / "lock", 10))
    timer.join()


def test_a_lock_is_one_that_other_programs_see(tmp_path: Path) -> None:
    files = RealFiles()
    held = files.lock(tmp_path / "lock", 0)
    with (tmp_path / "lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    files.close(held)


def test_only_a_lack_of_room_counts_as_full() -> None:
    assert [is_full(OSError(number, "")) for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO)] == [
        True,
        True,
        False,
    ]


def written(disk: Disk, content: bytes, *, sync: bool) -> int:
    descriptor = disk.open(FILE, create=True)
    disk.sync_directory(FILE.parent)
    disk.pwrite(descriptor, content, 0)
    if sync:
        disk.fdatasync(descriptor)
    return descriptor


def test_the_disk_in_memory_keeps_what_was_synced() -> None:
    for seed in range(20):
        disk = Disk(seed)
        written(disk, b"x" * 5000, sync=True)
        disk.lose_power()
        assert disk.bytes_of(FILE) == b"x" * 5000


def test_the_disk_in_memory_loses_any_part_of_what_was_not_synced() -> None:
    kinds: set[bytes] = set()
    for seed in range(60):
        disk = Disk(seed)
        descriptor = written(disk, b"a" * 3 * SECTOR, sync=True)
        disk.pwrite(descriptor, b"b" * 3 * SECTOR, 0)
        disk.lose_power()
        kinds.add(disk.bytes_of(FILE)[::SECTOR])
    assert kinds == {bytes((x, y, z)) for x in b"ab" for y in b"ab" for z in b"ab"}


def test_the_disk_in_memory_shows_after_a_failed_sync_what_it_has_lost() -> None:
    lost = 0
    for seed in range(20):
        disk = Disk(seed)
        descriptor = written(disk, b"a" * SECTOR, sync=True)
        disk.pwrite(descriptor, b"b" * SECTOR, 0)
        disk.failing = {disk.steps + 1}
        with pytest.raises(OSError, match="failed"):
            disk.fdatasync(descriptor)
        disk.fdatasync(descriptor)
        assert disk.bytes_of(FILE) == b"b" * SECTOR
        disk.lose_power()
        lost += disk.bytes_of(FILE) == b"a" * SECTOR
    assert 0 < lost < 20


def test_the_disk_in_memory_stops_at_the_step_it_was_told() -> None:
    disk = Disk()
    disk.lose_at = 3
    with pytest.raises(PowerLoss):
        written(disk, b"x", sync=True)
    assert disk.log == ["create file", "sync directory", "pwrite"]

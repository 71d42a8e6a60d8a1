"""The journal as its users see it: what is written, synced, read, refused and found again."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.log_disk import Disk
from tests.unit.log_model import DIRECTORY, OWNER, begin, entries, entry, observe, opened, place_of

from raylite.actors.core.log import LogIndex
from raylite.actors.core.store import (
    StoreConfirmed,
    StoreCut,
    StoreDropped,
    StoreGaveUp,
    StorePiece,
    StorePromise,
)
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.log_directory import Owner
from raylite.actors.storage.log_file import Journal
from raylite.actors.storage.log_records import Location, Record, StoreJoined
from raylite.actors.storage.log_segment import numbers
from raylite.actors.storage.log_state import Recovered
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt, ForeignDirectory, StorageFailed, StorageFull, Unreachable


def reopened(disk: Disk, journal: Journal) -> Journal:
    journal.close()
    return opened(disk)


def test_an_empty_directory_becomes_an_empty_journal() -> None:
    disk = Disk()
    journal = opened(disk)
    assert journal.recovered == {}
    assert not journal.unsynced
    assert reopened(disk, journal).recovered == {}


def test_what_was_written_is_recovered_with_all_that_a_follower_needs() -> None:
    disk = Disk()
    journal = opened(disk)
    made = entries("a", 3)
    locations = journal.write([*begin("a"), *made, Record("a", StoreConfirmed(place_of(made[1])))])
    journal.sync()
    held = reopened(disk, journal).recovered["a"]
    assert (held.incarnation, held.promised, held.gave_up) == ("incarnation of a", 1, False)
    assert (held.base, held.confirmed, held.tail) == (origin("a"), place_of(made[1]), place_of(made[2]))
    assert held.members is not None
    pieces = [record.change.piece for record in made if isinstance(record.change, StorePiece)]
    assert held.pieces == list(zip(pieces, locations[3:6], strict=True))
    assert LogIndex(held.base, held.members, pieces).tail == held.tail


def test_pieces_are_read_back_at_once_after_a_rotation_and_after_a_start() -> None:
    disk = Disk()
    journal = opened(disk)
    made = entries("a", 60)
    locations = journal.write(begin("a"))
    for record in made:
        locations += journal.write([record])
    expected = [record.change.encoded for record in made if isinstance(record.change, StorePiece)]
    assert journal.read_many(locations[3:]) == expected
    assert len(numbers(disk, DIRECTORY)) > 2
    journal.sync()
    assert reopened(disk, journal).read_many(locations[3:]) == expected


def test_state_kept_up_by_apply_equals_what_a_start_recovers() -> None:
    disk = Disk()
    journal = opened(disk)
    made = entries("a", 4)
    records = [
        *begin("a"),
        *made[:3],
        Record("a", StoreConfirmed(place_of(made[0]))),
        Record("a", StoreCut(place_of(made[1]))),
        Record("a", StorePromise(5)),
    ]
    kept = Recovered("a")
    for record, location in zip(records, journal.write(records), strict=True):
        kept.apply(record.change, location)
    journal.sync()
    found = reopened(disk, journal).recovered["a"]
    assert vars(found) == vars(kept)


def test_the_pieces_of_an_entry_that_was_not_completed_are_cut_for_good() -> None:
    disk = Disk()
    journal = opened(disk)
    large = entry("a", origin("a"), pieces=3)
    journal.write([*begin("a"), *large[:2]])
    journal.sync()
    journal = reopened(disk, journal)
    assert journal.recovered["a"].pieces == []
    journal.write(entries("a", 1))
    journal.sync()
    held = reopened(disk, journal).recovered["a"]
    assert not held.gave_up
    assert held.end == place_of(entries("a", 1)[0])


def test_a_confirmed_mark_needs_no_sync_of_its_own() -> None:
    disk = Disk()
    journal = opened(disk)
    made = entries("a", 1)
    journal.write([*begin("a"), *made])
    assert journal.unsynced
    journal.sync()
    journal.write([Record("a", StoreConfirmed(place_of(made[0])))])
    assert not journal.unsynced
    journal.write([Record("a", StorePromise(2))])
    assert journal.unsynced


def test_a_database_that_was_given_up_may_be_joined_anew() -> None:
    disk = Disk()
    journal = opened(disk)
    journal.write([*begin("a"), *entries("a", 2), Record("a", StoreGaveUp())])
    journal.sync()
    journal = reopened(disk, journal)
    held = journal.recovered["a"]
    assert (held.gave_up, held.incarnation, held.pieces) == (True, "incarnation of a", [])
    journal.write([Record("a", StoreJoined("second")), *entries("a", 1)])
    journal.sync()
    held = reopened(disk, journal).recovered["a"]
    assert (held.gave_up, held.incarnation, held.promised, len(held.pieces)) == (False, "second", 0, 1)


def test_a_database_that_was_dropped_stays_so_and_is_never_joined_again() -> None:
    disk = Disk()
    journal = opened(disk)
    journal.write([*begin("a"), *begin("b"), *entries("a", 2), Record("a", StoreDropped())])
    journal.sync()
    held = Recovered("a")
    for _ in range(2):
        journal = reopened(disk, journal)
        held = journal.recovered["a"]
        assert (held.dropped, held.gave_up, held.pieces, held.members) == (True, False, [], None)
        assert not journal.recovered["b"].dropped
    with pytest.raises(Corrupt):
        held.apply(StoreJoined("again"), Location(1, 0, 0))
    journal.write([Record("a", StoreJoined("again"))])
    journal.sync()
    assert reopened(disk, journal).recovered["a"].dropped


@pytest.mark.parametrize(
    "change",
    [
        StorePromise(1),
        StoreCut(origin("b")),
        StoreConfirmed(origin("b")),
    ],
)
def test_changes_of_a_database_that_was_never_joined_are_damage(
    change: StorePromise | StoreCut | StoreConfirmed,
) -> None:
    disk = Disk()
    journal = opened(disk)
    journal.write([Record("b", change), *begin("a")])
    journal.sync()
    found = reopened(disk, journal).recovered
    assert found["b"].gave_up
    assert not found["a"].gave_up


def test_changes_that_cannot_follow_raise_and_change_nothing() -> None:
    held = Recovered("a")
    location = opened(Disk()).write(begin("a"))[0]
    made = entries("a", 3)
    for record in [*begin("a"), *made[:2], Record("a", StoreConfirmed(place_of(made[0])))]:
        held.apply(record.change, location)
    before = dict(vars(held)) | {"pieces": list(held.pieces)}
    for change in (
        made[1].change,
        StoreCut(origin("a")),
        StoreCut(place_of(made[2])),
        StoreConfirmed(place_of(made[2])),
    ):
        with pytest.raises(Corrupt):
            held.apply(change, location)
        assert vars(held) == before


def test_starting_again_and_again_without_work_makes_no_more_files() -> None:
    disk = Disk()
    journal = opened(disk)
    journal.write(begin("a"))
    journal.sync()
    for _ in range(5):
        journal = reopened(disk, journal)
    assert numbers(disk, DIRECTORY) == [1, 2]
    assert disk.open_descriptors == 2  # the segment and the lock


def test_records_larger_than_a_segment_get_a_larger_one() -> None:
    disk = Disk()
    journal = opened(disk)
    made = entries("a", 1, size=65536)
    journal.write(begin("a"))
    location = journal.write(made)[0]
    journal.write(entries("a", 1, end=place_of(made[0])))
    journal.sync()
    journal = reopened(disk, journal)
    assert len(journal.recovered["a"].pieces) == 2
    assert len(journal.read(location)) > 65536


def test_a_database_id_that_is_too_long_is_our_bug_and_writes_nothing() -> None:
    journal = opened(Disk())
    with pytest.raises(ValueError, match="256 bytes"):
        journal.write([Record("x" * 256, StorePromise(1))])
    journal.write(begin("a"))


def test_another_follower_or_another_system_is_refused() -> None:
    disk = Disk()
    opened(disk).close()
    before = {number: disk.bytes_of(DIRECTORY / "owner") for number in (1,)}
    for other in (Owner("follower:2", "system"), Owner("follower:1", "another")):
        with pytest.raises(ForeignDirectory, match="follower:1 of system system"):
            Journal.open(DIRECTORY, other, disk, lock_seconds=0)
    assert disk.bytes_of(DIRECTORY / "owner") == before[1]
    assert disk.open_descriptors == 0


def test_segments_without_an_owner_or_with_an_unreadable_one_are_refused() -> None:
    disk = Disk()
    opened(disk).close()
    disk.flip(DIRECTORY / "owner", 0)
    with pytest.raises(Corrupt, match="owner"):
        opened(disk)
    disk.remove(DIRECTORY / "owner")
    with pytest.raises(Corrupt, match="no `owner`"):
        opened(disk)


def test_other_files_in_the_directory_are_left_alone() -> None:
    disk = Disk()
    disk.close(disk.open(DIRECTORY / "system.json", create=True))
    journal = opened(disk)
    journal.write(begin("a"))
    journal.sync()
    disk.close(disk.open(DIRECTORY / "notes.journal", create=True))
    assert set(reopened(disk, journal).recovered) == {"a"}
    assert "system.json" in disk.names(DIRECTORY)


def test_a_second_process_does_not_get_the_directory() -> None:
    disk = Disk()
    journal = opened(disk)
    with pytest.raises(Unreachable, match="held its lock"):
        opened(disk)
    reopened(disk, journal)


@pytest.mark.parametrize("what", ["write", "sync"])
def test_after_a_failed_write_or_sync_everything_fails_until_the_next_start(what: str) -> None:
    disk = Disk()
    journal = opened(disk)
    location = journal.write(begin("a") + entries("a", 1))[-1]
    journal.sync()
    disk.failing = {disk.steps + (1 if what == "write" else 2)}
    with pytest.raises(StorageFailed, match=f"a {what} failed"):
        _write_and_sync(journal)
    for _ in range(2):
        with pytest.raises(StorageFailed):
            _write_and_sync(journal)
        with pytest.raises(StorageFailed):
            journal.sync()
        with pytest.raises(StorageFailed):
            journal.mark()
    assert journal.read(location)
    assert not reopened(disk, journal).recovered["a"].gave_up


def _write_and_sync(journal: Journal) -> None:
    journal.write([Record("a", StorePromise(2))])
    journal.sync()


def test_a_full_disk_refuses_writes_before_anything_is_written_and_goes_on_once_there_is_room() -> None:
    disk = Disk()
    journal = opened(disk)
    disk.capacity = 40_000
    journal.write(begin("a"))
    made = entries("a", 60)
    count = _write_until_full(journal, made)
    journal.sync()
    with pytest.raises(StorageFull, match="no space left"):
        journal.write(made[count : count + 1])
    disk.capacity = 1 << 20
    journal.write(made[count:])
    journal.sync()
    assert len(reopened(disk, journal).recovered["a"].pieces) == 60


def _write_until_full(journal: Journal, records: list[Record]) -> int:
    for count, record in enumerate(records):
        try:
            journal.write([record])
        except StorageFull:
            return count
    raise AssertionError("the disk never filled up")


def test_a_journal_says_that_it_has_no_room_once_its_next_segment_cannot_be_reserved() -> None:
    disk = Disk()
    journal = opened(disk)
    made = [*begin("a"), *entries("a", 100)]
    disk.capacity = 24 << 10
    end = 0
    while journal.has_room:
        journal.write(made[end : end + 1])
        journal.sync()
        journal.prepare()
        end += 1
    for record in made[end : end + 3]:  # what is under way is stored all the same
        journal.write([record])
    journal.sync()
    assert not journal.has_room
    disk.capacity = 1 << 20
    journal.prepare()
    assert journal.has_room
    for record in made[end + 3 :]:
        journal.write([record])
        journal.sync()
        journal.prepare()
        assert journal.has_room


def test_a_journal_that_refused_something_says_so_until_a_segment_is_reserved() -> None:
    disk = Disk()
    journal = opened(disk)
    disk.capacity = 24 << 10
    with pytest.raises(StorageFull):
        journal.write(entries("a", 1, size=30_000))
    for _ in range(2):
        assert not journal.has_room
        journal.prepare()
    disk.capacity = 1 << 20
    journal.prepare()
    assert journal.has_room


def test_a_full_disk_keeps_a_place_for_promises() -> None:
    disk = Disk()
    journal = opened(disk, segment_bytes=1 << 20)
    disk.capacity = 1 << 20
    journal.write(begin("a"))
    _write_until_full(journal, entries("a", 1000, size=4096))
    for epoch in range(2, 100):
        journal.write([Record("a", StorePromise(epoch))])
    journal.sync()
    journal.close()
    disk.capacity = 2 << 20
    assert opened(disk, segment_bytes=1 << 20).recovered["a"].promised == 99


def test_a_mark_always_has_room() -> None:
    for size in range(512, 1152, 8):
        disk = Disk()
        journal = opened(disk)
        disk.capacity = 0
        journal.write(begin("a"))
        first = entries("a", 1, size=size)
        count = _write_until_full(journal, first + entries("a", 30, end=place_of(first[0])))
        journal.mark()
        journal.close()
        assert len(disk.bytes_of(DIRECTORY / f"{1:016x}.journal")) == 24 << 10
        disk.capacity = 1 << 20
        assert len(opened(disk).recovered["a"].pieces) == count


def test_a_start_on_a_full_disk_serves_reads_and_refuses_writes() -> None:
    disk = Disk()
    journal = opened(disk)
    made = entries("a", 60)
    journal.write(begin("a"))
    disk.capacity = 40_000
    count = _write_until_full(journal, made)
    journal.sync()
    journal = reopened(disk, journal)
    held = journal.recovered["a"]
    assert len(held.pieces) == count
    assert journal.read(held.pieces[-1][1])
    with pytest.raises(StorageFull):
        journal.write(made[count : count + 40])


def test_a_segment_prepared_ahead_is_used() -> None:
    disk = Disk()
    journal = opened(disk)
    journal.write(begin("a"))
    journal.prepare()
    assert "spare" not in disk.names(DIRECTORY)
    made = entries("a", 40)
    for record in made[:20]:
        journal.write([record])
    journal.prepare()
    journal.prepare()
    assert "spare" in disk.names(DIRECTORY)
    allocations = disk.log.count("allocate")
    disk.capacity = 0
    for record in made[20:]:
        journal.write([record])
    assert numbers(disk, DIRECTORY) == [1, 2]
    assert disk.log.count("allocate") == allocations + 1
    assert "spare" not in disk.names(DIRECTORY)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB if we may mount one, else files of at most 150 kB."""
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)],
            check=False,
            capture_output=True,
        ).returncode
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, limits[1]))
    yield tmp_path
    if mounted:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_real_disk_that_is_full_is_told_apart_from_one_that_fails(small_disk: Path) -> None:
    made = entries("a", 400, size=4096)
    journal = Journal.open(small_disk, OWNER, segment_bytes=256 << 10)
    journal.write(begin("a"))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(400_000 if os.path.ismount(small_disk) else 0))
    count = _write_until_full(journal, made)
    journal.sync()
    journal.close()
    journal = Journal.open(small_disk, OWNER, segment_bytes=256 << 10)
    pieces = journal.recovered["a"].pieces
    assert len(pieces) == count > 10
    assert journal.read(pieces[-1][1])
    filler.unlink()
    if os.path.ismount(small_disk):
        journal.write(made[len(pieces) : len(pieces) + 20])
        journal.sync()
        assert journal.read(pieces[0][1])
    journal.close()


def test_a_real_journal_survives_a_start(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "directory"
    journal = Journal.open(directory, OWNER, segment_bytes=64 << 10)
    journal.write(begin("a"))
    for record in entries("a", 40, size=4096):
        journal.write([record])
        journal.sync()
        journal.prepare()
    with pytest.raises(Unreachable):
        Journal.open(directory, OWNER, lock_seconds=0)
    journal.close()
    again = Journal.open(directory, OWNER, segment_bytes=64 << 10)
    assert len(observe(again)["a"].pieces) == 40
    again.close()


def test_a_disk_that_cannot_reserve_for_another_reason_breaks_the_journal(tmp_path: Path) -> None:
    class Failing(RealFiles):
        """Reserves the first segment only."""

        calls = 0

        def allocate(self, descriptor: int, size: int) -> None:
            self.calls += 1
            if self.calls > 1:
                raise OSError(errno.EIO, "no")
            super().allocate(descriptor, size)

    journal = Journal.open(tmp_path, OWNER, Failing(), segment_bytes=32 << 10)
    with pytest.raises(StorageFailed):
        journal.write(entries("a", 60))
    journal.close()

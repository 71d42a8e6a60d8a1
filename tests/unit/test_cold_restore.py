"""Files out of cold storage: written whole and synced, compared for a restore in place, kept to be read."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.unit.cold_world import (
    DATABASE,
    ImagePages,
    Log,
    MemoryStore,
    begun,
    integrity,
    new_run,
    restored,
    snapshot_at,
    upload,
)
from tests.unit.log_disk import Disk, PowerLoss
from tests.unit.s3_server import Server

from raylite.actors.cold.ahead import ahead
from raylite.actors.cold.archive import Archive, Plan
from raylite.actors.cold.chain import Chain
from raylite.actors.cold.file_pages import FilePages
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.fork import fork
from raylite.actors.cold.manifest import State
from raylite.actors.cold.past import Past
from raylite.actors.cold.restore import restore, write
from raylite.actors.cold.retention import Retention
from raylite.actors.cold.timeline import find
from raylite.actors.core.piece import Header, Kind, Pages, encode
from raylite.actors.storage.engine_apsw import connect
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.image import PAGE_SIZE
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError, Corrupt, StorageFull, Unreachable
from raylite.policies.limits import COLD_LEFTOVER_SECONDS

COUNT = 14


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Grows, shrinks by a VACUUM, and grows again."""
    with Log(tmp_path_factory.mktemp("log")) as made:
        made.begin()
        for size in (60_000, 2000, 90_000, 10):
            made.fill(size)
        made.run("DELETE FROM t WHERE k <> 2")
        made.run("VACUUM")
        made.run("CREATE TABLE later (x)")
        made.grow(COUNT, 8000)
        yield made


@pytest.fixture
def archive(log: Log) -> Archive:
    made = begun()
    upload(made, log, [4, COUNT])
    return made


def image_source(log: Log, count: int) -> ImagePages:
    entry = log.entries[count - 1]
    return ImagePages(State(DATABASE, entry.place, entry.time_us, len(entry.image) // PAGE_SIZE), entry.image)


# Files


class Failing(RealFiles):
    """Fails a call from its `at`-th on, as a disk without room does. synced: sizes at each sync."""

    def __init__(self, name: str = "", at: int = 0) -> None:
        self.name, self.left = name, at
        self.synced: list[int] = []

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        self._count("pwrite")
        super().pwrite(descriptor, data, offset)

    def fdatasync(self, descriptor: int) -> None:
        self._count("fdatasync")
        self.synced.append(os.fstat(descriptor).st_size)
        super().fdatasync(descriptor)

    def _count(self, name: str) -> None:
        self.left -= name == self.name
        if self.name == name and self.left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_restored_file_is_synced_whole_and_replaces_what_was_there(
    archive: Archive, log: Log, tmp_path: Path
) -> None:
    path = tmp_path / "r"
    path.write_bytes(b"left over" * 100_000)
    files = Failing()
    restore(archive, log.place(9), files, path)
    assert path.read_bytes() == log.entries[8].image
    assert files.synced == [len(log.entries[8].image)]


@pytest.mark.parametrize(("name", "at"), [("pwrite", 0), ("pwrite", 5), ("fdatasync", 0)])
def test_without_room_a_restore_says_so(
    archive: Archive, log: Log, tmp_path: Path, name: str, at: int
) -> None:
    with pytest.raises(StorageFull, match="No space left"):
        restore(archive, log.end, Failing(name, at), tmp_path / "r")


def test_a_restored_file_is_read_by_sqlite_as_it_was(archive: Archive, log: Log, tmp_path: Path) -> None:
    restored(archive, log.place(6), tmp_path / "r")
    connection = connect(str(tmp_path / "r"), apsw.SQLITE_OPEN_READWRITE)
    assert list(connection.execute("SELECT k, length(x) FROM t")) == [
        (1, 60_000),
        (2, 2000),
        (3, 90_000),
        (4, 10),
    ]
    connection.execute("INSERT INTO t (x) VALUES (1)")
    connection.close()


def test_pages_beyond_the_database_are_damage(tmp_path: Path) -> None:
    """What verifies and still cannot be: the digest proves who wrote it, not that it makes sense."""
    archive = Archive(MemoryStore(), DATABASE)
    start = archive.found(new_run()).state.bookmark
    header = Header(Kind.WRITE, True, 1, 1, 0, 0, PAGE_SIZE, 2)
    archive.upload(start, [encode(header, Pages([3], [bytes(PAGE_SIZE)]))])
    held = archive.held()
    assert held is not None
    with pytest.raises(Corrupt, match="not of 2"):
        restore(archive, held.newest.bookmark, RealFiles(), tmp_path / "r")


def test_a_plan_that_does_not_lead_to_its_goal_gives_no_state(
    archive: Archive, log: Log, tmp_path: Path
) -> None:
    plan = archive.plan(log.end)
    short = Chain(plan.chain.start, plan.chain.steps[:-1], plan.chain.reach)
    with pytest.raises(Corrupt, match="its objects lead to"):
        write(archive, Plan(plan.goal, plan.manifest, short), RealFiles(), tmp_path / "r")


def test_reads_ahead_come_in_order_and_an_error_comes_in_its_place() -> None:
    assert list(ahead(lambda one: one * 2, range(20), 3)) == [one * 2 for one in range(20)]
    taken: list[int] = []
    with pytest.raises(ValueError, match="seven"):
        taken.extend(ahead(seven, range(20), 3))
    assert taken == list(range(7))


def seven(one: int) -> int:
    if one == 7:
        raise ValueError("seven")
    return one


def test_a_file_that_is_not_of_its_state_s_size_is_refused(log: Log, tmp_path: Path) -> None:
    source = image_source(log, 5)
    (tmp_path / "r").write_bytes(source.image)
    with FilePages(tmp_path / "r", source.state) as pages:
        assert pages.read(1, 3) == source.read(1, 3)
    (tmp_path / "r").write_bytes(source.image[:-1])
    with pytest.raises(Corrupt, match="not"):
        FilePages(tmp_path / "r", source.state)


def test_a_snapshot_can_be_made_of_a_restored_file(archive: Archive, log: Log, tmp_path: Path) -> None:
    """So snapshots need nothing of the writer: cold storage makes them out of itself."""
    state = restore(archive, log.place(10), RealFiles(), tmp_path / "r")
    with FilePages(tmp_path / "r", state) as pages:
        made = archive.snapshot(pages, new_run())
    assert made.state == state
    assert restored(archive, log.end, tmp_path / "again") == log.image


# As of then


def test_a_past_is_built_once_and_then_found(archive: Archive, log: Log, tmp_path: Path) -> None:
    past = Past(tmp_path / "past", RealFiles(), lambda: 1000.0)
    path = past.file(archive, log.place(6))
    assert path.read_bytes() == log.entries[5].image
    store = archive.store
    assert isinstance(store, MemoryStore)
    store.fail = lambda _operation, _name: Unreachable("cold storage", "cut")
    assert past.file(archive, log.place(6)) == path
    with pytest.raises(Unreachable):
        past.file(archive, log.place(7))


def test_a_cache_of_pasts_removes_what_was_not_used_for_longest(
    archive: Archive, log: Log, tmp_path: Path
) -> None:
    now = [1000.0]
    size = sum(len(log.entries[count - 1].image) for count in (3, 4))
    past = Past(tmp_path / "past", RealFiles(), lambda: now[0], size)
    paths: dict[int, Path] = {}
    for count in (3, 4, 3, 2):
        now[0] += 1
        paths[count] = past.file(archive, log.place(count))
    assert paths[3].exists()
    assert not paths[4].exists()
    tiny = Past(tmp_path / "past", RealFiles(), lambda: now[0], 1)
    assert tiny.file(archive, log.place(5)).exists(), "what was asked for stays"
    assert len(os.listdir(tmp_path / "past")) == 1


def test_what_was_left_half_built_goes_and_is_never_handed_out(
    archive: Archive, log: Log, tmp_path: Path
) -> None:
    now = 10_000.0
    past = Past(tmp_path / "past", RealFiles(), lambda: now)
    with pytest.raises(StorageFull):
        Past(tmp_path / "past", Failing("fdatasync"), lambda: now).file(archive, log.place(6))
    assert os.listdir(tmp_path / "past") == []
    for name, age in (("old", COLD_LEFTOVER_SECONDS + 1), ("young", 1.0)):
        leftover = tmp_path / "past" / f"{name}.making"
        leftover.write_bytes(b"half")
        os.utime(leftover, (now - age, now - age))
    assert integrity(past.file(archive, log.place(6))) == "ok"
    assert (tmp_path / "past" / "young.making").exists()
    assert not (tmp_path / "past" / "old.making").exists()


def test_another_database_s_bookmark_gives_no_file(archive: Archive, log: Log, tmp_path: Path) -> None:
    past = Past(tmp_path / "past", RealFiles(), lambda: 1000.0)
    past.file(archive, log.place(6))
    other = Archive(archive.store, "07e2")
    with pytest.raises(BookmarkError, match="another database"):
        past.file(other, log.place(6))


# On real stores


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_whole_life_on_a_real_store(
    kind: str, log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if kind == "folder":
        store = open_store(str(tmp_path / "cold"))
    else:
        server: Server = request.getfixturevalue("server")
        store = server.open(monkeypatch)
    archive = begun(store)
    upload(archive, log, [3, 8])
    snapshot_at(archive, log, 6)
    upload(Archive(store, DATABASE), log, [7, COUNT], 3)
    snapshot_at(archive, log, COUNT)
    again = Archive(store, DATABASE)
    held = again.held()
    assert held is not None
    assert (held.newest.bookmark, held.problems) == (log.end, ())
    for count in (1, 5, 6, 7, COUNT):
        assert restored(again, log.place(count), tmp_path / "r") == log.entries[count - 1].image
        assert find(again, log.entries[count - 1].time_us).bookmark == log.place(count)
    made = fork(again, "f02c", log.place(9), lambda: 0.0)
    image = restored(Archive(store, "f02c"), made.state.bookmark, tmp_path / "r")
    assert image == log.entries[8].image
    swept = Retention(again, store.now).sweep()
    assert (swept.snapshots, swept.segments, swept.chunks, swept.problem) == (0, 0, 0, "")


def test_a_bucket_that_is_not_there_and_a_server_that_is_gone_are_no_empty_archives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Server() as server:
        missing = Archive(server.open(monkeypatch, make=False, seconds=5), DATABASE)
        with pytest.raises(Unreachable, match="NoSuchBucket"):
            missing.held()
        with pytest.raises(Unreachable):
            missing.store.read("databases/x")
        there = Archive(server.open(monkeypatch, seconds=2), DATABASE)
        assert there.held() is None
    for attempt in (there.held, lambda: there.found(new_run())):
        with pytest.raises(Unreachable):
            attempt()


def test_a_forged_bookmark_is_refused(archive: Archive, log: Log, tmp_path: Path) -> None:
    forged = Bookmark(1, 6, log.start.history, bytes(12))
    with pytest.raises(BookmarkError):
        restore(archive, forged, RealFiles(), tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_power_lost_at_any_write_of_a_restore_leaves_the_archive_and_the_next_attempt_whole(
    archive: Archive, log: Log
) -> None:
    """What is at the path until it returns counts for nothing, so nothing else is asked of it."""
    path = Path("/restored")
    goal = log.place(len(log.entries) - 1)
    whole = Disk()
    expected = restore(archive, goal, whole, path)
    for step in range(1, whole.steps + 1):
        disk = Disk(step)
        disk.lose_at = step
        with pytest.raises(PowerLoss):
            restore(archive, goal, disk, path)
        disk.lose_power()
        assert restore(archive, goal, disk, path) == expected
        disk.sync_directory(path.parent)
        disk.lose_power()
        assert disk.bytes_of(path) == log.entries[-2].image

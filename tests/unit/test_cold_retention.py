"""Retention: what is old goes, what anybody still needs stays, wherever a sweep is cut."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.unit.cold_world import (
    DATABASE,
    DAY,
    Crash,
    ImagePages,
    Log,
    MemoryStore,
    begun,
    new_run,
    restored,
    run_within,
    snapshot_at,
    upload,
)

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.fork import fork
from raylite.actors.cold.manifest import State, read_manifest
from raylite.actors.cold.names import pin_name
from raylite.actors.cold.retention import Retention, Swept
from raylite.actors.cold.snapshot import write_snapshot
from raylite.actors.cold.timeline import find, span
from raylite.actors.storage.image import EMPTY, PAGE_SIZE
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError, Corrupt, ParameterError
from raylite.policies.limits import COLD_CLOCK_SECONDS, COLD_GRACE_SECONDS, COLD_RETENTION_SECONDS

FORK = "f02cf02c"
DAYS = 45
PER_DAY = 2


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Two entries a day, for 45 days."""
    with Log(tmp_path_factory.mktemp("log")) as made:
        made.begin()
        while len(made.entries) < DAYS * PER_DAY:
            made.time_us += int(DAY / PER_DAY * 1e6)
            made.fill(2000)
        yield made


@pytest.fixture(scope="module")
def lived(log: Log) -> MemoryStore:
    """Cold storage on day 45, when nothing was ever removed: a segment a day, a snapshot every five days."""
    store = MemoryStore()
    archive = begun(store)
    for day in range(1, DAYS + 1):
        upload(archive, log, [day * PER_DAY], (day - 1) * PER_DAY)
        if day % 5 == 0:
            snapshot_at(archive, log, day * PER_DAY)
        store.time += DAY
    store.writes = 0
    return store


@pytest.fixture
def store(lived: MemoryStore) -> MemoryStore:
    return lived.copy()


def retention(store: MemoryStore, database_id: str = DATABASE, off: float = 0.0) -> Retention:
    return Retention(Archive(store, database_id), lambda: store.time + off)


def check_kept(store: MemoryStore, log: Log, path: Path, days: int = 30) -> None:
    """Everything of the last `days` can be restored; what cannot be is refused, never wrong."""
    archive = Archive(store, DATABASE)
    for day in range(DAYS - days + 1, DAYS + 1, 4):
        count = day * PER_DAY
        assert restored(archive, log.place(count), path) == log.entries[count - 1].image
        found = find(archive, log.entries[count - 1].time_us)
        assert found.bookmark == log.place(count)
    for count in (1, 9, 21):
        try:
            image = restored(archive, log.place(count), path)
        except BookmarkError:
            continue
        assert image == log.entries[count - 1].image


def test_what_is_below_the_newest_snapshot_that_is_old_enough_goes(
    store: MemoryStore, log: Log, tmp_path: Path
) -> None:
    swept = retention(store).sweep()
    archive = Archive(store, DATABASE)
    # On day 45 the snapshot of day 15 is 30 days and a bit old; that of day 20 is not.
    assert swept.kept_from == str(archive.snapshots()[0][0])
    assert archive.snapshots()[0][0].bookmark == log.place(15 * PER_DAY)
    assert (swept.snapshots, swept.segments, swept.problem) == (3, 15, "")
    assert len(archive.segments()) == DAYS - 15
    assert span(archive).oldest.bookmark == log.place(15 * PER_DAY)
    check_kept(store, log, tmp_path / "r")
    with pytest.raises(BookmarkError):
        archive.plan(log.place(20))


def test_a_second_sweep_finds_nothing_and_reads_no_chunk_again(store: MemoryStore) -> None:
    keeper = retention(store)
    assert keeper.sweep().snapshots == 3
    reads: list[str] = []

    def note(operation: str, name: str) -> None:
        if operation == "read" and "/chunks/" in name:
            reads.append(name)

    store.fail = note
    again = keeper.sweep()
    assert (again.snapshots, again.segments, again.chunks, again.problem) == (0, 0, 0, "")
    assert reads == []


def test_chunks_that_only_old_manifests_named_go_and_shared_ones_stay(
    store: MemoryStore, log: Log, tmp_path: Path
) -> None:
    before = {one.name for one in store.list(f"databases/{DATABASE}/chunks")}
    swept = retention(store).sweep()
    after = {one.name for one in store.list(f"databases/{DATABASE}/chunks")}
    assert swept.chunks == len(before) - len(after) > 0
    assert after == named_chunks(store)
    check_kept(store, log, tmp_path / "r")


def named_chunks(store: MemoryStore) -> set[str]:
    manifests = [read_manifest(store, name) for name, _ in Archive(store, DATABASE).snapshots()]
    return {str(chunk.name) for one in manifests for chunk in one.chunks}


def test_a_young_database_loses_nothing(log: Log) -> None:
    store = MemoryStore()
    archive = begun(store)
    upload(archive, log, [10, 20])
    snapshot_at(archive, log, 15)
    store.time += COLD_RETENTION_SECONDS - 1
    before = dict(store.objects)
    assert retention(store).sweep() == Swept()
    assert store.objects == before


def test_an_archive_without_anything_is_swept_too() -> None:
    assert retention(MemoryStore()).sweep() == Swept()


@pytest.mark.parametrize("off", [COLD_CLOCK_SECONDS + 1, -COLD_CLOCK_SECONDS - 1])
def test_nothing_goes_while_the_clocks_disagree(store: MemoryStore, off: float) -> None:
    before = dict(store.objects)
    swept = retention(store, off=off).sweep()
    assert "the clock of cold storage memory is" in swept.problem
    assert store.objects == before
    assert retention(store, off=off * 0.99).sweep().snapshots == 3


def test_a_retention_shorter_than_the_grace_is_refused(store: MemoryStore) -> None:
    with pytest.raises(ParameterError, match="is shorter than 24"):
        Retention(Archive(store, DATABASE), lambda: store.time, COLD_GRACE_SECONDS - 1)


def test_a_run_that_is_under_way_keeps_its_chunks(store: MemoryStore) -> None:
    name = f"databases/{DATABASE}/chunks/{'e' * 16}/{'0' * 64}"
    store.put(name, b"of a run whose manifest is not written yet")
    retention(store).sweep()
    assert name in store.objects
    store.time += COLD_GRACE_SECONDS
    assert retention(store).sweep().chunks >= 1
    assert name not in store.objects


@pytest.mark.parametrize("kind", ["flip", "gone"])
def test_nothing_goes_unless_the_snapshot_that_stays_was_read_whole(store: MemoryStore, kind: str) -> None:
    base = next(
        read_manifest(store, name)
        for name, one in reversed(Archive(store, DATABASE).snapshots())
        if one.modified <= store.time - COLD_RETENTION_SECONDS
    )
    chunk = str(base.chunks[-1].name)
    if kind == "gone":
        store.objects.pop(chunk)
    else:
        store.change(chunk, store.objects[chunk][0][:-1] + b"?")
    before = dict(store.objects)
    swept = retention(store).sweep()
    assert swept.damaged == (chunk,)
    assert chunk in swept.problem
    assert store.objects == before


def test_nothing_goes_while_the_log_has_a_gap(store: MemoryStore) -> None:
    (name, _) = Archive(store, DATABASE).segments()[-3]
    for manifest, _ in Archive(store, DATABASE).snapshots()[-1:]:
        store.objects.pop(str(manifest))
    store.objects.pop(str(name))
    before = dict(store.objects)
    assert "do not continue" in retention(store).sweep().problem
    assert store.objects == before


def test_a_manifest_that_cannot_be_read_keeps_all_chunks(store: MemoryStore, log: Log) -> None:
    """Nobody knows which it names. Here it is a fork's."""
    made = fork(Archive(store, DATABASE), FORK, log.place(80), lambda: 0.0)
    store.change(str(made.state.name), b"damaged")
    chunks = {one.name for one in store.list(f"databases/{DATABASE}/chunks")}
    swept = retention(store).sweep()
    assert swept.damaged == (str(made.state.name),)
    assert {one.name for one in store.list(f"databases/{DATABASE}/chunks")} == chunks


# Forks


def test_a_fork_keeps_what_it_needs_of_its_parent_and_no_more(
    store: MemoryStore, log: Log, tmp_path: Path
) -> None:
    goal = 11 * PER_DAY + 1
    made = fork(Archive(store, DATABASE), FORK, log.place(goal), lambda: 0.0)
    swept = retention(store).sweep()
    assert (swept.snapshots, swept.segments) == (3, 15 - 2)
    path = tmp_path / "r"
    for _ in range(2):
        assert restored(Archive(store, FORK), made.state.bookmark, path) == log.entries[goal - 1].image
        store.time += 10 * DAY
        retention(store).sweep()
    check_kept(store, log, path, days=10)


def test_what_a_fork_needs_no_more_goes_with_its_pin(store: MemoryStore, log: Log, tmp_path: Path) -> None:
    goal = 11 * PER_DAY
    made = fork(Archive(store, DATABASE), FORK, log.place(goal), lambda: 0.0)
    own = Log(tmp_path / "own", FORK, start=made.state.bookmark, image=log.entries[goal - 1].image)
    own.run("UPDATE t SET x = 'all is new'")
    archive = Archive(store, FORK)
    upload(archive, own, [1])
    image = own.image
    snapshot = archive.snapshot(
        ImagePages(State(FORK, own.end, own.time_us, len(image) // PAGE_SIZE), image), new_run()
    )
    assert snapshot.owners == set()
    store.time += COLD_RETENTION_SECONDS + DAY
    assert retention(store, FORK).sweep().snapshots == 1
    assert pin_name(DATABASE, FORK) in store.objects
    swept = retention(store).sweep()
    assert pin_name(DATABASE, FORK) not in store.objects
    assert swept.chunks > 0
    assert {one.name for one in store.list(f"databases/{DATABASE}/chunks")} == named_chunks(store)
    assert restored(archive, own.end, tmp_path / "r") == image
    own.close()


def test_while_a_fork_is_made_nothing_that_it_may_need_goes(store: MemoryStore) -> None:
    store.put(pin_name(DATABASE, FORK), b"pin")
    kept = {one.name for kind in ("chunks", "log") for one in store.list(f"databases/{DATABASE}/{kind}")}
    assert retention(store).sweep().segments == 0
    assert kept <= set(store.objects)
    store.time += COLD_GRACE_SECONDS
    assert retention(store).sweep().segments > 0, "nobody makes it any more"
    assert pin_name(DATABASE, FORK) not in store.objects


@pytest.mark.parametrize("outer", ["sweep", "fork"])
@pytest.mark.parametrize("goal", [24, 29])
def test_a_sweep_and_a_fork_at_once_leave_a_whole_fork_or_none(
    lived: MemoryStore, log: Log, tmp_path: Path, outer: str, goal: int
) -> None:
    """One runs in one piece before every single call to the store that the other one makes."""
    made: list[bool] = []
    for at in range(200):
        store = lived.copy()
        sweep, branch = (partial(job, store) for job in (sweep_now, partial(fork_now, log.place(goal), made)))
        begun = run_within(store, *((sweep, branch) if outer == "sweep" else (branch, sweep)), at)
        if made.pop():
            (name, _) = Archive(store, FORK).snapshots()[0]
            image = restored(Archive(store, FORK), name.bookmark, tmp_path / "r")
            assert image == log.entries[goal - 1].image, f"before call {at}"
        assert restored(Archive(store, DATABASE), log.end, tmp_path / "r") == log.image
        if not begun:
            assert at > 5
            return
    pytest.fail("it makes ever more calls")


def sweep_now(store: MemoryStore) -> None:
    retention(store).sweep()


def fork_now(goal: Bookmark, made: list[bool], store: MemoryStore) -> None:
    try:
        fork(Archive(store, DATABASE), FORK, goal, lambda: 0.0)
    except (BookmarkError, Corrupt):
        made.append(False)
    else:
        made.append(True)


def test_a_fork_of_a_fork_that_is_made_during_a_sweep_keeps_what_its_parent_gives_up(
    store: MemoryStore, log: Log, tmp_path: Path
) -> None:
    """Between the sweep's look at the pins and its look at the fork's manifests, that fork is forked and moves on."""
    goal = 11 * PER_DAY
    made = fork(Archive(store, DATABASE), FORK, log.place(goal), lambda: 0.0)
    store.time += COLD_GRACE_SECONDS + 1

    def move_on(operation: str, name: str) -> None:
        if (operation, name) == ("list", f"databases/{FORK}/snapshots"):
            store.fail = lambda _operation, _name: None
            fork(Archive(store, FORK), "5ec0", made.state.bookmark, lambda: 0.0)
            state = State(FORK, Bookmark(1, 2, made.state.bookmark.history, bytes(12)), 0, 1)
            write_snapshot(store, ImagePages(state, EMPTY), None, new_run())
            store.delete(str(made.state.name))

    store.fail = move_on
    retention(store).sweep()
    (name, _) = Archive(store, "5ec0").snapshots()[0]
    image = restored(Archive(store, "5ec0"), name.bookmark, tmp_path / "r")
    assert image == log.entries[goal - 1].image


# Crash points


def test_cut_after_any_delete_all_that_is_kept_can_be_restored(
    lived: MemoryStore, log: Log, tmp_path: Path
) -> None:
    whole = lived.copy()
    fork(Archive(whole, DATABASE), FORK, log.place(23), lambda: 0.0)
    begun = whole.copy()
    retention(whole).sweep()
    deletes = len(begun.objects) - len(whole.objects)
    assert deletes > 15
    for at in range(1, deletes + 1, 3):
        store = begun.copy()
        store.crash_at = at
        with pytest.raises(Crash):
            retention(store).sweep()
        store.crash_at = None
        check_kept(store, log, tmp_path / "r")
        retention(store).sweep()
        assert store.objects.keys() == whole.objects.keys()

"""One database's archive: what it holds, what a restore reads, and that damage is found and gone round."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.cold_world import (
    DATABASE,
    Crash,
    Log,
    MemoryStore,
    begun,
    new_run,
    restored,
    snapshot_at,
    upload,
)

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.names import SegmentName
from raylite.actors.cold.restore import restore
from raylite.actors.cold.snapshot import Run
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.image import EMPTY
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import BookmarkError, Corrupt, Unreachable
from raylite.policies.limits import COLD_CHUNK_BYTES, COLD_RUN_SECONDS
from raylite.policies.quorum import Member, Members

COUNT = 24


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """A database's life: two reigns, large and small entries, deletes, a VACUUM that makes it shorter."""
    with Log(tmp_path_factory.mktemp("log")) as made:
        made.begin()
        for size in (10, 2000, 60_000, 5, 9000, 2_500_000, 10, 300):
            made.fill(size)
        made.empty(3)
        made.members(Members((Member("follower:0", "a"), Member("follower:1", "b"))))
        made.run("DELETE FROM t WHERE k = 6")
        made.run("VACUUM")
        made.grow(COUNT, 3000)
        yield made


@pytest.fixture
def archive() -> Archive:
    return begun()


def store_of(archive: Archive) -> MemoryStore:
    assert isinstance(archive.store, MemoryStore)
    return archive.store


def test_an_archive_that_was_never_begun_holds_nothing() -> None:
    archive = Archive(MemoryStore(), DATABASE)
    assert archive.held() is None
    with pytest.raises(BookmarkError):
        archive.plan(origin(DATABASE))


def test_an_archive_begins_with_the_empty_database(archive: Archive, tmp_path: Path) -> None:
    held = archive.held()
    assert held is not None
    assert held.newest.bookmark == origin(DATABASE)
    assert restored(archive, origin(DATABASE), tmp_path / "r") == EMPTY
    assert archive.found(new_run()) == held.manifest, "the same at each call"


@pytest.mark.parametrize("cuts", [[9, 10, COUNT], list(range(1, COUNT + 1))])
def test_every_entry_can_be_restored_byte_for_byte(
    archive: Archive, log: Log, tmp_path: Path, cuts: list[int]
) -> None:
    upload(archive, log, cuts)
    held = archive.held()
    assert held is not None
    assert (held.newest.bookmark, held.newest.time_us, held.problems) == (
        log.end,
        log.entries[-1].time_us,
        (),
    )
    for count in range(1, COUNT + 1):
        assert restored(archive, log.place(count), tmp_path / "r") == log.entries[count - 1].image


def test_a_restore_also_tells_time_epochs_and_members(archive: Archive, log: Log, tmp_path: Path) -> None:
    upload(archive, log, [10, COUNT])
    early = restore(archive, log.place(5), RealFiles(), tmp_path / "r")
    assert (early.epochs, early.members, early.time_us) == (((1, 1),), None, log.entries[4].time_us)
    late = restore(archive, log.end, RealFiles(), tmp_path / "r")
    assert late.epochs == ((1, 1), (3, 11))
    assert late.members == Members((Member("follower:0", "a"), Member("follower:1", "b")))


def test_a_large_entry_may_lie_in_many_segments(archive: Archive, log: Log, tmp_path: Path) -> None:
    """The entry with 2.5 MB has three pieces; what ends inside of it does not count as held."""
    large = next(n for n, one in enumerate(log.entries) if len(one.pieces) > 2)
    upload(archive, log, [large])
    after = log.place(large)
    for number, piece in enumerate(log.entries[large].pieces):
        name = archive.upload(after, [piece])
        held = archive.held()
        assert held is not None
        last = number == len(log.entries[large].pieces) - 1
        assert name.whole == last
        assert held.newest.bookmark == log.place(large + last)
        after = name.last
    upload(archive, log, [COUNT], large + 1)
    for count in (large, large + 1, COUNT):
        assert restored(archive, log.place(count), tmp_path / "r") == log.entries[count - 1].image


def test_a_place_inside_an_entry_is_no_bookmark_to_restore(
    archive: Archive, log: Log, tmp_path: Path
) -> None:
    large = next(n for n, one in enumerate(log.entries) if len(one.pieces) > 2)
    upload(archive, log, [large])
    inside = archive.upload(log.place(large), log.entries[large].pieces[:1]).last
    for _ in range(2):
        with pytest.raises(BookmarkError):
            restore(archive, inside, RealFiles(), tmp_path / "r")
        upload(archive, log, [COUNT], large)


@settings(max_examples=10)
@given(st.data())
def test_segments_that_overlap_are_one_log(
    log: Log, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Two primaries in a row upload stretches that each of them cuts as it likes, from some entry on."""
    archive = begun()
    first = data.draw(st.lists(st.integers(1, COUNT), min_size=1, unique=True).map(sorted))
    begins = data.draw(st.sampled_from([0, *first]))
    second = (
        data.draw(st.lists(st.integers(begins + 1, COUNT), unique=True).map(sorted)) if begins < COUNT else []
    )
    upload(archive, log, first)
    upload(archive, log, second, begins)
    held = archive.held()
    assert held is not None
    reached = max([*first, *second])
    assert held.newest.bookmark == log.place(reached)
    path = tmp_path_factory.getbasetemp() / "overlap"
    for count in {1, reached, data.draw(st.integers(1, reached))}:
        assert restored(archive, log.place(count), path) == log.entries[count - 1].image


def test_a_restore_begins_with_the_newest_snapshot_before_the_entry(archive: Archive, log: Log) -> None:
    upload(archive, log, [5, 10, 15, COUNT])
    for count in (6, 12, 20):
        snapshot_at(archive, log, count)
    for count, base, steps in ((5, 0, 1), (6, 6, 0), (11, 6, 2), (12, 12, 0), (19, 12, 2), (COUNT, 20, 1)):
        plan = archive.plan(log.place(count))
        assert plan.manifest.state.bookmark == log.place(base)
        assert len(plan.chain.steps) == steps


def test_a_snapshot_that_the_log_does_not_lead_to_is_not_made(archive: Archive, log: Log) -> None:
    upload(archive, log, [5])
    with pytest.raises(BookmarkError):
        snapshot_at(archive, log, 6)


def test_what_is_not_in_the_archive_is_refused(archive: Archive, log: Log) -> None:
    upload(archive, log, [10])
    forged = Bookmark(1, 5, log.start.history, bytes(12))
    for goal, reason in (
        (log.place(11), "is not in what"),
        (forged, "is not in what"),
        (origin("another"), "is of another database"),
    ):
        with pytest.raises(BookmarkError, match=reason):
            archive.plan(goal)


# Snapshots


def test_a_snapshot_writes_only_what_changed_since_the_last(tmp_path: Path) -> None:
    archive = begun()
    big = Log(tmp_path / "big")
    big.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x)")
    for _ in range(4):
        big.fill(3_000_000)
    upload(archive, big, [5])
    first = snapshot_at(archive, big, 5)
    before = big.image
    big.run("UPDATE t SET k = 100 WHERE k = 4")
    upload(archive, big, [6], 5)
    second = snapshot_at(archive, big, 6)
    shared = {one.name for one in first.chunks} & {one.name for one in second.chunks}
    same = [n for n in range(0, len(before), COLD_CHUNK_BYTES) if chunk(before, n) == chunk(big.image, n)]
    assert 0 < len(shared) == len(same) < len(second.chunks)
    assert all(one.size <= COLD_CHUNK_BYTES + 1000 for one in second.chunks)
    assert restored(archive, big.end, tmp_path / "r") == big.image
    big.close()


def chunk(image: bytes, offset: int) -> bytes:
    return image[offset : offset + COLD_CHUNK_BYTES]


def test_a_chunk_that_is_known_to_be_damaged_is_written_anew(
    archive: Archive, log: Log, tmp_path: Path
) -> None:
    upload(archive, log, [10])
    first = snapshot_at(archive, log, 10)
    damage(store_of(archive), str(first.chunks[0].name))
    archive.upload(log.place(10), log.entries[10].pieces)  # the entry that begins a reign: no page changes
    entry = log.entries[10]
    again = snapshot_at(archive, log, 11)
    assert again.chunks == first.chunks, "nobody told"
    archive.store.delete(str(again.state.name))
    again = snapshot_at(archive, log, 11, damaged={str(first.chunks[0].name)})
    assert again.chunks[0].name != first.chunks[0].name
    assert restored(archive, log.place(11), tmp_path / "r") == entry.image


def test_a_snapshot_that_takes_too_long_is_given_up(archive: Archive, log: Log) -> None:
    upload(archive, log, [10])
    now = iter([0.0, COLD_RUN_SECONDS + 1])
    with pytest.raises(Unreachable, match="a snapshot took over"):
        snapshot_at(archive, log, 10, Run("f" * 16, lambda: next(now)))
    assert [name.bookmark for name, _ in archive.snapshots()] == [log.start]


def test_a_snapshot_is_wanted_once_the_log_is_longer_than_the_database(tmp_path: Path) -> None:
    big = Log(tmp_path / "big")
    archive = begun()
    big.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x)")
    least, wanted = 500_000, 0
    while wanted < 3:
        big.fill(100_000)
        upload(archive, big, [len(big.entries)], archived(archive, big))
        held = archive.held()
        assert held is not None
        bound = max(held.manifest.chunk_bytes, least)
        assert held.wants_snapshot(least) == (held.log_bytes > bound)
        assert held.log_bytes < bound + 150_000
        assert not held.wants_snapshot(), "no such short log is a reason"
        if held.wants_snapshot(least):
            wanted += 1
            store_of(archive).read_bytes = 0
            restored(archive, big.end, tmp_path / "r")
            assert store_of(archive).read_bytes < 2.2 * len(big.image)
            snapshot_at(archive, big, len(big.entries))
    big.close()


def archived(archive: Archive, log: Log) -> int:
    held = archive.held()
    assert held is not None
    return next((n for n, one in enumerate(log.entries, 1) if one.place == held.newest.bookmark), 0)


def test_many_small_segments_make_a_snapshot_wanted_too(archive: Archive, log: Log) -> None:
    upload(archive, log, [1, 2, 3, 4, 5])
    held = archive.held()
    assert held is not None
    assert held.wants_snapshot(most_segments=4)
    assert not held.wants_snapshot(most_segments=5)


# Damage


def damage(store: MemoryStore, name: str) -> None:
    data = bytearray(store.objects[name][0])
    data[len(data) // 2] ^= 4
    store.change(name, bytes(data))


@pytest.fixture(scope="module")
def stored(log: Log) -> MemoryStore:
    """All of the log, with two snapshots on the way."""
    store = MemoryStore()
    archive = begun(store)
    upload(archive, log, [5, 10, 15, COUNT])
    for count in (6, 12):
        snapshot_at(archive, log, count)
    return store


@given(st.data())
@settings(max_examples=60)
def test_a_restore_is_right_or_says_what_is_damaged(
    stored: MemoryStore, log: Log, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = stored.copy()
    archive = Archive(store, DATABASE)
    names = sorted(store.objects)
    for index in data.draw(st.lists(st.integers(0, len(names) - 1), min_size=1, max_size=3, unique=True)):
        old = store.objects[names[index]][0]
        at = data.draw(st.integers(0, len(old) - 1))
        other = store.objects.get(names[data.draw(st.integers(0, len(names) - 1))], (b"", 0))[0]
        match data.draw(st.sampled_from(["flip", "cut", "gone", "longer", "other"])):
            case "gone":
                store.objects.pop(names[index])
            case "flip":
                store.change(names[index], old[:at] + bytes([old[at] ^ 1 << at % 8]) + old[at + 1 :])
            case "cut":
                store.change(names[index], old[:at])
            case "longer":
                store.change(names[index], old + b"\0")
            case _:
                store.change(names[index], other)
    count = data.draw(st.integers(1, COUNT))
    path = tmp_path_factory.getbasetemp() / "damaged"
    with contextlib.suppress(Corrupt, BookmarkError):
        assert restored(archive, log.place(count), path) == log.entries[count - 1].image


@pytest.mark.parametrize("what", ["manifest", "chunk", "segment"])
def test_a_restore_goes_round_what_is_damaged(archive: Archive, log: Log, tmp_path: Path, what: str) -> None:
    """A snapshot's damage costs the way from the one before; a segment's, nothing while another holds the stretch."""
    upload(archive, log, [5, 10, COUNT])
    snapshot_at(archive, log, 6)
    newest = snapshot_at(archive, log, 12)
    (second,) = (name for name, _ in archive.segments() if name.last == log.place(10))
    name = {"manifest": newest.state.name, "chunk": newest.chunks[0].name, "segment": second}[what]
    damage(store_of(archive), str(name))
    if what == "segment":
        upload(archive, log, [9, 14], 5)
    for count in (8, 12, COUNT):
        assert restored(archive, log.place(count), tmp_path / "r") == log.entries[count - 1].image


def test_a_damaged_last_segment_does_not_count_as_held(archive: Archive, log: Log) -> None:
    *_, last = upload(archive, log, [5, 10, 15])
    damage(store_of(archive), str(last))
    held = archive.held()
    assert held is not None
    assert held.newest.bookmark == log.place(10)
    assert any(str(last) in one for one in held.problems)
    upload(archive, log, [COUNT], 10)
    held = archive.held()
    assert held is not None
    assert held.newest.bookmark == log.end


def test_a_gap_in_the_log_is_a_problem_and_does_not_count(archive: Archive, log: Log) -> None:
    names = upload(archive, log, [5, 10, 15])
    archive.store.delete(str(names[1]))
    held = archive.held()
    assert held is not None
    assert held.newest.bookmark == log.place(5)
    assert any("do not continue" in one for one in held.problems)


def test_an_archive_whose_snapshots_are_all_damaged_is_not_taken_for_an_empty_one(archive: Archive) -> None:
    store = store_of(archive)
    for name, _ in archive.snapshots():
        damage(store, str(name))
    with pytest.raises(Corrupt):
        archive.held()


def test_what_is_damaged_under_a_segment_s_name_is_not_taken_for_it(archive: Archive, log: Log) -> None:
    (name,) = upload(archive, log, [5])
    damage(store_of(archive), str(name))
    with pytest.raises(Corrupt):
        upload(archive, log, [5])
    upload(archive, log, [6])
    held = archive.held()
    assert held is not None
    assert held.newest.bookmark == log.place(6)


def test_objects_with_other_names_are_left_out(archive: Archive, log: Log) -> None:
    upload(archive, log, [5])
    for name in ("log/notes.txt", "snapshots/.DS_Store", "log/zzzz/deep"):
        archive.store.put(f"databases/{DATABASE}/{name}", b"?")
    held = archive.held()
    assert held is not None
    assert (held.newest.bookmark, held.problems) == (log.place(5), ())


def test_a_lost_stretch_that_a_later_epoch_replaced_is_not_followed(
    archive: Archive, log: Log, tmp_path: Path
) -> None:
    """A rebuild from cold storage alone went on at entry 8; the dead primary's last upload had reached entry 12."""
    upload(archive, log, [8, 12])
    rebuilt = Log(tmp_path / "rebuilt", start=log.place(8), image=log.entries[7].image)
    rebuilt.empty(65_539)
    rebuilt.fill(100)
    upload(archive, rebuilt, [2])
    held = archive.held()
    assert held is not None
    assert held.newest.bookmark == rebuilt.end
    assert restored(archive, rebuilt.end, tmp_path / "r") == rebuilt.image
    assert restored(archive, log.place(11), tmp_path / "r") == log.entries[10].image, (
        "it can still be looked at"
    )
    rebuilt.close()


# Crash points


def life(store: MemoryStore, log: Log, done: list[str]) -> None:
    """Uploads and snapshots, with a note of what counts as held after each."""
    archive = begun(store)
    for first, end in ((0, 5), (5, 10), (10, COUNT)):
        upload(archive, log, [end], first)
        done.append(f"held {end}")
        snapshot_at(archive, log, end - 2)
        done.append(f"snapshot {end - 2}")


def test_cut_after_any_write_all_that_counted_as_held_can_be_restored(log: Log, tmp_path: Path) -> None:
    whole = MemoryStore()
    life(whole, log, [])
    for at in range(1, whole.writes + 1):
        store = MemoryStore()
        store.crash_at = at
        done: list[str] = []
        with pytest.raises(Crash):
            life(store, log, done)
        store.crash_at = None
        check_after_crash(Archive(store, DATABASE), log, done, tmp_path / "r")
        again: list[str] = []
        life(store, log, again)
        check_after_crash(Archive(store, DATABASE), log, again, tmp_path / "r")


def check_after_crash(archive: Archive, log: Log, done: list[str], path: Path) -> None:
    held = archive.held()
    if held is None:
        assert done == []
        return
    counted = max((int(one.split()[1]) for one in done if one.startswith("held")), default=0)
    reached = archived(archive, log)
    assert reached >= counted
    assert held.problems == ()
    for count in {reached - reached // 2, reached} - {0}:
        assert restored(archive, log.place(count), path) == log.entries[count - 1].image


def test_an_upload_is_not_done_before_it_was_read_back(archive: Archive, log: Log) -> None:
    store = store_of(archive)

    def fail(operation: str, name: str) -> Unreachable | None:
        return Unreachable("the store", "gone") if operation == "read" and "/log/" in name else None

    store.fail = fail
    with pytest.raises(Unreachable):
        upload(archive, log, [5])
    store.fail = lambda _operation, _name: None
    assert [SegmentName.parse(one.name).last for one in store.list(f"databases/{DATABASE}/log")] == [
        log.place(5)
    ]


@pytest.mark.parametrize("part", ["log", "chunks", "snapshots"])
def test_what_the_store_keeps_damaged_is_noticed_before_it_counts(
    archive: Archive, log: Log, part: str
) -> None:
    """The store takes the object and loses a bit of it; the first read shows that."""
    upload(archive, log, [5])
    store = store_of(archive)

    def lose(operation: str, name: str) -> None:
        if operation == "read" and f"/{part}/" in name and store.objects[name][1] == store.time:
            damage(store, name)
            store.time += 1

    store.time += 1
    store.fail = lose
    attempt = (
        partial(upload, archive, log, [9], 5) if part == "log" else partial(snapshot_at, archive, log, 5)
    )
    with pytest.raises(Corrupt):
        attempt()
    store.fail = lambda _operation, _name: None
    held = archive.held()
    assert held is not None
    assert held.newest.bookmark == log.place(5)
    assert held.manifest.state.bookmark == log.start

"""A database of which only its archive is left: how far it is rebuilt, and that nothing of old times comes after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
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
from raylite.actors.cold.rebuild import begin_again, rebuilt_base, rebuilt_of
from raylite.actors.core.history import History
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import BookmarkError, Corrupt
from raylite.policies.limits import RECOVERY_EPOCHS
from raylite.policies.quorum import Member, Members
from raylite.policies.rebuilt import Rebuilt

COUNT = 12
MEMBERS = Members(tuple(Member(f"follower:{n}", f"new{n}") for n in range(5)))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """Three reigns, of four entries each."""
    with Log(tmp_path_factory.mktemp("log")) as made:
        made.begin()
        made.grow(4, 5000)
        for epoch in (2, 5):
            made.empty(epoch)
            made.grow(len(made.entries) + 3, 5000)
        assert len(made.entries) == COUNT
        yield made


def place_of(rebuilt: Rebuilt) -> Bookmark:
    return rebuilt_base(rebuilt, MEMBERS).place


@pytest.mark.parametrize("snapshot", [0, 3])
def test_it_goes_on_behind_the_newest_entry_that_is_held_far_above_all_epochs(
    log: Log, tmp_path: Path, snapshot: int
) -> None:
    archive = begun()
    upload(archive, log, [4, 7, 10])
    if snapshot:
        snapshot_at(archive, log, snapshot)
    found = rebuilt_of(archive)
    assert (found.bookmark, found.time_us) == (str(log.place(10)), log.entries[9].time_us)
    assert found.epochs == ((1, 1), (2, 5), (5, 9))
    assert found.epoch == 5 + RECOVERY_EPOCHS
    begin_again(archive, found, new_run())
    base = rebuilt_base(found, MEMBERS)
    assert (base.place.epoch, base.place.sequence) == (found.epoch, 11)
    assert base.epochs == (*found.epochs, (found.epoch, 11))
    assert base.members == MEMBERS
    held = archive.held()
    assert held is not None
    assert (held.newest.bookmark, held.problems) == (base.place, ())
    assert restored(archive, base.place, tmp_path / "r") == log.entries[9].image
    assert restored(archive, log.place(6), tmp_path / "r") == log.entries[5].image, "what was is still there"


def test_whatever_a_primary_of_old_times_uploads_later_counts_for_nothing(log: Log, tmp_path: Path) -> None:
    archive = begun()
    upload(archive, log, [4, 7])
    found = rebuilt_of(archive)
    begin_again(archive, found, new_run())
    upload(archive, log, [9, COUNT], 7)
    late = Log(tmp_path / "late", start=log.place(7), image=log.entries[6].image)
    late.empty(found.epoch - 1)
    archive.upload(log.place(7), late.pieces())
    late.close()
    held = archive.held()
    assert held is not None
    assert (held.newest.bookmark, held.problems) == (place_of(found), ())
    with Log(tmp_path / "own", start=place_of(found), image=log.entries[6].image) as own:
        own.empty(found.epoch + 1)
        own.run("DELETE FROM t WHERE k > 1")
        upload(archive, own, [2])
        held = archive.held()
        assert held is not None
        assert held.newest.bookmark == own.end
        assert restored(archive, own.end, tmp_path / "r") == own.image


def test_the_lost_part_of_an_entry_that_was_not_uploaded_whole_is_left_out(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        log.begin()
        log.fill(100)
        log.fill(3_000_000)
        assert len(log.entries[3].pieces) > 2
        archive = begun()
        archive.upload(log.start, log.pieces(0, 3) + list(log.entries[3].pieces[:2]))
        found = rebuilt_of(archive)
        assert found.bookmark == str(log.place(3))
        begin_again(archive, found, new_run())
        held = archive.held()
        assert held is not None
        assert held.newest.bookmark == place_of(found)
        assert restored(archive, place_of(found), tmp_path / "r") == log.entries[2].image


def test_cut_after_any_write_the_next_attempt_holds_the_same(log: Log) -> None:
    for beginning in (False, True):
        lived = begun() if beginning else Archive(MemoryStore(), DATABASE)
        if beginning:
            upload(lived, log, [4, 7])
        found, store = rebuilt_of(lived), lived.store
        assert isinstance(store, MemoryStore)
        for at in attempts(store, found):
            assert at < 20
        held = Archive(store, DATABASE).held()
        assert held is not None
        assert held.newest.bookmark == place_of(found)


def attempts(store: MemoryStore, found: Rebuilt) -> Iterator[int]:
    """Attempts that are cut one write later each, all on the same store, until one comes to its end."""
    at = 0
    while True:
        at += 1
        store.writes, store.crash_at = 0, at
        try:
            begin_again(Archive(store, DATABASE), found, new_run())
        except Crash:
            yield at
        else:
            store.crash_at = None
            return


def test_what_was_never_uploaded_begins_empty_and_says_so(tmp_path: Path) -> None:
    archive = Archive(MemoryStore(), DATABASE)
    found = rebuilt_of(archive)
    assert found == Rebuilt(str(origin(DATABASE)), 0, (), RECOVERY_EPOCHS)
    begin_again(archive, found, new_run())
    assert place_of(found).sequence == 1
    held = archive.held()
    assert held is not None
    assert held.newest.bookmark == place_of(found)


def test_a_log_without_the_snapshot_before_it_is_damage_and_no_empty_database(log: Log) -> None:
    archive = begun()
    upload(archive, log, [4])
    for name, _ in archive.snapshots():
        archive.store.delete(str(name))
    with pytest.raises(Corrupt, match="no snapshot before it"):
        rebuilt_of(archive)


def test_bookmarks_up_to_the_last_upload_stand_and_later_ones_are_called_lost(log: Log) -> None:
    archive = begun()
    upload(archive, log, [6])
    base = rebuilt_base(rebuilt_of(archive), MEMBERS)
    history = History(base.place, base.epochs)
    for count in range(1, 7):
        history.check(log.place(count))
    for count in range(7, COUNT + 1):
        with pytest.raises(BookmarkError, match="was lost when this database was rebuilt"):
            history.check(log.place(count))
    unknown = Bookmark(77, 400, log.start.history, bytes(12))
    with pytest.raises(BookmarkError, match="was lost"):
        history.check(unknown)
    other = Bookmark(4, 2, log.start.history, bytes(12))
    with pytest.raises(BookmarkError, match="not in this database's history"):
        history.check(other)


def test_a_second_rebuild_goes_on_above_the_first(log: Log) -> None:
    archive = begun()
    upload(archive, log, [6])
    first = rebuilt_of(archive)
    begin_again(archive, first, new_run())
    second = rebuilt_of(archive)
    assert second.bookmark == str(place_of(first))
    assert second.epoch == first.epoch + RECOVERY_EPOCHS
    base = rebuilt_base(second, MEMBERS)
    assert [epoch for epoch, _ in base.epochs] == [1, 2, first.epoch, second.epoch]

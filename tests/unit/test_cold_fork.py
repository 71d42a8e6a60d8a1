"""Forks: a new database out of an old one's objects, and none of them is copied."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cold_world import DATABASE, Crash, Log, MemoryStore, begun, restored, snapshot_at, upload

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.fork import fork, fork_base
from raylite.actors.cold.names import pin_name
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import BookmarkError, Unreachable
from raylite.policies.limits import COLD_RUN_SECONDS

FORK = "f02cf02c"
COUNT = 16


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with Log(tmp_path_factory.mktemp("log")) as made:
        made.begin()
        made.grow(COUNT, 9000)
        yield made


@pytest.fixture
def parent(log: Log) -> Archive:
    """Uploaded, with a snapshot in the middle."""
    made = begun()
    upload(made, log, [4, 9, COUNT])
    snapshot_at(made, log, 7)
    return made


def objects(archive: Archive) -> set[str]:
    return {one.name for one in archive.store.list("")}


def clock() -> float:
    return 0.0


@pytest.mark.parametrize("count", range(1, COUNT + 1))
def test_a_fork_begins_as_its_parent_was(parent: Archive, log: Log, tmp_path: Path, count: int) -> None:
    before = objects(parent)
    made = fork(parent, FORK, log.place(count), clock)
    archive = Archive(parent.store, FORK)
    base = fork_base(FORK, log.place(count))
    assert made.state.bookmark == base
    assert restored(archive, base, tmp_path / "fork") == log.entries[count - 1].image
    added = objects(parent) - before
    assert added == {str(made.state.name), pin_name(DATABASE, FORK)}, "a manifest and a pin, nothing else"
    held = archive.held()
    assert held is not None
    assert (held.newest.bookmark, held.newest.time_us) == (base, log.entries[count - 1].time_us)


def test_parent_and_fork_go_their_ways(parent: Archive, log: Log, tmp_path: Path) -> None:
    made = fork(parent, FORK, log.place(12), clock)
    archive = Archive(parent.store, FORK)
    own = Log(tmp_path / "own", FORK, start=made.state.bookmark, image=log.entries[11].image)
    own.empty(1)
    own.run("DELETE FROM t WHERE k % 2 = 0")
    own.fill(50_000)
    upload(archive, own, [2, 3])
    for count in (1, 2, 3):
        assert restored(archive, own.place(count), tmp_path / "r") == own.entries[count - 1].image
    assert restored(parent, log.end, tmp_path / "r") == log.image
    first = snapshot_at(archive, own, 3)
    assert first.tails == ()
    assert restored(archive, own.end, tmp_path / "r") == own.image
    for goal, one in ((log.place(12), archive), (own.end, parent)):
        with pytest.raises(BookmarkError, match="another database"):
            one.plan(goal)
    own.close()


def test_a_fork_of_a_fork_needs_what_both_have(parent: Archive, log: Log, tmp_path: Path) -> None:
    made = fork(parent, FORK, log.place(12), clock)
    archive = Archive(parent.store, FORK)
    own = Log(tmp_path / "own", FORK, start=made.state.bookmark, image=log.entries[11].image)
    own.empty(1)
    own.fill(100)
    upload(archive, own, [2])
    second = fork(archive, "5ec0", own.place(2), clock)
    assert second.owners == {DATABASE, FORK}
    assert len(second.tails) == 2
    for owner in (DATABASE, FORK):
        assert parent.store.read(pin_name(owner, "5ec0")) is not None
    assert restored(Archive(parent.store, "5ec0"), second.state.bookmark, tmp_path / "r") == own.image
    own.close()


def test_a_fork_s_bookmarks_are_its_own_and_its_base_is_no_origin(log: Log) -> None:
    base = fork_base(FORK, log.end)
    assert base.history == origin(FORK).history != log.end.history
    assert base > origin(FORK)
    assert base.digest not in (origin(FORK).digest, fork_base(FORK, log.place(1)).digest)


def test_making_a_fork_again_gives_the_same(parent: Archive, log: Log) -> None:
    assert fork(parent, FORK, log.place(9), clock) == fork(parent, FORK, log.place(9), clock)


def test_what_is_not_held_cannot_be_forked(parent: Archive, log: Log) -> None:
    before = objects(parent)
    with pytest.raises(BookmarkError):
        fork(parent, FORK, Bookmark(1, 99, log.start.history, bytes(12)), clock)
    assert objects(parent) == before


def test_a_fork_that_took_too_long_is_given_up(parent: Archive, log: Log) -> None:
    now = iter([0.0, COLD_RUN_SECONDS + 1])
    with pytest.raises(Unreachable, match="a fork took over"):
        fork(parent, FORK, log.place(9), lambda: next(now))
    assert Archive(parent.store, FORK).held() is None


def test_a_fork_whose_parent_s_snapshot_goes_meanwhile_is_refused(parent: Archive, log: Log) -> None:
    store = parent.store
    assert isinstance(store, MemoryStore)
    gone = str(parent.plan(log.place(9)).manifest.state.name)

    def fail(operation: str, name: str) -> None:
        if operation == "put" and "/forks/" in name:
            store.objects.pop(gone)

    store.fail = fail
    with pytest.raises(BookmarkError, match="not kept by cold storage any more"):
        fork(parent, FORK, log.place(9), clock)
    assert Archive(parent.store, FORK).held() is None


def test_cut_after_any_write_a_fork_is_there_whole_or_not_at_all(
    parent: Archive, log: Log, tmp_path: Path
) -> None:
    store = parent.store
    assert isinstance(store, MemoryStore)
    for at in (1, 2):
        copy = store.copy()
        copy.crash_at = at
        with pytest.raises(Crash):
            fork(Archive(copy, DATABASE), FORK, log.place(9), clock)
        copy.crash_at = None
        held = Archive(copy, FORK).held()
        assert (held is not None) == (at == 2)
        made = fork(Archive(copy, DATABASE), FORK, log.place(9), clock)
        path = tmp_path / "r"
        assert restored(Archive(copy, FORK), made.state.bookmark, path) == log.entries[8].image

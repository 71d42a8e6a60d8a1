"""What cold storage has of deleted databases goes, never what a fork needs, wherever it is cut."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.unit.catalogue_database import CatalogueDatabase
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

from raylite.actors.cold import marker
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.fork import fork
from raylite.actors.cold.manifest import State
from raylite.actors.cold.marker import Marker
from raylite.actors.cold.names import folder, pin_name
from raylite.actors.cold.removal import remove, strays
from raylite.actors.cold.retention import Retention
from raylite.actors.cold_removal import ColdRemoval
from raylite.actors.core import messages as m
from raylite.actors.removal import Removal
from raylite.actors.storage.image import PAGE_SIZE
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.catalogue import DatabaseEntry, Fork
from raylite.policies.errors import BookmarkError, Corrupt, NotAllowed
from raylite.policies.limits import COLD_CLOCK_SECONDS, COLD_GRACE_SECONDS, COLD_RETENTION_SECONDS
from raylite.policies.regions import Regions
from raylite.policies.system import Settings

CHILD, GRANDCHILD, OTHER = "f02cf02c", "5ec05ec0", "07e407e4"
COUNT = 12


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with Log(tmp_path_factory.mktemp("log")) as made:
        made.begin()
        made.grow(COUNT, 9000)
        yield made


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    with Log(tmp_path_factory.mktemp("other"), OTHER) as made:
        made.begin()
        yield made


class Family:
    """A database, its fork and that one's, each with entries of its own, and one that is no relative; days later."""

    def __init__(self, path: Path, log: Log, other: Log) -> None:
        self.store = MemoryStore()
        parent = begun(self.store)
        upload(parent, log, [4, 9, COUNT])
        snapshot_at(parent, log, 7)
        self.ends: dict[str, tuple[Bookmark, bytes]] = {DATABASE: (log.end, log.image)}
        self._fork(path, DATABASE, CHILD, log.place(11), log.entries[10].image)
        end, image = self.ends[CHILD]
        self._fork(path, CHILD, GRANDCHILD, end, image)
        stranger = Archive(self.store, OTHER)
        stranger.found(new_run())
        stranger.upload(other.start, other.pieces())
        self.ends[OTHER] = (other.end, other.image)
        self.store.time += 2 * DAY
        self.store.writes = 0

    def _fork(self, path: Path, parent: str, fork_id: str, goal: Bookmark, image: bytes) -> None:
        made = fork(Archive(self.store, parent), fork_id, goal, lambda: 0.0)
        with Log(path / fork_id, fork_id, start=made.state.bookmark, image=image) as own:
            own.empty(1)
            own.fill(500)
            upload(Archive(self.store, fork_id), own, [2])
            self.ends[fork_id] = (own.end, own.image)

    def check(self, store: MemoryStore, path: Path, without: set[str]) -> None:
        """All but these can be restored from this store."""
        for one, (end, image) in self.ends.items():
            if one not in without:
                assert restored(Archive(store, one), end, path / "r") == image


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory, log: Log, other: Log) -> Family:
    return Family(tmp_path_factory.mktemp("family"), log, other)


@pytest.fixture
def store(family: Family) -> MemoryStore:
    return family.store.copy()


def of(store: MemoryStore, database_id: str) -> set[str]:
    """Its objects."""
    return {one.name for one in store.list(folder(database_id))}


def remove_now(store: MemoryStore, database_id: str) -> bool:
    return remove(store, database_id, store.time)


def sweep(store: MemoryStore, database_id: str = DATABASE) -> None:
    assert not Retention(Archive(store, database_id), lambda: store.time).sweep().problem


# One database


def test_nothing_is_left_of_a_database_and_all_of_the_others(
    family: Family, store: MemoryStore, tmp_path: Path
) -> None:
    before = store.objects.keys() - of(store, OTHER)
    assert remove_now(store, OTHER)
    assert store.objects.keys() == before
    family.check(store, tmp_path, {OTHER})
    assert remove_now(store, OTHER), "again it is the same"
    assert store.objects.keys() == before


def test_a_fork_goes_with_its_pins_and_what_was_kept_for_it(
    family: Family, store: MemoryStore, tmp_path: Path
) -> None:
    assert remove_now(store, GRANDCHILD)
    assert not of(store, GRANDCHILD)
    for owner in (DATABASE, CHILD):
        assert pin_name(owner, GRANDCHILD) not in store.objects
    assert pin_name(DATABASE, CHILD) in store.objects
    family.check(store, tmp_path, {GRANDCHILD})


def test_what_forks_need_of_a_database_stays_until_they_go(
    family: Family, store: MemoryStore, tmp_path: Path
) -> None:
    left = {GRANDCHILD, OTHER}
    for one in (CHILD, DATABASE):
        before = of(store, one)
        assert not remove_now(store, one)
        assert of(store, one) < before, "but no more than they need"
        assert not Archive(store, one).snapshots()
    family.check(store, tmp_path, {DATABASE, CHILD})
    assert pin_name(DATABASE, CHILD) not in store.objects
    assert remove_now(store, GRANDCHILD)
    for one in (DATABASE, CHILD):
        assert remove_now(store, one)
    assert all(one.startswith(folder(OTHER)) for one in store.objects), left


def test_a_deleted_parent_is_given_up_once_a_fork_has_snapshots_of_its_own(
    family: Family, store: MemoryStore, tmp_path: Path
) -> None:
    assert remove_now(store, GRANDCHILD)
    assert not remove_now(store, DATABASE)
    archive = Archive(store, CHILD)
    end, image = family.ends[CHILD]
    state = State(CHILD, end, 0, len(image) // PAGE_SIZE)
    archive.snapshot(ImagePages(state, image), new_run())
    store.time += COLD_RETENTION_SECONDS + DAY
    sweep(store, CHILD)
    assert remove_now(store, DATABASE)
    family.check(store, tmp_path, {DATABASE, GRANDCHILD})


def test_nothing_of_a_database_goes_as_long_as_a_fork_of_it_cannot_be_read(store: MemoryStore) -> None:
    (name, _) = Archive(store, CHILD).snapshots()[0]
    store.change(str(name), b"damaged")
    chunks = {one for one in of(store, DATABASE) if "/snapshots/" not in one}
    with pytest.raises(Corrupt, match=CHILD):
        remove_now(store, DATABASE)
    assert of(store, DATABASE) == chunks


def test_a_database_that_cannot_be_read_itself_goes(store: MemoryStore) -> None:
    for name, _ in Archive(store, OTHER).snapshots():
        store.change(str(name), b"damaged")
    assert remove_now(store, OTHER)
    assert not of(store, OTHER)


# Cuts


@pytest.mark.parametrize("gone", [(OTHER,), (GRANDCHILD,), (CHILD,), (DATABASE,), (DATABASE, GRANDCHILD)])
def test_cut_after_any_write_nothing_that_others_need_is_gone_and_the_next_attempt_does_the_rest(
    family: Family, tmp_path: Path, gone: tuple[str, ...]
) -> None:
    whole = family.store.copy()
    done = [remove_now(whole, one) for one in gone]
    for at in itertools.count(1):
        store = family.store.copy()
        store.crash_at = at
        try:
            for one in gone:
                remove_now(store, one)
        except Crash:
            store.crash_at = None
        else:
            assert at > 2
            break
        family.check(store, tmp_path, set(gone))
        for one in (DATABASE, CHILD):
            if one not in gone:
                sweep(store, one)
        assert [remove_now(store, one) for one in gone] == done
        family.check(store, tmp_path, set(gone))
        strays(store, {*family.ends}, store.time)  # which removes pins that a cut has left
        assert {one for one in store.objects if "/forks/" in one} == {
            one for one in whole.objects if "/forks/" in one
        }
        assert all(of(store, one) == of(whole, one) for one in gone)


def test_a_removal_and_a_fork_at_once_leave_a_whole_fork_or_none(
    family: Family, log: Log, tmp_path: Path
) -> None:
    made: list[bool] = []
    for at in itertools.count():
        store = family.store.copy()
        made.clear()
        over = not run_within(
            store, partial(remove_now, store, DATABASE), partial(fork_now, store, log.place(5), made), at
        )
        if made[0]:
            (name, _) = Archive(store, "aaaa").snapshots()[0]
            assert restored(Archive(store, "aaaa"), name.bookmark, tmp_path / "r") == log.entries[4].image
        family.check(store, tmp_path, {DATABASE})
        if over:
            assert at > 10
            return


def test_a_fork_during_which_its_parent_is_removed_is_whole_or_none(
    family: Family, log: Log, tmp_path: Path
) -> None:
    made: list[bool] = []
    for at in itertools.count():
        store = family.store.copy()
        made.clear()
        over = not run_within(
            store, partial(fork_now, store, log.place(5), made), partial(remove_now, store, DATABASE), at
        )
        if made[0]:
            (name, _) = Archive(store, "aaaa").snapshots()[0]
            assert restored(Archive(store, "aaaa"), name.bookmark, tmp_path / "r") == log.entries[4].image
        family.check(store, tmp_path, {DATABASE})
        if over:
            assert at > 5
            return


def fork_now(store: MemoryStore, goal: Bookmark, made: list[bool]) -> None:
    try:
        fork(Archive(store, DATABASE), "aaaa", goal, lambda: 0.0)
    except (BookmarkError, Corrupt):
        made.append(False)
    else:
        made.append(True)


# Forks that were never made


def test_a_fork_that_nobody_knows_is_a_stray_once_nobody_can_be_about_to_make_it(store: MemoryStore) -> None:
    known = {DATABASE, CHILD, OTHER}
    assert strays(store, known, store.time) == {GRANDCHILD}
    assert strays(store, {*known, GRANDCHILD}, store.time) == set()
    assert strays(store, known, store.time - 2 * DAY) == set()


def test_a_pin_of_a_fork_of_which_there_is_nothing_else_goes(store: MemoryStore) -> None:
    store.put(pin_name(OTHER, "aaaa"), b"pin")
    assert strays(store, {OTHER}, store.time) == set()
    assert pin_name(OTHER, "aaaa") in store.objects, "it may be about to be made"
    assert strays(store, {OTHER, "aaaa"}, store.time + COLD_GRACE_SECONDS) == set()
    assert pin_name(OTHER, "aaaa") not in store.objects


# The registry's part


class World:
    """A catalogue, and a store in a folder. now_us: our clock and the store's are the same."""

    def __init__(self, path: Path) -> None:
        self.database = CatalogueDatabase(path / "catalogue")
        self.catalogue = self.database.catalogue
        self.store = MemoryStore()
        marker.claim(self.store, Marker("system"))
        settings = Settings("system", str(path), b"", Regions(), cold="memory")
        self.removal = Removal(self.catalogue, dropped, cold=True)
        self.off_seconds = 0.0
        self.cold = ColdRemoval(self.catalogue, self.removal, settings, self.now_us, lambda _: self.store)

    def now_us(self) -> int:
        return int((self.store.time + self.off_seconds) * 1e6)

    async def notes(self) -> list[str]:
        return [one.database_id for one in await self.catalogue.deleted()]

    async def make(self, database_id: str, fork: Fork | None = None) -> DatabaseEntry:
        entry = DatabaseEntry(database_id, database_id, None, "enam", (), "auto", self.now_us(), fork)
        await self.catalogue.insert(entry)
        Archive(self.store, database_id).found(new_run())
        return entry


async def dropped(follower: str, message: m.Drop) -> object:
    return m.Dropped(message.database)


def run(path: Path, case: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World(path)
        await world.catalogue.prepare()
        try:
            await case(world)
        finally:
            world.database.engine.close()

    asyncio.run(main())


def test_objects_go_a_retention_after_the_deletion_and_the_note_when_followers_were_told_too(
    tmp_path: Path,
) -> None:
    async def case(world: World) -> None:
        await world.catalogue.delete(await world.make(OTHER), world.now_us())
        world.store.time += COLD_RETENTION_SECONDS - 1
        await world.removal.run(["follower:0"], world.now_us())
        await world.cold.look()
        assert (await world.notes(), world.removal.due) == ([OTHER], True)
        await world.removal.run(["follower:0"], world.now_us())
        assert not world.removal.due, "followers have nothing, cold storage has"
        assert of(world.store, OTHER)
        world.store.time += 1
        await world.cold.look()
        assert not of(world.store, OTHER)
        assert await world.notes() == []
        await world.catalogue.delete(await world.make(CHILD), world.now_us())
        world.removal.due = True
        world.store.time += COLD_RETENTION_SECONDS
        await world.cold.look()
        assert not of(world.store, CHILD)
        assert await world.notes() == [CHILD], "followers hold it still"
        await world.removal.run(["follower:0"], world.now_us())
        assert await world.notes() == []

    run(tmp_path, case)


def test_nothing_goes_while_clocks_disagree_or_the_store_is_another_s(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.catalogue.delete(await world.make(OTHER), world.now_us())
        world.store.time += COLD_RETENTION_SECONDS
        for world.off_seconds in (COLD_CLOCK_SECONDS + 1, -COLD_CLOCK_SECONDS - 1):
            await world.cold.look()
            assert "nothing is removed until they agree" in world.cold.problem
        world.off_seconds = 0.0
        marker.succeed(world.store, Marker("successor"), "system")
        await world.cold.look()
        assert "belongs to system successor" in world.cold.problem
        assert of(world.store, OTHER)
        world.store.delete("successors/00000001")
        await world.cold.look()
        assert (world.cold.problem, of(world.store, OTHER)) == ("", set())

    run(tmp_path, case)


def test_one_that_cannot_be_removed_holds_no_other_up(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        for one in (DATABASE, OTHER):
            await world.catalogue.delete(await world.make(one), world.now_us())
        fork(Archive(world.store, DATABASE), CHILD, origin(DATABASE), lambda: 0.0)
        (name, _) = Archive(world.store, CHILD).snapshots()[0]
        world.store.change(str(name), b"damaged")
        world.store.time += COLD_RETENTION_SECONDS
        await world.cold.look()
        assert DATABASE in world.cold.problem
        assert not of(world.store, OTHER)

    run(tmp_path, case)


def test_a_fork_that_was_never_made_is_noted_and_cannot_be_made_any_more(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.make(DATABASE)
        goal = origin(DATABASE)
        begun = Fork(DATABASE, str(goal), 0)
        fork(Archive(world.store, DATABASE), CHILD, goal, lambda: 0.0)
        fork(Archive(world.store, DATABASE), GRANDCHILD, goal, lambda: 0.0)
        await world.cold.look()
        assert await world.notes() == []
        await world.catalogue.insert(DatabaseEntry(GRANDCHILD, "made", None, "enam", (), "auto", 1, begun))
        world.store.time += COLD_GRACE_SECONDS
        world.removal.due = False
        await world.cold.look()
        assert (await world.notes(), world.removal.due) == ([CHILD], True)
        with pytest.raises(NotAllowed, match="so late"):
            await world.catalogue.insert(DatabaseEntry(CHILD, "late", None, "enam", (), "auto", 1, begun))
        assert [one.name for one in await world.catalogue.all()] == [DATABASE, "made"]
        assert of(world.store, CHILD)
        world.store.time += COLD_RETENTION_SECONDS
        await world.removal.run([], world.now_us())
        await world.cold.look()
        assert not of(world.store, CHILD)
        assert pin_name(DATABASE, CHILD) not in world.store.objects
        assert of(world.store, GRANDCHILD)
        assert await world.notes() == []

    run(tmp_path, case)


def test_what_is_a_database_is_never_noted_as_a_stray(tmp_path: Path) -> None:
    async def case(world: World) -> None:
        await world.make(CHILD)
        await world.catalogue.note_stray(CHILD, 1)
        assert await world.notes() == []

    run(tmp_path, case)

"""Cold storage is all that is left: another system goes on with it. In one process, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
from tests.services.local_system import LocalSystem
from tests.services.test_archiving import archiving_of, until
from tests.unit.cluster_world import FakeCluster

from raylite.actors import recovery
from raylite.actors.archiving import Archiving
from raylite.actors.cold import marker
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.marker import Marker
from raylite.actors.cold.names import snapshot_folder
from raylite.actors.cold.rebuild import rebuilt_base
from raylite.actors.core.base import Base
from raylite.actors.founding import DataDirectory
from raylite.actors.primary import Primary
from raylite.actors.registry import Registry
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import BookmarkError, Corrupt, Error, ForeignDirectory
from raylite.policies.quorum import Members
from raylite.policies.rebuilt import Rebuilt, Recovery
from raylite.policies.system import (
    REGISTRY,
    REGISTRY_DATABASE,
    Node,
    PrimaryConfig,
    Site,
    SystemRecord,
    primary_name,
)

NODES = [Node(str(number), "enam") for number in range(5)]


class LocalCluster(FakeCluster):
    """Starts primaries in this process; of replicas it only takes note."""

    def __init__(self, system: LocalSystem) -> None:
        super().__init__(NODES)
        self._system = system

    async def start_primary(self, config: PrimaryConfig, avoid: str = "", *, strictly: bool = False) -> None:
        await super().start_primary(config, avoid, strictly=strictly)
        services = self._system.around.services
        if primary_name(config.database) not in services:
            made = Primary(config, self._system.settings, self._system.around)
            services[made.name] = made


class WholeSystem(LocalSystem):
    """Five followers, a registry, and its databases; with cold storage at `cold`."""

    def __init__(self, directory: Path, cold: Path, record: SystemRecord) -> None:
        super().__init__(directory)
        self.record, self.database_id = record, record.registry_id
        self.settings = msgspec.structs.replace(self.settings, system_id=record.system_id, cold=str(cold))
        self.cluster = LocalCluster(self)

    async def start(self) -> None:
        for index in range(5):
            self.start_follower(index)
        self.members = await self._found(self.database_id, self._base)
        self.start_registry()

    def _base(self, members: Members) -> Base | None:
        return rebuilt_base(self.record.rebuilt, members) if self.record.rebuilt else None

    def start_registry(self) -> Registry:
        config = PrimaryConfig(self.database_id, REGISTRY_DATABASE, self.members, "enam", "registry")
        sites = [Site(f"follower:{node.id}", node.id, node.region) for node in NODES]
        made = Registry(config, self.settings, self.around, self.cluster, sites, self.record.rebuilt)
        self.around.services[REGISTRY] = made
        return made

    @property
    def registry(self) -> Registry:
        found = self.around.services[REGISTRY]
        assert isinstance(found, Registry)
        return found

    def primary(self, name: str) -> Primary:
        found = self.around.services[primary_name(name)]
        assert isinstance(found, Primary)
        return found

    async def create(self, name: str) -> str:
        entry = await self.registry.create(name, "enam", "enam", "disabled")
        await self.registry.wake(name)
        await self.query(primary_name(name), "CREATE TABLE t (n INTEGER)", database_id=entry.database_id)
        return entry.database_id

    async def write(self, name: str, *numbers: int) -> Bookmark:
        database_id = (await self.registry.wake(name)).database_id
        sql = "INSERT INTO t VALUES (?)"
        answers = [await self.query(primary_name(name), sql, n, database_id=database_id) for n in numbers]
        return Bookmark.parse(answers[-1].bookmark)

    async def rows(self, name: str, bookmark: str = "") -> list[object]:
        database_id = (await self.registry.wake(name)).database_id
        answer = await self.query(
            primary_name(name), "SELECT n FROM t ORDER BY n", bookmark=bookmark, database_id=database_id
        )
        return [row[0] for row in answer.results[0].rows]

    async def uploaded(self) -> None:
        """All that was acknowledged is held."""
        for one in self.around.services.values():
            if isinstance(one, Primary):
                archiving = archiving_of(one)
                await until(partial(has_begun, archiving))
                place = one.relay.core.confirmed if one.relay else None
                assert place is not None
                await archiving.flush(place)


async def has_begun(archiving: Archiving) -> bool:
    return not archiving.state().problem


def first(tmp_path: Path) -> WholeSystem:
    """A system that is founded as they are."""
    cold = tmp_path / "cold"
    record = SystemRecord(1, "first", "0123456789abcdef", "secret")
    marker.claim(open_store(str(cold)), Marker(record.system_id, record.registry_id))
    return WholeSystem(tmp_path / "first", cold, record)


def second(tmp_path: Path, directory: str = "second") -> WholeSystem:
    """A system that goes on with what the cold storage of another one holds."""
    cold, data = tmp_path / "cold", directory_of(tmp_path / directory)
    record = recovery.begin(data, str(cold), ())
    recovery.take_over(record, str(cold))
    return WholeSystem(data.path, cold, record)


def directory_of(path: Path) -> DataDirectory:
    """As the process has it that owns it."""
    made = DataDirectory(path)
    made.own()
    made.disown()
    return made


async def within(system: WholeSystem, case: Callable[[], Awaitable[None]]) -> None:
    await system.start()
    try:
        await system.registry.ready()
        await case()
    finally:
        await system.stop()


def of(found: Recovery, name: str) -> Rebuilt:
    return next(one.rebuilt for one in found.databases if one.name == name)


def test_all_is_rebuilt_up_to_what_was_uploaded_and_bookmarks_of_what_is_lost_are_refused(
    tmp_path: Path,
) -> None:
    held: dict[str, Bookmark] = {}
    lost: dict[str, Bookmark] = {}

    async def live() -> None:
        for name in ("shop", "stock"):
            await old.create(name)
            held[name] = await old.write(name, 1, 2, 3)
        await old.uploaded()
        for name in ("shop", "stock"):
            lost[name] = await old.write(name, 4)
        held[REGISTRY_DATABASE] = confirmed_of(old.registry)
        await old.create("late")  # so the catalogue's last upload does not name it
        await archiving_of(old.primary("late")).flush(confirmed_of(old.primary("late")))

    async def live_again() -> None:
        found = await new.registry.recovered()
        assert [one.name for one in found.databases] == [REGISTRY_DATABASE, "shop", "stock"]
        for name in ("shop", "stock"):
            assert of(found, name).bookmark == str(held[name])
            assert await new.rows(name, str(held[name])) == [1, 2, 3]
            with pytest.raises(BookmarkError, match="was lost when this database was rebuilt"):
                await new.rows(name, str(lost[name]))
            place = await new.write(name, 5)
            assert await new.rows(name, str(place)) == [1, 2, 3, 5]
            assert str(place) > str(lost[name]), "bookmarks only grow"
            assert not (await new.primary(name).verify()).problems
        assert of(found, REGISTRY_DATABASE).bookmark == str(held[REGISTRY_DATABASE])
        assert not (await new.registry.status()).problems
        (late,) = recovery.unnamed(str(new.settings.cold), found.known)
        assert late not in found.known

    old = first(tmp_path)
    asyncio.run(within(old, live))
    new = second(tmp_path)
    assert new.record.rebuilt is not None
    assert new.record.rebuilt.bookmark == str(held[REGISTRY_DATABASE])
    asyncio.run(within(new, live_again))


def confirmed_of(primary: Primary) -> Bookmark:
    assert primary.relay is not None
    place = primary.relay.core.confirmed
    assert place is not None
    return place


def test_cut_after_each_step_the_next_start_goes_on_and_nothing_is_rebuilt_twice(tmp_path: Path) -> None:
    async def live() -> None:
        for name in ("shop", "stock"):
            await old.create(name)
            await old.write(name, 1)
        await old.uploaded()

    async def begin() -> None:
        with pytest.raises(Error):
            await new.rows("stock")
        await new.write("shop", 2)
        await restart()
        new.cluster.failing = set()
        assert await new.rows("shop") == [1, 2], "shop is rebuilt, and not again"
        await until(lambda: answers("stock"))
        await new.create("more")
        await new.write("more", 7)
        await restart()
        assert await new.rows("more") == [7]
        assert await new.rows("stock") == [1]

    async def restart() -> None:
        await new.end(REGISTRY)
        new.forget_connections()
        new.start_registry()
        await new.registry.ready()

    async def answers(name: str) -> bool:
        return primary_name(name) in new.around.services

    old = first(tmp_path)
    asyncio.run(within(old, live))
    data, cold = directory_of(tmp_path / "second"), str(tmp_path / "cold")
    record = recovery.begin(data, cold, ())
    assert recovery.begin(data, cold, ()) == record
    recovery.take_over(record, cold)
    before = len(open_store(cold).list(""))
    new = second(tmp_path)
    assert new.record == record
    assert len(open_store(cold).list("")) == before, "it is done already"
    new.cluster.failing = {"stock"}
    asyncio.run(within(new, begin))


def test_a_database_that_cannot_be_rebuilt_is_named_and_holds_no_other_up(tmp_path: Path) -> None:
    async def live() -> None:
        for name in ("shop", "stock"):
            ids[name] = await old.create(name)
            await old.write(name, 1)
        await old.uploaded()

    async def live_again() -> None:
        found = await new.registry.recovered()
        assert "snapshot" in of(found, "stock").problem
        assert await new.rows("shop") == [1]
        with pytest.raises(Corrupt, match="could not be rebuilt"):
            await new.registry.lookup("stock")
        await until(says_so)
        await new.registry.delete("stock")
        await new.create("stock")

    async def says_so() -> bool:
        return any("could not be rebuilt" in one for one in (await new.registry.status()).problems)

    ids: dict[str, str] = {}
    old = first(tmp_path)
    asyncio.run(within(old, live))
    store = open_store(str(tmp_path / "cold"))
    for one in store.list(snapshot_folder(ids["stock"])):
        path = tmp_path / "cold" / one.name
        path.write_bytes(path.read_bytes()[:-1])
    new = second(tmp_path)
    asyncio.run(within(new, live_again))


def test_the_system_of_old_times_is_told_that_the_store_is_not_its_own_any_more(tmp_path: Path) -> None:
    async def live() -> None:
        await old.create("shop")
        await old.write("shop", 1)
        await old.uploaded()

    old = first(tmp_path)
    asyncio.run(within(old, live))
    new = second(tmp_path)
    with pytest.raises(ForeignDirectory, match=new.record.system_id):
        marker.check(open_store(str(tmp_path / "cold")), old.record.system_id)
    again = second(tmp_path, "third")
    assert again.record.predecessor == new.record.system_id
    with pytest.raises(ForeignDirectory, match=again.record.system_id):
        recovery.take_over(new.record, str(tmp_path / "cold"))

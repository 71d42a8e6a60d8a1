"""Beginning a recovery: what is decided, what is refused, and what is moved aside."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from tests.unit.cold_world import Log, new_run

from raylite.actors.cold import marker
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.marker import Marker
from raylite.actors.founding import DataDirectory, Holding
from raylite.actors.recovery import begin, take_over, unnamed
from raylite.actors.storage.log_directory import Owner
from raylite.policies.errors import Corrupt, ForeignDirectory, NotAllowed, Unreachable
from raylite.policies.quorum import Member, Members
from raylite.policies.system import SystemRecord

REGISTRY = "c01dc01d"
OLD = SystemRecord(1, "old", REGISTRY, "secret")
MEMBERS = Members(tuple(Member(f"follower:{number}", "x") for number in range(5)))


@pytest.fixture
def cold(tmp_path: Path) -> str:
    """The address of a store that has some of system `old`'s catalogue."""
    address = str(tmp_path / "cold")
    store = open_store(address)
    marker.claim(store, Marker(OLD.system_id, REGISTRY))
    archive = Archive(store, REGISTRY)
    archive.found(new_run())
    with Log(tmp_path / "log") as log:
        log.begin()
        archive.upload(log.start, log.pieces())
    return address


def directory(path: Path) -> DataDirectory:
    path.mkdir(exist_ok=True)
    return DataDirectory(path)


def old_directory(path: Path) -> DataDirectory:
    """What a node had of system `old`."""
    made = directory(path)
    made.keep(OLD, MEMBERS, 7)
    for number in (1, 4):
        folder = path / "followers" / str(number)
        folder.mkdir(parents=True)
        (folder / "owner").write_bytes(msgspec.json.encode(Owner(f"follower:{number}", OLD.system_id)))
        (folder / "journal").write_text("what was acknowledged")
    (path / "databases" / "db").mkdir(parents=True)
    return made


def test_another_system_comes_after_that_of_the_store_and_is_decided_once(tmp_path: Path, cold: str) -> None:
    data = directory(tmp_path / "data")
    record = begin(data, cold, ())
    assert (record.predecessor, record.registry_id) == (OLD.system_id, REGISTRY)
    assert record.system_id != OLD.system_id
    assert record.rebuilt is not None
    assert data.cold() == cold
    assert begin(data, cold, ()) == record
    other = directory(tmp_path / "other")
    assert begin(other, cold, (data.holding(),)) == record, "begun from another node"
    assert data.record() == record, "any later start goes on with it"
    take_over(record, cold)
    take_over(record, cold)
    assert begin(data, cold, ()) == record
    assert unnamed(cold, [REGISTRY]) == []
    assert unnamed(cold, []) == [REGISTRY]


def test_of_two_that_begin_at_once_one_gets_the_store(tmp_path: Path, cold: str) -> None:
    first, second = (begin(directory(tmp_path / name), cold, ()) for name in ("first", "second"))
    take_over(second, cold)
    with pytest.raises(ForeignDirectory, match=second.system_id):
        take_over(first, cold)


def test_where_anything_of_a_system_is_left_it_is_refused_and_nothing_changes(
    tmp_path: Path, cold: str
) -> None:
    data, node = directory(tmp_path / "data"), old_directory(tmp_path / "node")
    before = sorted(Path(cold).rglob("*"))
    for here, elsewhere in ((data, [node.holding()]), (node, [])):
        with pytest.raises(NotAllowed, match="2 followers of system old") as refused:
            begin(here, cold, elsewhere)
        assert "--discard-followers old" in str(refused.value)
    bare = directory(tmp_path / "bare")
    bare.keep(OLD, None, 0)
    with pytest.raises(NotAllowed):
        begin(bare, cold, ())
    assert data.holding() == Holding()
    assert sorted(Path(cold).rglob("*")) == before


def test_without_a_catalogue_there_is_nothing_to_rebuild(tmp_path: Path) -> None:
    data, address = directory(tmp_path / "data"), str(tmp_path / "store")
    store = open_store(address)
    with pytest.raises(Unreachable, match="no marker"):
        begin(data, address, ())
    marker.claim(store, Marker("old"))
    with pytest.raises(Corrupt, match="does not say which database"):
        begin(data, address, ())
    store.delete(marker.NAME)
    marker.claim(store, Marker("old", REGISTRY))
    with pytest.raises(Corrupt, match="nothing of the catalogue was uploaded"):
        begin(data, address, ())
    assert data.holding() == Holding()


def test_what_is_moved_aside_is_that_system_s_and_is_all_there_still(tmp_path: Path, cold: str) -> None:
    node = old_directory(tmp_path / "node")
    node.set_aside("another")
    assert node.holding().record == OLD
    node.set_aside(OLD.system_id)
    assert node.holding() == Holding()
    (aside,) = node.path.glob("aside-old-*")
    assert (aside / "followers" / "4" / "journal").read_text() == "what was acknowledged"
    assert DataDirectory(aside).holding().record == OLD
    record = begin(node, cold, ())
    node.set_aside(OLD.system_id)
    assert node.holding().record == record, "what was begun stays"


class Cut(Exception):
    """The process ends here."""


class CutDirectory(DataDirectory):
    """One whose process ends at the given sync."""

    left = 0

    def _sync(self) -> None:
        super()._sync()
        self.left -= 1
        if not self.left:
            raise Cut


def test_moving_aside_that_is_cut_anywhere_is_done_by_the_next_attempt(tmp_path: Path, cold: str) -> None:
    for at in range(1, 6):
        path = tmp_path / str(at)
        old_directory(path)
        cut = CutDirectory(path)
        cut.left = at
        with pytest.raises(Cut):
            cut.set_aside(OLD.system_id)
        node = DataDirectory(path)
        if at < 5:
            with pytest.raises(NotAllowed):
                begin(node, cold, ())
        node.set_aside(OLD.system_id)
        begin(node, cold, ())
        moved = {os.path.basename(one) for aside in path.glob("aside-*") for one in aside.iterdir()}
        assert moved == {"databases", "followers", "followers.json", "registry.json", "system.json"}

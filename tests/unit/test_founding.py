"""What a data directory has of a system: founded once, copied to others, never mixed with another's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from raylite.actors.founding import DataDirectory, Holding
from raylite.actors.service import node_directory
from raylite.actors.storage.log_directory import Owner
from raylite.policies.errors import Corrupt, ForeignDirectory, Unreachable
from raylite.policies.quorum import Member, Members

MEMBERS = Members(tuple(Member(f"follower:{number}", "x") for number in range(5)))


def _directory(path: Path) -> DataDirectory:
    path.mkdir(exist_ok=True)
    return DataDirectory(path)


def _journal(directory: DataDirectory, number: int, system_id: str) -> None:
    folder = directory.path / "followers" / str(number)
    folder.mkdir(parents=True)
    (folder / "owner").write_bytes(msgspec.json.encode(Owner(f"follower:{number}", system_id)))


def test_a_directory_founds_a_system_once(tmp_path: Path) -> None:
    first = _directory(tmp_path).record()
    assert _directory(tmp_path).record() == first
    assert len({first.system_id, first.registry_id, first.secret[:32]}) == 3


def test_a_copy_on_any_node_starts_the_same_system(tmp_path: Path) -> None:
    first, node, head = (_directory(tmp_path / name) for name in ("first", "node", "head"))
    record = first.record()
    node.keep(record, MEMBERS, 7)
    assert head.record([node.holding()]) == record
    assert head.registry_members() == MEMBERS
    assert head.holding().next_follower == 7


def test_members_are_written_once(tmp_path: Path) -> None:
    directory = _directory(tmp_path)
    record = directory.record()
    directory.keep(record, MEMBERS, 5)
    directory.keep(record, Members(MEMBERS.current[:3]), 5)
    assert directory.registry_members() == MEMBERS


def test_numbers_of_followers_only_rise(tmp_path: Path) -> None:
    directory = _directory(tmp_path)
    record = directory.record()
    directory.keep(record, None, 7)
    directory.keep(record, None, 5)
    assert directory.holding().next_follower == 7


def test_journals_are_told_with_their_owner_and_one_that_was_never_opened_is_none(tmp_path: Path) -> None:
    directory = _directory(tmp_path)
    record = directory.record()
    _journal(directory, 3, record.system_id)
    (directory.path / "followers" / "4").mkdir()
    (directory.path / "followers" / "notes").mkdir()
    (found,) = directory.holding().journals
    assert (found.number, found.system_id) == (3, record.system_id)


def test_another_systems_copy_is_refused(tmp_path: Path) -> None:
    ours, theirs = _directory(tmp_path / "ours"), _directory(tmp_path / "theirs")
    record = theirs.record()
    ours.record()
    with pytest.raises(ForeignDirectory, match=record.system_id):
        ours.record([theirs.holding()])
    with pytest.raises(ForeignDirectory):
        ours.keep(record, None, 0)


def test_nothing_is_founded_over_journals_whose_record_is_lost(tmp_path: Path) -> None:
    node, new = _directory(tmp_path / "node"), _directory(tmp_path / "new")
    _journal(node, 2, "a system that was")
    with pytest.raises(ForeignDirectory, match="a system that was"):
        new.record([node.holding()])
    assert new.holding() == Holding()


@pytest.mark.parametrize("data", [b"{", b'{"system_id": "\xff"}', b"[" * 100_000])
def test_an_unreadable_owner_is_damage(tmp_path: Path, data: bytes) -> None:
    directory = _directory(tmp_path)
    _journal(directory, 1, "system")
    (directory.path / "followers" / "1" / "owner").write_bytes(data)
    with pytest.raises(Corrupt):
        directory.holding()


def test_a_directory_has_one_owner_at_a_time(tmp_path: Path) -> None:
    first, second = _directory(tmp_path), _directory(tmp_path)
    first.own()
    with pytest.raises(Unreachable):
        second.own()
    first.disown()
    second.own()
    second.disown()


def test_a_node_may_have_its_files_elsewhere_but_virtual_regions_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAYLITE_DATA", raising=False)
    assert node_directory("/data") == Path("/data")
    monkeypatch.setenv("RAYLITE_DATA", "/disk")
    assert node_directory("/data") == Path("/disk")
    assert node_directory("/data", ("enam",)) == Path("/data")

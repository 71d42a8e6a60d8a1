"""Files on their way in or out of a copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from raylite.actors.storage.spool import Spool, digest_of
from raylite.policies.errors import Interrupted, StorageFull, Unreachable


def test_what_an_earlier_process_left_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "transfers"
    left = Spool(folder).create(1)
    left.write(b"left over", 0)
    assert left.path.parent == folder
    Spool(folder)
    assert not left.path.exists()


def test_without_room_for_all_of_it_no_file_is_begun(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "transfers")
    with pytest.raises(StorageFull, match="needs 1152921504606846976 bytes"):
        spool.create(1 << 60)
    assert list(spool.folder.iterdir()) == []


def test_parts_may_come_in_any_order_and_the_digest_covers_all(tmp_path: Path) -> None:
    file = Spool(tmp_path / "transfers").create(6)
    file.write(b"def", 3)
    file.write(b"abc", 0)
    assert (file.read(2, 3), file.read(6, 3)) == (b"cde", b"")
    (tmp_path / "same").write_bytes(b"abcdef")
    assert file.digest(lambda: None) == digest_of(tmp_path / "same", lambda: None)
    (tmp_path / "other").write_bytes(b"abcdeF")
    assert file.digest(lambda: None) != digest_of(tmp_path / "other", lambda: None)


def test_a_removed_file_is_an_error_of_the_tree_and_removing_again_is_none(tmp_path: Path) -> None:
    file = Spool(tmp_path / "transfers").create(1)
    file.remove()
    file.remove()
    with pytest.raises(Unreachable):
        file.read(0, 1)
    with pytest.raises(Unreachable):
        file.write(b"x", 0)
    with pytest.raises(Unreachable):
        file.digest(lambda: None)


def test_a_digest_can_be_ended(tmp_path: Path) -> None:
    def stop() -> None:
        raise Interrupted("the test")

    file = Spool(tmp_path / "transfers").create(1)
    file.write(b"x", 0)
    with pytest.raises(Interrupted):
        file.digest(stop)

"""The store port: what every store promises, the folder's syncs, deadlines, and errors that say what to do."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError
from tests.unit.cold_world import MemoryStore
from tests.unit.s3_server import Server

from raylite.actors.cold.calls import Calls
from raylite.actors.cold.folder import FolderStore, FolderSyncs, open_store
from raylite.actors.cold.marker import Marker, check, claim, read, succeed
from raylite.actors.cold.object_store import translated
from raylite.actors.cold.store import Store, fetch
from raylite.policies.errors import (
    Corrupt,
    Error,
    ForeignDirectory,
    NotAllowed,
    ParameterError,
    StorageFailed,
    StorageFull,
    Unreachable,
)
from raylite.policies.limits import COLD_LEFTOVER_SECONDS


@pytest.fixture(params=["memory", "folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Each kind of store, the tests' own included: what is shown of one holds for all."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "folder":
        return open_store(str(tmp_path / "cold"))
    running: Server = request.getfixturevalue("server")
    return running.open(monkeypatch)


def test_an_object_is_written_once_and_read_whole_or_in_part(store: Store) -> None:
    assert store.put("databases/a/log/one", b"0123456789")
    assert not store.put("databases/a/log/one", b"other")
    assert store.read("databases/a/log/one") == b"0123456789"
    assert store.read("databases/a/log/one", 3, 4) == b"3456"
    assert store.read("databases/a/log/one", 8, 100) == b"89"
    assert store.read("databases/a/log/one", 4) == b"456789"
    assert store.read("databases/a/log/one", 2, 0) == b""
    store.put("databases/a/log/empty", b"")
    for name, first in (("one", 10), ("one", 99), ("empty", 0), ("empty", 7)):
        assert store.read(f"databases/a/log/{name}", first, 5) == b""
        assert store.read(f"databases/a/log/{name}", first) == b""


def test_what_is_not_there_is_none_and_is_gone_after_a_delete(store: Store) -> None:
    assert store.read("databases/a/none") is None
    assert store.read("databases/a/none", 5, 5) is None
    store.delete("databases/a/none")
    store.put("databases/a/some", b"")
    assert store.read("databases/a/some") == b""
    store.delete("databases/a/some")
    assert store.read("databases/a/some") is None
    assert store.put("databases/a/some", b"again")


def test_a_listing_is_of_a_folder_in_order_and_begins_where_one_says(store: Store) -> None:
    for name in ("ab/x", "a/b/2", "a/b/1", "a/c", "a/b/10"):
        store.put(name, name.encode())
    assert [one.name for one in store.list("a")] == ["a/b/1", "a/b/10", "a/b/2", "a/c"]
    assert [one.name for one in store.list("a", "a/b/1")] == ["a/b/10", "a/b/2", "a/c"]
    assert [one.name for one in store.list("a", "a/b/15")] == ["a/b/2", "a/c"]
    assert [one.size for one in store.list("a/b")] == [5, 6, 5]
    assert store.list("nothing") == []


@pytest.mark.parametrize("store", ["s3"], indirect=True)
def test_a_listing_of_more_than_one_answer_is_whole(store: Store, server: Server) -> None:
    expected = [f"long/{number:05}" for number in range(1001)]
    store.put(expected[0], b"")
    server.fill(reversed(expected[1:]))
    assert [one.name for one in store.list("long")] == expected


def test_the_store_has_a_clock_which_is_that_of_its_objects(store: Store) -> None:
    before = store.now()
    store.put("a/one", b"")
    after = store.now()
    (one,) = store.list("a")
    assert before - 1 <= one.modified <= after + 1
    assert store.list("clock") == [], "what it was read by is gone again"


def test_what_must_be_there_and_is_not_is_damage(store: Store) -> None:
    store.put("a/one", b"12345")
    assert fetch(store, "a/one", 1, 3) == b"234"
    with pytest.raises(Corrupt, match="3 bytes at 2 where 9 must be"):
        fetch(store, "a/one", 2, 9)
    with pytest.raises(Corrupt, match="no such object"):
        fetch(store, "a/two", 2, 9)


def test_of_many_that_write_one_name_one_makes_it(store: Store) -> None:
    made: list[bytes] = []

    def race(data: bytes) -> None:
        if store.put("a/race", data):
            made.append(data)

    threads = [threading.Thread(target=race, args=(b"%d" % number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert len(made) == 1
    assert store.read("a/race") == made[0]


def test_a_store_belongs_to_one_system_and_each_node_looks_whether_it_sees_it(store: Store) -> None:
    with pytest.raises(Unreachable, match="does not see what the others see"):
        check(store, "mine")
    claim(store, Marker("mine", "registry"))
    claim(store, Marker("mine", "another"))
    check(store, "mine")
    assert read(store) == Marker("mine", "registry")
    with pytest.raises(ForeignDirectory, match="belongs to system mine"):
        check(store, "other")
    with pytest.raises(ForeignDirectory, match="belongs to system mine"):
        claim(store, Marker("other"))


def test_one_system_comes_after_another_and_the_last_one_s_it_is(store: Store) -> None:
    claim(store, Marker("first", "registry"))
    for _ in range(2):
        succeed(store, Marker("second", "registry"), "first")
    for late in ("first", "third"):
        with pytest.raises(ForeignDirectory, match="belongs to system second"):
            succeed(store, Marker(late), "first")
    succeed(store, Marker("third", "registry"), "second")
    check(store, "third")
    with pytest.raises(ForeignDirectory, match="belongs to system third"):
        check(store, "first")
    with pytest.raises(ForeignDirectory, match="belongs to system third"):
        claim(store, Marker("first"))


# The folder


class Recorded(FolderSyncs):
    """Real syncs, of which one may fail, with what was there at each."""

    def __init__(self, root: Path, fails: str = "", error: int = errno.EIO) -> None:
        self.root, self.fails, self.error = root, fails, error
        self.seen: list[tuple[str, str, bool]] = []

    def file(self, path: Path) -> None:
        self._note("file", path)
        super().file(path)

    def folder(self, path: Path) -> None:
        self._note("folder", path)
        super().folder(path)

    def _note(self, kind: str, path: Path) -> None:
        where = "tmp" if path.parent == self.root / "tmp" else str(path.relative_to(self.root))
        self.seen.append((kind, where, (self.root / "a/b/one").exists()))
        if self.fails and (kind, where) == tuple(self.fails.split(":")):
            raise OSError(self.error, os.strerror(self.error))


def test_a_folder_syncs_the_bytes_before_the_name_and_every_new_folder(tmp_path: Path) -> None:
    syncs = Recorded(tmp_path)
    store = FolderStore(tmp_path, syncs=syncs)
    assert store.put("a/b/one", b"data")
    assert syncs.seen == [
        ("file", "tmp", False),
        ("folder", ".", False),
        ("folder", "a", False),
        ("folder", "a/b", True),
    ]
    syncs.seen.clear()
    assert not store.put("a/b/one", b"data")
    assert syncs.seen[-1] == ("folder", "a/b", True), "who made it may not have synced its name yet"
    assert os.listdir(tmp_path / "tmp") == []


def test_a_folder_whose_file_does_not_sync_has_no_object_and_takes_the_next(tmp_path: Path) -> None:
    syncs = Recorded(tmp_path, "file:tmp")
    store = FolderStore(tmp_path, syncs=syncs)
    with pytest.raises(Unreachable, match="Input/output error"):
        store.put("a/b/one", b"data")
    assert store.list("a") == []
    assert os.listdir(tmp_path / "tmp") == []
    syncs.fails = ""
    assert store.put("a/b/one", b"data")


def test_a_folder_whose_names_do_not_sync_takes_nothing_more(tmp_path: Path) -> None:
    syncs = Recorded(tmp_path, "folder:a/b")
    store = FolderStore(tmp_path, syncs=syncs)
    with pytest.raises(StorageFailed):
        store.put("a/b/one", b"data")
    syncs.fails = ""
    with pytest.raises(StorageFailed, match="a sync of"):
        store.put("a/b/two", b"data")


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, syncs=Recorded(tmp_path, "file:tmp", errno.ENOSPC))
    with pytest.raises(StorageFull, match="No space left"):
        store.put("a/b/one", b"data")
    assert os.listdir(tmp_path / "tmp") == []


def test_what_was_left_half_made_is_not_listed_and_is_removed_when_it_is_old(tmp_path: Path) -> None:
    FolderStore(tmp_path).put("a/b/one", b"data")
    for name, age in (("old", COLD_LEFTOVER_SECONDS + 60), ("young", 60.0)):
        path = tmp_path / "tmp" / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age, time.time() - age))
    store = FolderStore(tmp_path)
    assert os.listdir(tmp_path / "tmp") == ["young"]
    assert [one.name for one in store.list("a")] == ["a/b/one"]


def test_an_address_is_a_folder_or_a_url_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert open_store(str(tmp_path / "new/cold")).address == str(tmp_path / "new/cold")
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    for address in ("relative/folder", "ftp://somewhere", "memory:///", "s3://", "az://container/path", ""):
        with pytest.raises(ParameterError, match="cold storage"):
            open_store(address)
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match="File exists"):
        open_store(str(tmp_path / "file"))


# Errors and deadlines


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EACCES, "Permission denied"), NotAllowed),
        (OSError(errno.EROFS, "Read-only file system"), NotAllowed),
        (ValueError("Unable to open file: Permission denied (os error 13)"), NotAllowed),
        (ValueError("Unable to write: No space left on device (os error 28)"), StorageFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), StorageFull),
        (ValueError("connection reset\n\nDebug source: a page of text"), Unreachable),
        (PermissionDeniedError("403\n<Code>AccessDenied</Code><Message>Not you</Message>"), NotAllowed),
        (UnauthenticatedError("401"), NotAllowed),
    ],
)
def test_an_error_says_whether_the_store_is_full_refuses_or_is_not_there(
    error: Exception, kind: type[Error]
) -> None:
    found = translated("/cold", error)
    assert type(found) is kind
    assert "/cold" in str(found)
    assert "Debug source" not in str(found)


def test_a_call_that_hangs_ends_by_its_deadline_and_many_such_end_at_once() -> None:
    calls = Calls("cold storage", bound=2)
    released = threading.Event()
    for _ in range(2):
        with pytest.raises(Unreachable, match=r"no answer within 0\.01 s"):
            calls.run(lambda: released.wait(30), 0.01)
    with pytest.raises(Unreachable, match="2 calls hang already"):
        calls.run(lambda: 1, 30)
    released.set()
    assert within(10, lambda: answers(calls)), "calls that came back count no more"


def answers(calls: Calls) -> bool:
    try:
        return calls.run(lambda: True, 30)
    except Unreachable:
        return False


def within(seconds: float, holds: object) -> bool:
    end = time.monotonic() + seconds
    assert callable(holds)
    while not holds():
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.001)
    return True


def test_a_call_gives_back_what_came_of_it() -> None:
    calls = Calls("cold storage")
    assert calls.run(lambda: 7, 30) == 7
    with pytest.raises(ValueError, match="nothing"):
        calls.run(lambda: int("nothing"), 30)

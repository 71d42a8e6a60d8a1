"""A copy's process may die, or be looked at, before any store to `-wal`, `-shm` or the record.

Readers that are attached go on and see a confirmed state; SQLite's recovery finds nothing that is not confirmed; the
next process brings the copy to the same pages as any other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.unit.replica_process import KILLED, Numbered, Scenario, Step, state_of
from tests.unit.replica_process import Counter as Fatal
from tests.unit.replica_world import DATABASE, Copy, Entry, Primary, Process

from raylite.policies.bookmark import Bookmark, origin

EVERY = int(os.environ.get("RAYLITE_KILL_EVERY", "1"))
"""Kill at each store of this many; 1: at each."""


@pytest.fixture(scope="module")
def primary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Primary]:
    made = Primary(tmp_path_factory.mktemp("primary"))
    for sql in (
        "CREATE TABLE t (k INTEGER PRIMARY KEY, x)",
        "INSERT INTO t (x) VALUES ('a')",
        "INSERT INTO t (x) VALUES (randomblob(9000))",
        "INSERT INTO t (x) VALUES ('b')",
        "UPDATE t SET x = 'c' WHERE k = 1",
        "INSERT INTO t (x) VALUES (randomblob(30000))",
        "DELETE FROM t WHERE k = 2",
        "VACUUM",
        "INSERT INTO t (x) VALUES ('d')",
    ):
        made.run(sql)
    yield made
    made.close()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, primary: Primary) -> Iterator[Primary]:
    """A reign of which nothing was confirmed behind entry 4."""
    made = Primary(tmp_path_factory.mktemp("other"), epoch=2)
    made.entries = primary.entries[:5]
    made.connection.execute("CREATE TABLE wrong (x)")
    made.connection.execute("INSERT INTO wrong VALUES (randomblob(9000))")
    yield made
    made.close()


@pytest.fixture(scope="module")
def writer() -> Iterator[Process]:
    with closing(Process()) as made:
        yield made


def append(entry: Entry, first: int = 0, end: int | None = None) -> Step:
    return Step("append", None, entry.pieces[first:end], entry.encoded[first:end])


def publish(entry: Entry) -> Step:
    return Step("publish", entry.place)


def before(primary: Primary) -> list[Step]:
    """Until the readers come."""
    entries = primary.entries
    return [append(entries[0]), append(entries[1]), publish(entries[1]), Step("arm")]


def after(primary: Primary, other: Primary) -> list[Step]:
    """Entries wait, are published, taken back, replaced, come in pieces, and are checkpointed meanwhile."""
    entries, wrong = primary.entries, other.entries[5:]
    return [
        append(entries[2]), append(entries[3]), append(entries[4]),
        publish(entries[2]),
        append(wrong[0]), append(wrong[1]),
        publish(entries[3]),
        Step("cut", entries[4].place),
        append(entries[5], 0, 2),
        publish(entries[4]),
        Step("checkpoint"),
        append(entries[5], 2),
        append(entries[6]), append(entries[7]),
        publish(entries[6]),
        Step("checkpoint"),
        publish(entries[7]),
        append(entries[8]),
    ]  # fmt: skip


def say(lines: str) -> tuple[int, list[str]]:
    """Exit code and progress of a writer."""
    *progress, last = lines.splitlines()
    return int(last.removeprefix("exit ")), progress


class Fallen:
    """A writer that was killed, with readers that were attached before."""

    def __init__(
        self,
        path: Path,
        primary: Primary,
        steps: list[Step],
        processes: tuple[Process, Process],
        fatal: int,
        held: bool,
    ) -> None:
        self.path, self.primary = path, primary
        self.writer, self.reader = processes
        scenario = path.with_name("scenario")
        scenario.write_bytes(msgspec.msgpack.encode(Scenario(str(path), DATABASE, steps)))
        ready = self.writer.ask("start", path=scenario, number=fatal).split()
        assert ready[0] == "ready"
        self.database = Path(ready[1])
        for name in ("idle", "old"):
            self.reader.ask("open", name, self.database)
            self.reader.ask("state", name)
        self.held = held
        self.seen = self.reader.ask("hold", "old") if held else ""
        self.code, self.progress = say(self.writer.ask("go"))

    @property
    def confirmed(self) -> list[Bookmark]:
        """The newest entry that was published, and the one that was being published, if any."""
        places = [origin(DATABASE), self.primary.entries[1].place]
        published = [
            Bookmark.parse(line.split()[1]) for line in self.progress if line.startswith("published")
        ]
        publishing = [
            Bookmark.parse(line.split()[1]) for line in self.progress if line.startswith("publishing")
        ]
        return [(places + published)[-1], *publishing[len(published) :]]

    def check_readers(self) -> None:
        """Attached readers see a confirmed state, whole; the snapshot is what it was."""
        states = [self.primary.state(place) for place in self.confirmed]
        assert self.reader.ask("state", "old") == self.seen or not self.held
        assert self.reader.ask("state", "idle") in states
        assert self.reader.ask("check", "idle") == "ok"
        if self.held:
            self.reader.ask("release", "old")
        assert self.reader.ask("state", "old") in states
        for name in ("idle", "old"):
            self.reader.ask("close", name)

    def check_recovery(self) -> None:
        """SQLite, given file and WAL alone, finds nothing that is not confirmed."""
        side = self.path.with_name("side")
        for suffix in ("", "-wal"):
            source = self.database.with_name(f"database{suffix}")
            side.with_name(f"side{suffix}").write_bytes(source.read_bytes())
        states = [self.primary.state(place) for place in self.confirmed]
        assert self.reader.ask("recover", path=side) in states
        for suffix in ("", "-wal", "-shm"):
            side.with_name(f"side{suffix}").unlink()

    def check_next(self) -> None:
        """A new generation shows nothing but what its record vouches for, then all that is confirmed."""
        copy = Copy(self.path, self.primary, self.reader)
        file = copy.file
        assert file.published.sequence <= self.confirmed[0].sequence
        entries = [e for e in self.primary.entries if e.place.sequence > file.published.sequence]
        for entry in entries:
            if file.ready:
                assert state_of(copy.near()) == self.primary.state(file.published)
            copy.apply(entry)
        copy.check(whole=True)
        assert file.checkpoint()
        copy.close()
        assert file.database.read_bytes() == _image(self.primary)


def _image(primary: Primary) -> bytes:
    primary.checkpoint()
    return primary.path.read_bytes()


@pytest.mark.parametrize("held", [False, True], ids=["idle readers", "a snapshot held"])
def test_a_kill_before_any_store_leaves_readers_and_successor_whole(
    tmp_path: Path, primary: Primary, other: Primary, writer: Process, process: Process, held: bool
) -> None:
    steps = before(primary) + after(primary, other)
    processes = (writer, process)
    whole = Fallen(tmp_path / "whole", primary, steps, processes, 0, held)
    assert whole.code == 0
    stores = int(whole.progress[-1].removeprefix("done "))
    assert stores > 100
    whole.check_readers()
    for number in range(1, stores + 1, EVERY):
        path = tmp_path / f"replica-{number}"
        fallen = Fallen(path, primary, steps, processes, number, held)
        assert fallen.code == KILLED, number
        fallen.check_readers()
        fallen.check_recovery()
        fallen.check_next()


# The same stores, looked at while the process lives


class Watched(Numbered):
    """Before each store a reader of another process looks; inside the header, it comes while the copies differ."""

    def __init__(self) -> None:
        super().__init__(Fatal(0))
        self.copy_of: Copy | None = None
        self.allowed: list[str] = []
        self.looks = self.waits = 0

    def write(self, fd: int, data: bytes | bytearray, offset: int) -> None:
        self._look()
        super().write(fd, data, offset)

    def put(self, cells: memoryview, index: int, value: int) -> None:
        self._look()
        super().put(cells, index, value)

    def copy(self, target: memoryview, offset: int, data: bytes) -> None:
        torn = len(data) == 48 and offset == 0
        if not torn:
            self._look()
            super().copy(target, offset, data)
            return
        copy = self._copy()
        copy.process.send("state", copy.far())
        self.waits += not copy.process.answers_within(0.05)
        super().copy(target, offset, data)
        assert copy.process.receive() in self.allowed

    def _look(self) -> None:
        if self.copy_of:
            self.looks += 1
            assert self.copy_of.process.ask("state", self.copy_of.far()) in self.allowed

    def _copy(self) -> Copy:
        assert self.copy_of is not None
        return self.copy_of


def test_a_reader_sees_a_confirmed_state_before_any_store_and_waits_where_the_header_is_torn(
    tmp_path: Path, primary: Primary, other: Primary, process: Process
) -> None:
    watched = Watched()
    copy = Copy(tmp_path / "replica", primary, process, watched)
    copy.far()
    process.ask("state", copy.far())
    published = 0
    watched.allowed = [primary.origin_state]
    watched.copy_of = copy
    for step in before(primary)[:-1] + after(primary, other):
        match step:
            case Step(op="append"):
                copy.file.append(step.pieces, step.encoded)
            case Step(op="publish", place=Bookmark() as place):
                watched.allowed.append(primary.state(place))
                copy.file.publish(place)
                watched.allowed = [primary.state(place)]
                published += 1
            case Step(op="cut", place=Bookmark() as place):
                copy.file.cut(place)
            case _:
                assert copy.file.checkpoint()
        copy.check(whole=True)
    assert watched.looks > 100
    assert watched.waits == published, "a reader got past a torn header"
    copy.close()

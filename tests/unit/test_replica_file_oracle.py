"""SQLite is the oracle: what it writes on a primary is what it reads from a copy, under any schedule."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.replica_process import state_of
from tests.unit.replica_world import EXAMPLES, Copy, Entry, Primary, Process, cut_into_pieces

from raylite.actors.core.piece import decode_pages
from raylite.actors.storage.engine_apsw import connect
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.wal_index import (
    BLOCK_BYTES,
    BLOCK_FRAMES,
    FIRST_FRAMES,
    HEADER_BYTES,
    IndexHeader,
)
from raylite.policies.bookmark import Bookmark

RACES = 600 * EXAMPLES


def doomed(previous: Bookmark, pages: list[int]) -> Entry:
    """An entry of another reign that is never confirmed, full of noise."""
    noise = Random(len(pages))
    content = [(number, noise.randbytes(PAGE_SIZE)) for number in pages]
    return cut_into_pieces(previous, content, epoch=9, database_pages=max(pages), per_piece=5)


def frames_of(entry: Entry) -> int:
    return sum(len(decode_pages(one)[1].numbers) for one in entry.encoded)


# Random transactions under a random schedule

STATEMENTS = st.one_of(
    st.tuples(st.just("insert"), st.integers(0, 9), st.sampled_from((5, 500, 9000, 80_000))),
    st.tuples(st.just("update"), st.integers(0, 9), st.sampled_from((5, 9000))),
    st.tuples(st.just("delete"), st.integers(0, 9), st.just(0)),
    st.tuples(
        st.sampled_from(("vacuum", "index", "column", "table", "drop", "empty")),
        st.integers(0, 3),
        st.just(0),
    ),
)
SCHEDULE = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 7)),
    st.tuples(st.just("publish"), st.integers(0, 3)),
    st.tuples(st.just("doomed"), st.integers(1, 40)),
    st.tuples(st.just("checkpoint"), st.just(0)),
    st.tuples(st.just("hold"), st.integers(0, 1)),
    st.tuples(st.just("release"), st.integers(0, 1)),
)


def commit(primary: Primary, what: str, key: int, size: int) -> None:
    """One transaction, or none if it changes nothing."""
    match what:
        case "insert":
            primary.run(f"INSERT INTO t (k, x) VALUES ({key}, randomblob({size}))")
        case "update":
            primary.run(f"UPDATE t SET x = randomblob({size}) WHERE k = {key}")
        case "delete":
            primary.run(f"DELETE FROM t WHERE k = {key}")
        case "vacuum":
            primary.run("VACUUM")
        case "index":
            primary.run(f"CREATE INDEX IF NOT EXISTS i{key} ON t (k, x)")
        case "column":
            primary.run(f"ALTER TABLE t ADD COLUMN c{len(primary.entries)} DEFAULT {key}")
        case "table":
            primary.run(f"CREATE TABLE IF NOT EXISTS u{key} AS SELECT * FROM t")
        case "drop":
            primary.run(f"DROP TABLE IF EXISTS u{key}")
        case _:
            primary.empty()


class Run:
    """Plays a schedule on a copy, always checking that readers see what is published."""

    def __init__(self, copy: Copy, primary: Primary) -> None:
        self.copy, self.primary = copy, primary
        self.taken = self.shown = 0
        self.held: dict[int, str] = {}

    def step(self, op: str, number: int) -> None:
        getattr(self, op)(number)
        self.copy.check()
        for which, seen in self.held.items():
            assert self._snapshot(which)("state") == seen

    def append(self, count: int) -> None:
        for entry in self.primary.entries[self.taken : self.taken + count]:
            self.copy.append(entry)
            self.taken += 1

    def publish(self, before_the_last: int) -> None:
        count = self.taken - before_the_last
        if count > self.shown:
            self.copy.file.publish(self.primary.entries[count - 1].place)
            self.shown = count

    def doomed(self, pages: int) -> None:
        """Entries of a reign that ends: the next one takes back some that were right, too."""
        file = self.copy.file
        self.copy.append(doomed(file.tail, list(range(1, pages + 1))), *())
        self.copy.append(doomed(file.tail, [1, pages]) if pages > 1 else doomed(file.tail, [1]))
        self.copy.check()
        self.taken = self.shown + (self.taken - self.shown) // 2
        kept = self.primary.entries[self.taken - 1].place if self.taken > self.shown else file.published
        file.cut(kept)

    def checkpoint(self, _: int) -> None:
        done = self.copy.file.checkpoint()
        assert done or self.held, "nothing but a snapshot can hold it back"

    def hold(self, which: int) -> None:
        if which not in self.held:
            self.held[which] = self._snapshot(which)("hold")

    def release(self, which: int) -> None:
        if self.held.pop(which, None):
            self._snapshot(which)("release")

    def finish(self) -> None:
        for which in list(self.held):
            self.release(which)
        self.append(len(self.primary.entries))
        self.publish(0)
        self.copy.check(whole=True)
        assert self.copy.file.checkpoint()
        self.copy.check(whole=True)
        self.copy.close()
        self.primary.checkpoint()
        assert self.copy.file.database.read_bytes() == self.primary.path.read_bytes()

    def _snapshot(self, which: int) -> Callable[[str], str]:
        """A reader with a snapshot, here (0) or in the other process."""
        if which:
            far = self.copy.far("snapshot")
            return lambda op: self.copy.process.ask(op, far)
        near = self.copy.near("snapshot")

        def act(op: str) -> str:
            if op == "release":
                near.execute("COMMIT")
                return ""
            if op == "hold":
                near.execute("BEGIN")
            return state_of(near)

        return act


@settings(max_examples=40 * EXAMPLES, deadline=None)
@given(
    statements=st.lists(STATEMENTS, min_size=3, max_size=16),
    schedule=st.lists(SCHEDULE, max_size=25),
    per_piece=st.integers(1, 9),
)
def test_readers_see_what_is_published_under_any_schedule(
    process: Process,
    statements: list[tuple[str, int, int]],
    schedule: list[tuple[str, int]],
    per_piece: int,
) -> None:
    with TemporaryDirectory() as directory:
        primary = Primary(Path(directory), cache_pages=5)
        primary.per_piece = per_piece
        primary.run("CREATE TABLE t (k, x)")
        for what, key, size in statements:
            commit(primary, what, key, size)
        copy = Copy(Path(directory) / "replica", primary, process)
        run = Run(copy, primary)
        try:
            for op, number in schedule:
                run.step(op, number)
            run.finish()
        finally:
            copy.close()
            primary.close()


# Hash blocks


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    made = Primary(tmp_path)
    made.per_piece = 256
    made.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x)")
    yield made
    made.close()


@pytest.fixture
def copy(tmp_path: Path, primary: Primary, process: Process) -> Iterator[Copy]:
    with closing(Copy(tmp_path / "replica", primary, process)) as made:
        yield made


def fill(primary: Primary, copy: Copy, frames: int) -> int:
    """Applies large transactions to a small database, until the WAL has nearly so many frames; how many it has."""
    primary.run("INSERT INTO t VALUES (1, 0)")
    used = sum(map(frames_of, primary.entries))
    while (missing := frames - used) > 20:
        primary.run("UPDATE t SET x = zeroblob(?) WHERE k = 1", min(250, missing - 12) * (PAGE_SIZE - 4))
        used += frames_of(primary.entries[-1])
    copy.apply(*primary.entries)
    return used


@pytest.mark.parametrize("boundaries", [1, 2])
def test_cuts_and_entries_of_all_sizes_meet_the_boundary_of_a_hash_block(
    primary: Primary, copy: Copy, boundaries: int
) -> None:
    boundary = FIRST_FRAMES + (boundaries - 1) * BLOCK_FRAMES
    frames = fill(primary, copy, boundary)
    assert boundary - 20 < frames < boundary
    while frames < boundary + 12:
        for pages in (1, 2, 30):
            place = copy.file.tail
            copy.append(doomed(place, list(range(1, pages + 1))))
            copy.file.cut(place)
        copy.apply(primary.run("INSERT INTO t (x) VALUES (randomblob(20))"))
        copy.append(doomed(copy.file.tail, [1, 2, 3]))
        copy.check()
        copy.file.cut(copy.file.published)
        frames += frames_of(primary.entries[-1])
    copy.check(whole=True)
    assert same_index(copy)
    assert copy.file.checkpoint()
    copy.check(whole=True)


def same_index(copy: Copy) -> bool:
    """Whether SQLite, recovering from the WAL alone, builds the very WAL-index that the copy has."""
    side = copy.file.database.with_name("side")
    shutil.copyfile(copy.file.database.with_name("database-wal"), f"{side}-wal")
    copy_elsewhere(copy.file.database, side)
    recovered = connect(str(side), apsw.SQLITE_OPEN_READWRITE)
    assert state_of(recovered) == copy.primary.state(copy.file.published)
    theirs = side.with_name("side-shm").read_bytes()
    mine = read_elsewhere(copy.file.database.with_name("database-shm"))
    recovered.close()
    header, found = IndexHeader.decode(theirs[:48]), IndexHeader.decode(mine[:48])
    assert mine[:48] == mine[48:96]
    assert (found.frames, found.database_pages, found.checksum, found.salts) == (
        header.frames, header.database_pages, header.checksum, header.salts,
    )  # fmt: skip
    blocks = 1 + (header.frames - 1 - FIRST_FRAMES) // BLOCK_FRAMES + 1
    return theirs[HEADER_BYTES : blocks * BLOCK_BYTES] == mine[HEADER_BYTES : blocks * BLOCK_BYTES]


def copy_elsewhere(source: Path, target: Path) -> None:
    """Copies in another process: closing a descriptor here would drop SQLite's locks."""
    subprocess.run(["cp", str(source), str(target)], check=True)


def read_elsewhere(path: Path) -> bytes:
    copied = path.with_name("copied")
    copy_elsewhere(path, copied)
    return copied.read_bytes()


def test_the_wal_index_is_the_one_that_sqlite_would_recover(primary: Primary, copy: Copy) -> None:
    for number in range(40):
        primary.run("INSERT INTO t (x) VALUES (randomblob(?))", number * 400)
    copy.apply(*primary.entries)
    assert same_index(copy)
    assert copy.file.checkpoint()
    copy.apply(primary.run("DELETE FROM t WHERE k % 3 = 0"), primary.run("VACUUM"))
    assert same_index(copy)


def test_a_transaction_of_many_blocks_arrives_piece_by_piece_through_a_checkpoint(
    primary: Primary, copy: Copy
) -> None:
    copy.apply(*primary.entries)
    copy.apply(primary.run("INSERT INTO t (x) VALUES (1)"))
    primary.run("INSERT INTO t (x) VALUES (randomblob(40000000))")
    large = primary.entries[-1]
    assert frames_of(large) > FIRST_FRAMES + BLOCK_FRAMES
    for number, (piece, encoded) in enumerate(zip(large.pieces, large.encoded, strict=True)):
        copy.file.append([piece], [encoded])
        if number in (3, 30):
            assert copy.file.checkpoint()
            copy.check()
    copy.check()
    copy.file.publish(large.place)
    copy.check(whole=True)
    assert same_index(copy)


# Readers that never pause


def test_readers_that_never_pause_see_one_transaction_after_another(tmp_path: Path, process: Process) -> None:
    primary = Primary(tmp_path)
    primary.keeps_states = False
    primary.run("CREATE TABLE t (k INTEGER PRIMARY KEY, x); CREATE INDEX i ON t (x)")
    for number in range(1, RACES + 1):
        primary.run("INSERT INTO t VALUES (?, randomblob(600))", number)
    copy = Copy(tmp_path / "replica", primary, process)
    copy.apply(*primary.entries[:3])
    process.send("race", copy.far(), number=RACES)
    waiting: list[Entry] = []
    for number, entry in enumerate(primary.entries[3:]):
        copy.append(entry)
        waiting.append(entry)
        if number % 5 in (0, 3):
            copy.file.publish(waiting[len(waiting) // 2].place)
            del waiting[: len(waiting) // 2 + 1]
        if number % 60 == 59:
            copy.file.checkpoint()
    copy.file.publish(primary.tail)
    assert int(process.receive()) > 20
    copy.file.checkpoint()
    assert process.ask("check", copy.far()) == "ok"
    copy.close()
    primary.close()

"""What `WalReader` takes from a WAL is what SQLite committed, whatever else lies in the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.replica_world import EXAMPLES, Primary

from raylite.actors.core.piece import decode_pages
from raylite.actors.storage.engine_apsw import connect
from raylite.actors.storage.image import EMPTY, PAGE_SIZE, first_page_of
from raylite.actors.storage.wal import WalReader
from raylite.policies.errors import Corrupt


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    made = Primary(tmp_path)
    yield made
    made.close()


class Image:
    """A database file as the commits say it is: the slow, obvious model."""

    def __init__(self, primary: Primary) -> None:
        self._primary, self._taken = primary, 0
        self.pages = {1: EMPTY}
        self.size = 1

    def bytes(self) -> bytes:
        for commit in self._primary.commits[self._taken :]:
            entry = self._primary.entries[self._taken]
            assert [page for page, _ in commit.pages] == sorted({page for page, _ in commit.pages})
            for number, content in pages_of(entry.encoded):
                self.pages[number] = content
            self.size = commit.database_pages
            self._taken += 1
        return b"".join(self.pages[number] for number in range(1, self.size + 1))


def pages_of(encoded: Sequence[bytes]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for one in encoded:
        _, pages = decode_pages(one)
        found += [(n, bytes(c)) for n, c in zip(pages.numbers, pages.contents, strict=True)]
    return found


def test_a_commit_has_each_page_once_in_ascending_order(primary: Primary) -> None:
    primary.run("CREATE TABLE t (x)")
    primary.run("INSERT INTO t VALUES (randomblob(100000))")
    commit = primary.commits[-1]
    numbers = [page for page, _ in commit.pages]
    assert numbers == sorted(set(numbers))
    assert commit.page_size == PAGE_SIZE
    assert commit.database_pages == numbers[-1]


def test_the_wal_is_read_from_its_start_after_sqlite_restarted_it(primary: Primary) -> None:
    primary.run("CREATE TABLE t (x)")
    first = primary.reader.generation
    frames_before = primary.commits[-1].pages[-1][1]
    primary.checkpoint()
    assert primary.reader.size == 0
    primary.run("INSERT INTO t VALUES (randomblob(40000))")
    assert primary.reader.generation != first
    assert len(primary.commits[-1].pages) > frames_before, "a larger count than before the restart"
    assert min(frame for _, frame in primary.commits[-1].pages) == 1
    primary.checkpoint()
    assert Image(primary).bytes() == primary.path.read_bytes()


def test_frames_of_rolled_back_transactions_are_not_taken(tmp_path: Path) -> None:
    primary = Primary(tmp_path, cache_pages=3)
    primary.run("CREATE TABLE t (x)")
    primary.connection.execute("BEGIN; INSERT INTO t VALUES (randomblob(60000)); ROLLBACK")
    assert (tmp_path / "primary.db-wal").stat().st_size > primary.reader.size, "the pages were spilled"
    primary.run("INSERT INTO t VALUES ('kept')")
    primary.connection.execute(
        "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (randomblob(60000));"
        "ROLLBACK TO s; INSERT INTO t VALUES (2); COMMIT"
    )
    primary.checkpoint()
    assert Image(primary).bytes() == primary.path.read_bytes()
    primary.close()


def test_page_1_is_in_the_wal_or_the_file_also_when_a_rolled_back_transaction_began_it_anew(
    tmp_path: Path,
) -> None:
    primary = Primary(tmp_path, cache_pages=3)
    assert primary.reader.first_page() is None
    primary.run("CREATE TABLE t (x)")
    primary.run("INSERT INTO t VALUES (1)")
    first = primary.reader.first_page()
    primary.checkpoint()
    assert first == first_page_of(primary.path)
    primary.connection.execute("BEGIN; INSERT INTO t VALUES (randomblob(60000)); ROLLBACK")
    assert primary.reader.first_page() is None, "its frame has been written over"
    primary.run("CREATE TABLE u (x)")
    assert primary.reader.first_page() not in (None, first)
    primary.close()


def test_a_page_that_was_spilled_and_written_again_has_its_last_version(tmp_path: Path) -> None:
    primary = Primary(tmp_path, cache_pages=3)
    primary.run("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    statements = [f"INSERT OR REPLACE INTO t VALUES ({i % 7}, randomblob(9000));" for i in range(40)]
    primary.run(f"BEGIN; {' '.join(statements)} COMMIT")
    primary.checkpoint()
    assert Image(primary).bytes() == primary.path.read_bytes()
    primary.close()


def test_pages_that_were_spilled_and_then_cut_off_are_not_taken(tmp_path: Path) -> None:
    primary = Primary(tmp_path, cache_pages=3)
    primary.run("CREATE TABLE t (x)")
    primary.connection.execute("PRAGMA auto_vacuum=FULL; VACUUM")
    before = primary.reader.size
    primary.run("BEGIN; INSERT INTO t VALUES (randomblob(200000)); DELETE FROM t; COMMIT")
    commit = primary.commits[-1]
    assert primary.reader.size - before > 200_000, "the pages were spilled"
    assert commit.database_pages < 10
    assert commit.pages[-1][0] <= commit.database_pages
    primary.checkpoint()
    assert Image(primary).bytes() == primary.path.read_bytes()
    primary.close()


def test_a_page_is_read_again_while_the_generation_lasts(primary: Primary) -> None:
    primary.run("CREATE TABLE t (x)")
    primary.run("INSERT INTO t VALUES (randomblob(2000000))")
    commit, entry = primary.commits[-1], primary.entries[-1]
    primary.run("INSERT INTO t VALUES (1)")
    assert primary.reader.generation == commit.generation
    again = [(page, primary.reader.read(frame)) for page, frame in commit.pages]
    assert again == pages_of(entry.encoded)


def test_a_count_at_which_no_commit_ends_is_refused(primary: Primary) -> None:
    primary.run("CREATE TABLE t (x)")
    primary.run("INSERT INTO t VALUES (randomblob(40000))")
    last = primary.commits[-1].pages[-1][1]
    for frames in (last - 1, last, last + 1):
        reader = WalReader(primary.path.with_name("primary.db-wal"))
        with pytest.raises(Corrupt):
            reader.commit(frames)
        reader.close()
    with pytest.raises(Corrupt):
        primary.reader.commit(last)


def test_closing_the_reader_drops_no_lock_of_sqlite(primary: Primary, tmp_path: Path) -> None:
    primary.run("CREATE TABLE t (x)")
    primary.connection.execute("BEGIN IMMEDIATE")
    reader = WalReader(primary.path.with_name("primary.db-wal"))
    with pytest.raises(Corrupt):
        reader.commit(1)
    reader.close()
    locks = Path("/proc/locks").read_text()
    inode = primary.path.with_name("primary.db-shm").stat().st_ino
    assert any(f":{inode} 120 120" in line for line in locks.splitlines()), "SQLite's write lock is gone"
    primary.connection.execute("COMMIT")


@settings(max_examples=40 * EXAMPLES, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("insert", "update", "delete", "vacuum", "rollback", "table", "checkpoint")),
            st.integers(0, 5),
            st.sampled_from((10, 3000, 30000)),
        ),
        max_size=25,
    )
)
def test_commits_make_the_file_that_sqlite_makes(steps: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as directory:
        primary = Primary(Path(directory), cache_pages=4)
        image = Image(primary)
        primary.run("CREATE TABLE t (k, x)")
        for op, key, size in steps:
            apply(primary, op, key, size)
        primary.checkpoint()
        assert image.bytes() == primary.path.read_bytes()
        primary.close()


def apply(primary: Primary, op: str, key: int, size: int) -> None:
    match op:
        case "insert":
            primary.run(f"INSERT INTO t VALUES ({key}, randomblob({size}))")
        case "update":
            primary.run(f"UPDATE t SET x = randomblob({size}) WHERE k = {key}")
        case "delete":
            primary.run(f"DELETE FROM t WHERE k = {key}")
        case "vacuum":
            primary.run("VACUUM")
        case "rollback":
            primary.connection.execute(f"BEGIN; INSERT INTO t VALUES (9, randomblob({size})); ROLLBACK")
        case "table":
            primary.run(f"CREATE TABLE IF NOT EXISTS t{key} (x); CREATE INDEX IF NOT EXISTS i{key} ON t (x)")
        case _:
            primary.checkpoint()


def test_a_wal_that_another_wrote_is_refused(primary: Primary) -> None:
    primary.run("CREATE TABLE t (x)")
    other = connect(str(primary.path), apsw.SQLITE_OPEN_READWRITE)
    other.execute("INSERT INTO t VALUES (1)")
    other.close()
    with pytest.raises(Corrupt, match="is not in a transaction"):
        primary.connection.execute("INSERT INTO t VALUES (2)")

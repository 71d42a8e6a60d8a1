"""The primary's copy: what a checkpoint may copy into the database file, and what its record says of that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import pytest

from raylite.actors.storage.directory import Directory
from raylite.actors.storage.engine_apsw import Connection, connect
from raylite.actors.storage.entries import EntryWriter, Made
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.image import EMPTY
from raylite.actors.storage.primary_file import PrimaryFile
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt, StorageFull
from raylite.policies.query import Mode, Query, Statement

DATABASE = "d0c"


class Copy:
    """A primary's copy in a directory of its own. made: all that it has handed on."""

    def __init__(self, path: Path) -> None:
        self.directory = Directory.claim(path, 0)
        self.generation = Generation.begin(self.directory, DATABASE)
        self.made: list[Made] = []
        self.writer = EntryWriter(1, origin(DATABASE), 0, lambda: 1)
        self.file = PrimaryFile(self.generation, self.writer, self._take)

    def _take(self, made: Sequence[Made]) -> None:
        self.made += made

    def write(self, sql: str = "INSERT INTO t VALUES (randomblob(9000))") -> Bookmark:
        ran = self.file.run(Query(DATABASE, Mode.RUN, (Statement(sql),), "", 5.0), 5.0)
        assert ran.execution.error is None
        return ran.mark

    @property
    def image(self) -> bytes:
        """The database file alone, without its WAL."""
        return self.generation.database.read_bytes()

    def record(self) -> tuple[Bookmark, Bookmark | None]:
        found = self.directory.read_record()
        assert found is not None
        return found.certain, found.goal

    def reader(self) -> Connection:
        """Another connection that holds a snapshot."""
        reader = connect(str(self.generation.database), apsw.SQLITE_OPEN_READONLY)
        reader.execute("BEGIN; SELECT count(*) FROM t")
        return reader


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    made = Copy(tmp_path / "primary")
    made.write("CREATE TABLE t (a)")
    yield made
    made.file.close()
    made.directory.release()


def test_no_page_reaches_the_file_while_an_entry_is_not_confirmed(copy: Copy) -> None:
    confirmed = copy.write()
    copy.write()
    size = copy.file.checkpoint(confirmed)
    assert size > 0
    assert copy.image == EMPTY
    assert copy.record() == (origin(DATABASE), None)


def test_another_entry_of_the_same_sequence_is_no_confirmation(copy: Copy) -> None:
    last = copy.write()
    copy.file.checkpoint(Bookmark(2, last.sequence, last.history, bytes(12)))
    assert copy.image == EMPTY


def test_once_all_is_confirmed_the_file_alone_holds_it_and_the_record_says_so(
    copy: Copy, tmp_path: Path
) -> None:
    last = [copy.write() for _ in range(5)][-1]
    assert copy.file.checkpoint(last) == 0
    assert copy.record() == (last, None)
    alone = tmp_path / "alone"
    alone.write_bytes(copy.image)
    found = connect(str(alone), apsw.SQLITE_OPEN_READWRITE)
    assert list(found.execute("SELECT count(*), sum(length(a)) FROM t")) == [(5, 45_000)]
    assert list(found.execute("PRAGMA integrity_check")) == [("ok",)]


def test_the_wal_begins_anew_after_a_checkpoint(copy: Copy) -> None:
    for _ in range(3):
        grown = [copy.file.run(_insert(), 5.0).wal_bytes for _ in range(5)]
        assert grown == sorted(grown)
        assert copy.file.checkpoint(copy.writer.tail) == 0
        assert copy.file.run(_insert(), 5.0).wal_bytes <= grown[0]


def _insert() -> Query:
    return Query(DATABASE, Mode.RUN, (Statement("INSERT INTO t VALUES (randomblob(9000))"),), "", 5.0)


def test_a_snapshot_that_needs_the_wal_leaves_the_record_with_a_goal(copy: Copy) -> None:
    before = copy.write()
    assert copy.file.checkpoint(before) == 0
    copy.write()
    reader = copy.reader()
    last = copy.write()
    assert copy.file.checkpoint(last) > 0
    assert copy.record() == (before, last), "parts up to there may be in the file"
    reader.execute("COMMIT")
    assert copy.file.checkpoint(last) == 0
    assert copy.record() == (last, None)


def test_a_record_that_cannot_be_written_ends_the_checkpoint_before_it_begins(copy: Copy) -> None:
    last = copy.write()
    blocked = copy.directory.path / "record.new"
    blocked.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        copy.file.checkpoint(last)
    assert copy.image == EMPTY
    blocked.rmdir()
    assert copy.file.checkpoint(last) == 0


def test_a_refusal_keeps_writes_from_running_and_lets_reads_run(copy: Copy) -> None:
    copy.write()
    before = copy.writer.tail
    refusal = StorageFull("followers", "no room")
    assert copy.file.run(_insert(), 5.0, refusal).execution.error is refusal
    batch = Query(DATABASE, Mode.BATCH, (Statement("SELECT 1"), *_insert().statements), "", 5.0)
    assert copy.file.run(batch, 5.0, refusal).execution.error is refusal
    script = Query(
        DATABASE, Mode.SCRIPT, (Statement("SELECT 1; INSERT INTO t VALUES (1); SELECT 2"),), "", 5.0
    )
    assert copy.file.run(script, 5.0, refusal).execution.error is refusal
    assert copy.writer.tail == before
    read = Query(DATABASE, Mode.RUN, (Statement("SELECT count(*) FROM t"),), "", 5.0)
    assert copy.file.run(read, 5.0, refusal).execution.results[0].rows == [(1,)]
    assert copy.file.run(_insert(), 5.0).execution.error is None


def test_what_a_successor_finds_after_a_checkpoint_is_the_confirmed_file(copy: Copy) -> None:
    last = copy.write()
    copy.file.checkpoint(last)
    copy.write()
    copy.file.close()
    copy.directory.release()
    again = Directory.claim(copy.directory.path, 0)
    generation = Generation.begin(again, DATABASE)
    assert (generation.certain, generation.goal, generation.doubt) == (last, None, "")
    assert not generation.database.with_name("database-wal").exists()
    copy.directory = again


def test_a_goal_that_is_beyond_the_log_is_corruption(copy: Copy) -> None:
    last = copy.write()
    beyond = Bookmark(1, last.sequence + 5, last.history, bytes(12))
    copy.generation.set_goal(beyond)
    with pytest.raises(Corrupt):
        copy.file.checkpoint(last)
    assert copy.image == EMPTY

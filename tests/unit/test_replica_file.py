"""A replica's copy shows what is published, all of it and nothing else, whatever is appended, cut or checkpointed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.unit.replica_process import state_of
from tests.unit.replica_world import DATABASE, Copy, Primary, Process, cut_into_pieces, doomed

from raylite.actors.core.piece import Kind
from raylite.actors.storage.directory import Directory
from raylite.actors.storage.engine_apsw import connect
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.replica_file import ReplicaFile
from raylite.policies import limits
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    with closing(Primary.with_rows(tmp_path)) as made:
        yield made


@pytest.fixture
def copy(tmp_path: Path, primary: Primary, process: Process) -> Iterator[Copy]:
    with closing(Copy(tmp_path / "replica", primary, process)) as made:
        yield made


def test_an_empty_copy_can_be_read_at_once(copy: Copy) -> None:
    assert copy.file.published == copy.file.tail == copy.file.mark == origin(DATABASE)
    assert copy.file.ready
    copy.check(whole=True)


def test_appended_entries_show_only_once_they_are_published(copy: Copy, primary: Primary) -> None:
    copy.append(*primary.entries)
    assert copy.file.published == origin(DATABASE)
    assert copy.file.tail == primary.tail
    copy.check(whole=True)
    for entry in primary.entries:
        copy.file.publish(entry.place)
        assert copy.file.published == copy.file.mark == entry.place
        copy.check(whole=True)


def test_several_entries_are_published_at_once(copy: Copy, primary: Primary) -> None:
    copy.append(*primary.entries)
    copy.file.publish(primary.entries[3].place)
    copy.check(whole=True)
    copy.file.publish(primary.tail)
    copy.check(whole=True)


def test_an_entry_that_arrives_in_pieces_shows_as_one(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries[:2])
    large = primary.entries[2]
    assert len(large.pieces) > 2
    for piece, encoded in zip(large.pieces, large.encoded, strict=True):
        copy.file.append([piece], [encoded])
        copy.check()
    copy.file.publish(large.place)
    copy.check(whole=True)


def test_a_place_inside_an_entry_cannot_be_published(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries[:2])
    large = primary.entries[2]
    copy.append(large)
    with pytest.raises(Corrupt, match="inside an entry"):
        copy.file.publish(large.pieces[0].place)
    copy.check(whole=True)


def test_entries_without_pages_move_the_place_alone(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries, primary.empty())
    assert copy.file.published == primary.tail
    copy.check()
    copy.append(primary.empty(), primary.run("DELETE FROM t WHERE k < 3"), primary.empty())
    copy.file.publish(primary.tail)
    copy.check(whole=True)
    assert copy.file.checkpoint()
    copy.apply(primary.empty())
    assert copy.file.checkpoint()
    assert copy.file.record.certain == primary.tail


def test_entries_that_were_cut_away_leave_nothing(copy: Copy, primary: Primary) -> None:
    for number, entry in enumerate(primary.entries):
        place = copy.file.tail
        wrong = doomed(place, 10 + number)
        copy.append(wrong, doomed(wrong.place, 3))
        copy.file.cut(place)
        copy.append(entry)
        copy.append(doomed(entry.place, 5))
        copy.check()
        copy.file.publish(entry.place)
        copy.check(whole=True)
        copy.file.cut(entry.place)
    assert copy.file.checkpoint()
    copy.check(whole=True)


def test_a_cut_may_keep_a_part_of_what_waits(copy: Copy, primary: Primary) -> None:
    copy.append(*primary.entries[:2])
    large = primary.entries[2]
    copy.file.append(large.pieces[:2], large.encoded[:2])
    copy.append(doomed(large.pieces[1].place, 4, inside=True))
    copy.file.cut(large.pieces[1].place)
    assert copy.file.tail == large.pieces[1].place
    copy.file.append(large.pieces[2:], large.encoded[2:])
    copy.file.publish(large.place)
    copy.check(whole=True)


def test_what_is_published_cannot_be_cut_nor_what_is_unknown_be_published(
    copy: Copy, primary: Primary
) -> None:
    copy.apply(*primary.entries[:3])
    copy.append(primary.entries[3])
    with pytest.raises(Corrupt):
        copy.file.cut(primary.entries[1].place)
    with pytest.raises(Corrupt, match="not among"):
        copy.file.publish(primary.entries[3].place)
    copy.check(whole=True)


def test_an_entry_that_does_not_follow_is_refused(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries[:2])
    with pytest.raises(Corrupt, match="cannot follow"):
        copy.append(primary.entries[3])
    copy.check(whole=True)


def test_pages_that_cannot_be_are_refused(copy: Copy, primary: Primary) -> None:
    page = [(3, bytes(PAGE_SIZE))]
    beyond = cut_into_pieces(origin(DATABASE), page, epoch=1, database_pages=2, per_piece=1)
    with pytest.raises(Corrupt, match="not of 2"):
        copy.append(beyond)
    with pytest.raises(Corrupt):
        copy.append(primary.entries[0])


def test_an_entry_that_ends_with_an_empty_piece_is_refused(copy: Copy) -> None:
    start = doomed(origin(DATABASE), 4)
    copy.file.append(start.pieces[:1], start.encoded[:1])
    after = cut_into_pieces(
        start.pieces[0].place, [], epoch=9, database_pages=0, per_piece=1, kind=Kind.EMPTY, inside=True
    )
    with pytest.raises(Corrupt, match="no pages"):
        copy.append(after)


def test_after_a_checkpoint_the_file_is_the_primary_s(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries)
    before = copy.file.wal_bytes
    assert copy.file.checkpoint()
    assert copy.file.wal_bytes < before
    assert copy.file.record.certain == primary.tail
    assert copy.file.record.goal is None
    copy.check(whole=True)
    copy.apply(primary.run("INSERT INTO t (x) VALUES (1)"))
    copy.check(whole=True)
    assert copy.file.checkpoint()
    copy.close()
    primary.checkpoint()
    assert copy.file.database.read_bytes() == primary.path.read_bytes()


def test_schema_changes_vacuum_and_truncation_come_through(copy: Copy, primary: Primary) -> None:
    for sql in (
        "CREATE INDEX i ON t (x)",
        "ALTER TABLE t ADD COLUMN y DEFAULT 7",
        "DELETE FROM t WHERE k IN (2, 4)",
        "VACUUM",
        "CREATE TABLE u (a PRIMARY KEY, b) WITHOUT ROWID",
        "DROP TABLE t",
        "VACUUM",
    ):
        primary.run(sql)
    for number, entry in enumerate(primary.entries):
        copy.apply(entry)
        copy.check(whole=True)
        if number == 7:
            assert copy.file.checkpoint()
    copy.file.checkpoint()
    copy.close()
    primary.checkpoint()
    assert copy.file.database.read_bytes() == primary.path.read_bytes()


def test_unconfirmed_entries_outlive_a_checkpoint(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries[:2])
    large = primary.entries[2]
    copy.file.append(large.pieces[:2], large.encoded[:2])
    assert copy.file.checkpoint()
    copy.check(whole=True)
    copy.file.append(large.pieces[2:], large.encoded[2:])
    copy.append(*primary.entries[3:], doomed(primary.tail, 20))
    assert copy.file.checkpoint(), "nothing is published since, so there is nothing to do"
    copy.file.publish(large.place)
    copy.check(whole=True)
    assert copy.file.checkpoint()
    copy.check(whole=True)
    copy.file.cut(primary.tail)
    copy.file.publish(primary.tail)
    copy.check(whole=True)


def test_a_snapshot_is_kept_through_publications_and_checkpoints(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries[:3])
    near, far = copy.near("old"), copy.far("old")
    near.execute("BEGIN")
    old = state_of(near)
    assert copy.process.ask("hold", far) == old
    copy.apply(*primary.entries[3:5])
    assert not copy.file.checkpoint(), "a snapshot needs the WAL"
    assert copy.file.record.certain == origin(DATABASE)
    assert copy.file.record.goal == primary.entries[4].place
    copy.apply(primary.entries[5])
    copy.check(whole=True)
    assert state_of(near) == copy.process.ask("state", far) == old
    near.execute("COMMIT")
    assert not copy.file.checkpoint(), "the one in the other process still needs it"
    assert copy.process.ask("state", far) == old
    copy.process.ask("release", far)
    assert copy.file.checkpoint()
    copy.check(whole=True)


def test_a_reader_at_the_end_of_the_wal_delays_its_restart_and_nothing_else(
    copy: Copy, primary: Primary
) -> None:
    copy.apply(*primary.entries[:4])
    copy.append(primary.entries[4])
    near = copy.near("at the end")
    near.execute("BEGIN")
    seen = state_of(near)
    assert not copy.file.checkpoint(), "the WAL cannot begin anew under the reader"
    assert copy.file.record.certain == primary.entries[3].place
    copy.file.publish(primary.entries[4].place)
    copy.apply(primary.entries[5])
    copy.check(whole=True)
    assert state_of(near) == seen
    near.execute("COMMIT")
    assert copy.file.checkpoint()
    copy.check(whole=True)


def test_a_checkpoint_is_due_by_the_size_of_the_wal_and_not_at_each_try(copy: Copy, primary: Primary) -> None:
    half = limits.WAL_CHECKPOINT_BYTES // 2
    copy.apply(*primary.entries, primary.run(f"INSERT INTO t (x) VALUES (randomblob({half}))"))
    copy.file.checkpoint_if_due()
    assert copy.file.wal_bytes > half
    near = copy.near("old")
    near.execute("BEGIN")
    state_of(near)
    copy.apply(primary.run(f"INSERT INTO t (x) VALUES (randomblob({half}))"))
    copy.file.checkpoint_if_due()
    assert copy.file.record.goal == primary.tail, "it was tried, and held back"
    copy.apply(primary.run("INSERT INTO t (x) VALUES (1)"))
    copy.file.checkpoint_if_due()
    assert copy.file.record.goal != primary.tail, "it was not tried again for a page"
    near.execute("COMMIT")
    copy.apply(primary.run(f"INSERT INTO t (x) VALUES (randomblob({half}))"))
    copy.file.checkpoint_if_due()
    assert copy.file.wal_bytes < PAGE_SIZE
    copy.check(whole=True)


def test_a_reader_s_last_close_checkpoints_nothing_unconfirmed(copy: Copy, primary: Primary) -> None:
    copy.apply(*primary.entries[:2])
    copy.append(*primary.entries[2:])
    other = connect(str(copy.file.database), apsw.SQLITE_OPEN_READWRITE)
    assert state_of(other) == primary.entries[1].state
    other.set_busy_timeout(0)
    with pytest.raises(apsw.BusyError):
        other.execute("INSERT INTO t (x) VALUES ('not here')")
    other.close()
    copy.check(whole=True)
    copy.file.publish(primary.tail)
    copy.check(whole=True)


def test_a_closed_copy_takes_nothing(copy: Copy, primary: Primary, tmp_path: Path) -> None:
    directory = Directory.claim(tmp_path / "other", 0)
    file = ReplicaFile.open(directory, DATABASE)
    file.append(primary.entries[0].pieces, primary.entries[0].encoded)
    file.close()
    with pytest.raises(Corrupt, match="closed"):
        file.publish(primary.entries[0].place)
    with pytest.raises(Corrupt, match="closed"):
        file.cut(origin(DATABASE))
    with pytest.raises(Corrupt, match="closed"):
        file.checkpoint()
    directory.release()

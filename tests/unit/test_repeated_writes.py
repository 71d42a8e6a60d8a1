"""A write that comes again, at a primary's file: run once, and answered as the first time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from raylite.actors.core.keys import KEY_BYTES, Keys
from raylite.actors.core.piece import Kind, decode_header, note_of
from raylite.actors.storage.directory import Directory
from raylite.actors.storage.engine import Execution
from raylite.actors.storage.entries import EntryWriter, Made, Span
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.outcome import decode_outcome, encode_outcome
from raylite.actors.storage.primary_file import PrimaryFile, Ran
from raylite.actors.storage.wal_replay import Replay
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt, KeyForgotten, OutcomeNotKept, StatementError, StorageFull
from raylite.policies.query import Mode, Query, Statement, Value

DATABASE = "d0c"
KEY, OTHER = b"k" * KEY_BYTES, b"o" * KEY_BYTES
INSERT = "INSERT INTO t VALUES (7) RETURNING a * 2 AS b"


class Primary:
    """A primary's file, over its processes. encoded: the log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.encoded: list[bytes] = []
        self.tail = origin(DATABASE)
        self.start()

    def start(self) -> None:
        """A process of the next epoch, at the end of the log."""
        self.directory = Directory.claim(self.path, 0)
        generation = Generation.begin(self.directory, DATABASE)
        if generation.certain != self.tail:
            with Replay(generation, self.tail) as replay:
                for one in self.encoded:
                    if decode_header(one)[0].sequence > generation.certain.sequence:
                        replay.write(one)
        self.writer = EntryWriter(self.tail.epoch + 1, self.tail, 0, lambda: 1)
        self.file = PrimaryFile(generation, self.writer, self._take)

    def _take(self, made: Sequence[Made]) -> None:
        for one in made:
            self.encoded.append(one.source.load() if isinstance(one.source, Span) else one.source)
            self.tail = one.piece.place

    def kill(self) -> None:
        self.file.close()
        self.directory.release()

    def run(self, *sql: str, key: bytes = KEY, repeated: bool = False, since: Bookmark | None = None) -> Ran:
        mode = Mode.RUN if len(sql) == 1 else Mode.BATCH
        query = Query(
            DATABASE, mode, tuple(Statement(one) for one in sql), "", 5.0,
            key=key, repeated=repeated, since=str(since or ""),
        )  # fmt: skip
        return self.file.run(query, 5.0)

    def count(self) -> Value:
        ran = self.run("SELECT count(*) FROM t", key=b"")
        return ran.execution.results[0].rows[0][0]


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    made = Primary(tmp_path / "primary")
    made.run("CREATE TABLE t (a UNIQUE ON CONFLICT ABORT)", key=b"c" * KEY_BYTES)
    yield made
    made.kill()


@pytest.mark.parametrize("sql", [(INSERT,), (INSERT, "SELECT 'é', x'00ff', NULL, 1.5")], ids=["run", "batch"])
def test_a_write_that_comes_again_has_its_first_outcome(primary: Primary, sql: tuple[str, ...]) -> None:
    first = primary.run(*sql)
    again = primary.run(*sql, repeated=True)
    assert again.execution == first.execution
    assert first.execution.results[0].rows == [(14,)]
    assert (again.mark, again.committed) == (first.mark, True)
    assert primary.count() == 1


def test_the_first_attempt_may_come_last(primary: Primary) -> None:
    primary.run(INSERT, repeated=True)
    primary.run(INSERT)
    assert primary.count() == 1


def test_another_process_knows_it_from_the_log_and_from_the_record(primary: Primary) -> None:
    first = primary.run(INSERT)
    for checkpoint in (False, True, False):
        if checkpoint:
            primary.file.checkpoint(primary.tail)
        primary.kill()
        primary.start()
        assert primary.run(INSERT, repeated=True).execution == first.execution
    primary.run("DELETE FROM t", key=OTHER)
    assert primary.count() == 0


def test_a_file_without_its_keys_knows_what_it_does_not_know(primary: Primary) -> None:
    seen = primary.tail
    primary.run(INSERT)
    primary.file.checkpoint(primary.tail)
    primary.kill()
    (primary.path / "keys").unlink()
    primary.start()
    assert isinstance(primary.run(INSERT, repeated=True, since=seen).execution.error, KeyForgotten)
    ran = primary.run("DELETE FROM t", key=OTHER, repeated=True, since=primary.tail)
    assert ran.execution.error is None


def test_keys_of_another_place_do_not_count(primary: Primary) -> None:
    primary.run(INSERT)
    primary.file.checkpoint(primary.tail)
    older = (primary.path / "keys").read_bytes()
    primary.run("INSERT INTO t VALUES (8)", key=OTHER)
    primary.file.checkpoint(primary.tail)
    primary.kill()
    (primary.path / "keys").write_bytes(older)
    primary.start()
    ran = primary.run("INSERT INTO t VALUES (8)", key=OTHER, repeated=True)
    assert isinstance(ran.execution.error, KeyForgotten)


@pytest.mark.parametrize("repeated", [True, False], ids=["second", "first"])
def test_an_attempt_runs_only_if_nothing_behind_what_was_seen_is_forgotten(
    repeated: bool, primary: Primary, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = primary.tail
    monkeypatch.setattr(primary.file, "_keys", Keys(seen.sequence, most=2))
    assert primary.run(INSERT, repeated=True, since=seen).execution.error is None
    for n in range(3):
        primary.run(f"INSERT INTO t VALUES ({n})", key=n.to_bytes(KEY_BYTES), since=primary.tail)
    ran = primary.run(INSERT, repeated=repeated, since=seen)
    assert isinstance(ran.execution.error, KeyForgotten)
    assert not ran.committed
    assert primary.run("INSERT INTO t VALUES (9)", key=OTHER, since=ran.mark).execution.error is None
    assert primary.count() == 5


@pytest.mark.parametrize("since", ["", "no bookmark", str(msgspec.structs.replace(origin("x"), sequence=99))])
def test_what_is_no_place_of_this_log_counts_as_nothing_seen(primary: Primary, since: str) -> None:
    primary.file.checkpoint(primary.tail)
    primary.kill()
    (primary.path / "keys").unlink()
    primary.start()
    query = Query(DATABASE, Mode.RUN, (Statement(INSERT),), "", 5.0, key=KEY, repeated=True, since=since)
    assert isinstance(primary.file.run(query, 5.0).execution.error, KeyForgotten)


@pytest.mark.parametrize(
    "sql", ["DELETE FROM t WHERE a = 0", "INSERT INTO t VALUES (1), (1)", "INSERT INTO u VALUES (1)"]
)
def test_a_second_attempt_that_changes_nothing_or_fails_is_in_the_log(primary: Primary, sql: str) -> None:
    first = primary.run(sql, repeated=True)
    assert first.committed
    assert decode_header(primary.encoded[-1])[0].kind is Kind.EMPTY
    primary.run("INSERT INTO t VALUES (1)", key=OTHER)
    primary.kill()
    primary.start()
    late = primary.run(sql)
    assert str(late.execution.error) == str(first.execution.error)
    assert late.execution.results == first.execution.results
    assert primary.count() == 1


def test_a_read_or_a_first_attempt_that_changes_nothing_makes_no_entry(primary: Primary) -> None:
    before = primary.tail
    assert not primary.run("SELECT 1", repeated=True).committed
    assert not primary.run("DELETE FROM t WHERE a = 0").committed
    assert not primary.run("INSERT INTO u VALUES (1)", key=OTHER).committed
    assert primary.tail == before


def test_a_refused_write_is_not_remembered(primary: Primary) -> None:
    query = Query(DATABASE, Mode.RUN, (Statement(INSERT),), "", 5.0, key=KEY, repeated=True)
    ran = primary.file.run(query, 5.0, StorageFull("/data", "no space left"))
    assert (type(ran.execution.error), ran.committed) == (StorageFull, False)
    assert primary.run(INSERT, repeated=True).execution.error is None
    assert primary.count() == 1


def test_what_stays_of_a_statement_that_failed_is_remembered_with_its_error(primary: Primary) -> None:
    sql = "INSERT OR FAIL INTO t VALUES (1), (2), (1)"
    first = primary.run(sql)
    again = primary.run(sql, repeated=True)
    assert str(again.execution.error) == str(first.execution.error)
    assert first.execution.error is not None
    assert first.execution.error.may_have_applied
    assert primary.count() == 2


def test_large_rows_are_not_kept_but_that_it_took_effect_is(primary: Primary) -> None:
    sql = f"INSERT INTO t VALUES (zeroblob({limits.OUTCOME_BYTES})) RETURNING a"
    assert primary.run(sql).execution.error is None
    again = primary.run(sql, repeated=True)
    assert isinstance(again.execution.error, OutcomeNotKept)
    assert primary.count() == 1
    assert len(note_of(decode_header(primary.encoded[-1])[0])) < 200


def test_a_large_transaction_is_one_write_with_one_key(primary: Primary) -> None:
    numbers = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
    primary.run(f"{numbers} INSERT INTO t SELECT randomblob(9000) FROM n")
    pieces = [decode_header(one)[0] for one in primary.encoded[1:]]
    assert len(pieces) > 2
    assert [bool(note_of(one)) for one in pieces] == [False] * (len(pieces) - 1) + [True]


def test_an_outcome_has_every_kind_of_value_and_error() -> None:
    failed = Execution([], True, StatementError("near FRM: syntax error", 1, 7))
    found = decode_outcome(encode_outcome(failed))
    assert found.error is not None
    assert found.error.args == ("near FRM: syntax error", 1, 7)
    for damaged in (b"", b"\xc1", encode_outcome(failed)[:-1]):
        with pytest.raises(Corrupt):
            decode_outcome(damaged)


def test_a_restored_file_begins_with_the_keys_that_it_was_given(primary: Primary, tmp_path: Path) -> None:
    primary.run(INSERT)
    primary.file.checkpoint(primary.tail)
    shutil.copytree(primary.path, tmp_path / "other")
    other = Directory.claim(tmp_path / "other", 0)
    assert other.read_keys(primary.tail).outcome(KEY) is not None
    assert other.read_keys(origin(DATABASE)).outcome(KEY) is None
    other.release()

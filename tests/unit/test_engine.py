from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from raylite.actors.storage.engine import Engine, Execution
from raylite.actors.storage.engine_apsw import connect
from raylite.actors.storage.engine_load import LoadingEngine
from raylite.actors.storage.engine_trace import Tracer
from raylite.actors.storage.image import EMPTY
from raylite.policies import limits
from raylite.policies.errors import (
    ConstraintError,
    Corrupt,
    NotAllowed,
    PartlyApplied,
    StatementError,
    Unreachable,
)
from raylite.policies.query import Mode, Query, Rows, Statement, Value


class Database:
    """A file from the empty image, its writer, and what that handed on."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "db"
        self.path.write_bytes(EMPTY)
        self.commits: list[int] = []
        self.writer = LoadingEngine.writer(str(self.path), lambda frames, _: self.commits.append(frames))

    def run(self, sql: str, *params: Value) -> Execution:
        return run(self.writer, sql, *params)

    def values(self, sql: str) -> list[tuple[Value, ...]]:
        return self.run(sql).results[0].rows


def query(mode: Mode, *statements: Statement) -> Query:
    return Query("test", mode, statements, "", 10.0)


def run(engine: Engine, sql: str, *params: Value) -> Execution:
    return engine.execute(query(Mode.RUN, Statement(sql, params)), 10.0)


def batch(engine: Engine, *texts: str) -> Execution:
    return engine.execute(query(Mode.BATCH, *(Statement(text) for text in texts)), 10.0)


def script(engine: Engine, text: str) -> Execution:
    return engine.execute(query(Mode.SCRIPT, Statement(text)), 10.0)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path)
    made.run("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
    made.commits.clear()
    yield made
    assert made.writer.integrity_check() == []
    made.writer.close()


def test_a_write_then_a_read_give_rows_columns_and_what_they_did(database: Database) -> None:
    wrote = database.run("INSERT INTO t (name) VALUES (?), (?) RETURNING id", "ada", "bob")
    assert (wrote.error, wrote.wrote, wrote.forward) == (None, True, False)
    assert wrote.results[0].rows == [(1,), (2,)]
    meta = wrote.results[0].meta
    assert meta.own_changes == 2
    assert (meta.changes, meta.last_row_id, meta.changed_db, meta.rows_written) == (2, 2, True, 2)
    read = database.run("SELECT id, name FROM t WHERE id = ?", 2)
    assert (read.error, read.wrote) == (None, False)
    assert read.results[0].columns == ("id", "name")
    assert read.results[0].rows == [(2, "bob")]
    meta = read.results[0].meta
    assert meta.own_changes == 0
    assert (meta.changes, meta.last_row_id, meta.changed_db, meta.rows_written) == (0, 2, False, 0)
    assert meta.size_after == database.writer.page_count * 4096
    assert meta.duration_ms > 0


def test_a_select_without_rows_still_names_its_columns(database: Database) -> None:
    result = database.run("SELECT id, name AS who FROM t").results[0]
    assert (result.columns, result.rows) == (("id", "who"), [])


@pytest.mark.parametrize(
    "value", [None, 0, -(1 << 63), (1 << 63) - 1, 1.5, "", "naïve ☃ 🎉", b"", b"\0\xff", "x" * 100_000]
)
def test_every_value_comes_back_as_it_went_in(database: Database, value: Value) -> None:
    assert database.run("SELECT ?", value).results[0].rows == [(value,)]


def test_rows_read_counts_a_scan_and_a_point_read(database: Database) -> None:
    batch(database.writer, *(f"INSERT INTO t VALUES ({n}, 'n{n}')" for n in range(20)))
    assert database.run("SELECT * FROM t WHERE name LIKE '%7'").results[0].meta.rows_read == 20
    assert database.run("SELECT * FROM t WHERE id = 7").results[0].meta.rows_read == 1
    assert (
        database.run("UPDATE t SET name = name || 'x' WHERE name LIKE '%7'").results[0].meta.rows_read == 20
    )


def test_rows_written_counts_triggers_and_is_unknown_for_rare_schema_statements(database: Database) -> None:
    made = database.run("CREATE TABLE log (id)")
    assert (made.results[0].meta.rows_read, made.results[0].meta.rows_written) == (1, 2)
    assert database.run("ALTER TABLE log ADD COLUMN more").results[0].meta.rows_written is None
    assert database.run("ALTER TABLE log DROP COLUMN more").results[0].meta.rows_written is None
    database.run("CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id); END")
    assert database.run("INSERT INTO t VALUES (1, 'a')").results[0].meta.rows_written == 2
    assert database.run("DELETE FROM t WHERE id = 99").results[0].meta.rows_written == 0


def test_each_commit_is_handed_on_once_with_the_frames_of_the_wal(database: Database) -> None:
    before = database.writer.checkpoint_passive()[0]
    database.run("INSERT INTO t VALUES (1, 'a')")
    database.run("INSERT INTO t VALUES (2, 'b')")
    assert len(database.commits) == 2
    assert database.commits[1] > database.commits[0]
    assert database.writer.checkpoint_passive()[0] == database.commits[-1]
    assert before > 0


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t",
        "UPDATE t SET name = 'x' WHERE id = 99",
        "CREATE TABLE IF NOT EXISTS t (x)",
        "PRAGMA user_version",
    ],
)
def test_what_changes_nothing_makes_no_commit(database: Database, sql: str) -> None:
    result = database.run(sql)
    assert result.error is None
    assert database.commits == []
    assert not result.results[0].meta.changed_db


def test_a_batch_is_one_commit_and_says_which_statements_changed_something(database: Database) -> None:
    done = batch(
        database.writer, "INSERT INTO t VALUES (1, 'a')", "SELECT * FROM t", "DELETE FROM t WHERE id = 9",
        "CREATE TABLE u (a)",
    )  # fmt: skip
    assert done.error is None
    assert len(database.commits) == 1
    assert [one.meta.changed_db for one in done.results] == [True, False, False, True]
    assert done.results[1].rows == [(1, "a")]


@pytest.mark.parametrize(
    "bad",
    [
        "INSERT INTO t VALUES (1, 'again')",
        "SELEC 1",
        "INSERT INTO nowhere VALUES (1)",
        "COMMIT",
        "ROLLBACK",
        "SELECT 1; SELECT 2",
        "-- nothing",
        "INSERT OR ROLLBACK INTO t VALUES (1, 'x')",
        "INSERT OR FAIL INTO t VALUES (7, 'y'), (1, 'z')",
        "VACUUM",
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 1001) SELECT i FROM c",
    ],
)
def test_a_failing_batch_leaves_nothing(
    database: Database, bad: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RESULT_ROWS", 1000)
    failed = batch(database.writer, "INSERT INTO t VALUES (1, 'a')", "CREATE TABLE u (a)", bad)
    assert failed.error is not None
    assert failed.results == []
    assert failed.wrote
    assert database.commits == []
    assert database.values("SELECT count(*) FROM t") == [(0,)]
    assert database.values("SELECT count(*) FROM sqlite_schema WHERE name = 'u'") == [(0,)]
    assert database.run("INSERT INTO t VALUES (1, 'a')").error is None


def test_a_deferred_constraint_fails_the_batch_at_its_commit(database: Database) -> None:
    database.run("CREATE TABLE child (t REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)")
    database.commits.clear()
    failed = batch(database.writer, "INSERT INTO t VALUES (1, 'a')", "INSERT INTO child VALUES (5)")
    assert isinstance(failed.error, ConstraintError)
    assert failed.error.code == apsw.SQLITE_CONSTRAINT_FOREIGNKEY
    assert database.commits == []
    assert database.values("SELECT count(*) FROM t") == [(0,)]


def test_a_script_is_split_by_sqlite_and_commits_statement_by_statement(database: Database) -> None:
    text = """
        -- a comment; with a semicolon
        CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END;
        INSERT INTO t VALUES (1, 'a;b'); /* ; */ ;;
        SELECT name FROM t; INSERT INTO t VALUES (2, 'c')
        -- the end"""
    done = script(database.writer, text)
    assert done.error is None
    assert [one.rows for one in done.results] == [[], [], [("a;b",)], []]
    assert [one.meta.changed_db for one in done.results] == [True, True, False, True]
    assert len(database.commits) == 3


def test_commits_of_a_script_are_handed_on_before_the_next_statement_runs(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(EMPTY)
    seen: list[Value] = []
    other = connect(str(path), apsw.SQLITE_OPEN_READONLY)
    engine = Engine.writer(
        str(path), lambda _frames, _done: seen.append(next(iter(other.execute("SELECT max(a) FROM t")))[0])
    )
    script(
        engine,
        "CREATE TABLE t (a); INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)",
    )
    assert seen == [None, 1, 2, 3]
    engine.close()


def test_an_empty_script_does_nothing(database: Database) -> None:
    assert script(database.writer, " ;; -- nothing\n") == Execution([], False)


@pytest.mark.parametrize(
    "bad",
    ["INSERT INTO t VALUES (1, 'x')", "SELEC 1", "INSERT INTO u VALUES (1)", "COMMIT", "VACUUM", "SELECT ?",
     "PRAGMA journal_mode", "SELECT abs(-9223372036854775808)", "SELECT CAST(x'ff' AS TEXT)"],
)  # fmt: skip
@pytest.mark.parametrize("last", ["INSERT INTO t VALUES (2, 'b')", "SELECT 2"])
def test_a_script_keeps_what_came_before_the_statement_that_failed(
    database: Database, bad: str, last: str
) -> None:
    failed = script(
        database.writer, f"INSERT INTO t VALUES (1, 'a'); {last}; {bad}; INSERT INTO t VALUES (3, 'c')"
    )
    assert isinstance(failed.error, PartlyApplied)
    assert "number 3" in str(failed.error)
    assert len(failed.results) == 2
    assert len(database.commits) == (2 if "INSERT" in last else 1)
    assert (3,) not in database.values("SELECT id FROM t")


def test_a_script_whose_first_statement_fails_says_nothing_was_applied(database: Database) -> None:
    failed = script(database.writer, "BEGIN TRANSACTION; INSERT INTO t VALUES (1, 'a'); COMMIT;")
    assert isinstance(failed.error, NotAllowed)
    assert "batch" in str(failed.error)
    assert database.values("SELECT count(*) FROM t") == [(0,)]


def test_or_fail_outside_a_batch_is_reported_as_partly_applied_and_handed_on(database: Database) -> None:
    failed = database.run("INSERT OR FAIL INTO t VALUES (1, 'a'), (2, 'b'), (1, 'c')")
    assert isinstance(failed.error, PartlyApplied)
    assert failed.error.kind == "ConstraintError"
    assert len(database.commits) == 1
    assert database.values("SELECT id FROM t") == [(1,), (2,)]


def test_rows_that_cannot_be_read_roll_their_statement_back(database: Database) -> None:
    failed = database.run(
        "INSERT INTO t (name) SELECT CAST(x'ff' AS TEXT) UNION ALL SELECT 'z' RETURNING name"
    )
    assert isinstance(failed.error, StatementError)
    assert "UTF-8" in str(failed.error)
    assert database.commits == []
    assert database.values("SELECT count(*) FROM t") == [(0,)]


def test_after_a_commit_that_was_never_handed_on_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> list[Rows]:
        raise MemoryError

    path = tmp_path / "db"
    path.write_bytes(EMPTY)
    handed_on: list[int] = []
    engine = Engine.writer(str(path), lambda frames, _: handed_on.append(frames))
    with monkeypatch.context() as patch:
        patch.setattr(Tracer, "results", fails)
        with pytest.raises(MemoryError):
            run(engine, "CREATE TABLE t (a)")
    assert handed_on == []
    assert isinstance(run(engine, "SELECT 1").error, Unreachable)
    engine.close()


def test_an_on_commit_that_raises_ends_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(EMPTY)

    def refuse(_frames: int, _done: Execution | None) -> None:
        raise Corrupt("the WAL", "frame 1", "test")

    engine = Engine.writer(str(path), refuse)
    with pytest.raises(Corrupt, match="frame 1"):
        run(engine, "CREATE TABLE t (a)")
    after = run(engine, "SELECT 1")
    assert isinstance(after.error, Unreachable)
    assert "handed on" in str(after.error)
    engine.close()


def test_an_on_commit_that_raises_ends_a_script_at_once(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(EMPTY)
    calls: list[int] = []

    def refuse(frames: int, _done: Execution | None) -> None:
        calls.append(frames)
        raise OSError("test")

    engine = Engine.writer(str(path), refuse)
    with pytest.raises(OSError, match="test"):
        script(engine, "CREATE TABLE t (a); CREATE TABLE u (a); CREATE TABLE v (a)")
    assert len(calls) == 1
    engine.close()


def test_vacuum_is_one_commit_that_shrinks_the_database(database: Database) -> None:
    database.run(
        "INSERT INTO t SELECT NULL, hex(randomblob(500)) FROM (" + " UNION ALL ".join(["SELECT 1"] * 99) + ")"
    )
    before = database.writer.page_count
    database.run("DELETE FROM t")
    database.commits.clear()
    done = database.run("-- shrink\nVACUUM")
    assert done.error is None
    assert len(database.commits) == 1
    assert database.writer.page_count < before
    assert done.results[0].meta.size_after == database.writer.page_count * 4096


def test_nothing_is_checkpointed_unless_asked_not_even_at_the_close(tmp_path: Path) -> None:
    made = Database(tmp_path)
    made.run("CREATE TABLE t (a)")
    for _ in range(1100):
        made.run("INSERT INTO t VALUES (hex(randomblob(4000)))")
    made.writer.close()
    assert made.path.read_bytes() == EMPTY
    again = Engine.writer(str(made.path))
    frames, copied = again.checkpoint_passive()
    assert frames == copied > 1000
    assert made.path.stat().st_size > 1 << 20
    again.close()


def test_only_an_existing_database_in_wal_mode_opens(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        Engine.writer(str(tmp_path / "missing"))
    plain = connect(str(tmp_path / "plain"), apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
    plain.execute("CREATE TABLE t (a)")
    plain.close()
    with pytest.raises(Corrupt, match="not wal"):
        Engine.writer(str(tmp_path / "plain"))
    (tmp_path / "junk").write_bytes(b"junk" * 4096)
    with pytest.raises(Corrupt):
        Engine.writer(str(tmp_path / "junk"))


def test_closing_twice_is_harmless_and_interrupting_a_closed_engine_too(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "other").write_bytes(EMPTY)
    engine = Engine.writer(str(tmp_path / "other"))
    engine.close()
    engine.close()
    engine.interrupt()


def test_integrity_check_tells_what_is_wrong(tmp_path: Path, database: Database) -> None:
    database.run("INSERT INTO t VALUES (1, 'a')")
    database.writer.checkpoint_passive()
    image = bytearray(database.path.read_bytes())
    image[4096:4100] = b"\xff\xff\xff\xff"
    (tmp_path / "bad").write_bytes(image)
    engine = Engine.writer(str(tmp_path / "bad"))
    assert engine.integrity_check() != []
    assert isinstance(run(engine, "SELECT * FROM t").error, Corrupt)
    engine.close()


def test_full_text_and_r_tree_tables_work_through_the_authoriser(database: Database) -> None:
    made = script(
        database.writer,
        "CREATE VIRTUAL TABLE ft USING fts5(body); INSERT INTO ft VALUES ('hello world');"
        "CREATE VIRTUAL TABLE rt USING rtree(id, a, b); INSERT INTO rt VALUES (1, 2, 3);"
        "ALTER TABLE t ADD COLUMN qty CHECK (qty > 0); ALTER TABLE t RENAME TO t2; ALTER TABLE t2 RENAME TO t;"
        "INSERT INTO ft (ft) VALUES ('optimize'); ANALYZE; REINDEX",
    )
    assert made.error is None
    assert database.values("SELECT body FROM ft WHERE ft MATCH 'hello'") == [("hello world",)]

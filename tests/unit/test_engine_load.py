"""A whole file in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from tests.unit.test_engine import Database, batch

from raylite.actors.storage.engine_adopt import Load
from raylite.actors.storage.engine_apsw import viewed
from raylite.actors.storage.engine_load import LoadingEngine
from raylite.actors.storage.image import EMPTY
from raylite.policies import limits
from raylite.policies.errors import (
    ConstraintError,
    Error,
    Interrupted,
    LimitExceeded,
    NoQuorum,
    NotAllowed,
    StatementError,
)
from raylite.policies.query import Mode, Query, Statement, Value
from raylite.policies.transfer import Kind


class Loading:
    """A database in a file, its commits, and files of SQL to apply."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "db").write_bytes(EMPTY)
        self.commits: list[int] = []
        self.engine = LoadingEngine.writer(str(folder / "db"), lambda frames, _: self.commits.append(frames))

    def load(self, sql: str, seconds: float = 30.0, refusal: Error | None = None) -> Error | None:
        return self.apply(self.file(sql), seconds, refusal)

    def file(self, sql: str, check: Callable[[], None] = lambda: None) -> Load:
        path = self._folder / "file.sql"
        path.write_text(sql)
        return Load(path, Kind.SQL, check)

    def apply(self, load: Load, seconds: float = 30.0, refusal: Error | None = None) -> Error | None:
        execution = self.engine.load(load, seconds, refusal)
        assert execution.results == []
        return execution.error

    def rows(self, sql: str) -> list[tuple[Value, ...]]:
        execution = self.engine.execute(Query("test", Mode.RUN, (Statement(sql),), "", 10.0), 10.0)
        assert execution.error is None, execution.error
        return execution.results[0].rows


@pytest.fixture
def loading(tmp_path: Path) -> Loading:
    return Loading(tmp_path)


def test_all_of_a_file_is_one_commit(loading: Loading) -> None:
    load = loading.file(
        "CREATE TABLE t (a); INSERT INTO t VALUES (1);\n" * 1 + "INSERT INTO t VALUES (2);" * 50_000
    )
    assert loading.apply(load) is None
    assert len(loading.commits) == 1
    assert (load.done, load.statements) == (load.path.stat().st_size, 50_002)
    assert loading.rows("SELECT count(*) FROM t") == [(50_001,)]


@pytest.mark.parametrize(
    ("last", "problem", "line"),
    [
        ("INSERT INTO t VALUES (1)", ConstraintError, "line 12003 of the file: UNIQUE"),
        ("INSERT INTO nowhere VALUES (1)", StatementError, "line 12003 of the file: no such table"),
        ("SELEC 1; SELECT 2", StatementError, "line 12003 of the file: near"),
        ("ROLLBACK", NotAllowed, "line 12003 of the file: ROLLBACK is not allowed"),
        ("SAVEPOINT s", NotAllowed, "line 12003 of the file: SAVEPOINT"),
        ("ATTACH 'x' AS y", NotAllowed, "line 12003 of the file: ATTACH"),
        ("VACUUM", NotAllowed, "line 12003 of the file: VACUUM"),
        ("INSERT OR ROLLBACK INTO t VALUES (1)", ConstraintError, "line 12003"),
        ("INSERT OR FAIL INTO t VALUES (999999), (1)", ConstraintError, "line 12003"),
        ("PRAGMA writable_schema=ON", NotAllowed, "writable_schema"),
    ],
)
def test_after_an_error_nothing_of_the_file_stays_and_its_line_is_named(
    loading: Loading, last: str, problem: type[Error], line: str
) -> None:
    rows = "".join(f"INSERT INTO t VALUES ({n});\n" for n in range(12_000))
    error = loading.load(f"SELECT 1;\nCREATE TABLE t (a UNIQUE);\n{rows}{last};\nSELECT 2;")
    assert isinstance(error, problem)
    assert line in str(error)
    assert not error.may_have_applied
    assert loading.commits == []
    assert loading.rows("SELECT count(*) FROM sqlite_schema") == [(0,)]
    assert loading.load("CREATE TABLE t (a)") is None
    assert len(loading.commits) == 1


def test_what_dumps_have_around_their_statements_does_nothing(loading: Loading) -> None:
    dump = "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t (a);\nCOMMIT;\n"
    dump += "BEGIN; INSERT INTO t VALUES (1); END"
    assert loading.load(dump) is None
    assert len(loading.commits) == 1
    assert isinstance(
        loading.load("BEGIN; INSERT INTO t VALUES (2); COMMIT; INSERT INTO t VALUES (nix)"), Error
    )
    assert loading.rows("SELECT * FROM t") == [(1,)]
    assert loading.rows("PRAGMA foreign_keys") == [(1,)]
    refused = loading.engine.execute(Query("test", Mode.RUN, (Statement("BEGIN"),), "", 10.0), 10.0)
    assert isinstance(refused.error, NotAllowed)


def test_foreign_keys_are_checked_at_the_end(loading: Loading) -> None:
    tables = "CREATE TABLE c (p REFERENCES p (id)); CREATE TABLE p (id INTEGER PRIMARY KEY);"
    assert loading.load(f"{tables} INSERT INTO c VALUES (7); INSERT INTO p VALUES (7);") is None
    error = loading.load("INSERT INTO c VALUES (8)")
    assert isinstance(error, ConstraintError)
    assert "FOREIGN KEY" in str(error)
    assert loading.rows("SELECT * FROM c") == [(7,)]
    assert loading.rows("PRAGMA defer_foreign_keys") == [(0,)]


def test_a_file_that_switches_foreign_keys_off_first_may_have_rows_before_their_parents_table(
    loading: Loading,
) -> None:
    rows = "CREATE TABLE c (p REFERENCES p (id)); INSERT INTO c VALUES (7); CREATE TABLE p (id INTEGER PRIMARY KEY);"
    assert isinstance(loading.load(f"BEGIN; {rows} COMMIT;"), StatementError)
    assert loading.load(f"-- a dump\nPRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n{rows} COMMIT;") is None
    assert loading.rows("SELECT * FROM c") == [(7,)]
    assert loading.rows("PRAGMA foreign_keys") == [(1,)]
    assert isinstance(loading.load("INSERT INTO c VALUES (8)"), ConstraintError)


def test_rows_that_a_file_asks_for_are_not_kept(loading: Loading) -> None:
    numbers = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= %d) SELECT i FROM n;"
    assert loading.load(numbers % limits.RESULT_ROWS) is None


def test_it_ends_in_time_and_when_it_is_told_to(loading: Loading) -> None:
    endless = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    assert isinstance(loading.load(f"CREATE TABLE t (a); {endless}", seconds=0.05), LimitExceeded)

    def stop() -> None:
        raise Interrupted("the test")

    assert isinstance(loading.apply(loading.file("CREATE TABLE t (a)", stop)), Interrupted)
    assert loading.commits == []
    assert loading.rows("SELECT count(*) FROM sqlite_schema") == [(0,)]


def test_without_a_quorum_nothing_is_begun(loading: Loading) -> None:
    assert isinstance(loading.load("CREATE TABLE t (a)", refusal=NoQuorum("test", 1, 3)), NoQuorum)
    assert loading.commits == []


def test_a_sqlite_file_is_adopted_whole_or_not_at_all(loading: Loading, tmp_path: Path) -> None:
    source = tmp_path / "source"
    made = viewed(apsw.Connection(str(source)))
    made.execute("CREATE TABLE big (b); INSERT INTO big VALUES (zeroblob(8000000))")
    made.close()
    calls: list[int] = []

    def stop_in_the_middle() -> None:
        calls.append(1)
        if len(calls) > 4:
            raise Interrupted("the test")

    assert isinstance(loading.apply(Load(source, Kind.SQLITE, stop_in_the_middle)), Interrupted)
    refusal = NoQuorum("test", 1, 3)
    assert loading.apply(Load(source, Kind.SQLITE, lambda: None), refusal=refusal) is refusal
    assert loading.commits == []
    assert loading.rows("SELECT count(*) FROM sqlite_schema") == [(0,)]
    load = Load(source, Kind.SQLITE, lambda: None)
    assert loading.apply(load) is None
    assert (len(loading.commits), load.done) == (1, source.stat().st_size)
    assert loading.rows("SELECT length(b) FROM big") == [(8_000_000,)]
    assert isinstance(loading.apply(load), NotAllowed)
    assert loading.engine.integrity_check() == []


def test_a_statement_over_the_limit_is_refused(loading: Loading) -> None:
    error = loading.load(f"CREATE TABLE t (a); INSERT INTO t VALUES ('{'x' * limits.SQL_BYTES}');")
    assert isinstance(error, StatementError | LimitExceeded)
    assert loading.commits == []


def test_batches_go_on_as_before_after_a_file(tmp_path: Path) -> None:
    database = Database(tmp_path)
    assert batch(database.writer, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)").error is None
    assert isinstance(batch(database.writer, "BEGIN", "INSERT INTO t VALUES (2)").error, NotAllowed)
    database.writer.close()

"""Bad input: each has its own clear error, and leaves database and engine as they were."""

from __future__ import annotations

import json
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import apsw
import pytest

from raylite.actors.storage.engine import Engine, Execution
from raylite.actors.storage.image import EMPTY
from raylite.policies import limits
from raylite.policies.errors import (
    ConstraintError,
    Error,
    Interrupted,
    LimitExceeded,
    NotAllowed,
    ParameterError,
    StatementError,
    StorageFull,
)
from raylite.policies.query import Mode, Query, Statement, Value

ENDLESS = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "db"
    path.write_bytes(EMPTY)
    commits: list[int] = []
    made = Engine.writer(str(path), lambda frames, _: commits.append(frames))
    run(made, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, body BLOB, CHECK (id > 0))")
    run(made, "INSERT INTO t VALUES (1, 'a', NULL)")
    commits.clear()
    yield made
    assert commits == []
    assert run(made, "SELECT count(*) FROM t").results[0].rows == [(1,)]
    assert made.integrity_check() == []
    made.close()


def run(engine: Engine, sql: str, *params: Value, seconds: float = 10.0) -> Execution:
    return engine.execute(Query("test", Mode.RUN, (Statement(sql, params),), "", seconds), seconds)


def error(engine: Engine, sql: str, *params: Value) -> Error:
    done = run(engine, sql, *params)
    assert done.results == []
    assert not done.forward
    assert done.error is not None
    return done.error


@pytest.mark.parametrize(
    ("sql", "message", "offset"),
    [
        ("SELEC 1", 'near "SELEC": syntax error', 0),
        ("SELECT * FRM t", "syntax error", 9),
        ("SELECT nope FROM t", "no such column: nope", 7),
        ("SELECT * FROM nowhere", "no such table: nowhere", -1),
        ("SELECT nope(1)", "no such function: nope", 7),
        ("SELECT ?99999", "variable number must be between", 7),
        ("INSERT INTO t VALUES (1)", "has 3 columns but 1 values", -1),
        ("", "no SQL statement", 0),
        (" -- a comment\n;", "no SQL statement", 0),
        ("SELECT 1\0 FROM nowhere", "NUL character", 8),
        ("SELECT '\ud800'", "lone surrogate", 8),
        ("SELECT abs(-9223372036854775808)", "integer overflow", -1),
        ("SELECT json('{')", "malformed JSON", -1),
    ],
)
def test_a_statement_that_sqlite_refuses(engine: Engine, sql: str, message: str, offset: int) -> None:
    refused = error(engine, sql)
    assert type(refused) is StatementError
    assert message in refused.message
    assert refused.offset == offset


@pytest.mark.parametrize(
    ("sql", "code", "message"),
    [
        ("INSERT INTO t VALUES (1, 'b', NULL)", apsw.SQLITE_CONSTRAINT_PRIMARYKEY, "UNIQUE constraint failed: t.id"),
        ("INSERT INTO t VALUES (2, 'a', NULL)", apsw.SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed: t.name"),
        ("INSERT INTO t VALUES (2, NULL, NULL)", apsw.SQLITE_CONSTRAINT_NOTNULL, "NOT NULL constraint failed"),
        ("INSERT INTO t VALUES (0, 'b', NULL)", apsw.SQLITE_CONSTRAINT_CHECK, "CHECK constraint failed"),
        ("INSERT INTO t VALUES (2, 'b', NULL), (2, 'c', NULL)", apsw.SQLITE_CONSTRAINT_PRIMARYKEY, "t.id"),
    ],
)  # fmt: skip
def test_a_constraint_names_itself_and_its_code(engine: Engine, sql: str, code: int, message: str) -> None:
    refused = error(engine, sql)
    assert isinstance(refused, ConstraintError)
    assert refused.code == code
    assert message in refused.message


def test_foreign_keys_are_on(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(EMPTY)
    engine = Engine.writer(str(tmp_path / "db"))
    run(engine, "CREATE TABLE p (id INTEGER PRIMARY KEY)")
    run(engine, "CREATE TABLE c (p REFERENCES p (id))")
    refused = error(engine, "INSERT INTO c VALUES (1)")
    assert isinstance(refused, ConstraintError)
    assert refused.code == apsw.SQLITE_CONSTRAINT_FOREIGNKEY
    engine.close()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ((), "uses 1 and there are 0"),
        ((1, 2), "uses 1 and there are 2"),
        ((1 << 63,), "parameter 1: 9223372036854775808 is past 64 bits"),
        ((-(1 << 63) - 1,), "parameter 1: -9223372036854775809 is past 64 bits"),
        ((1 << 4000,), "an integer of 4001 bits is past 64 bits"),
        (("\ud800",), "a lone surrogate at index 0"),
        (("é\udfff",), "a lone surrogate at index 1"),
        (("ab\0c",), "NUL at index 2"),
    ],
)
def test_parameters_that_do_not_fit(engine: Engine, params: tuple[Value, ...], message: str) -> None:
    refused = error(engine, "INSERT INTO t (name) VALUES (?)", *params)
    assert isinstance(refused, ParameterError)
    assert message in refused.message


def test_a_parameter_of_another_type_is_named(engine: Engine) -> None:
    refused = error(engine, "SELECT ?", *json.loads("[[1, 2]]"))
    assert isinstance(refused, ParameterError)
    assert "parameter 1: a list is none of" in refused.message


def test_a_script_takes_no_parameters(engine: Engine) -> None:
    query = Query("test", Mode.SCRIPT, (Statement("SELECT ?", (1,)),), "", 10.0)
    assert isinstance(engine.execute(query, 10.0).error, ParameterError)


@pytest.mark.parametrize("mode", [Mode.RUN, Mode.SCRIPT])
def test_run_and_script_take_one_text(engine: Engine, mode: Mode) -> None:
    for statements in ((), (Statement("SELECT 1"), Statement("SELECT 2"))):
        refused = engine.execute(Query("test", mode, statements, "", 10.0), 10.0).error
        assert isinstance(refused, StatementError)


@pytest.mark.parametrize(
    "sql",
    ["INSERT INTO t (name) VALUES ('b'); SELECT 1", "SELECT 1; INSERT INTO t (name) VALUES ('b')", "SELECT 1; SELEC",
     "SELECT 1; SELECT ?", "SELECT 1; PRAGMA foreign_keys=off"],
)  # fmt: skip
def test_one_text_holds_one_statement(engine: Engine, sql: str) -> None:
    refused = error(engine, sql)
    assert isinstance(refused, NotAllowed)
    assert "more than one statement" in str(refused)
    assert run(engine, "PRAGMA foreign_keys").results[0].rows == [(1,)]


@pytest.mark.parametrize(
    "sql", ["SELECT 1;", "SELECT 1 ; ", "/* a */ SELECT 1; -- b", "; ;SELECT 1;;\n/* c */"]
)
def test_comments_and_semicolons_around_the_statement_are_fine(engine: Engine, sql: str) -> None:
    assert run(engine, sql).results[0].rows == [(1,)]


def test_oversized_statements_and_values(engine: Engine) -> None:
    long = f"SELECT '{'x' * limits.SQL_BYTES}'"
    refused = error(engine, long)
    assert isinstance(refused, LimitExceeded)
    assert (refused.size, refused.limit, refused.unit) == (len(long), limits.SQL_BYTES, "bytes")
    for value in (
        bytes(limits.VALUE_BYTES + 1),
        "x" * (limits.VALUE_BYTES + 1),
        "é" * (limits.VALUE_BYTES // 2 + 1),
    ):
        refused = error(engine, "SELECT length(?)", value)
        assert isinstance(refused, LimitExceeded)
        assert refused.limit == limits.VALUE_BYTES


def test_a_long_statement_inside_a_script(engine: Engine) -> None:
    text = f"SELECT 1; SELECT '{'x' * limits.SQL_BYTES}'"
    refused = engine.execute(Query("test", Mode.SCRIPT, (Statement(text),), "", 10.0), 10.0)
    assert isinstance(refused.error, StatementError)
    assert "too big" in refused.error.message
    assert len(refused.results) == 1


def test_the_largest_value_fits_and_one_made_in_sql_that_is_larger_does_not(engine: Engine) -> None:
    assert run(engine, "SELECT length(?)", bytes(limits.VALUE_BYTES)).results[0].rows == [
        (limits.VALUE_BYTES,)
    ]
    refused = error(engine, f"INSERT INTO t VALUES (2, 'b', zeroblob({2 * limits.VALUE_BYTES}))")
    assert isinstance(refused, StatementError)
    assert refused.code == apsw.SQLITE_TOOBIG


def test_the_most_parameters_fit_and_one_more_does_not(engine: Engine) -> None:
    most = limits.PARAMETERS
    assert run(engine, f"SELECT max(?{most})", *([None] * (most - 1)), 7).results[0].rows == [(7,)]
    refused = error(engine, "SELECT 1", *([0] * (most + 1)))
    assert isinstance(refused, LimitExceeded)
    assert refused.unit == "parameters"


def test_a_batch_is_bounded(engine: Engine) -> None:
    many = (Statement("SELECT 1"),) * (limits.BATCH_STATEMENTS + 1)
    assert isinstance(engine.execute(Query("test", Mode.BATCH, many, "", 10.0), 10.0).error, LimitExceeded)


def test_a_result_is_bounded_in_bytes(engine: Engine) -> None:
    sql = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 300) SELECT zeroblob(1000000) FROM c"
    refused = error(engine, sql)
    assert isinstance(refused, LimitExceeded)
    assert (refused.limit, refused.unit) == (limits.RESULT_BYTES, "bytes")
    assert refused.size < limits.RESULT_BYTES + 2_000_000


def test_a_write_whose_result_is_too_large_is_rolled_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RESULT_BYTES", 1 << 20)
    sql = (
        "WITH RECURSIVE c(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM c LIMIT 5) "
        "INSERT INTO t SELECT i, 'n' || i, NULL FROM c RETURNING zeroblob(250000)"
    )
    assert isinstance(error(engine, sql), LimitExceeded)


def test_the_time_limit_interrupts_an_endless_query(engine: Engine) -> None:
    began = perf_counter()
    refused = run(engine, ENDLESS, seconds=0.05).error
    assert isinstance(refused, LimitExceeded)
    assert (refused.limit, refused.unit) == (0.05, "seconds")
    assert perf_counter() - began < 2


def test_the_time_limit_rolls_an_endless_write_back(engine: Engine) -> None:
    sql = f"INSERT INTO t {ENDLESS.replace('SELECT count(*)', 'SELECT i + 1, i, NULL')}"
    assert isinstance(run(engine, sql, seconds=0.05).error, LimitExceeded)


def test_the_time_limit_holds_for_a_script_of_short_statements(engine: Engine) -> None:
    query = Query("test", Mode.SCRIPT, (Statement("SELECT 1;" * 500_000),), "", 10.0)
    refused = engine.execute(query, 0.05)
    assert isinstance(refused.error, LimitExceeded)
    assert 0 < len(refused.results) < 500_000


def test_another_thread_may_interrupt(engine: Engine) -> None:
    timer = threading.Timer(0.05, engine.interrupt)
    timer.start()
    assert isinstance(error(engine, ENDLESS), Interrupted)
    timer.join()
    engine.interrupt()
    assert run(engine, "SELECT 1").error is None


def test_a_disk_that_takes_no_more_gives_storage_full_and_nothing_applied(engine: Engine) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        refused = error(engine, "INSERT INTO t VALUES (2, 'b', randomblob(2000000))")
        many = Query(
            "test",
            Mode.BATCH,
            (Statement("INSERT INTO t (name, body) VALUES ('c', zeroblob(2000000))"),),
            "",
            9,
        )
        in_batch = engine.execute(many, 9.0).error
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(refused, StorageFull)
    assert isinstance(in_batch, StorageFull)

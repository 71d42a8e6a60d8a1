from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from raylite.actors.storage.d1_rules import LIMITS
from raylite.actors.storage.engine import Engine, Execution
from raylite.actors.storage.image import EMPTY
from raylite.policies.query import Dialect, Mode, Query, Statement, StatementMeta, Value

WIDE = f"CREATE TABLE wide ({', '.join(f'c{n}' for n in range(LIMITS[apsw.SQLITE_LIMIT_COLUMN] + 1))})"
DEPTH = LIMITS[apsw.SQLITE_LIMIT_EXPR_DEPTH]
DEEP = f"SELECT {'abs(' * DEPTH}1{')' * DEPTH} AS n"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "db"
    path.write_bytes(EMPTY)
    made = Engine.writer(str(path))
    run(made, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
    yield made
    made.close()


@pytest.fixture
def reader(writer: Engine, tmp_path: Path) -> Iterator[Engine]:
    made = Engine.reader(str(tmp_path / "db"))
    yield made
    made.close()


def run(engine: Engine, sql: str, *params: Value) -> Execution:
    return engine.execute(Query("test", Mode.RUN, (Statement(sql, params),), "", 10.0), 10.0)


def d1(engine: Engine, *texts: str, params: tuple[Value, ...] = ()) -> Execution:
    mode = Mode.RUN if len(texts) == 1 else Mode.BATCH
    statements = tuple(Statement(text, params) for text in texts)
    return engine.execute(Query("test", mode, statements, "", 10.0, dialect=Dialect.D1), 10.0)


def metas(execution: Execution) -> list[StatementMeta]:
    assert execution.error is None
    return [one.meta for one in execution.results]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sqlite_version()", "PRAGMA user_version", "PRAGMA page_count", "PRAGMA foreign_keys = 2", DEEP,
        "SELECT 'a' LIKE '" + "a" * (LIMITS[apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH] + 1) + "'", "PRAGMA table_info",
        " UNION ALL ".join("SELECT 1" for _ in range(LIMITS[apsw.SQLITE_LIMIT_COMPOUND_SELECT] + 1)),
    ],
)  # fmt: skip
def test_d1s_rules_hold_for_its_queries_and_for_no_other(writer: Engine, reader: Engine, sql: str) -> None:
    for engine in (writer, reader):
        for _ in range(3):
            assert run(engine, sql).error is None
            found = d1(engine, sql)
            assert found.error is not None or found.forward


def test_a_text_that_is_kept_compiled_is_judged_again(writer: Engine) -> None:
    for _ in range(3):
        assert run(writer, "SELECT sqlite_version() AS v").error is None
    assert "not authorized to use function: sqlite_version" in str(
        d1(writer, "SELECT sqlite_version() AS v").error
    )


def test_a_schema_beyond_d1s_limits_is_read_and_written(writer: Engine, reader: Engine) -> None:
    run(writer, WIDE)
    assert metas(d1(writer, "INSERT INTO wide (c0) VALUES (1)"))[0].changes == 1
    for engine in (writer, reader):
        assert d1(engine, "SELECT c0 FROM wide").results[0].rows == [(1,)]
    assert "too many columns" in str(d1(writer, WIDE.replace("wide", "wider")).error)


def test_size_and_change_are_measured_after_each_statement(writer: Engine) -> None:
    page = 4096
    base = metas(d1(writer, "SELECT 1"))[0].size_after
    found = metas(
        d1(writer, "CREATE TABLE a (b)", "INSERT INTO a VALUES (7)", "SELECT * FROM a", "DROP TABLE a")
    )
    assert [one.size_after - base for one in found] == [page, page, page, 0]
    assert [one.changed_db for one in found] == [True, True, False, True]
    assert metas(run(writer, "SELECT 1"))[0].size_after == base + page, "free pages are a part of the file"
    assert [one.changed_db for one in metas(d1(writer, "CREATE VIEW v AS SELECT 1"))] == [False]


def test_a_nul_in_a_value_is_d1s(writer: Engine) -> None:
    assert d1(writer, "SELECT ? AS v", params=("a\0b",)).results[0].rows == [("a\0b",)]
    assert "NUL" in str(run(writer, "SELECT ? AS v", "a\0b").error)

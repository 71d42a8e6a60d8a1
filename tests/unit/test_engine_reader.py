from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from raylite.actors.storage.engine import Engine, Execution
from raylite.actors.storage.image import EMPTY
from raylite.policies.errors import LimitExceeded, NotAllowed, ParameterError
from raylite.policies.query import Mode, Query, Statement, Value

Pair = tuple[Engine, Engine]


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    path = tmp_path / "db"
    path.write_bytes(EMPTY)
    writer = Engine.writer(str(path))
    run(writer, "CREATE TABLE t (a)")
    reader = Engine.reader(str(path))
    yield writer, reader
    reader.close()
    assert writer.integrity_check() == []
    writer.close()


def run(engine: Engine, sql: str, *params: Value, seconds: float = 10.0) -> Execution:
    return engine.execute(Query("test", Mode.RUN, (Statement(sql, params),), "", seconds), seconds)


def many(engine: Engine, mode: Mode, *texts: str) -> Execution:
    return engine.execute(Query("test", mode, tuple(Statement(text) for text in texts), "", 10.0), 10.0)


def test_a_reader_sees_each_commit_and_the_size_after_it(pair: Pair) -> None:
    writer, reader = pair
    for number in range(3):
        run(writer, "INSERT INTO t VALUES (hex(randomblob(9000)))")
        done = run(reader, "SELECT count(*) FROM t")
        assert done.results[0].rows == [(number + 1,)]
        assert done.results[0].meta.size_after == writer.page_count * 4096
        assert (done.wrote, done.forward, done.error) == (False, False, None)


def test_a_pragma_answers_from_the_newest_schema(pair: Pair) -> None:
    writer, reader = pair
    assert run(reader, "PRAGMA index_list(u)").results[0].rows == []
    run(writer, "CREATE TABLE u (a UNIQUE, b REFERENCES t (a))")
    assert [row[1] for row in run(reader, "PRAGMA index_list(u)").results[0].rows] == ["sqlite_autoindex_u_1"]
    run(writer, "CREATE TABLE w (a REFERENCES u (a))")
    assert len(many(reader, Mode.BATCH, "PRAGMA foreign_key_list(w)").results[0].rows) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1) RETURNING a", "DELETE FROM t", "CREATE TABLE u (a)",
        "CREATE TABLE IF NOT EXISTS t (a)", "VACUUM", "ANALYZE", "PRAGMA user_version=1", "PRAGMA optimize",
        "EXPLAIN INSERT INTO t VALUES (1)", "SELEC 1", "SELECT * FROM not_here_yet", "SELECT b FROM t", "BEGIN",
        "ATTACH '' AS x", "PRAGMA journal_mode", "SELECT abs(-9223372036854775808)",
        "WITH x AS (SELECT 1) DELETE FROM t",
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", list(Mode))
def test_what_is_not_read_only_or_does_not_compile_is_the_primarys_to_judge(
    pair: Pair, mode: Mode, sql: str
) -> None:
    for _ in range(2):
        done = many(pair[1], mode, sql)
        assert (done.results, done.error, done.forward) == ([], None, True)
    assert run(pair[0], "SELECT count(*) FROM t").results[0].rows == [(0,)]


def test_a_batch_or_script_is_forwarded_as_a_whole(pair: Pair) -> None:
    for done in (
        many(pair[1], Mode.BATCH, "SELECT 1", "INSERT INTO t VALUES (1)"),
        many(pair[1], Mode.SCRIPT, "SELECT 1; INSERT INTO t VALUES (1)"),
    ):
        assert (done.results, done.error, done.forward) == ([], None, True)


def test_a_batch_of_reads_is_one_snapshot_and_a_script_is_not(pair: Pair) -> None:
    writer, reader = pair
    slow = (
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 100000) SELECT count(*) FROM c"
    )
    texts = ("SELECT count(*) FROM t", slow, "SELECT count(*) FROM t")
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            run(writer, "INSERT INTO t VALUES (1)")

    writing = threading.Thread(target=write)
    writing.start()
    deadline, differs = time.monotonic() + 30, False
    try:
        while not differs and time.monotonic() < deadline:
            batch = many(reader, Mode.BATCH, *texts)
            assert batch.results[0].rows == batch.results[2].rows
            script = many(reader, Mode.SCRIPT, ";".join(texts))
            differs = script.results[0].rows != script.results[2].rows
    finally:
        done.set()
        writing.join()
    assert differs


def test_what_the_query_alone_is_to_blame_for_is_answered_at_once(pair: Pair) -> None:
    reader = pair[1]
    assert isinstance(run(reader, "SELECT ?", 1, 2).error, ParameterError)
    assert isinstance(run(reader, "SELECT ?", 1 << 63).error, ParameterError)
    assert isinstance(run(reader, "SELECT 1; SELECT 2").error, NotAllowed)
    endless = "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c"
    assert isinstance(run(reader, endless, seconds=0.05).error, LimitExceeded)
    assert run(reader, "SELECT 1").error is None


def test_a_table_dropped_since_the_statement_was_compiled_is_the_primarys_to_judge(pair: Pair) -> None:
    writer, reader = pair
    assert run(reader, "SELECT * FROM t").error is None
    run(writer, "DROP TABLE t")
    assert run(reader, "SELECT * FROM t").forward


def test_settings_do_not_leak_on_a_reader(pair: Pair) -> None:
    reader = pair[1]
    assert run(reader, "PRAGMA case_sensitive_like=on").error is None
    assert run(reader, "SELECT 'A' LIKE 'a'").results[0].rows == [(1,)]


def test_a_readers_close_leaves_the_wal_alone(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(EMPTY)
    writer = Engine.writer(str(path))
    run(writer, "CREATE TABLE t (a)")
    for _ in range(3):
        reader = Engine.reader(str(path))
        assert run(reader, "SELECT * FROM t").error is None
        reader.close()
        run(writer, "INSERT INTO t VALUES (1)")
    assert path.read_bytes() == EMPTY
    assert run(writer, "SELECT count(*) FROM t").results[0].rows == [(3,)]
    writer.close()

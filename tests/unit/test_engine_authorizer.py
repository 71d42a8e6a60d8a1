from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from raylite.actors.storage.authorizer import PRAGMAS, Use, is_vacuum
from raylite.actors.storage.engine import Engine, Execution
from raylite.actors.storage.image import EMPTY
from raylite.policies.errors import NotAllowed, StatementError
from raylite.policies.query import Mode, Query, Statement, Value


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "db"
    path.write_bytes(EMPTY)
    made = Engine.writer(str(path))
    run(made, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, CHECK (id > 0))")
    yield made
    made.close()


def execute(engine: Engine, mode: Mode, *texts: str) -> Execution:
    return engine.execute(Query("test", mode, tuple(Statement(text) for text in texts), "", 10.0), 10.0)


def run(engine: Engine, sql: str) -> Execution:
    return execute(engine, Mode.RUN, sql)


def value(engine: Engine, sql: str) -> Value:
    return run(engine, sql).results[0].rows[0][0]


BY_HAND = [
    "BEGIN", "BEGIN IMMEDIATE", "BEGIN TRANSACTION", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a", "RELEASE a",
    "ROLLBACK TO a", "/* hidden */ begin", "EXPLAIN BEGIN",
]  # fmt: skip


@pytest.mark.parametrize("sql", BY_HAND)
@pytest.mark.parametrize("mode", list(Mode))
def test_a_transaction_by_hand_is_refused_and_batch_is_named(engine: Engine, mode: Mode, sql: str) -> None:
    refused = execute(engine, mode, sql).error
    assert isinstance(refused, NotAllowed)
    assert "batch" in str(refused)


def test_text_identical_to_the_engines_own_statements_is_refused(engine: Engine) -> None:
    for own in ("BEGIN IMMEDIATE", "COMMIT", "PRAGMA journal_mode", "PRAGMA synchronous=OFF"):
        for _ in range(3):
            assert execute(engine, Mode.BATCH, "INSERT INTO t (name) VALUES ('x')").error is None
            assert isinstance(run(engine, own).error, NotAllowed)


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH '{there}' AS x", "ATTACH '' AS x", "ATTACH ':memory:' AS x", "DETACH main",
        "VACUUM INTO '{there}'",
        "VACUUM main INTO '{there}'", "SELECT load_extension('x')",
        "CREATE TABLE u AS SELECT load_extension('x')",
        "CREATE TEMP TABLE u (a)", "CREATE TABLE temp.u (a)", "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END", "CREATE VIRTUAL TABLE temp.f USING fts5(a)",
        "CREATE TEMPORARY TABLE u AS SELECT 1",
    ],
)  # fmt: skip
def test_what_reaches_outside_the_database_is_refused(engine: Engine, sql: str, tmp_path: Path) -> None:
    there = tmp_path / "there"
    assert isinstance(run(engine, sql.format(there=there)).error, NotAllowed)
    assert not there.exists()
    assert (
        value(
            engine,
            "SELECT count(*) FROM pragma_table_list WHERE schema <> 'main' AND name NOT LIKE 'sqlite%'",
        )
        == 0
    )


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA journal_mode", "PRAGMA journal_mode=delete", "PRAGMA JOURNAL_MODE=off",
        "PRAGMA wal_autocheckpoint=1000",
        "PRAGMA wal_checkpoint", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA locking_mode=exclusive",
        "PRAGMA page_size=8192", "PRAGMA synchronous=full", "PRAGMA mmap_size=1", "PRAGMA temp_store_directory='/'",
        "PRAGMA writable_schema=on", "PRAGMA temp.user_version=1", "PRAGMA encoding='UTF-16'", "PRAGMA cache_size=1",
        "PRAGMA database_list", "PRAGMA schema_version=1", "PRAGMA auto_vacuum=1", "PRAGMA query_only=on",
        "PRAGMA nonsense", "SELECT * FROM pragma_journal_mode", "SELECT * FROM pragma_database_list",
        "PRAGMA busy_timeout=0", "PRAGMA trusted_schema=on", "PRAGMA secure_delete=on",
    ],
)  # fmt: skip
def test_a_pragma_that_is_not_listed_is_refused_by_name(engine: Engine, sql: str) -> None:
    refused = run(engine, sql).error
    if "FROM pragma_" in sql and isinstance(refused, StatementError):
        assert "no such table" in refused.message
        return
    assert isinstance(refused, NotAllowed)
    assert "PRAGMA" in refused.what


@pytest.mark.parametrize("name", list(PRAGMAS))
def test_every_listed_pragma_passes(engine: Engine, name: str) -> None:
    argument = "=off" if PRAGMAS[name] is Use.SETTING else "(t)" if "info" in name or "list(" in name else ""
    assert run(engine, f"PRAGMA {name}{argument}").error is None


def test_user_version_is_stored_as_a_write(engine: Engine) -> None:
    done = run(engine, "PRAGMA user_version=7")
    assert (done.wrote, done.results[0].meta.changed_db) == (True, True)
    assert value(engine, "PRAGMA user_version") == 7


def test_optimize_counts_as_a_write(engine: Engine) -> None:
    assert run(engine, "PRAGMA optimize").wrote
    assert run(engine, "PRAGMA optimize").wrote


@pytest.mark.parametrize("mode", list(Mode))
def test_a_setting_holds_until_the_query_ends(engine: Engine, mode: Mode) -> None:
    for _ in range(2):
        assert execute(engine, mode, "PRAGMA recursive_triggers=on").error is None
        assert value(engine, "PRAGMA recursive_triggers") == 0
        assert execute(engine, mode, "PRAGMA case_sensitive_like=on").error is None
        assert value(engine, "SELECT 'A' LIKE 'a'") == 1
        assert execute(engine, mode, "PRAGMA ignore_check_constraints=on").error is None
        assert run(engine, "INSERT INTO t VALUES (-1, 'x')").error is not None
        assert execute(engine, mode, "PRAGMA foreign_keys=off").error is None
        assert value(engine, "PRAGMA foreign_keys") == 1


def test_a_setting_ends_with_a_query_that_failed_too(engine: Engine) -> None:
    failed = execute(engine, Mode.SCRIPT, "PRAGMA foreign_keys=off; SELEC 1")
    assert failed.error is not None
    assert value(engine, "PRAGMA foreign_keys") == 1


def test_foreign_keys_off_holds_for_the_rest_of_its_script(engine: Engine) -> None:
    done = execute(
        engine,
        Mode.SCRIPT,
        "PRAGMA foreign_keys=off; CREATE TABLE c (p REFERENCES t (id)); INSERT INTO c VALUES (99)",
    )
    assert done.error is None
    assert run(engine, "INSERT INTO c VALUES (98)").error is not None


def test_defer_foreign_keys_holds_for_the_rest_of_its_batch(engine: Engine) -> None:
    run(engine, "CREATE TABLE c (p REFERENCES t (id))")
    child, parent = "INSERT INTO c VALUES (5)", "INSERT INTO t VALUES (5, 'x')"
    assert execute(engine, Mode.BATCH, child, parent).error is not None
    assert execute(engine, Mode.BATCH, "PRAGMA defer_foreign_keys=on", child, parent).error is None


def test_nothing_passes_by_while_a_vacuum_runs(engine: Engine) -> None:
    assert run(engine, "VACUUM").error is None
    for sql in ("BEGIN", "ATTACH '' AS x", "VACUUM; BEGIN", "VACUUM; ATTACH '' AS x"):
        assert isinstance(run(engine, sql).error, NotAllowed)


@pytest.mark.parametrize(
    ("sql", "yes"),
    [
        ("vacuum", True),
        (" -- VACUUM?\n/* x\n*/ Vacuum;", True),
        ("SELECT 'VACUUM'", False),
        ("VACUUMS", False),
    ],
)
def test_a_vacuum_is_told_by_its_first_word(sql: str, yes: bool) -> None:
    assert is_vacuum(sql) is yes

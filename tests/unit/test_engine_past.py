"""Whole files that nobody writes: read as they are, and put in a database's place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.test_engine import Database, batch, run

from raylite.actors.storage.engine import Engine
from raylite.policies.errors import Corrupt, Error, StatementError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path)
    batch(made.writer, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1)", "CREATE INDEX i ON t (n)")
    yield made
    made.writer.close()


@pytest.fixture
def past(database: Database, tmp_path: Path) -> Path:
    """The database as it is now, in a file of its own that says it is in WAL mode."""
    database.writer.checkpoint_passive()
    path = tmp_path / "past ? # %.database"
    path.write_bytes(database.path.read_bytes())
    return path


def test_a_past_file_is_read_and_nothing_beside_it_is_made(past: Path) -> None:
    with closing(Engine.past(past)) as engine:
        assert run(engine, "SELECT n FROM t").results[0].rows == [(1,)]
        assert run(engine, "INSERT INTO t VALUES (2)").forward
        missing = run(engine, "SELECT * FROM missing")
        assert isinstance(missing.error, StatementError)
        assert not missing.forward
    assert not [one for one in past.parent.iterdir() if one.name.startswith(past.name + "-")]


def test_a_replacement_is_one_commit_and_statements_that_were_compiled_before_see_the_new_schema(
    database: Database, past: Path
) -> None:
    batch(database.writer, "DROP TABLE t", "CREATE TABLE t (other TEXT, n TEXT)", "CREATE TABLE more (a)")
    assert database.values("SELECT * FROM t") == []
    database.commits.clear()
    database.writer.replace(past)
    assert len(database.commits) == 1
    assert database.values("SELECT * FROM t") == [(1,)]
    assert isinstance(database.run("SELECT * FROM more").error, StatementError)
    assert database.writer.integrity_check() == []
    assert database.run("INSERT INTO t VALUES (2)").error is None
    assert len(database.commits) == 2


@pytest.mark.parametrize("damage", ["no database", "cut in the middle", "gone"])
def test_a_replacement_that_fails_changes_nothing(database: Database, past: Path, damage: str) -> None:
    if damage == "no database":
        past.write_bytes(b"x" * 8192)
    elif damage == "cut in the middle":
        past.write_bytes(past.read_bytes()[:4096])
    else:
        past.unlink()
    database.run("INSERT INTO t VALUES (3)")
    database.commits.clear()
    with pytest.raises(Corrupt if damage == "no database" else Error):
        database.writer.replace(past)
    assert database.commits == []
    assert database.values("SELECT n FROM t") == [(1,), (3,)]
    assert database.run("INSERT INTO t VALUES (4)").error is None
    assert database.writer.integrity_check() == []

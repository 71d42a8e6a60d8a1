"""SQLite files that become databases: page for page, in one transaction, into an empty database only."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from tests.services.driver import PRIMARY, Driver
from tests.services.local_system import LocalSystem
from tests.services.test_export import driven, names, rows, spooled
from tests.services.test_system import copies_agree

from raylite.actors.primary import Primary
from raylite.actors.replica import Replica
from raylite.actors.storage.engine_apsw import viewed
from raylite.policies.errors import NotAllowed, ParameterError

REPLICA = "replica:shop:weur"
CONTENT = """CREATE TABLE big (id INTEGER PRIMARY KEY AUTOINCREMENT, b BLOB, s TEXT);
    CREATE VIRTUAL TABLE words USING fts5(word);
    CREATE INDEX by_text ON big (s); CREATE VIEW v AS SELECT s FROM big;
    WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
    INSERT INTO big (b, s) SELECT randomblob(9000), 'row ' || i FROM n;
    INSERT INTO big VALUES (1000, zeroblob(3000000), 'large'); DELETE FROM big WHERE id = 1000;
    INSERT INTO big (b, s) VALUES (zeroblob(3000000), 'large');
    INSERT INTO words VALUES ('needle'); PRAGMA user_version=7"""


def made(path: Path, *before: str) -> Path:
    connection = viewed(apsw.Connection(str(path)))
    for one in (*before, CONTENT):
        connection.execute(one)
    connection.close()
    return path


async def empty(system: LocalSystem) -> None:
    """Drops the table that every test's database begins with."""
    await system.query(PRIMARY, "DROP TABLE t")


@pytest.mark.parametrize(
    "before",
    [
        "PRAGMA journal_mode=DELETE",
        "PRAGMA journal_mode=WAL",
        "PRAGMA page_size=1024",
        "PRAGMA page_size=65536",
        "PRAGMA auto_vacuum=FULL",
        "PRAGMA auto_vacuum=INCREMENTAL",
    ],
)
def test_a_database_comes_whole_and_can_be_used_by_all_copies(tmp_path: Path, before: str) -> None:
    path = made(tmp_path / "source.db", before)
    content = rows(path, "SELECT id, b, s FROM big ORDER BY id")

    async def case(system: LocalSystem, driver: Driver) -> None:
        replica = system.start_replica("weur")
        await empty(system)
        found = await driver.database().import_file(path)
        assert (found.statements, found.served_by) == (0, PRIMARY)
        for actor in (PRIMARY, REPLICA):
            got = await system.query(actor, "SELECT id, b, s FROM big ORDER BY id", bookmark=found.bookmark)
            assert got.results[0].rows == content
        searched = await system.query(
            REPLICA, "SELECT count(*) FROM words WHERE words MATCH 'needle'", bookmark=found.bookmark
        )
        assert searched.results[0].rows == [(1,)]
        await system.query(PRIMARY, "INSERT INTO big (s) VALUES ('next')")
        await system.query(PRIMARY, "DELETE FROM big WHERE id < 300")
        last = await system.query(PRIMARY, "SELECT max(id) FROM big")
        assert last.results[0].rows == [(1002,)]
        primary = system.around.services[PRIMARY]
        assert isinstance(primary, Primary)
        assert isinstance(replica, Replica)
        await copies_agree(primary, replica)
        assert not spooled(system)
        exported = await driver.database().export(tmp_path / "again.db")
        assert rows(tmp_path / "again.db", "PRAGMA user_version") == [(7,)]
        assert rows(tmp_path / "again.db", "PRAGMA integrity_check") == [("ok",)]
        assert exported.size > 3_000_000

    driven(tmp_path, case)


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path = made(tmp_path / "source.db")
    utf16 = made(tmp_path / "utf16.db", "PRAGMA encoding='UTF-16'")
    damaged = tmp_path / "damaged.db"
    content = bytearray(path.read_bytes())
    content[40960:49152] = b"\xff" * 8192
    damaged.write_bytes(content)
    cut = tmp_path / "cut.db"
    cut.write_bytes(content[:20000])
    reserved = tmp_path / "reserved.db"
    content = bytearray(path.read_bytes())
    content[20] = 8
    reserved.write_bytes(content)

    async def case(system: LocalSystem, driver: Driver) -> None:
        with pytest.raises(NotAllowed, match="has tables"):
            await driver.database().import_file(path)
        await empty(system)
        before = await system.query(PRIMARY, "SELECT 1")
        with pytest.raises(ParameterError, match="UTF-16"):
            await driver.database().import_file(utf16)
        for bad in (damaged, cut, reserved):
            with pytest.raises(ParameterError):
                await driver.database().import_file(bad)
        after = await system.query(PRIMARY, "SELECT count(*) FROM sqlite_schema")
        assert (after.results[0].rows, after.bookmark) == ([(0,)], before.bookmark)
        assert not spooled(system)
        await driver.database().import_file(path)
        assert "source.db-wal" not in names(tmp_path)

    driven(tmp_path, case)

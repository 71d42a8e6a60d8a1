"""Imports into a whole system in one process: all of a file or nothing, and nothing left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.services.driver import PRIMARY, Driver
from tests.services.local_system import LocalSystem
from tests.services.test_export import driven, names, spooled
from tests.services.test_system import copies_agree, until

from raylite.actors.primary import Primary
from raylite.actors.replica import Replica
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import (
    ConstraintError,
    LimitExceeded,
    NotAllowed,
    OutcomeUnknown,
    Overloaded,
    ParameterError,
    StorageFull,
    Unavailable,
    Unreachable,
)
from raylite.policies.transfer import (
    CloseTransfer,
    Kind,
    Opened,
    OpenImport,
    RunImport,
    WriteImport,
)
from raylite.router.moving import Step

REPLICA = "replica:shop:weur"


def large(path: Path, megabytes: int) -> Path:
    rows = "".join(f"INSERT INTO big VALUES ('{'x' * 960}');\n" for _ in range(1000))
    with path.open("w") as file:
        file.write("CREATE TABLE big (a);\n")
        for _ in range(megabytes):
            file.write(rows)
    return path


async def count(system: LocalSystem, sql: str, bookmark: str = "", actor: str = PRIMARY) -> object:
    return (await system.query(actor, sql, bookmark=bookmark)).results[0].rows[0][0]


def test_an_import_says_what_its_statements_read_and_changed(tmp_path: Path) -> None:
    path = tmp_path / "few.sql"
    path.write_text(
        "CREATE TABLE a (b); CREATE TRIGGER t AFTER INSERT ON a WHEN new.b < 3 BEGIN INSERT INTO a VALUES (9); END;"
        "INSERT INTO a VALUES (2), (5); UPDATE a SET b = b + 1; SELECT b FROM a WHERE b > 7;"
    )

    async def case(system: LocalSystem, driver: Driver) -> None:
        found = await driver.database().import_file(path)
        assert (found.statements, found.changes, found.last_row_id) == (5, 6, 3)
        assert found.rows_read == 6
        assert (found.served_by, found.region) == (PRIMARY, "enam")

    driven(tmp_path, case)


def test_a_file_of_many_megabytes_is_one_entry_everywhere(tmp_path: Path) -> None:
    path = large(tmp_path / "big.sql", 30)

    async def case(system: LocalSystem, driver: Driver) -> None:
        replica = system.start_replica("weur")
        before = await system.query(PRIMARY, "SELECT 1")
        steps: list[Step] = []
        found = await driver.database().import_file(path, progress=steps.append)
        assert (found.statements, found.size) == (30_001, path.stat().st_size)
        assert (found.changes, found.last_row_id, found.rows_read) == (30_000, 30_000, 0)
        assert found.size_after == (await system.query(PRIMARY, "SELECT 1")).results[0].meta.size_after
        assert Bookmark.parse(found.bookmark).sequence == Bookmark.parse(before.bookmark).sequence + 1
        assert await count(system, "SELECT count(*) FROM big", found.bookmark, REPLICA) == 30_000
        assert {one.name for one in steps} == {"sending", "applying"}
        assert max(one.done for one in steps) == found.size
        primary = system.around.services[PRIMARY]
        assert isinstance(primary, Primary)
        assert isinstance(replica, Replica)
        await copies_agree(primary, replica)
        assert not spooled(system)

    driven(tmp_path, case)


def test_what_was_exported_comes_back_the_same(tmp_path: Path) -> None:
    async def case(system: LocalSystem, driver: Driver) -> None:
        database = driver.database()
        await database.exec(
            "CREATE TABLE child (p REFERENCES parent (id)); CREATE TABLE parent (id INTEGER PRIMARY KEY);"
            "INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1); INSERT INTO t VALUES (1, 'a;b'), (2, X'00');"
            "CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM t WHERE a = 1; SELECT 1; END;"
            "CREATE INDEX i ON t (b)"
        )
        await database.export(tmp_path / "a.sql")
        await database.exec("DROP TABLE child; DROP TABLE parent; DROP TABLE t")
        await database.import_file(tmp_path / "a.sql")
        await database.export(tmp_path / "b.sql")
        first, second = (tmp_path / "a.sql").read_text(), (tmp_path / "b.sql").read_text()
        assert sorted(first.splitlines()) == sorted(second.splitlines())
        assert await count(system, "SELECT count(*) FROM t") == 2

    driven(tmp_path, case)


def test_after_an_error_nothing_of_the_file_is_there(tmp_path: Path) -> None:
    path = large(tmp_path / "bad.sql", 3)
    with path.open("a") as file:
        file.write("INSERT INTO t VALUES (1, 1);\nINSERT INTO t VALUES (1, 1);\n")

    async def case(system: LocalSystem, driver: Driver) -> None:
        database = driver.database()
        with pytest.raises(ConstraintError, match="line 3003 of the file: UNIQUE"):
            await database.import_file(path)
        assert await count(system, "SELECT count(*) FROM t") == 0
        assert await count(system, "SELECT count(*) FROM sqlite_schema WHERE name = 'big'") == 0
        path.write_text("INSERT INTO t VALUES (5, 5); SAVEPOINT s;")
        with pytest.raises(NotAllowed, match="line 1"):
            await database.import_file(path)
        assert await count(system, "SELECT count(*) FROM t") == 0
        with pytest.raises(ParameterError, match="cannot be read"):
            await database.import_file(tmp_path / "nowhere.sql")
        assert not spooled(system)
        await system.query(PRIMARY, "INSERT INTO t VALUES (6, 'goes on')")

    driven(tmp_path, case)


def test_an_answer_that_is_lost_is_an_unknown_outcome_and_before_that_nothing_was_applied(
    tmp_path: Path,
) -> None:
    path = tmp_path / "one.sql"
    path.write_text("INSERT INTO t VALUES (1, 1)")

    async def case(system: LocalSystem, driver: Driver) -> None:
        driver.lost = {WriteImport}
        with pytest.raises(Unreachable) as refused:
            await driver.database().import_file(path)
        assert not refused.value.may_have_applied
        assert await count(system, "SELECT count(*) FROM t") == 0
        driver.lost = {RunImport}
        with pytest.raises(OutcomeUnknown):
            await driver.database().import_file(path)
        sent = [kind for _, kind in driver.requests if kind == "RunImport"]
        assert len(sent) == 1
        await until(lambda: _is(not spooled(system)))

    driven(tmp_path, case)


def test_a_cancelled_import_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "endless.sql"
    path.write_text("INSERT INTO t VALUES (NULL, 1);\n" * 3_000_000)

    async def case(system: LocalSystem, driver: Driver) -> None:
        reached = asyncio.Event()

        def watch(step: Step) -> None:
            if step.name == "applying" and step.done:
                reached.set()

        work = asyncio.create_task(driver.database().import_file(path, progress=watch))
        await reached.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert await count(system, "SELECT count(*) FROM t") == 0
        await until(lambda: _is(not spooled(system)))
        with pytest.raises((Unavailable, LimitExceeded)):  # whoever notices first that time is up
            await driver.database().import_file(path, timeout=1.0)
        assert await count(system, "SELECT count(*) FROM t") == 0

    driven(tmp_path, case)


def test_what_does_not_fit_is_refused_at_once(tmp_path: Path) -> None:
    async def case(system: LocalSystem, driver: Driver) -> None:
        def opening(size: int) -> OpenImport:
            return OpenImport(system.database_id, Kind.SQL, size)

        with pytest.raises(LimitExceeded):
            await driver.request(PRIMARY, opening(limits.TRANSFER_BYTES + 1), 10)
        with pytest.raises(LimitExceeded):
            await driver.request(PRIMARY, opening(-1), 10)
        opened = await driver.request(PRIMARY, opening(3), 10)
        assert isinstance(opened, Opened)
        for offset, data in ((-1, b"x"), (0, b"four"), (3, b"x")):
            with pytest.raises(ParameterError):
                await driver.request(PRIMARY, WriteImport(opened.transfer, offset, data), 10)
        with pytest.raises(ParameterError, match="digest"):
            await driver.request(PRIMARY, RunImport(opened.transfer, "0" * 32, 10.0), 10)
        with pytest.raises(OutcomeUnknown, match="already"):
            await driver.request(PRIMARY, RunImport(opened.transfer, "0" * 32, 10.0), 10)
        await driver.request(PRIMARY, CloseTransfer(opened.transfer), 10)
        await driver.request(PRIMARY, CloseTransfer(opened.transfer), 10)
        with pytest.raises(Unreachable):
            await driver.request(PRIMARY, RunImport(opened.transfer, "0" * 32, 10.0), 10)
        for _ in range(limits.TRANSFERS):
            await driver.request(PRIMARY, opening(1), 10)
        with pytest.raises((Overloaded, StorageFull)):
            await driver.request(PRIMARY, opening(1), 10)
        assert len(spooled(system)) == limits.TRANSFERS
        assert "primary" in names(system.directory)

    driven(tmp_path, case)


async def _is(value: bool) -> bool:
    return value

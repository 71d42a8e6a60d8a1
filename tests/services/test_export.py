"""Exports of a whole system in one process: what is in the file, and what is left behind when something goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path

import apsw
import pytest
from tests.services.driver import PRIMARY, Driver
from tests.services.local_system import LocalSystem
from tests.services.test_system import run, until

from raylite.actors.storage.engine_apsw import viewed
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import NotAllowed, Overloaded, ParameterError, Unavailable
from raylite.policies.query import Mode, Value
from raylite.policies.transfer import OpenExport
from raylite.router.moving import Step

REPLICA = "replica:shop:weur"
NUMBERS = "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
ROWS = f"{NUMBERS} INSERT INTO t SELECT i, randomblob(2000) FROM n"
Case = Callable[[LocalSystem, Driver], Coroutine[object, object, None]]


def driven(directory: Path, case: Case) -> None:
    async def whole(system: LocalSystem) -> None:
        driver = Driver(system)
        try:
            await case(system, driver)
        finally:
            await driver.close()

    run(directory / "system", whole)


def rows(path: Path, sql: str) -> list[tuple[Value, ...]]:
    connection = viewed(apsw.Connection(str(path)))
    found = list(connection.execute(sql))
    connection.close()
    return found


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


def spooled(system: LocalSystem) -> list[Path]:
    return [one for one in system.directory.glob("*/transfers/*") if one.is_file()]


def test_a_sqlite_file_is_the_state_at_its_bookmark_and_comes_from_the_nearest_copy(tmp_path: Path) -> None:
    async def case(system: LocalSystem, driver: Driver) -> None:
        system.start_replica("weur")
        written = await system.query(PRIMARY, ROWS, seconds=30)
        steps: list[Step] = []
        found = await driver.database().export(tmp_path / "copy.db", progress=steps.append)
        assert (found.served_by, found.bookmark) == (REPLICA, written.bookmark)
        assert found.size == (tmp_path / "copy.db").stat().st_size > 3000 * 2000
        assert rows(tmp_path / "copy.db", "SELECT count(*), sum(length(b)) FROM t") == [(3000, 6_000_000)]
        assert rows(tmp_path / "copy.db", "PRAGMA integrity_check") == [("ok",)]
        assert rows(tmp_path / "copy.db", "PRAGMA journal_mode") == [("delete",)]
        assert steps[-1] == Step("fetching", found.size, found.size)
        assert not spooled(system)
        assert names(tmp_path) == ["copy.db", "system"]

    driven(tmp_path, case)


def test_an_export_as_sql_makes_the_same_rows_and_replaces_the_file_at_once(tmp_path: Path) -> None:
    async def case(system: LocalSystem, driver: Driver) -> None:
        await system.query(PRIMARY, "INSERT INTO t VALUES (1, 'a'), (2, X'00ff')")
        target = tmp_path / "copy.sql"
        target.write_text("older")
        found = await driver.database().export(target)
        assert found.served_by == PRIMARY
        assert target.read_text().splitlines() == [
            "PRAGMA defer_foreign_keys=TRUE;",
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b);",
            'INSERT INTO "t" ("a","b") VALUES(1,\'a\');',
            'INSERT INTO "t" ("a","b") VALUES(2,X\'00ff\');',
        ]
        await driver.database().export(target, schema=False, tables=["t"])
        assert len(target.read_text().splitlines()) == 3

    driven(tmp_path, case)


def test_writes_go_on_while_a_snapshot_is_copied_and_are_not_in_it(tmp_path: Path) -> None:
    async def case(system: LocalSystem, driver: Driver) -> None:
        system.start_replica("weur")
        await system.query(PRIMARY, ROWS, seconds=30)
        exports = [
            asyncio.create_task(driver.database().export(tmp_path / f"{n}.db"))
            for n in range(limits.TRANSFERS)
        ]
        marks: dict[str, int] = {}
        n = 3000
        while not all(one.done() for one in exports):
            n += 1
            answer = await system.query(PRIMARY, "INSERT INTO t VALUES (?, '')", n)
            marks[answer.bookmark] = n
        for number, found in enumerate(await asyncio.gather(*exports)):
            highest = rows(tmp_path / f"{number}.db", "SELECT max(a) FROM t")[0][0]
            assert highest == marks.get(found.bookmark, 3000)

    driven(tmp_path, case)


def test_a_failed_export_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    async def case(system: LocalSystem, driver: Driver) -> None:
        target = tmp_path / "copy.sql"
        target.write_text("older")
        await system.query(PRIMARY, "CREATE VIRTUAL TABLE words USING fts5(word)")
        with pytest.raises(NotAllowed, match="words"):
            await driver.database().export(target)
        with pytest.raises(ParameterError):
            await driver.database().export(target, kind="sqlite", tables=["t"])
        with pytest.raises(ParameterError):
            await driver.database().export(target, kind="csv")
        assert target.read_text() == "older"
        assert not spooled(system)
        assert names(tmp_path) == ["copy.sql", "system"]
        await driver.database().export(tmp_path / "whole.sqlite")
        assert rows(tmp_path / "whole.sqlite", "SELECT count(*) FROM words") == [(0,)]

    driven(tmp_path, case)


def test_an_export_that_is_cancelled_leaves_nothing_anywhere(tmp_path: Path) -> None:
    async def case(system: LocalSystem, driver: Driver) -> None:
        await system.query(PRIMARY, ROWS, seconds=30)
        reached = asyncio.Event()
        loop = asyncio.get_running_loop()

        def watch(step: Step) -> None:
            loop.call_soon_threadsafe(reached.set)

        export = asyncio.create_task(driver.database().export(tmp_path / "copy.sql", progress=watch))
        await reached.wait()
        export.cancel()
        with pytest.raises(asyncio.CancelledError):
            await export
        await until(lambda: _is(not spooled(system)))
        assert names(tmp_path) == ["system"]
        with pytest.raises(Unavailable):
            await driver.database().export(tmp_path / "late.sql", timeout=0.0001)

    driven(tmp_path, case)


def test_an_actor_takes_so_many_exports_at_a_time_and_stops_with_some_under_way(tmp_path: Path) -> None:
    async def case(system: LocalSystem, driver: Driver) -> None:
        last = await system.query(PRIMARY, ROWS, mode=Mode.RUN, seconds=30)
        request = OpenExport(system.database_id, last.bookmark, 60.0)
        for _ in range(limits.TRANSFERS):
            await driver.request(PRIMARY, request, 10)
        with pytest.raises(Overloaded):
            await driver.request(PRIMARY, request, 10)
        assert Bookmark.parse(last.bookmark)
        await system.end(PRIMARY)
        assert not spooled(system)

    driven(tmp_path, case)


async def _is(value: bool) -> bool:
    return value

"""Migrations: each applied once, whole, with the row that notes it. In one process, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.services.driver import Driver
from tests.services.local_system import LocalSystem

from raylite.policies.errors import OutcomeUnknown, ParameterError, StatementError
from raylite.router import migrations
from raylite.router.client import AsyncDatabase

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def run(directory: Path, case: Callable[[AsyncDatabase], Awaitable[None]]) -> None:
    async def main() -> None:
        system = LocalSystem(directory / "system")
        await system.start()
        driver = Driver(system)
        try:
            system.start_primary()
            await case(driver.database())
        finally:
            await driver.close()
            await system.stop()

    asyncio.run(main())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three migrations; the third cannot be applied."""
    made = tmp_path / "migrations"
    made.mkdir()
    (made / "0001_users.sql").write_text("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT) -- no end")
    trigger = "CREATE TRIGGER t AFTER INSERT ON users BEGIN UPDATE users SET name = 'x;y'; END;"
    (made / "0002_trigger.sql").write_text(f"-- a comment; with a semicolon\n{trigger}\r\n")
    (made / "0003_it's_wrong.sql").write_text(
        "INSERT INTO users VALUES (1, 'a'); INSERT INTO nowhere VALUES (1);"
    )
    (made / "notes.txt").write_text("not a migration")
    return made


async def rows(database: AsyncDatabase, sql: str) -> list[object]:
    return [row[0] for row in await database.prepare(sql).raw()]


async def names(database: AsyncDatabase, folder: Path) -> list[str]:
    return [path.name for path in await migrations.pending(database, folder)]


def test_migrations_are_applied_in_order_and_the_one_that_fails_changes_nothing(
    tmp_path: Path, folder: Path
) -> None:
    async def case(database: AsyncDatabase) -> None:
        first, second, wrong = await migrations.pending(database, folder)
        assert await rows(database, "SELECT count(*) FROM sqlite_schema") == [0]  # to ask writes nothing
        assert await migrations.apply(database, first)
        assert await names(database, folder) == [second.name, wrong.name]
        assert await migrations.apply(database, second)
        with pytest.raises(StatementError, match="no such table: nowhere"):
            await migrations.apply(database, wrong)
        assert await rows(database, "SELECT count(*) FROM users") == [0]
        assert await names(database, folder) == [wrong.name]
        wrong.write_text("INSERT INTO users VALUES (1, 'a')")
        assert await migrations.apply(database, wrong)
        assert await rows(database, "SELECT name FROM users") == ["x;y"]
        applied = "SELECT name FROM d1_migrations WHERE applied_at > '2026' ORDER BY id"
        assert await rows(database, applied) == [first.name, second.name, wrong.name]
        assert await names(database, folder) == []

    run(tmp_path, case)


def test_of_two_who_apply_one_at_the_same_time_one_does(tmp_path: Path, folder: Path) -> None:
    (folder / "0002_trigger.sql").write_text("INSERT INTO users (name) VALUES ('once')")

    async def case(database: AsyncDatabase) -> None:
        first, second, _ = await migrations.pending(database, folder)
        for path in (first, second):
            done = await asyncio.gather(*(migrations.apply(database, path) for _ in range(3)))
            assert sorted(done) == [False, False, True]
        assert await rows(database, "SELECT name FROM users") == ["once"]

    run(tmp_path, case)


@pytest.mark.parametrize("applied", [True, False])
def test_whether_it_was_applied_is_looked_up_when_nobody_says(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    done = AsyncDatabase.import_file

    async def lost(database: AsyncDatabase, path: Path, **options: object) -> None:
        if applied:
            await done(database, path)
        raise OutcomeUnknown("shop", "the connection broke")

    monkeypatch.setattr(AsyncDatabase, "import_file", lost)

    async def case(database: AsyncDatabase) -> None:
        first, *_ = await migrations.pending(database, folder)
        if applied:
            assert await migrations.apply(database, first)
        else:
            with pytest.raises(OutcomeUnknown):
                await migrations.apply(database, first)

    run(tmp_path, case)


def test_a_new_migration_has_the_next_number_as_wrangler_counts(tmp_path: Path, folder: Path) -> None:
    made = migrations.create(folder, "add an index", NOW)
    assert made.name == "0004_add_an_index.sql"
    assert made.read_text() == "-- Migration number: 0004 \t 2026-01-02T03:04:05.678Z\n"
    (folder / "12000_far.sql").write_text("")
    assert migrations.create(folder, "x", NOW).name == "12001_x.sql"
    assert migrations.create(tmp_path / "new" / "folder", "first", NOW).name == "0001_first.sql"
    for wrong in ("", "  ", "../x", "a\0b"):
        with pytest.raises(ParameterError, match="file's name"):
            migrations.create(folder, wrong, NOW)
    with pytest.raises(ParameterError, match="no folder"):
        migrations.files(tmp_path / "missing")

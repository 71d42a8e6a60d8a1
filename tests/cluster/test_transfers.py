"""Exports and imports on a real cluster: what goes out comes back the same."""

from __future__ import annotations

from pathlib import Path

import apsw

import raylite
from raylite.actors.storage.engine_apsw import viewed
from raylite.router import dataset

TABLES = ("countries", "cities")


def load(database: raylite.Database) -> None:
    database.exec(f"DROP TABLE t; {dataset.SCHEMA}")
    for sql, rows in ((dataset.INSERT_COUNTRY, dataset.countries()), (dataset.INSERT_CITY, dataset.cities())):
        insert = database.prepare(sql)
        database.batch([insert.bind(*row) for row in rows])


def content(database: raylite.Database, bookmark: str = "") -> list[object]:
    session = database.with_session(bookmark) if bookmark else database
    return [session.prepare(f"SELECT * FROM {table} ORDER BY 1").raw() for table in TABLES]


def test_what_is_exported_comes_back_the_same(database: raylite.Database, tmp_path: Path) -> None:
    load(database)
    before = content(database)
    steps: list[raylite.Step] = []
    text = database.export(tmp_path / "world.sql", progress=steps.append)
    whole = database.export(tmp_path / "world.db")
    assert {one.name for one in steps} >= {"fetching"}
    assert text.served_by.startswith(("replica:", "primary:"))

    again = raylite.connect(f"{database.name}-sql", create=True)
    imported = again.import_file(text.path)
    assert imported.statements == 1 + 3 + 252 + 5000
    assert content(again, imported.bookmark) == before
    assert again.export(tmp_path / "again.sql").size == text.size
    assert (tmp_path / "again.sql").read_bytes() == (tmp_path / "world.sql").read_bytes()

    third = raylite.connect(f"{database.name}-file", create=True)
    adopted = third.import_file(whole.path)
    assert content(third, adopted.bookmark) == before
    for region in ("enam", "weur", "apac"):
        there = raylite.connect(third.name, region=region)
        assert content(there, adopted.bookmark) == before
    sqlite = viewed(apsw.Connection(whole.path))
    assert [list(row) for row in sqlite.execute("SELECT * FROM cities ORDER BY 1")] == before[1]
    sqlite.close()

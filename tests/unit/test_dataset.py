"""The demo's data is whole, typed and refers only to itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files

from raylite.router import dataset


def test_the_data_fits_its_schema() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.executescript(dataset.SCHEMA)
        connection.executemany(dataset.INSERT_COUNTRY, dataset.countries())
        connection.executemany(dataset.INSERT_CITY, dataset.cities())
        counts = "SELECT (SELECT count(*) FROM countries), (SELECT count(*) FROM cities)"
        assert connection.execute(counts).fetchone() == (252, 5000)
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_largest_city_comes_first() -> None:
    assert dataset.cities()[0] == (1796236, "Shanghai", "CN", 31.22222, 121.45806, 24874500, "Asia/Shanghai")


def test_names_have_no_white_space_around_them_and_no_capital_is_none() -> None:
    texts = [
        value for row in (*dataset.cities(), *dataset.countries()) for value in row if isinstance(value, str)
    ]
    assert all(text and text == text.strip() for text in texts)
    assert next(row[2] for row in dataset.countries() if row[0] == "AQ") is None


def test_the_licence_travels_with_the_data() -> None:
    licence = files("raylite.router").joinpath("data", "LICENSE.md").read_text(encoding="utf-8")
    assert "creativecommons.org/licenses/by/4.0" in licence
    assert "© GeoNames" in licence

"""The demo's data: the 5,000 most populous cities of GeoNames and all countries (CC BY 4.0, data/LICENSE.md)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from importlib.resources import files
from io import StringIO

SCHEMA = """\
CREATE TABLE countries (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    capital TEXT,
    continent TEXT NOT NULL,
    population INTEGER NOT NULL,
    area_km2 INTEGER NOT NULL
);
CREATE TABLE cities (
    geonameid INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    country TEXT NOT NULL REFERENCES countries (code),
    latitude REAL NOT NULL,
    longitude REAL NOT NULL,
    population INTEGER NOT NULL,
    timezone TEXT NOT NULL
);
CREATE INDEX cities_by_country ON cities (country, population);
"""
"""A script that makes the two tables; it fails where they exist."""

INSERT_COUNTRY = "INSERT INTO countries VALUES (?, ?, ?, ?, ?, ?)"
INSERT_CITY = "INSERT INTO cities VALUES (?, ?, ?, ?, ?, ?, ?)"

Country = tuple[str, str, str | None, str, int, int]
"""Parameters of `INSERT_COUNTRY`: code, name, capital, continent, population, area in square kilometres."""
City = tuple[int, str, str, float, float, int, str]
"""Parameters of `INSERT_CITY`: geonameid, name, country, latitude, longitude, population, timezone."""


def countries() -> list[Country]:
    """All 252 countries, by code; insert them before the cities, which refer to them."""
    return [
        (code, name, capital or None, continent, int(population), int(area_km2))
        for code, name, capital, continent, population, area_km2 in _rows("countries.csv")
    ]


def cities() -> list[City]:
    """5,000 cities, most populous first."""
    return [
        (int(number), name, country, float(latitude), float(longitude), int(population), timezone)
        for number, name, country, latitude, longitude, population, timezone in _rows("cities.csv")
    ]


def _rows(name: str) -> Iterator[list[str]]:
    """The rows of a shipped CSV file, without its header."""
    text = files("raylite.router").joinpath("data", name).read_text(encoding="utf-8")
    rows = csv.reader(StringIO(text))
    next(rows)
    return rows

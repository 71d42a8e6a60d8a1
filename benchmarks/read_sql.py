"""How long reading a large table into Arrow takes, beside one plain connection of sqlite3, in one run on one node.

The same file is read by sqlite3 in this process, by `ray.data.read_sql` over sqlite3 and over raylite's driver, and by
`raylite.read_sql` in one, two and four parts. All are read in turn, several rounds; the first round of each, in which
processes start and replicas build the state from cold storage, is printed by itself.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

import raylite
from benchmarks.fork import busy_share, seconds, until_calm, until_held
from raylite import dbapi

SQL = "SELECT * FROM t"
NAME = "bench"
Read = Callable[[], int]
"""Reads all of it and says how many rows there were."""
console = Console()


def make_file(path: Path, rows: int) -> None:
    """A SQLite file with a table of a key, a float and 40 characters of text."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, amount REAL, note TEXT)")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO t SELECT i, i / 7.0, hex(randomblob(20)) FROM n",
            (rows,),
        )
    connection.close()


def by_sqlite3(path: Path) -> int:
    """In this process, without Ray."""
    with sqlite3.connect(path) as connection:
        cursor = connection.execute(SQL)
        names = [str(one[0]) for one in cursor.description]
        found: Any = pa.table(dict(zip(names, zip(*cursor.fetchall(), strict=True), strict=True)))
    connection.close()
    return int(found.num_rows)


def rows_of(dataset: Any) -> int:
    """Reads a Dataset into Ray's object store."""
    return int(dataset.materialize().count())


def by_raylite(parallelism: int) -> int:
    """With the rows cut by their key."""
    return rows_of(raylite.read_sql(SQL, NAME, parallelism=parallelism, column="id"))


def ways(path: Path, parallelism: list[int]) -> dict[str, Read]:
    """Each way of reading, by name; the first is what the others are compared with."""
    data: Any = importlib.import_module("ray.data")
    data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    file, name = str(path), NAME  # Ray sends the functions that name them to its workers
    own = {f"raylite.read_sql, parallelism={parts}": partial(by_raylite, parts) for parts in parallelism}
    return {
        "sqlite3, no Ray": lambda: by_sqlite3(path),
        "ray.data.read_sql over sqlite3": lambda: rows_of(data.read_sql(SQL, lambda: sqlite3.connect(file))),
        "ray.data.read_sql over raylite": lambda: rows_of(data.read_sql(SQL, lambda: dbapi.connect(name))),
        **own,
    }


def measure(path: Path, rows: int, rounds: int, parallelism: list[int]) -> None:
    """Prints what each way took at first, and the median of the rounds behind that."""
    reads = ways(path, parallelism)
    taken: dict[str, list[float]] = {one: [] for one in reads}
    for number in range(rounds + 1):
        for what, read in reads.items():
            began = time.monotonic()
            found = read()
            taken[what].append(time.monotonic() - began)
            assert found == rows, f"{what} found {found} rows, not {rows}"
        if not number:
            until_calm()
    medians = {what: statistics.median(each[1:]) for what, each in taken.items()}
    table = Table("what", "first s", "s", "rows/s", "ratio", title=f"{rows} rows, medians of {rounds} rounds")
    for what, median in medians.items():
        ratio = median / next(iter(medians.values()))
        table.add_row(what, f"{taken[what][0]:.1f}", f"{median:.2f}", f"{rows / median:,.0f}", f"{ratio:.1f}")
    console.print(table)


def prepare(path: Path, rows: int) -> None:
    """Makes the file and imports it; in the end cold storage has it and the machine is calm."""
    make_file(path, rows)
    database = raylite.connect(NAME, create=True)
    console.print(
        f"{path.stat().st_size / 1e6:.0f} MB, imported in {seconds(lambda: database.import_file(path)):.1f} s"
    )
    until_held(database)
    until_calm()
    info = database.info()
    console.print(f"primary in {info.region}, replicas in {', '.join(info.replicas) or 'no region'}")


def main() -> None:
    """Measures on a system of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallelism", type=int, nargs="+", default=[1, 2, 4])
    chosen = parser.parse_args()
    load, python = os.getloadavg()[0], sys.version.split()[0]
    console.print(f"{os.cpu_count()} cores, load {load:.1f}, busy {busy_share(2):.0%}, Python {python}")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="raylite-bench-") as folder:
        raylite.init(data_dir=str(Path(folder) / "data"))
        try:
            file = Path(folder) / "table.db"
            prepare(file, chosen.rows)
            measure(file, chosen.rows, chosen.rounds, chosen.parallelism)
        finally:
            raylite.shutdown()
    console.print(f"load at the end {os.getloadavg()[0]:.1f}; {time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()

"""Parts of one query's rows, read from different copies at one bookmark while others write."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from tests.services.python_system import PythonSystem, python_system

from raylite.policies.errors import NotAllowed, ParameterError
from raylite.policies.query import Value
from raylite.router.partitions import Column, Kind, Plan, plan, read
from raylite.router.ray_dataset import table
from raylite.router.sync import Database

REGIONS = ("weur", "apac")


@pytest.fixture(scope="module")
def kept() -> Iterator[PythonSystem]:
    """A system with cold storage."""
    with python_system(cold=True) as made:
        yield made


@pytest.fixture
def shop(kept: PythonSystem) -> Iterator[Database]:
    made = kept.database()
    made.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b, c TEXT)")
    yield made
    kept.empty()


def rows_of(made: Plan, system: PythonSystem) -> list[list[Value]]:
    return [
        row for part in made.parts for row in read(made, part, system.database(part.region))[1:]
    ]  # fmt: skip


def test_parts_are_read_by_different_replicas_and_together_are_all_rows(
    shop: Database, kept: PythonSystem
) -> None:
    shop.batch([shop.prepare("INSERT INTO t VALUES (?, ?, 'x')").bind(n * n, n) for n in range(100)])
    made = plan(shop, "SELECT * FROM t WHERE b >= ? -- all;\n;", [10], 8, "", REGIONS)
    assert [one.region for one in made.parts] == [*REGIONS] * 4
    assert made.columns == (
        Column("a", Kind.INTEGER, 100, 99 * 99),
        Column("b", Kind.INTEGER, 10, 99),
        Column("c", Kind.TEXT),
    )
    assert sorted(rows_of(made, kept)) == [[n * n, n, "x"] for n in range(10, 100)]
    served = {
        kept.database(one.region).at(made.bookmark, anywhere=True).prepare("SELECT 1").all().meta.served_by
        for one in made.parts
    }
    assert served == {"replica:shop:weur", "replica:shop:apac"}


def test_a_write_in_between_is_seen_by_all_parts_or_none(shop: Database, kept: PythonSystem) -> None:
    shop.batch([shop.prepare("INSERT INTO t VALUES (?, 0, '')").bind(n) for n in range(200)])
    over = threading.Event()

    def write() -> None:
        database = kept.database()
        while not over.is_set():
            database.prepare("UPDATE t SET b = b + 1").run()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        states: set[Value] = set()
        for _ in range(3):
            made = plan(shop, "SELECT a, b FROM t", [], 5, "a", REGIONS)
            found = rows_of(made, kept)
            assert sorted(a for a, _ in found if isinstance(a, int)) == list(range(200))
            seen = {b for _, b in found}
            assert len(seen) == 1, Counter(b for _, b in found)
            states |= seen
        newest = shop.prepare("SELECT max(b) AS b FROM t").first("b")
    finally:
        over.set()
        writer.join()
    assert len(states) == 3, "nothing was written between the plans"
    assert newest not in states


def test_columns_of_one_name_are_told_apart_as_sqlite_does(shop: Database, kept: PythonSystem) -> None:
    shop.exec("INSERT INTO t VALUES (1, 2, 3), (2, 3, 4)")
    made = plan(shop, "SELECT a, b AS a, c FROM t", [], 2, "a:1", REGIONS)
    assert read(made, made.parts[0], shop) == [["a", "a:1", "c"], [1, 2, "3"]]
    assert rows_of(made, kept) == [[1, 2, "3"], [2, 3, "4"]]


def test_rows_without_a_number_belong_to_the_first_part(shop: Database, kept: PythonSystem) -> None:
    shop.exec("INSERT INTO t VALUES (1, NULL, NULL), (2, 1.5, 'x'), (3, 2, NULL), (4, NULL, 'y')")
    made = plan(shop, "SELECT b, c FROM t", [], 3, "b", REGIONS)
    assert made.columns == (Column("b", Kind.REAL, 1.5, 2), Column("c", Kind.TEXT))
    parts = [read(made, part, kept.database())[1:] for part in made.parts]
    assert sorted(map(repr, parts[0])) == ["[1.5, 'x']", "[None, 'y']", "[None, None]"]
    assert sum(map(len, parts)) == 4


def test_what_cannot_be_cut_or_typed_is_refused_before_a_row_is_read(shop: Database) -> None:
    shop.exec("INSERT INTO t VALUES (1, 'x', 'x'), (2, 3, 'y'), (3, 9e999, 'z')")
    with pytest.raises(ParameterError, match="several types, integer and text: CAST"):
        plan(shop, "SELECT a, b FROM t WHERE a < 3", [], 2, "", REGIONS)
    with pytest.raises(ParameterError, match="no column whose values are all finite numbers"):
        plan(shop, "SELECT c FROM t", [], 2, "", REGIONS)
    with pytest.raises(ParameterError, match=r"b is no column .* those are a"):
        plan(shop, "SELECT a, CAST(b AS REAL) AS b FROM t", [], 2, "b", REGIONS)
    with pytest.raises(ParameterError, match="from 1 to"):
        plan(shop, "SELECT a FROM t", [], 0, "", REGIONS)


def test_one_part_needs_no_cold_storage_and_more_say_that_they_do(
    database: Database, served: PythonSystem
) -> None:
    database.exec("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (NULL, 'y')")
    made = plan(database, "SELECT * FROM t", [], 1, "", REGIONS)
    names, *rows = read(made, made.parts[0], served.database())
    found = table(made.columns, names, rows)
    assert found.to_pydict() == {"a": [1, None], "b": ["x", "y"]}
    with pytest.raises(NotAllowed, match="without cold storage"):
        plan(database, "SELECT * FROM t", [], 2, "", REGIONS)


def test_no_rows_are_one_part_with_all_columns(shop: Database, kept: PythonSystem) -> None:
    made = plan(shop, "SELECT * FROM t", [], 4, "", REGIONS)
    assert len(made.parts) == 1
    names, *rows = read(made, made.parts[0], kept.database())
    assert table(made.columns, names, rows).to_pydict() == {"a": [], "b": [], "c": []}

"""pandas over a whole system in one process."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from raylite import dbapi
from raylite.router.sync import Database


def frame(count: int) -> pd.DataFrame:
    days = pd.date_range("2026-01-01", periods=count, freq="h")
    return pd.DataFrame({"n": range(count), "x": [n / 2 for n in range(count)], "day": days, "name": "ü"})


def test_a_frame_is_written_and_read_back_as_it_was(engine: sa.Engine) -> None:
    given = frame(500)
    given.to_sql("frames", engine, index=False)
    found = pd.read_sql("SELECT * FROM frames ORDER BY n", engine, parse_dates=["day"])
    pd.testing.assert_frame_equal(found, given, check_dtype=False)
    table = pd.read_sql_table("frames", engine)
    assert str(table["day"].dtype).startswith("datetime64")
    given.head(3).to_sql("frames", engine, index=False, if_exists="append")
    assert pd.read_sql("SELECT count(*) AS n FROM frames", engine)["n"].tolist() == [503]
    given.head(3).to_sql("frames", engine, index=False, if_exists="replace")
    assert pd.read_sql(sa.text("SELECT n FROM frames WHERE n > :n"), engine, params={"n": 0})[
        "n"
    ].tolist() == [1, 2]


def test_more_rows_than_a_batch_takes_are_written_in_chunks(engine: sa.Engine) -> None:
    large = pd.DataFrame({"n": range(12_000)})
    with pytest.raises(pd.errors.DatabaseError, match=r"10000\. Nothing was applied"):
        large.to_sql("large", engine, index=False)
    assert pd.read_sql("SELECT count(*) AS n FROM large", engine)["n"].tolist() == [0]
    large.to_sql("large", engine, index=False, if_exists="append", chunksize=10_000)
    chunks = list(pd.read_sql("SELECT n FROM large ORDER BY n", engine, chunksize=5000))
    assert [len(one) for one in chunks] == [5000, 5000, 2000]


@pytest.mark.filterwarnings("ignore:pandas only supports SQLAlchemy")
def test_the_driver_alone_does_for_reading(database: Database) -> None:
    connection: Any = dbapi.connect(database)  # pandas names no type for it
    connection.executescript("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    found = pd.read_sql_query("SELECT * FROM t WHERE a >= ?", connection, params=(2,))
    assert found.to_dict("records") == [{"a": 2, "b": "y"}]

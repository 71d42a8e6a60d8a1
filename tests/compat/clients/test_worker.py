"""A Worker on the real workerd, with its own D1 binding, over raylite in two regions."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.compat.clients.conftest import HERE, Gateways, got
from tests.compat.clients.workers import worker


@pytest.fixture(scope="module")
def url(gateways: Gateways, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("worker")
    shutil.copy(HERE / "binding.mjs", folder)
    with worker(gateways, folder, ['(name = "binding.mjs", esModule = embed "binding.mjs")']) as found:
        yield found


def test_statements(url: str) -> None:
    assert got(f"{url}/statements") == {
        "metas": [[1, 1, True], [1, 2, True]],
        "success": True,
        "rows": [
            {"id": 1, "title": "Ulysses", "price": 12.5, "cover": [0, 255]},
            {"id": 2, "title": "Emma", "price": 3, "cover": None},
        ],
        "first": {"title": "Ulysses", "price": 12.5},
        "column": "Ulysses",
        "none": None,
        "raw": [["Ulysses", 12.5]],
        "named": [["title", "price"], ["Ulysses", 12.5]],
        "returning": [{"id": 1}, {"id": 2}],
        "types": [["real", "text", "real", "null"]],
    }


def test_batches_are_transactions(url: str) -> None:
    found = got(f"{url}/batches")
    taken = "UNIQUE constraint failed: t.n: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_PRIMARYKEY)"
    assert found == {
        "good": [[[], 1], [[], 1], [[{"n": 2}], 0]],
        "bad": {"error": f"D1_ERROR: {taken}", "cause": taken},
        "count": 2,
        "duration": "number",
        "stopped": {
            "error": f"D1_EXEC_ERROR: Error in line 1: INSERT INTO t VALUES (7): {taken}",
            "cause": f"Error in line 1: INSERT INTO t VALUES (7): {taken}",
        },
        "left": [1, 2, 4, 5, 6],
    }


def test_errors_have_d1s_texts(url: str) -> None:
    found = got(f"{url}/errors")
    texts = {
        "SELECT * FRM u": 'near "FRM": syntax error at offset 9: SQLITE_ERROR',
        "SELECT * FROM nope": "no such table: nope: SQLITE_ERROR",
        "INSERT INTO u VALUES ('a')": "UNIQUE constraint failed: u.name: SQLITE_CONSTRAINT "
        "(extended: SQLITE_CONSTRAINT_UNIQUE)",
        "PRAGMA journal_mode": "not authorized: SQLITE_AUTH",
        "SELECT ?": "Wrong number of parameter bindings for SQL query.",
        " -- ": "No SQL statements detected.",
    }
    for sql, text in texts.items():
        assert found[sql] == {"error": f"D1_ERROR: {text}", "cause": text}
    assert "D1_ERROR: To execute a transaction, please use the state.storage" in str(found["BEGIN"])
    assert "D1_COLUMN_NOTFOUND: Column not found (b)" in str(found["column"])
    assert "D1_TYPE_ERROR: Type 'undefined' not supported for value 'undefined'" in str(found["type"])
    assert "D1_DUMP_ERROR: Status + 501" in str(found["dump"])


def test_sessions_carry_bookmarks_across_regions(url: str) -> None:
    found = got(f"{url}/sessions")
    assert "no bookmark" in str(found.pop("wrong"))
    assert found == {
        "regions": [True, True],
        "unused": None,
        "stale": 0,
        "grows": True,
        "firstPrimary": True,
    }

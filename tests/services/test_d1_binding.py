"""D1's binding protocol against a whole system, without Ray: requests as workerd and miniflare send them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.services.d1_client import Client, OneToken, served

from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.router.http.ports import Scope

TOKEN = "x-cf-d1-session-commit-token"
ROWS = "?resultsFormat=ROWS_AND_COLUMNS"


async def query(client: Client, sql: str, *params: object) -> Any:
    return (await client.post(f"/d1/shop/query{ROWS}", {"sql": sql, "params": params})).content


async def rows(client: Client, sql: str, *params: object) -> Any:
    return (await query(client, sql, *params))["results"]["rows"]


def test_values_go_in_and_come_out_as_in_d1(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        assert await rows(client, "SELECT typeof(?), 7 / ?", 2, 2) == [["real", 3.5]]
        assert await rows(client, "SELECT ?, ?, ?, typeof(?)", None, "é", [0, 255], []) == [
            [None, "é", [0, 255], "blob"]
        ]
        assert await rows(client, "SELECT 9007199254740993, 1e999, ?", True) == [
            [9007199254740993, None, "true"]
        ]
        await query(client, "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER)")
        added = await query(client, "INSERT INTO t (v) VALUES (?) RETURNING typeof(v) AS a", 7)
        assert added["results"] == {"columns": ["a"], "rows": [["integer"]]}
        assert (added["meta"]["changes"], added["meta"]["last_row_id"], added["meta"]["changed_db"]) == (
            1,
            1,
            True,
        )
        found = await client.post("/d1/shop/execute?resultsFormat=NONE", {"sql": "SELECT v, v AS w FROM t"})
        assert found.content["results"] == [{"v": 7, "w": 7}]
        assert (await query(client, "SELECT 1 AS a, 2 AS a WHERE 0"))["results"] == {
            "columns": ["a", "a"],
            "rows": [],
        }

    served(tmp_path, case)


def test_errors_are_single_objects_in_d1s_words(tmp_path: Path) -> None:
    expected = {
        "SELECT * FRM t": 'near "FRM": syntax error at offset 9: SQLITE_ERROR',
        "SELECT * FROM nope": "no such table: nope: SQLITE_ERROR",
        "SELECT nope": "no such column: nope at offset 7: SQLITE_ERROR",
        "PRAGMA journal_mode": "not authorized: SQLITE_AUTH",
        "/* a */ VACUUM": "cannot VACUUM from within a transaction: SQLITE_ERROR",
        " -- nothing": "No SQL statements detected.",
        "SELECT ?": "Wrong number of parameter bindings for SQL query.",
        f"SELECT '{'x' * limits.D1_SQL_BYTES}'": "statement too long: SQLITE_TOOBIG",
        "INSERT INTO u VALUES ('a', 1)": "UNIQUE constraint failed: u.name: SQLITE_CONSTRAINT"
        " (extended: SQLITE_CONSTRAINT_UNIQUE)",
    }

    async def case(client: Client) -> None:
        await query(client, "CREATE TABLE u (name UNIQUE, v); INSERT INTO u VALUES ('a', 0)")
        found = {sql: await query(client, sql) for sql in expected}
        assert found == {sql: {"success": False, "error": text} for sql, text in expected.items()}
        for sql in ("BEGIN", "COMMIT", "SAVEPOINT a", "RELEASE a"):
            assert (await query(client, sql))["error"].startswith(
                "To execute a transaction, please use the state"
            )
        many = await query(client, "SELECT 1", *range(101))
        assert many["error"] == "Wrong number of parameter bindings for SQL query."
        for body in (b"{", b"3", b'{"sql": 1}', b'{"sql": "SELECT ?", "params": [{}]}', b"[" * 100_000):
            refused = await client.post("/d1/shop/query", body)
            assert refused.content["error"]
            assert refused.content["success"] is False

    served(tmp_path, case)


def test_a_batch_and_the_lines_of_exec_are_all_or_nothing(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        await query(client, "CREATE TABLE t (a UNIQUE)")
        insert = {"sql": "INSERT INTO t VALUES (?)", "params": ["x"]}
        failed = await client.post(f"/d1/shop/query{ROWS}", [insert, insert])
        assert failed.content["error"].startswith("UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT")
        assert await rows(client, "SELECT count(*) FROM t") == [[0]]
        lines = [
            {"sql": "INSERT INTO t VALUES ('a;b'); INSERT INTO t VALUES (2);"},
            {"sql": "SELECT a FROM t"},
        ]
        done = await client.post("/d1/shop/execute?resultsFormat=NONE", lines)
        assert [one["meta"]["changes"] for one in done.content] == [2, 0]
        assert done.content[1]["results"] == [{"a": "a;b"}, {"a": 2}]
        assert all(isinstance(one["meta"]["duration"], float) for one in done.content)
        assert len((await client.post("/d1/shop/query", [{"sql": "-- a"}, {"sql": "SELECT 1"}])).content) == 1
        empty = await client.post("/d1/shop/query", [])
        assert empty.content == {"success": False, "error": "No SQL statements detected."}

    served(tmp_path, case)


def test_bookmarks_go_out_only_to_those_who_sent_one(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        plain = await client.post("/d1/shop/query", {"sql": "CREATE TABLE t (a)"})
        assert TOKEN not in plain.headers
        first = await client.post("/d1/shop/query", {"sql": "SELECT 1"}, **{TOKEN: " first-primary "})
        seen = first.headers[TOKEN]
        wrote = await client.post("/d1/shop/query", {"sql": "INSERT INTO t VALUES (1)"}, **{TOKEN: seen})
        assert Bookmark.parse(wrote.headers[TOKEN]) > Bookmark.parse(seen)
        failed = await client.post("/d1/shop/query", {"sql": "SELECT x"}, **{TOKEN: wrote.headers[TOKEN]})
        assert failed.headers[TOKEN] == wrote.headers[TOKEN]
        wrong = await client.post("/d1/shop/query", {"sql": "SELECT 1"}, **{TOKEN: "nonsense"})
        assert "nonsense" in wrong.content["error"]

    served(tmp_path, case)


def test_miniflare_names_the_call_in_headers(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        framed = {"mf-url": f"http://d1/query{ROWS}", f"mf-header-{TOKEN}": "first-unconstrained"}
        found = await client.post("/d1/shop", {"sql": "SELECT 1 AS a"}, **framed)
        assert found.content["results"] == {"columns": ["a"], "rows": [[1]]}
        assert Bookmark.parse(found.headers[TOKEN])

    served(tmp_path, case)


def test_without_leave_or_database_there_is_no_answer(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        asked = {"sql": "SELECT 1"}
        for header in ("", "Bearer", "Bearer wrong", "Basic secret"):
            assert (await client.post("/d1/shop/query", asked, authorization=header)).status == 401
        known = {"authorization": "Bearer secret"}
        assert (await client.post("/d1/shop/query", asked, **known)).content["success"]
        assert (await client.post("/d1/nowhere/query", asked, **known)).status == 404
        assert (await client.post("/d1/shop/drop", asked, **known)).status == 404
        assert (await client.post("/d1/shop/dump", b"", **known)).status == 501
        large = await client.post("/d1/shop/query", b" " * (limits.HTTP_BODY_BYTES + 1), **known)
        assert large.status == 413

    served(tmp_path, case, OneToken(Scope.WRITE))


@pytest.mark.parametrize("name", ["shop", "0123456789abcdef" * 2])
def test_a_database_is_found_by_name_and_by_id(tmp_path: Path, name: str) -> None:
    async def case(client: Client) -> None:
        assert (await client.post(f"/d1/{name}/query", {"sql": "SELECT 1"})).content["success"]

    served(tmp_path, case)

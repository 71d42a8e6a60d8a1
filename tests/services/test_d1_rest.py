"""Cloudflare's REST API over a whole system, without Ray: queries, databases, who may, and what is written of it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.services.d1_client import Client, OneToken, served
from tests.services.test_archiving import ColdSystem

from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import (
    DatabaseNotFound,
    Error,
    NoQuorum,
    NoReply,
    OutcomeNotKept,
    OutcomeUnknown,
    Overloaded,
    PartlyApplied,
    StorageFailed,
)
from raylite.router.http.envelope import failed
from raylite.router.http.names import plain_name, uuid_of
from raylite.router.http.ports import Scope

D1 = "/client/v4/accounts/a/d1/database"
SHOP = f"{D1}/shop"
UUID = "01234567-89ab-cdef-0123-456789abcdef"
JSON = "application/json"
REPEATED_BY_CLIENTS = {408, 409, 429, *range(500, 600)}


async def query(client: Client, sql: str, *params: object, **headers: str) -> Any:
    found = await client.post(f"{SHOP}/query", {"sql": sql, "params": params}, content_type=JSON, **headers)
    assert found.status == 200, found
    return found.content["result"]


def code(response: Any) -> tuple[int, int]:
    assert response.content["success"] is False
    assert response.content["result"] is None
    return response.status, response.content["errors"][0]["code"]


def test_statements_have_a_result_each_and_run_in_one_transaction(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        made = await query(
            client, "CREATE TABLE t (a UNIQUE, b); INSERT INTO t VALUES ('x', 1); SELECT * FROM t"
        )
        assert [one["results"] for one in made] == [[], [], [{"a": "x", "b": 1}]]
        assert made[1]["meta"]["changes"] == 1
        assert made[1]["success"] is True
        assert set(made[1]["meta"]) >= {"served_by_region", "duration", "size_after", "rows_read"}
        bound = await query(client, "SELECT typeof(?) AS t, ? AS b", 1, [0, 255])
        assert bound[0]["results"] == [{"t": "real", "b": [0, 255]}]
        sent = {"batch": [{"sql": "SELECT ? AS n", "params": [2]}, {"sql": "SELECT 1 AS m; SELECT 2 AS m"}]}
        raw = await client.post(f"{D1}/{UUID}/raw", sent, content_type=JSON)
        tables = [one["results"] for one in raw.content["result"]]
        assert tables == [
            {"columns": ["n"], "rows": [[2.0]]},
            {"columns": ["m"], "rows": [[1]]},
            {"columns": ["m"], "rows": [[2]]},
        ]
        assert (raw.content["errors"], raw.content["messages"]) == ([], [])
        failed_batch = {"sql": "INSERT INTO t VALUES ('y', 1); INSERT INTO t VALUES ('x', 2)"}
        refused = await client.post(f"{SHOP}/query", failed_batch, content_type=JSON)
        assert code(refused) == (400, 7500)
        assert refused.content["errors"][0]["message"].startswith("UNIQUE constraint failed: t.a: SQLITE_")
        assert (await query(client, "SELECT count(*) AS n FROM t"))[0]["results"] == [{"n": 1}]

    served(tmp_path, case)


def test_a_session_has_its_bookmark_in_a_header_and_others_have_none(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        url, made = f"{SHOP}/query", {"sql": "CREATE TABLE t (a)"}
        assert "x-d1-bookmark" not in (await client.post(url, made, content_type=JSON)).headers
        words = {"content_type": JSON, "x_d1_bookmark": "first-unconstrained"}
        seen = (await client.post(url, {"sql": "SELECT 1"}, **words)).headers["x-d1-bookmark"]
        held = {"content_type": JSON, "x_d1_bookmark": seen}
        wrote = await client.post(url, {"sql": "INSERT INTO t VALUES (1)"}, **held)
        assert Bookmark.parse(wrote.headers["x-d1-bookmark"]) > Bookmark.parse(seen)
        later = {"content_type": JSON, "x_d1_bookmark": wrote.headers["x-d1-bookmark"]}
        refused = await client.post(url, {"sql": "SELECT nope"}, **later)
        assert code(refused) == (400, 7500)
        assert refused.headers["x-d1-bookmark"] == wrote.headers["x-d1-bookmark"]
        wrong = await client.post(url, {"sql": "SELECT 1"}, content_type=JSON, x_d1_bookmark="nonsense")
        assert code(wrong) == (400, 7500)

    served(tmp_path, case)


def test_a_sessions_bookmark_is_seen_in_another_region(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        await query(client, "CREATE TABLE t (a INTEGER PRIMARY KEY)")
        client.system.start_replica("weur")
        bookmark, regions = "first-primary", list[str]()
        for at in range(1, 31):
            asked = {"sql": f"INSERT INTO t VALUES ({at})"}
            wrote = await client.post(f"{SHOP}/query", asked, content_type=JSON, x_d1_bookmark=bookmark)
            bookmark = wrote.headers["x-d1-bookmark"]
            asked = {"sql": "SELECT max(a) AS n FROM t"}
            read = await client.post(f"{SHOP}/raw", asked, content_type=JSON, x_d1_bookmark=bookmark)
            (found,) = read.content["result"]
            assert found["results"]["rows"] == [[at]]
            assert Bookmark.parse(read.headers["x-d1-bookmark"]) >= Bookmark.parse(bookmark)
            regions.append(found["meta"]["served_by_region"])
        assert set(regions[1:]) == {"WEUR"}  # that a text reads is known once it has run
        (alone,) = await query(client, "SELECT max(a) AS n FROM t")
        assert alone["meta"]["served_by_primary"] is True

    served(tmp_path, case)


def test_a_database_is_made_what_it_was_and_that_is_undone(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        await query(client, "CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        past = f"{SHOP}/time_travel"
        then = (await client.send("GET", f"{past}/bookmark")).content["result"]["bookmark"]
        await query(client, "DELETE FROM t")
        restored = (await client.post(f"{past}/restore?bookmark={then}", b"")).content["result"]
        assert (await query(client, "SELECT count(*) AS n FROM t"))[0]["results"] == [{"n": 1}]
        assert Bookmark.parse(restored["bookmark"]) > Bookmark.parse(restored["previous_bookmark"])
        assert restored["previous_bookmark"] in restored["message"]
        undone = await client.post(f"{past}/restore?bookmark={restored['previous_bookmark']}", b"")
        assert undone.status == 200
        assert (await query(client, "SELECT count(*) AS n FROM t"))[0]["results"] == [{"n": 0}]

    served(tmp_path, case, kind=ColdSystem)


def test_what_has_run_is_counted_by_text_and_by_hour(tmp_path: Path) -> None:
    between = {"datetimeHour_geq": "2020-01-01T00:00:00Z", "datetimeHour_leq": "2099-01-01T00:00:00Z"}
    variables = {"filter": {"AND": [{"databaseId": UUID, **between}]}}

    async def asked(client: Client, text: str) -> Any:
        sent = {"query": text, "variables": variables}
        found = await client.post("/client/v4/graphql", sent, content_type=JSON)
        assert found.content["errors"] is None, found
        (groups,) = found.content["data"]["viewer"]["accounts"][0].values()
        return groups

    async def case(client: Client) -> None:
        write, read = "INSERT INTO t VALUES (1), (2)", "SELECT a FROM t"
        for sql in ("CREATE TABLE t (a)", write, read, read, read):
            await query(client, sql)
        text = "d1QueriesAdaptiveGroups(limit: 2, orderBy: [count_DESC])"
        groups = await asked(client, text)
        assert (groups[0]["dimensions"]["query"], groups[0]["count"]) == (read, 3)
        assert len(groups) == 2
        assert groups[0]["sum"]["rowsReturned"] == 6
        assert groups[0]["avg"]["rowsReturned"] == 2
        hours = [one["sum"] for one in await asked(client, "d1AnalyticsAdaptiveGroups(limit: 9)")]
        for name, least in {"readQueries": 3, "writeQueries": 2, "rowsWritten": 2}.items():
            assert sum(one[name] for one in hours) >= least

    served(tmp_path, case)


def test_what_cannot_be_understood_is_refused_in_the_envelope(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        bodies = (
            b"", b"{", b"3", b"[]", b"{}", b'{"sql": 1}', b'{"batch": [{}]}', b'{"sql": "\\ud800"}', b"\xff",
            b'{"sql": "SELECT ?", "params": ["\\ud800"]}', b'{"sql": "SELECT ?", "params": [{}]}', b'{"batch": []}',
            b'{"sql": "SELECT ?", "params": [' + b"9" * 5000 + b"]}", b"[" * 100_000, b'{"sql": "-- nothing"}',
            b'{"sql": "BEGIN"}', b'{"sql": "SELECT 1", "params": {"a": 1}}',
        )  # fmt: skip
        for body in bodies:
            refused = await client.post(f"{SHOP}/query", body, content_type=JSON)
            assert refused.status == 400, body
            assert code(refused)[1] in {7400, 7500}
        large = await client.post(f"{SHOP}/query", b" " * (limits.HTTP_BODY_BYTES + 1), content_type=JSON)
        assert code(large) == (413, 7400)
        assert code(await client.post(f"{D1}/nowhere/query", {"sql": "SELECT 1"}, content_type=JSON)) == (
            404,
            7404,
        )
        assert code(await client.send("GET", "/client/v4/user")) == (404, 7404)
        assert code(await client.send("DELETE", "/client/v4/graphql")) == (405, 7003)
        assert code(await client.send("GET", f"{D1}?page=0")) == (400, 7400)

    served(tmp_path, case)


def test_databases_are_made_listed_shown_changed_and_deleted(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        asked = {"name": "blog", "primary_location_hint": "WEUR"}
        made = (await client.post(D1, asked, content_type=JSON)).content["result"]
        assert made["created_in_region"] == "WEUR"
        assert made["created_at"] == "2023-11-14T22:13:20.000+00:00"
        assert code(await client.post(D1, asked, content_type=JSON)) == (400, 7502)
        for wrong in (
            {"name": "a b"},
            {"name": UUID},
            {"name": "c", "jurisdiction": "eu"},
            {"name": "f" * 32},
        ):
            assert code(await client.post(D1, wrong, content_type=JSON)) == (400, 7500)
        inside = await client.post(
            f"{D1}/{made['uuid']}/query", {"sql": "CREATE TABLE a (b)"}, content_type=JSON
        )
        assert inside.content["success"]
        shown = (await client.send("GET", f"{D1}/blog")).content["result"]
        assert (shown["num_tables"], shown["version"], shown["uuid"]) == (1, "production", made["uuid"])
        assert shown["file_size"] >= 4096
        few = await client.send("GET", f"{D1}/{made['uuid'].upper()}?fields=uuid,name")
        assert few.content["result"] == {"uuid": made["uuid"], "name": "blog"}
        assert (await client.send("GET", f"{D1}/shop?fields=uuid")).content["result"] == {"uuid": UUID}
        pages = [(await client.send("GET", f"{D1}?per_page=1&page={page}")).content for page in (1, 2, 3)]
        assert [[one["name"] for one in page["result"]] for page in pages] == [["blog"], ["shop"], []]
        assert pages[2]["result_info"] == {"count": 0, "page": 3, "per_page": 1, "total_count": 2}
        named = await client.send("GET", f"{D1}?name=blo")
        assert [one["name"] for one in named.content["result"]] == ["blog"]
        mode = {"read_replication": {"mode": "disabled"}}
        changed = await client.send("PUT", f"{D1}/blog", mode, content_type=JSON)
        assert changed.content["result"]["read_replication"] == {"mode": "disabled"}
        assert code(await client.send("PUT", f"{D1}/blog", {}, content_type=JSON)) == (400, 7400)
        same = await client.send("PATCH", f"{D1}/blog", {}, content_type=JSON)
        assert same.content["result"]["read_replication"] == {"mode": "disabled"}
        assert (await client.send("DELETE", f"{D1}/blog")).content["result"] is None
        assert code(await client.send("GET", f"{D1}/blog")) == (404, 7404)

    served(tmp_path, case)


def test_only_what_certainly_did_not_run_has_a_status_that_clients_repeat() -> None:
    certain = [NoQuorum("shop", 2, 3), Overloaded("queries", 3), DatabaseNotFound("shop")]
    assert [failed(one).status_code for one in certain] == [503, 429, 404]
    uncertain = [
        OutcomeUnknown("shop", "no answer"), OutcomeNotKept(7), NoReply("shop", "gone"), StorageFailed("shop", "torn"),
        PartlyApplied("StatementError", "no such table", "one"),
    ]  # fmt: skip
    assert {type(one) for one in uncertain} == {one for one in _kinds(Error) if one.may_have_applied}
    assert not {failed(one).status_code for one in uncertain} & REPEATED_BY_CLIENTS


def _kinds(root: type[Error]) -> list[type[Error]]:
    return [kind for child in root.__subclasses__() for kind in (child, *_kinds(child))]


def test_nobody_does_what_the_token_is_not_for(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        bearer = {"authorization": "Bearer secret", "content_type": JSON}
        assert code(await client.send("GET", D1)) == (401, 10000)
        assert code(await client.send("GET", D1, authorization="Bearer other")) == (403, 10000)
        assert (await client.send("GET", D1, **bearer)).status == 200
        refused = [
            ("POST", D1), ("DELETE", SHOP), ("PUT", SHOP), ("PATCH", SHOP), ("POST", f"{SHOP}/query"),
            ("POST", f"{SHOP}/raw"), ("POST", f"{SHOP}/import"), ("POST", f"{SHOP}/time_travel/restore"),
        ]  # fmt: skip
        for method, url in refused:
            assert code(await client.send(method, url, b"not even JSON", **bearer)) == (403, 10000)

    served(tmp_path, case, OneToken(Scope.READ))


def test_an_id_with_dashes_is_the_database_that_a_token_is_for(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        bearer = {"authorization": "Bearer secret", "content_type": JSON}
        asked = {"sql": "SELECT 1"}
        assert (await client.post(f"{D1}/{UUID}/query", asked, **bearer)).status == 200
        assert code(await client.post(f"{D1}/{UUID[:-1]}0/query", asked, **bearer)) == (403, 10000)

    served(tmp_path, case, OneToken(Scope.WRITE, databases=(plain_name(UUID),)))
    assert uuid_of(plain_name(UUID)) == UUID


def test_every_administrative_act_leaves_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def case(client: Client) -> None:
        bearer = {"authorization": "Bearer secret", "content_type": JSON}
        await client.post(D1, {"name": "blog"}, **bearer)
        await client.post(D1, {"name": "blog"}, **bearer)
        await client.send("DELETE", f"{D1}/blog", **bearer)
        await client.send("DELETE", f"{D1}/blog", authorization="Bearer other")
        await client.send("GET", D1, **bearer)

    with caplog.at_level(logging.INFO, "raylite.audit"):
        served(tmp_path, case, OneToken(Scope.READ, Scope.ADMIN))
    lines = [msgspec.json.decode(one.message) for one in caplog.records if one.name == "raylite.audit"]
    assert [(one["who"], one["what"], one["database"]) for one in lines] == [
        ("ada", "create", "blog"), ("ada", "create", "blog"), ("ada", "delete", "blog"), ("", "delete", "blog"),
    ]  # fmt: skip
    assert [one["outcome"] == "done" for one in lines] == [True, False, True, False]
    assert "exists already" in lines[1]["outcome"]


def test_the_document_names_every_endpoint_its_statuses_and_the_token(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        document = (await client.send("GET", "/openapi.json")).content
        methods = {(path, method) for path, found in document["paths"].items() for method in found}
        database = "/client/v4/accounts/{account}/d1/database/{database}"
        assert {(f"{database}/query", "post"), (database, "patch"), ("/client/v4/graphql", "post")} <= methods
        asked = document["paths"][f"{database}/query"]["post"]
        assert {"200", "400", "403", "404", "424", "503"} <= set(asked["responses"])
        assert "422" not in asked["responses"]
        assert asked["security"] == [{"HTTPBearer": []}]
        assert "x-d1-bookmark" in {one["name"] for one in asked["parameters"]}

    served(tmp_path, case)

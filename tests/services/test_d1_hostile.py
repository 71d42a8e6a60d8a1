"""Requests that nobody sends by accident: none does harm, each gets an answer that says what was wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route
from tests.services.d1_client import Client, OneToken, Response, served
from tests.services.test_d1_rest import D1, JSON, SHOP, UUID, code, query

from raylite.policies import limits
from raylite.router.http.ports import Scope

GRAPHQL = "/client/v4/graphql"
OPEN = {("GET", "/openapi.json"), ("HEAD", "/openapi.json")}
SIGNED = {("GET", "/client/v4/d1-exports/x"), ("PUT", "/client/v4/d1-uploads/x")}
READS = {
    ("GET", D1), ("GET", SHOP), ("POST", f"{SHOP}/export"), ("GET", f"{SHOP}/time_travel/bookmark"), ("POST", GRAPHQL),
}  # fmt: skip
HOURS = {"datetimeHour_geq": "2026-01-01T00:00:00Z", "datetimeHour_leq": "2026-01-02T00:00:00Z"}
BODY = {"query": "d1QueriesAdaptiveGroups", "variables": {"filter": {"AND": [{"databaseId": UUID, **HOURS}]}}}
DEEP = b"[" * 500 + b"]" * 500


def endpoints(application: FastAPI) -> Iterator[tuple[str, str]]:
    """All methods and paths of the application, about the shop."""
    for route in _flat(application.routes):
        filled = route.path.format(account="a", database="shop", key="x", action="query")
        yield from ((method, filled) for method in route.methods or ())


def _flat(routes: Any) -> Iterator[Route | APIRoute]:
    for route in routes:
        if isinstance(route, Route | APIRoute):
            yield route
        else:
            yield from _flat(route.original_router.routes)


async def answers(client: Client, **headers: str) -> dict[tuple[str, str], Response]:
    found: dict[tuple[str, str], Response] = {}
    for method, path in sorted({*endpoints(client.application)} - OPEN - SIGNED):
        named = {"x_d1_database_id": "shop", "mf_url": "http://d1/query"} if path[:7] != "/client" else {}
        found[method, path] = await client.send(method, path, BODY, content_type=JSON, **headers, **named)
    return found


def test_every_endpoint_needs_a_token(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        found = await answers(client)
        assert len(found) > 17
        assert {one for one, response in found.items() if response.status != 401} == set()
        assert found["GET", D1].headers["www-authenticate"] == "Bearer"
        wrong = await answers(client, authorization="Bearer wrong")
        assert {one for one, response in wrong.items() if response.status not in {401, 403}} == set()
        basic = await answers(client, authorization="Basic c2VjcmV0OnNlY3JldA==")
        assert {one for one, response in basic.items() if response.status != 401} == set()
        for method, path in SIGNED:
            assert code(await client.send(method, path)) == (404, 7404)

    served(tmp_path, case, OneToken(*Scope))


def test_a_token_that_reads_changes_nothing(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        found = await answers(client, authorization="Bearer secret")
        refused = {one for one, response in found.items() if response.status in {401, 403}}
        assert set(found) - refused == READS

    served(tmp_path, case, OneToken(Scope.READ))


def test_a_token_of_another_database_may_do_nothing_with_this_one(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        found = await answers(client, authorization="Bearer secret")
        assert {one for one, response in found.items() if response.status not in {401, 403}} == set()

    served(tmp_path, case, OneToken(*Scope, databases=("other",)))


BODIES = (
    b"{", b"[]", b"3", b'"x"', b"null", b"\xff\xfe", b"\x00", b'{"sql": "\xff"}', DEEP, b"[" * 200_000, b'{"a":' * 9000,
    b'{"sql": ' + DEEP + b"}", b'{"sql": "SELECT ?", "params": ' + DEEP + b"}",
    b'{"sql": "SELECT ?", "params": [1e999, -1e999, NaN]}', b'{"sql": "SELECT ?", "params": [' + b"9" * 4301 + b"]}",
    b'{"sql": "SELECT \\u0000 1"}', b'{"sql": "\\ud800"}', b'{"sql": "SELECT ?", "params": ["\\ud800"]}',
    b'{"sql": ["SELECT 1"]}', b'{"batch": {"sql": "SELECT 1"}}', b'{"batch": [[]]}', b'{"sql": null}',
    b'{"name": "\\ud800"}', b'{"name": "\\u0000"}', b'{"name": 3}', b'{"name": "' + b"n" * 5000 + b'"}', b'{"name":""}',
    b'{"name": "..", "primary_location_hint": "' + b"x" * 5000 + b'"}',
    b'{"read_replication": {"mode": "\\ud800"}}', b'{"read_replication": 1}',
    b'{"output_format": "polling", "dump_options": {"tables": ["\\ud800"]}}',
    b'{"output_format": "polling", "current_bookmark": "\\ud800"}', b'{"output_format": "file"}',
    b'{"action": "init", "etag": "../../../../etc/passwd00000000000"}', b'{"action": "init", "etag": "\\ud800"}',
    b'{"action": "ingest", "etag": "' + b"0" * 32 + b'", "filename": "../../x"}', b'{"action": []}',
    b'{"action": "poll", "current_bookmark": "\\u0000"}', b'{"query": "", "variables": {"filter": {"AND": [1]}}}',
    b'{"query": "", "variables": {"filter": {"AND": [{"databaseId": "\\ud800", "datetimeHour_geq": "", '
    b'"datetimeHour_leq": "\\ud800"}]}}}',
    b'{"query": "", "variables": {"filter": {"AND": [{"databaseId": "\\ud800", '
    b'"datetimeHour_geq": "2026-01-01T00:00:00Z", "datetimeHour_leq": "9999-12-31T23:59:59Z"}]}}}',
    b'{"query": "d1QueriesAdaptiveGroups(limit: 999999999, orderBy: [", "variables": {"filter": ' + DEEP + b"}}",
)  # fmt: skip


def test_no_body_breaks_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def case(client: Client) -> None:
        await query(client, "CREATE TABLE t (a)")
        for method, path in sorted({*endpoints(client.application)} - OPEN - {("DELETE", SHOP)}):
            for body in BODIES:
                found = await client.send(method, path, body, content_type=JSON, x_d1_database_id="shop")
                assert found.status < 500 or path.endswith("dump"), (method, path, body, found)
                assert found.status != 424, (method, path, body, found)
        assert (await query(client, "SELECT count(*) AS n FROM t"))[0]["results"] == [{"n": 0}]
        listed = (await client.send("GET", D1)).content["result"]
        assert [one["name"] for one in listed] == ["shop"]

    with caplog.at_level(logging.ERROR):
        served(tmp_path, case)
    assert caplog.text == ""


def test_no_header_path_or_question_breaks_anything(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ("%", "..", "a" * 9000, "\x00", "'; DROP TABLE t; --", "é", "\ufffd")
    hosts = ("[", "[::1", "a b", "a/../b?c#d", "", "x" * 9000, "é:x", "h:99999999")
    asked = (
        f"{D1}?page=1e9", f"{D1}?per_page=-1", f"{D1}?page={10**40}", f"{D1}?name=%ff%00", f"{SHOP}?fields=%ff,%00,,",
        f"{SHOP}/time_travel/bookmark?timestamp=9999999999999", f"{SHOP}/time_travel/bookmark?timestamp=%00",
        f"{SHOP}/time_travel/bookmark?timestamp=0000-00-00T00:00:00Z",
    )  # fmt: skip
    restores = ("bookmark=%00", "bookmark=x&timestamp=y", "timestamp=%ff", f"bookmark={'f' * 9000}", "")

    async def case(client: Client) -> None:
        for name in names:
            for url in (f"{D1}/{name}", f"{D1}/{name}/time_travel/bookmark", f"/client/v4/d1-exports/{name}"):
                assert code(await client.send("GET", url)) == (404, 7404), url
        for url in asked:
            assert (await client.send("GET", url)).status in {200, 400}, url
        for one in restores:
            assert code(await client.post(f"{SHOP}/time_travel/restore?{one}", b""))[0] == 400, one
        for host in hosts:
            init = {"action": "init", "etag": "0" * 32}
            found = await client.post(f"{SHOP}/import", init, host=host, content_type=JSON)
            assert found.status in {200, 400}, (host, found)
            bound = await client.post("/d1/shop/query", {"sql": "SELECT 1"}, host=host)
            assert bound.status in {200, 400}, (host, bound)
        for bookmark in ("\x00", "é", "f" * 9000, "00000000-00000000-00000000-" + "g" * 32):
            sent = {"x_d1_bookmark": bookmark, "content_type": JSON}
            assert code(await client.post(f"{SHOP}/query", {"sql": "SELECT 1"}, **sent)) == (400, 7500)
        for token in ("Bearer", "Bearer  ", "bearer \x00", "Bearer é", "Bearer " + "x" * 9000, "\ufffd"):
            assert (await client.send("GET", D1, authorization=token)).status == 200

    with caplog.at_level(logging.ERROR):
        served(tmp_path, case)
    assert caplog.text == ""


def test_a_body_of_another_type_is_no_json(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        sent = msgspec.json.encode({"sql": "SELECT 1"})
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            refused = await client.post(f"{SHOP}/query", sent, content_type=kind)
            assert code(refused) == (400, 7400), kind
        assert code(await client.post(f"{SHOP}/query", sent)) == (400, 7400)
        assert (await client.post(f"{SHOP}/query", sent, content_type=f"{JSON}; charset=utf-8")).status == 200

    served(tmp_path, case)


def test_a_body_has_bounds_of_time_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        for byte in b'{"sql": "SELECT 1"}' * 9:
            yield bytes([byte])
            await asyncio.sleep(0.02)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 70_000

    async def case(client: Client) -> None:
        for path in (f"{SHOP}/query", f"{SHOP}/import", D1):
            assert code(await client.post(path, endless(), content_type=JSON)) == (413, 7400)
        large = b" " * (limits.HTTP_GRAPHQL_BYTES + 1)
        assert code(await client.post(GRAPHQL, large, content_type=JSON)) == (413, 7400)
        monkeypatch.setattr(limits, "HTTP_BODY_SECONDS", 0.2)
        for path in (f"{SHOP}/query", f"{SHOP}/export"):
            assert code(await client.post(path, dripping(), content_type=JSON)) == (408, 7400)
        monkeypatch.undo()
        await query(client, "SELECT 1")

    monkeypatch.setattr(limits, "HTTP_BODY_BYTES", 1 << 20)
    served(tmp_path, case)


def test_a_defect_is_logged_and_its_request_is_none_that_clients_repeat(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def case(client: Client) -> None:
        lost = client.databases.drivers.pop("shop")
        found = await client.post(f"{SHOP}/time_travel/restore?timestamp=2026-01-01T00:00:00Z", b"")
        client.databases.drivers["shop"] = lost
        assert code(found) == (424, 7500)
        assert "KeyError" in found.content["errors"][0]["message"]

    served(tmp_path, case)
    assert "Traceback" in caplog.text

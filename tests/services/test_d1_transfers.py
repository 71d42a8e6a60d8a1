"""Exports and imports by Cloudflare's REST API over a whole system, without Ray."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from tests.services.d1_client import Client, OneToken, Response, exchange, served
from tests.services.test_d1_rest import D1, JSON, SHOP, code, query

from raylite.actors import audit
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.transfer import ReadExport, RunImport
from raylite.router.http.ports import Scope as May

EXPORT, IMPORT = f"{SHOP}/export", f"{SHOP}/import"
POLLING = {"output_format": "polling"}
ROWS = "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y')"
FILE = b"CREATE TABLE u (a UNIQUE); INSERT INTO u VALUES ('p'), ('q');\nINSERT INTO u SELECT a || '!' FROM u;"
WAIT_SECONDS = 30.0


async def result(client: Client, url: str, body: object, **headers: str) -> Any:
    found = await client.post(url, body, content_type=JSON, **headers)
    assert found.status == 200, found
    return found.content["result"]


async def exported(client: Client, **headers: str) -> Any:
    """The answer to the last question about a new export."""
    state = await result(client, EXPORT, POLLING, **headers)
    async with asyncio.timeout(WAIT_SECONDS):
        while state["status"] == "active":
            asked = {**POLLING, "current_bookmark": state["at_bookmark"]}
            state = await result(client, EXPORT, asked, **headers)
    return state


async def placed(client: Client, content: bytes, **headers: str) -> Any:
    """Where to put a file, and what its ingest asks."""
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    place = await result(client, IMPORT, {"action": "init", "etag": etag}, **headers)
    return place, {"action": "ingest", "etag": etag, "filename": place["filename"]}


async def put(client: Client, url: str, body: object) -> Response:
    return await client.send("PUT", path_of(url), body)


async def imported(client: Client, content: bytes, **headers: str) -> Any:
    place, ingest = await placed(client, content, **headers)
    assert (await put(client, place["upload_url"], content)).status == 200
    return await ended(client, await result(client, IMPORT, ingest, **headers), **headers)


async def ended(client: Client, state: Any, **headers: str) -> Any:
    """The answer to the last question about an import."""
    async with asyncio.timeout(WAIT_SECONDS):
        while state["status"] == "active":
            asked = {"action": "poll", "current_bookmark": state["at_bookmark"]}
            state = await result(client, IMPORT, asked, **headers)
    return state


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


def path_of(url: str) -> str:
    return url.removeprefix("http://d1")


def files(client: Client) -> list[Path]:
    return [one for one in client.spool.rglob("*") if one.is_file()]


async def in_parts(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@pytest.mark.timeout(10)
def test_the_client_tells_an_application_that_waits_for_it_of_the_connections_end() -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(in_parts(b"a", b"b"))(scope, receive, send)

    async def case() -> None:
        found = await exchange(application, {"type": "http", "method": "GET"}, in_parts(b"x"))
        assert (found.status, found.content) == (200, b"ab")

    asyncio.run(case())


def test_an_exports_link_gives_its_file_again_and_again_for_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_POLL_SECONDS", 0.2)

    async def case(client: Client) -> None:
        await query(client, ROWS)
        state = await exported(client)
        assert state["result"]["filename"] == "shop.sql"
        link = path_of(state["result"]["signed_url"])
        first = await client.send("GET", link)
        assert (first.status, first.headers["cache-control"]) == (200, "no-store")
        assert b'INSERT INTO "t" ("a","b") VALUES(1,\'x\');' in first.content
        for _ in range(2):
            await asyncio.sleep(2 * limits.HTTP_POLL_SECONDS)
            again = await client.send("GET", link)
            assert (again.status, again.content) == (200, first.content)
        part = await client.send("GET", link, range="bytes=2-5")
        assert (part.status, part.content) == (206, first.content[2:6])

    served(tmp_path, case)


def test_what_nobody_asks_about_goes_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP_FILE_SECONDS", 0.2)

    async def case(client: Client) -> None:
        await query(client, ROWS)
        state = await exported(client)
        place, ingest = await placed(client, FILE)
        assert (await put(client, place["upload_url"], FILE)).status == 200
        assert len(files(client)) == 2
        await until(lambda: not files(client))
        assert code(await client.send("GET", path_of(state["result"]["signed_url"]))) == (404, 7404)
        assert code(await client.post(IMPORT, ingest, content_type=JSON)) == (404, 7404)

    served(tmp_path, case)


def test_a_new_export_takes_the_place_of_one_that_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HTTP_TRANSFERS", 2)

    async def case(client: Client) -> None:
        links = [path_of((await exported(client))["result"]["signed_url"]) for _ in range(2)]
        full = await client.post(EXPORT, POLLING, content_type=JSON)
        assert code(full) == (429, 7500)
        assert full.headers["retry-after"] == "1"
        asked = [kind for _, kind in client.databases.drivers["shop"].requests]
        assert asked.count("OpenExport") == 2
        assert (await client.send("GET", links[1])).status == 200
        last = path_of((await exported(client))["result"]["signed_url"])
        found = [(await client.send("GET", one)).status for one in (*links, last)]
        assert found == [200, 404, 200]
        await until(lambda: len(files(client)) == 2)

    served(tmp_path, case)


def test_a_fetched_export_makes_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP_SPOOL_BYTES", 10)

    async def case(client: Client) -> None:
        link = path_of((await exported(client))["result"]["signed_url"])
        assert code(await client.post(EXPORT, POLLING, content_type=JSON)) == (429, 7500)
        await client.send("GET", link)
        assert (await exported(client))["status"] == "complete"
        assert len(files(client)) == 1

    served(tmp_path, case)


def test_an_import_says_what_it_did(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        done = (await imported(client, FILE))["result"]
        (counted,) = await query(client, "SELECT a FROM u ORDER BY a")
        assert [one["a"] for one in counted["results"]] == ["p", "p!", "q", "q!"]
        assert done["num_queries"] == 3
        assert Bookmark.parse(done["final_bookmark"])
        meta = done["meta"]
        assert (meta["changes"], meta["rows_written"], meta["last_row_id"], meta["rows_read"]) == (4, 4, 4, 2)
        assert (meta["changed_db"], meta["served_by_primary"], meta["served_by_region"]) == (
            True,
            True,
            "ENAM",
        )
        assert meta["size_after"] == counted["meta"]["size_after"]
        assert meta["duration"] > 0
        assert not files(client)

    served(tmp_path, case)


def test_an_import_that_fails_changes_nothing_and_says_why(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        failed = await imported(client, FILE + b"INSERT INTO u VALUES ('p');")
        assert failed["status"] == "error"
        assert failed["errors"] == [failed["error"]]
        assert "UNIQUE constraint failed: u.a: SQLITE_CONSTRAINT" in failed["error"]
        refused = await client.post(f"{SHOP}/query", {"sql": "SELECT * FROM u"}, content_type=JSON)
        assert code(refused) == (400, 7500)
        assert not files(client)

    served(tmp_path, case)


def test_an_import_whose_answer_is_lost_says_that_nobody_knows(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        client.databases.drivers["shop"].lost = {RunImport}
        unknown = await imported(client, FILE)
        assert unknown["status"] == "error"
        assert "may or may not have taken effect" in unknown["error"]
        (found,) = await query(client, "SELECT count(*) AS n FROM u")
        assert found["results"] == [{"n": 4}]

    served(tmp_path, case)


def test_a_file_that_is_here_already_is_not_put_again(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        place, ingest = await placed(client, FILE)
        assert (await put(client, place["upload_url"], FILE)).status == 200
        init = {"action": "init", "etag": ingest["etag"]}
        state = await ended(client, await result(client, IMPORT, init))
        assert (state["status"], state["at_bookmark"]) == ("complete", place["filename"])
        assert "upload_url" in await result(client, IMPORT, init)
        await client.post(D1, {"name": "other"}, content_type=JSON)
        assert "upload_url" in await result(client, f"{D1}/other/import", init)

    served(tmp_path, case)


def test_an_upload_comes_in_any_parts_and_has_the_md5_that_was_said(tmp_path: Path) -> None:
    rows = "".join(f"INSERT INTO u VALUES ('{at}{'x' * 1000}');\n" for at in range(3000))
    content = FILE + rows.encode()

    async def case(client: Client) -> None:
        place, ingest = await placed(client, content)
        url = place["upload_url"]
        assert code(await put(client, url, content[:-1])) == (400, 7400)
        assert not files(client)
        assert code(await client.post(IMPORT, ingest, content_type=JSON)) == (400, 7400)
        step = 70_001
        parts = [content[at : at + step] for at in range(0, len(content), step)]
        taken = await put(client, url, in_parts(*parts))
        assert (taken.status, taken.headers["etag"]) == (200, f'"{ingest["etag"]}"')
        assert [one.read_bytes() for one in files(client)] == [content]
        wrong = {**ingest, "etag": "0" * 32}
        assert code(await client.post(IMPORT, wrong, content_type=JSON)) == (400, 7400)
        done = await ended(client, await result(client, IMPORT, ingest))
        assert done["status"] == "complete", done
        assert code(await put(client, url, content)) == (400, 7400)
        assert (await ended(client, await result(client, IMPORT, ingest)))["status"] == "complete"

    served(tmp_path, case)


def test_an_upload_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "HTTP_UPLOAD_BYTES", len(FILE))

    async def dripping() -> AsyncIterator[bytes]:
        for byte in FILE:
            yield bytes([byte])
            await asyncio.sleep(0.02)

    async def stuck() -> AsyncIterator[bytes]:
        yield FILE
        await asyncio.Event().wait()

    async def case(client: Client) -> None:
        place, _ = await placed(client, FILE)
        url = place["upload_url"]
        assert code(await put(client, url, FILE + b" ")) == (413, 7400)
        monkeypatch.setattr(limits, "HTTP_BODY_SECONDS", 0.2)
        assert code(await put(client, url, stuck())) == (408, 7400)
        monkeypatch.setattr(limits, "HTTP_FILE_SECONDS", 0.4)
        assert code(await put(client, url, dripping())) == (408, 7400)
        assert not files(client)
        assert (await put(client, url, FILE)).status == 200

    served(tmp_path, case)


def test_a_file_is_not_applied_while_it_is_put_again(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        place, ingest = await placed(client, FILE)
        url, goes_on = place["upload_url"], asyncio.Event()
        assert (await put(client, url, FILE)).status == 200

        async def halting() -> AsyncIterator[bytes]:
            yield FILE[:30]
            await goes_on.wait()
            yield FILE[30:]

        client.databases.opening = asyncio.Event()
        asked = asyncio.create_task(client.post(IMPORT, ingest, content_type=JSON))
        await asyncio.wait((asked,), timeout=0.1)
        again = asyncio.create_task(put(client, url, halting()))
        await asyncio.wait((again,), timeout=0.1)
        assert code(await put(client, url, FILE)) == (400, 7400)
        client.databases.opening.set()
        assert code(await asked) == (400, 7400)
        goes_on.set()
        assert (await again).status == 200
        assert (await ended(client, await result(client, IMPORT, ingest)))["status"] == "complete"

    served(tmp_path, case)


def test_transfers_belong_to_one_database(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        await client.post(D1, {"name": "other"}, content_type=JSON)
        key = (await exported(client))["at_bookmark"]
        asked = {**POLLING, "current_bookmark": key}
        assert code(await client.post(f"{D1}/other/export", asked, content_type=JSON)) == (404, 7404)
        _, ingest = await placed(client, FILE)
        assert code(await client.post(f"{D1}/other/import", ingest, content_type=JSON)) == (404, 7404)
        poll = {"action": "poll", "current_bookmark": key}
        assert code(await client.post(IMPORT, poll, content_type=JSON)) == (404, 7404)
        unasked = {"action": "poll", "current_bookmark": ingest["filename"]}
        assert code(await client.post(IMPORT, unasked, content_type=JSON)) == (400, 7400)
        await client.send("DELETE", SHOP)
        assert code(await client.post(EXPORT, asked, content_type=JSON)) == (404, 7404)
        assert code(await client.post(IMPORT, ingest, content_type=JSON)) == (404, 7404)

    served(tmp_path, case)


def test_two_imports_at_once_are_two_transactions(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        await query(client, "CREATE TABLE n (a)")
        texts = [f"INSERT INTO n VALUES ({at}); INSERT INTO n VALUES ({at});".encode() for at in range(4)]
        done = await asyncio.gather(*[imported(client, one) for one in texts])
        assert [one["status"] for one in done] == ["complete"] * 4
        assert len({one["result"]["final_bookmark"] for one in done}) == 4
        (found,) = await query(client, "SELECT a, count(*) AS n FROM n GROUP BY a")
        assert [one["n"] for one in found["results"]] == [2, 2, 2, 2]

    served(tmp_path, case)


def test_a_file_is_applied_once_however_often_that_is_asked_for_at_once(tmp_path: Path) -> None:
    async def case(client: Client) -> None:
        place, ingest = await placed(client, FILE)
        assert (await put(client, place["upload_url"], FILE)).status == 200
        asked = [ingest] * 4
        states = await asyncio.gather(*[result(client, IMPORT, one) for one in asked])
        done = [await ended(client, one) for one in states]
        assert len({one["result"]["final_bookmark"] for one in done}) == 1

    served(tmp_path, case)


def test_a_transfer_leaves_one_line_at_its_end_and_one_for_each_refusal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRANSFER_HOLD_SECONDS", 0.01)
    ada = {"authorization": "Bearer secret"}

    async def case(client: Client) -> None:
        state = await exported(client, **ada)
        for _ in range(3):
            await result(client, EXPORT, {**POLLING, "current_bookmark": state["at_bookmark"]}, **ada)
        await client.send("GET", path_of(state["result"]["signed_url"]))
        await imported(client, FILE, **ada)
        await imported(client, FILE, **ada)
        assert (await client.post(EXPORT, POLLING, content_type=JSON)).status == 401
        assert (await client.post(IMPORT, {}, authorization="Bearer other")).status == 403

    with caplog.at_level(logging.INFO, "raylite.audit"):
        served(tmp_path, case, OneToken(May.READ, May.ADMIN))
    lines = [msgspec.json.decode(one.message) for one in caplog.records if one.name == "raylite.audit"]
    assert [(one["who"], one["what"], one["database"]) for one in lines] == [
        ("ada", "export", "shop"), ("ada", "import", "shop"), ("ada", "import", "shop"),
        ("", "export", "shop"), ("", "import", "shop"),
    ]  # fmt: skip
    assert [one["outcome"] == audit.DONE for one in lines] == [True, True, False, False, False]
    assert "already exists" in lines[2]["outcome"]
    assert "secret" not in caplog.text


def test_the_applications_end_ends_transfers_and_removes_their_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRANSFER_HOLD_SECONDS", 0.01)

    async def case(client: Client) -> None:
        await query(client, ROWS)
        place, ingest = await placed(client, FILE)
        assert (await put(client, place["upload_url"], FILE)).status == 200
        client.databases.drivers["shop"].stuck = {ReadExport, RunImport}
        states = await result(client, EXPORT, POLLING), await result(client, IMPORT, ingest)
        assert [one["status"] for one in states] == ["active", "active"]
        assert files(client)
        async with asyncio.timeout(WAIT_SECONDS):
            await client.leave()
        assert not client.spool.exists()
        assert len(caplog.records) == 2

    with caplog.at_level(logging.INFO, "raylite.audit"):
        served(tmp_path, case)
    lines = [msgspec.json.decode(one.message) for one in caplog.records if one.name == "raylite.audit"]
    assert sorted(one["what"] for one in lines) == ["export", "import"]
    assert all("stopped" in one["outcome"] for one in lines)

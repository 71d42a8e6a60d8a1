"""What stands before the HTTP API: at most so many requests at a time, and so many a second from one caller."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from raylite.router.http.gate import Gate

Reply = tuple[int, dict[str, str], Any]


class Slow:
    """An application that answers once it is let go on."""

    def __init__(self) -> None:
        self.go_on, self.served = asyncio.Event(), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.served += 1
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})


async def ask(gate: Gate, address: str = "192.0.2.1", authorization: str = "", site: str = "") -> Reply:
    """Status, headers and content of the answer."""
    given = {b"authorization": authorization, b"sec-fetch-site": site}
    headers = [(name, text.encode()) for name, text in given.items() if text]
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b""}

    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "client": (address, 1)}
    await gate(scope, receive, send)
    found = {name.decode(): text.decode() for name, text in sent[0]["headers"]}
    return sent[0]["status"], found, msgspec.json.decode(sent[1]["body"])


def test_more_requests_than_may_be_under_way_are_refused_at_once_and_none_is_lost() -> None:
    async def case() -> None:
        slow = Slow()
        gate = Gate(slow, most=3)
        under_way = [asyncio.create_task(ask(gate)) for _ in range(3)]
        await asyncio.sleep(0)
        status, headers, content = await ask(gate)
        assert (status, headers["retry-after"], content["success"]) == (503, "1", False)
        assert content["error"] == content["errors"][0]["message"]
        assert "Nothing was run" in content["error"]
        slow.go_on.set()
        assert [status for status, _, _ in await asyncio.gather(*under_way)] == [200] * 3
        assert (await ask(gate))[0] == 200
        assert (slow.served, gate.under_way) == (4, 0)

    asyncio.run(case())


def test_what_a_browser_sends_for_a_page_of_another_site_is_refused() -> None:
    async def case() -> None:
        slow = Slow()
        slow.go_on.set()
        gate = Gate(slow)
        for site in ("cross-site", "same-site"):
            status, headers, content = await ask(gate, site=site)
            assert (status, "retry-after" in headers, content["errors"][0]["code"]) == (403, False, 7500)
        for site in ("same-origin", "none", ""):
            assert (await ask(gate, site=site))[0] == 200
        assert slow.served == 3

    asyncio.run(case())


def test_a_request_that_fails_or_whose_caller_leaves_makes_room() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("no answer")

    async def case() -> None:
        slow = Slow()
        for application in (failing, slow):
            gate = Gate(application, most=1)
            task = asyncio.create_task(ask(gate))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert gate.under_way == 0

    asyncio.run(case())


def test_a_caller_that_asks_too_often_is_refused_and_others_are_not() -> None:
    async def case() -> None:
        slow = Slow()
        slow.go_on.set()
        gate = Gate(slow, rate=2.0)
        assert [(await ask(gate, authorization="Bearer a"))[0] for _ in range(3)] == [200, 200, 429]
        status, headers, content = await ask(gate, "192.0.2.2", "Bearer a")
        assert (status, headers["retry-after"]) == (429, "1")
        assert "Nothing was run" in content["error"]
        assert (await ask(gate, authorization="Bearer b"))[0] == 200
        assert [(await ask(gate))[0] for _ in range(3)] == [200, 200, 429]
        assert (await ask(gate, "192.0.2.2"))[0] == 200

    asyncio.run(case())

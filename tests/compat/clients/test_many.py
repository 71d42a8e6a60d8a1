"""Many clients at once, on gateways of two regions: all that was acknowledged is there once, refusals were not run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from typing import Any, cast

import aiohttp
import msgspec
import pytest
from tests.cluster.writers import pid_of
from tests.compat.clients.conftest import Gateways

from raylite.router.background import background

CLIENTS = 200
WRITERS = 20
SECONDS = 20.0
WAIT_SECONDS = 60.0
HONEST = {429, 503}
UNKNOWN_STATUS = 424
KILLERS_PAUSE_SECONDS = 4.0
BINDING_TOKEN, BOOKMARK = "x-cf-d1-session-commit-token", "x-d1-bookmark"
TABLES = (
    "DROP TABLE IF EXISTS many; DROP TABLE IF EXISTS counters;"
    "CREATE TABLE many (client INTEGER, n INTEGER, PRIMARY KEY (client, n));"
    "CREATE TABLE counters (client INTEGER PRIMARY KEY, n INTEGER)"
)
READ = "SELECT coalesce(max(n), 0) AS n FROM many WHERE client = ?"
INSERT = "INSERT INTO many (client, n) VALUES (?, ?)"
COUNT = "INSERT INTO counters VALUES (?, 1) ON CONFLICT DO UPDATE SET n = n + 1"

Rows = list[list[dict[str, Any]]]


class Refused(Exception):
    """Not run, as the answer says."""


class Unknown(Exception):
    """It may have been run, as the answer says."""


class Caller:
    """One client, whose session goes from protocol to protocol, and from region to region.

    region, primary: who answered last.
    """

    def __init__(self, http: aiohttp.ClientSession, gateways: Gateways, bookmark: str) -> None:
        self._http, self._gateways, self.bookmark = http, gateways, bookmark
        self._regions = list(gateways.ports)
        self._asked = 0
        self.region, self.primary = "", True

    async def ask(self, *statements: tuple[str, list[object]]) -> Rows:
        """Rows of each statement of one transaction; raises `Refused`, `Unknown`."""
        self._asked += 1
        root = self._gateways.url(self._regions[self._asked % len(self._regions)])
        batch = [{"sql": sql, "params": params} for sql, params in statements]
        if self._asked // len(self._regions) % 2:
            url = f"{root}/d1/{self._gateways.database}/query"
            found: Any = await self._post(url, batch, BINDING_TOKEN)
        else:
            url = f"{root}/client/v4/accounts/a/d1/database/{self._gateways.database}/query"
            found = (await self._post(url, {"batch": batch}, BOOKMARK))["result"]
        if isinstance(found, dict):
            raise _failure(str(cast("dict[str, object]", found)["error"]))
        meta = found[-1]["meta"]
        self.region, self.primary = meta["served_by_region"], meta["served_by_primary"]
        return [one["results"] for one in found]

    async def _post(self, url: str, body: object, header: str) -> Any:
        headers = {"authorization": f"Bearer {self._gateways.token}", header: self.bookmark}
        async with self._http.post(url, json=body, headers=headers) as answer:
            text = await answer.text()
            if answer.status in HONEST:
                assert answer.headers["retry-after"], text
                raise Refused(text)
            if answer.status == UNKNOWN_STATUS:
                raise _failure(text)
            assert answer.status == 200, (answer.status, text)
            self.bookmark = answer.headers.get(header, self.bookmark)
            return json.loads(text)


def _failure(told: str) -> Refused | Unknown:
    if "may or may not have taken effect" in told:
        return Unknown(told)
    assert "was run" in told or "was applied" in told or "not run" in told, told
    return Refused(told)


async def work(caller: Caller, client: int, until: float, tally: Counter[str]) -> int:
    """Writes and reads in turn until then; how many writes were acknowledged."""
    acknowledged = 0
    while time.monotonic() < until:
        try:
            await caller.ask((INSERT, [client, acknowledged + 1]), (COUNT, [client]))
            acknowledged += 1
            tally["writes"] += 1
            [[seen]] = await caller.ask((READ, [client]))
            assert seen["n"] == acknowledged
            tally[f"reads in {caller.region}"] += 1
        except Refused:
            tally["refused"] += 1
            await asyncio.sleep(0.1)
    return acknowledged


@pytest.mark.timeout(180)
def test_two_hundred_clients_lose_nothing_and_see_what_they_wrote_in_any_region(gateways: Gateways) -> None:
    async def case() -> None:
        tally: Counter[str] = Counter()
        limits = aiohttp.ClientTimeout(total=WAIT_SECONDS)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limits) as http:
            first = Caller(http, gateways, "first-primary")
            for sql in TABLES.split(";"):
                await first.ask((sql, []))
            async with asyncio.timeout(WAIT_SECONDS):
                while first.primary:
                    await first.ask((READ, [0]))
            until = time.monotonic() + SECONDS
            callers = [Caller(http, gateways, first.bookmark) for _ in range(CLIENTS)]
            acknowledged = await asyncio.gather(
                *[work(caller, client, until, tally) for client, caller in enumerate(callers)]
            )
            last = Caller(http, gateways, "first-primary")
            [rows] = await last.ask(
                ("SELECT client, count(*) AS n, max(n) AS last FROM many GROUP BY client ORDER BY client", [])
            )
            [counters] = await last.ask(("SELECT n FROM counters ORDER BY client", []))
        print(f"\n{CLIENTS} clients, {SECONDS:.0f} s: ", end="")
        print(", ".join(f"{number / SECONDS:.0f} {what}/s" for what, number in sorted(tally.items())))
        assert min(acknowledged) > 0
        assert [one["n"] for one in counters] == acknowledged
        assert [(one["n"], one["last"]) for one in rows] == [(one, one) for one in acknowledged]

    asyncio.run(case())


class Outcomes(msgspec.Struct):
    """Numbers of writes, by what their client was told."""

    acknowledged: set[int] = msgspec.field(default_factory=set[int])
    refused: set[int] = msgspec.field(default_factory=set[int])
    unknown: set[int] = msgspec.field(default_factory=set[int])


async def write(caller: Caller, client: int, until: float) -> Outcomes:
    """Writes one number after the other until then."""
    outcomes, number = Outcomes(), 0
    while time.monotonic() < until:
        number += 1
        try:
            await caller.ask((INSERT, [client, number]), (COUNT, [client]))
            outcomes.acknowledged.add(number)
        except Refused:
            outcomes.refused.add(number)
        except Unknown:
            outcomes.unknown.add(number)
    return outcomes


async def kill_primaries(database: str, until: float) -> int:
    """Kills the primary again and again until then; how often."""
    kills = 0
    while time.monotonic() + KILLERS_PAUSE_SECONDS < until:
        await asyncio.sleep(KILLERS_PAUSE_SECONDS)
        pid = await asyncio.to_thread(lambda: background.run(pid_of(f"primary:{database}")))
        os.kill(pid, signal.SIGKILL)
        kills += 1
    return kills


@pytest.mark.timeout(180)
def test_clients_of_a_primary_that_is_killed_are_told_what_became_of_each_write(gateways: Gateways) -> None:
    async def case() -> None:
        limits = aiohttp.ClientTimeout(total=WAIT_SECONDS)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limits) as http:
            first = Caller(http, gateways, "first-primary")
            for sql in TABLES.split(";"):
                await first.ask((sql, []))
            until = time.monotonic() + SECONDS
            callers = [Caller(http, gateways, first.bookmark) for _ in range(WRITERS)]
            writing = asyncio.gather(*[write(one, client, until) for client, one in enumerate(callers)])
            kills = await kill_primaries(gateways.database, until)
            told = await writing
            [rows] = await first.ask(("SELECT client, n FROM many", []))
            [counters] = await first.ask(("SELECT client, n FROM counters", []))
        assert kills >= 2
        print(f"\n{kills} kills: ", end="")
        for client, one in enumerate(told):
            there = {row["n"] for row in rows if row["client"] == client}
            assert one.acknowledged <= there <= one.acknowledged | one.unknown
            assert [row["n"] for row in counters if row["client"] == client] == [len(there)]
        acknowledged = sum(len(one.acknowledged) for one in told)
        refused, unknown = sum(len(one.refused) for one in told), sum(len(one.unknown) for one in told)
        print(f"{acknowledged} acknowledged, {refused} refused, {unknown} unknown")
        assert acknowledged > 0

    asyncio.run(case())

"""Clients of a campaign, in all regions at once; each keeps what it asked and what it was told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping

from tests.chaos.history import Operation, Outcome

import raylite
from raylite.policies.query import Value

REGIONS = ("enam", "weur", "apac")
SECONDS = 15.0
"""A query's timeout."""
READ = "SELECT client, max(n), count(*) FROM t GROUP BY client"
WRITE = "INSERT INTO t VALUES (?, ?)"


class Clients:
    """Two in each region with sessions, of which they begin new ones now and then, and two that use none.

    ended: is told of each operation.
    """

    def __init__(
        self,
        databases: Mapping[str, raylite.AsyncDatabase],
        chance: random.Random,
        ended: Callable[[Operation], None],
    ) -> None:
        self.operations: list[Operation] = []
        self.late: list[str] = []
        self.last_done = time.monotonic()
        self._databases, self._chance, self._ended = databases, chance, ended
        self._stopping = False
        regions = [*REGIONS, *REGIONS, "", ""]
        self._tasks = [asyncio.create_task(self._run(*one)) for one in enumerate(regions, 1)]

    async def stop(self) -> None:
        """Ends all clients, each after the query that it has under way."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def done_after(self, moment: float, seconds: float) -> None:
        """Returns once a write was acknowledged that ended after `moment`; raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while self.last_done <= moment:
                await asyncio.sleep(0.05)

    async def _run(self, client: int, region: str) -> None:
        database = self._databases[region or REGIONS[0]]
        n = sessions = 0
        while not self._stopping:
            sessions += 1
            name = f"{client}.{sessions}"
            asked = database.with_session() if region else database
            for _ in range(self._chance.randint(1, 60)):
                n = await self._query(name, client, n, asked, primary=not region)
                await asyncio.sleep(0.01 * self._chance.random())
                if self._stopping:
                    return

    async def _query(
        self,
        session: str,
        client: int,
        n: int,
        asked: raylite.AsyncSession | raylite.AsyncDatabase,
        *,
        primary: bool,
    ) -> int:
        """One query; the number of the client's newest write."""
        writes = self._chance.random() < 0.6
        n += writes
        start = time.monotonic()
        before, seen, outcome = _bookmark(asked), dict[int, tuple[int, int]](), Outcome.DONE
        try:
            if writes:
                await asked.prepare(WRITE).bind(client, n).run(timeout=SECONDS)
                self.last_done = time.monotonic()
            else:
                seen = _seen(await asked.prepare(READ).raw(timeout=SECONDS))
        except raylite.OutcomeUnknown:
            outcome = Outcome.UNKNOWN
        except raylite.Error:
            outcome = Outcome.FAILED
        end = time.monotonic()
        if end - start > SECONDS + 5:
            self.late.append(f"{session} waited {end - start:.1f} s")
        number, after = n if writes else 0, _bookmark(asked)
        one = Operation(session, client, number, outcome, start, end, before, after, seen, primary)
        self.operations.append(one)
        self._ended(one)
        return n


def _bookmark(asked: raylite.AsyncSession | raylite.AsyncDatabase) -> str:
    return asked.bookmark if isinstance(asked, raylite.AsyncSession) else ""


def _seen(rows: list[list[Value]]) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    for client, newest, count in rows:
        assert isinstance(client, int)
        assert isinstance(newest, int)
        assert isinstance(count, int)
        found[client] = newest, count
    return found

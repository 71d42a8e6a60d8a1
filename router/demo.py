"""`raylite demo`: the main job in one command, and a proof of what it promises (docs/guarantees).

Clients in every region at once: each writes in its own region, reads its own write from its nearest replica, and
hands the key to a client in another region, which reads it there at once: first in a fresh unconstrained session,
then with the bookmark that was handed on. Then every copy is checked against every other.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import msgspec

import raylite
from raylite.policies.errors import Error
from raylite.router.client import AsyncDatabase
from raylite.router.dataset import load
from raylite.router.demo_view import Live, report
from raylite.router.status import CopyCheck, check_copies

CLIENTS_PER_REGION = 2
PAUSE_SECONDS = 0.02
SCHEMA = "CREATE TABLE handoffs (region TEXT, client INTEGER, n INTEGER, city INTEGER, at REAL)"


class Tally:
    """What the clients saw. Latencies in milliseconds, by region."""

    def __init__(self, regions: tuple[str, ...]) -> None:
        self.regions = regions
        self.queries: Counter[tuple[str, str]] = Counter()
        self.write_ms: dict[str, list[float]] = defaultdict(list)
        self.read_ms: dict[str, list[float]] = defaultdict(list)
        self.own_writes = self.own_stale = 0
        self.plain = self.plain_stale = 0
        self.marked = self.marked_stale = 0
        self.errors: Counter[str] = Counter()

    @property
    def violations(self) -> int:
        """Reads that a promise forbids to be stale, and were."""
        return self.own_stale + self.marked_stale

    def served(self, region: str, meta: raylite.Meta) -> None:
        """Count a query by who answered it."""
        self.queries[region, "primary" if meta.served_by_primary else f"replica {meta.served_by_region}"] += 1


class Outcome(msgspec.Struct, frozen=True):
    """What `demo` proved. seconds: of the clients' run; copies: one a copy of the database."""

    seconds: float
    rows_loaded: int
    tally: Tally
    copies: list[CopyCheck]

    @property
    def copies_agree(self) -> bool:
        """Whether all copies are whole, at one bookmark and of the same pages."""
        whole = all(copy.integrity == "ok" for copy in self.copies)
        return whole and len({(copy.bookmark, copy.digest) for copy in self.copies}) == 1

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return self.tally.violations == 0 and self.copies_agree and not self.tally.errors


class Client:
    """One client in one region, with a partner in another."""

    def __init__(self, number: int, here: AsyncDatabase, there: AsyncDatabase, tally: Tally) -> None:
        self.number, self.here, self.there, self.tally = number, here, there, tally

    async def run(self, until: float) -> None:
        """Writes, reads and hands on until the clock shows `until`."""
        for n in itertools.count():
            if time.monotonic() >= until:
                return
            try:
                await self._round(n)
            except Error as error:
                self.tally.errors[type(error).__name__] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _round(self, n: int) -> None:
        session = self.here.with_session()
        began = time.perf_counter()
        write = session.prepare("INSERT INTO handoffs VALUES (?, ?, ?, ?, ?)")
        written = await write.bind(self.here.region, self.number, n, n % 1000, time.time()).run()
        self.tally.write_ms[self.here.region].append(1000 * (time.perf_counter() - began))
        self.tally.served(self.here.region, written.meta)
        self.tally.own_writes += 1
        self.tally.own_stale += not await self._sees(self.here, session, n)
        self.tally.plain += 1
        self.tally.plain_stale += not await self._sees(self.there, self.there.with_session(), n)
        self.tally.marked += 1
        handed = self.there.with_session(session.bookmark)
        self.tally.marked_stale += not await self._sees(self.there, handed, n)

    async def _sees(self, database: AsyncDatabase, session: raylite.AsyncSession, n: int) -> bool:
        began = time.perf_counter()
        read = session.prepare(
            "SELECT count(*) AS seen FROM handoffs WHERE region = ? AND client = ? AND n = ?"
        )
        result = await read.bind(self.here.region, self.number, n).all()
        self.tally.read_ms[database.region].append(1000 * (time.perf_counter() - began))
        self.tally.served(database.region, result.meta)
        return result.results[0]["seen"] == 1

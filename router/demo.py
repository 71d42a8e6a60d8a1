"""`raylite demo`: the main job in one command, and a proof of what it promises.

Clients in every region at once: each writes in its own region, reads its own write from its nearest replica, and
hands the key to a client in another region, which reads it there at once: first in a fresh unconstrained session,
then with the bookmark that was handed on. Then every copy is compared with every other.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live

from raylite.actors import handles
from raylite.policies import limits
from raylite.policies.errors import Error
from raylite.policies.status import CopyCheck
from raylite.router import api, dataset, demo_view
from raylite.router.background import background
from raylite.router.client import AsyncDatabase
from raylite.router.progress import steps
from raylite.router.statements import AsyncSession
from raylite.router.tally import Tally

CLIENTS_PER_REGION = 2
PAUSE_SECONDS = 0.02
HANDOFFS = "CREATE TABLE IF NOT EXISTS handoffs (region TEXT, client INTEGER, n INTEGER, at REAL)"
WRITE = "INSERT INTO handoffs VALUES (?, ?, ?, ?)"
READ = "SELECT count(*) AS seen FROM handoffs WHERE region = ? AND client = ? AND n = ?"


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
                await self._hand_on(n)
            except Error as error:
                self.tally.errors[str(error)] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _hand_on(self, n: int) -> None:
        tally, session = self.tally, self.here.with_session()
        await self._write(session, n)
        tally.handed_on += 1
        fresh, marked = self.there.with_session(), self.there.with_session(session.bookmark)
        tally.plain_stale += not await self._sees(self.there, fresh, n)
        tally.marked_stale += not await self._sees(self.there, marked, n)
        tally.own_stale += not await self._sees(self.here, session, n)

    async def _write(self, session: AsyncSession, n: int) -> None:
        began = time.perf_counter()
        statement = session.prepare(WRITE).bind(self.here.region, self.number, n, time.time())
        result = await statement.run()
        self.tally.write_ms[self.here.region].append(1000 * (time.perf_counter() - began))
        self.tally.served(self.here.region, result.meta)

    async def _sees(self, database: AsyncDatabase, session: AsyncSession, n: int) -> bool:
        began = time.perf_counter()
        result = await session.prepare(READ).bind(self.here.region, self.number, n).all()
        self.tally.read_ms[database.region].append(1000 * (time.perf_counter() - began))
        self.tally.served(database.region, result.meta)
        return result.results[0]["seen"] == 1


def run(
    file: Path | None,
    regions: Sequence[str],
    *,
    wan: bool,
    seconds: float,
    data_dir: Path | None,
    as_json: bool,
) -> int:
    """Runs the demo; 0 if every promise was kept, else 1."""
    console = Console(stderr=as_json)
    script = file.read_text(encoding="utf-8") if file is not None else None
    with tempfile.TemporaryDirectory(prefix="raylite-demo-") as folder:
        with steps("raylite demo") as step:
            step(f"starting a cluster with the regions {', '.join(regions)}")
            api.init(data_dir=data_dir or folder, regions=list(regions), wan=wan)
        try:
            return background.run(_run(console, script, tuple(regions), seconds, as_json=as_json))
        finally:
            api.shutdown()


async def _run(
    console: Console, script: str | None, regions: tuple[str, ...], seconds: float, *, as_json: bool
) -> int:
    with steps("raylite demo") as step:
        step("creating the database")
        databases = [await api.connect_async("demo", create=True, region=region) for region in regions]
        step("loading data")
        loaded = await _load(databases[0], script)
        await databases[0].prepare(HANDOFFS).run()
    console.print(f"{loaded} rows loaded; {CLIENTS_PER_REGION} clients in each of {', '.join(regions)}")
    tally = await _run_clients(console, databases, seconds)
    info = await databases[0].info()
    copies = await _check_copies([one.actor for one in info.actors])
    holds = _holds(tally, copies, 1 + len(regions))
    if as_json:
        print(demo_view.as_json(tally, info.actors, copies, holds=holds))
    demo_view.report(console, tally, info.actors, copies)
    console.print(_conclusion(tally, copies, holds=holds), style="bold green" if holds else "bold red")
    return 0 if holds else 1


async def _load(database: AsyncDatabase, script: str | None) -> int:
    if script is not None:
        results = await database.exec(script)
        return sum(one.meta.changes for one in results)
    await database.exec(dataset.SCHEMA)
    countries, cities = dataset.countries(), dataset.cities()
    await database.batch([database.prepare(dataset.INSERT_COUNTRY).bind(*row) for row in countries])
    await database.batch([database.prepare(dataset.INSERT_CITY).bind(*row) for row in cities])
    return len(countries) + len(cities)


async def _run_clients(console: Console, databases: Sequence[AsyncDatabase], seconds: float) -> Tally:
    """Runs all clients at once; each hands on to the next region."""
    tally = Tally(tuple(one.region for one in databases))
    following = [*databases[1:], databases[0]]
    pairs = [pair for pair in zip(databases, following, strict=True) for _ in range(CLIENTS_PER_REGION)]
    clients = [Client(number, here, there, tally) for number, (here, there) in enumerate(pairs)]
    until = time.monotonic() + seconds
    with Live(demo_view.live(tally), console=console, transient=True, refresh_per_second=4) as view:
        running = asyncio.gather(*(client.run(until) for client in clients))
        while not running.done():
            await asyncio.wait([running], timeout=0.25)
            view.update(demo_view.live(tally))
        await running
    return tally


async def _check_copies(actors: Sequence[str]) -> list[CopyCheck]:
    """Every copy at one bookmark: nobody writes any more, so all of them get there; a copy that cannot is left out."""
    copies: list[CopyCheck] = []
    async with asyncio.timeout(limits.QUERY_SECONDS):
        while True:
            checks = [handles.call(actor, "check", seconds=limits.QUERY_SECONDS) for actor in actors]
            found = await asyncio.gather(*checks, return_exceptions=True)
            copies = [one for one in found if isinstance(one, CopyCheck)]
            if len({one.bookmark for one in copies}) == 1:
                return copies
            await asyncio.sleep(limits.RETRY_SECONDS)


def _holds(tally: Tally, copies: Sequence[CopyCheck], expected: int) -> bool:
    same = len({(one.bookmark, one.digest) for one in copies}) == 1
    whole = len(copies) == expected and not any(one.problems for one in copies)
    return same and whole and not tally.violations and not tally.errors and tally.handed_on > 0


def _conclusion(tally: Tally, copies: Sequence[CopyCheck], *, holds: bool) -> str:
    if not holds:
        return "A promise was broken: see above."
    return (
        f"Proven: of {tally.handed_on} keys handed on, {tally.plain_stale} reads without the bookmark were stale, "
        f"and with it none; no session missed its own write; {len(copies)} copies are whole, at one bookmark and "
        "of the same pages."
    )

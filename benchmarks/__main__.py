"""A quorum write and a session read beside a bare call of a Ray actor, in one run on one node.

Medians of five rounds, in milliseconds and as ratios to the bare call of the same way of travelling; then what 32
sessions of one driver do together, how late replicas are, and where a write's time goes. The machine's load is
printed with it: figures of different runs say nothing about each other.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import ray
from rich.console import Console
from rich.table import Table

import raylite
from raylite.actors import handles
from raylite.policies.status import ActorStatus
from raylite.router import api
from raylite.router.background import background
from raylite.router.runtime import Runtime, own_region

ROUNDS = 5
CALLS = 200
SESSIONS = 32
SECONDS = 3.0

Once = Callable[[], Awaitable[object]]


class Bare:
    """An async actor whose one method does nothing."""

    async def call(self) -> None:
        """Returns."""


async def median_ms(once: Once) -> float:
    """The median over all rounds of one call after another."""
    medians: list[float] = []
    for _ in range(ROUNDS):
        taken: list[float] = []
        for _ in range(CALLS):
            began = time.perf_counter()
            await once()
            taken.append(1000 * (time.perf_counter() - began))
        medians.append(statistics.median(taken))
    return statistics.median(medians)


async def per_second(many: list[Once]) -> float:
    """Calls a second when each of `many` calls without pause; the median of the rounds."""
    rates: list[float] = []
    for _ in range(ROUNDS):
        until = time.monotonic() + SECONDS
        counts = await asyncio.gather(*(_repeat(once, until) for once in many))
        rates.append(sum(counts) / SECONDS)
    return statistics.median(rates)


async def _repeat(once: Once, until: float) -> int:
    count = 0
    while time.monotonic() < until:
        await once()
        count += 1
    return count


def writes(database: raylite.AsyncDatabase) -> Once:
    """A write of one row in a session of its own."""
    statement = database.with_session().prepare("INSERT INTO t VALUES (?, ?)").bind(1, "x" * 100)
    return statement.run


def reads(database: raylite.AsyncDatabase) -> Once:
    """A point read in a session of its own."""
    return database.with_session().prepare("SELECT * FROM t WHERE rowid = 1").all


def sync_ms(folder: Path) -> float:
    """Milliseconds to write and sync one entry of a page to a file that is written already."""
    data, taken = os.urandom(4200), list[float]()
    with open(folder / "sync", "w+b") as file:
        file.write(bytes(len(data) * CALLS))
        os.fsync(file.fileno())
        for index in range(CALLS):
            began = time.perf_counter()
            os.pwrite(file.fileno(), data, index * len(data))
            os.fdatasync(file.fileno())
            taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


async def measure(console: Console, folder: Path) -> None:
    """Runs everything and prints it."""
    stream = await raylite.connect_async("bench", create=True)
    await stream.exec("CREATE TABLE IF NOT EXISTS t (a INTEGER, b TEXT)")
    entry = await handles.call("registry", "lookup", "bench")
    settings = await asyncio.to_thread(api.settings)
    plain, streaming = Runtime(settings, streams=False), Runtime(settings)
    called = await plain.open(entry, own_region(settings))
    bare: Any = ray.remote(Bare).options(num_cpus=0).remote()
    connection = await streaming.caller(own_region(settings)).connection("primary:bench")
    await bare.call.remote()
    limits = {
        "stream": await median_ms(connection.ping),
        "Ray call": await median_ms(bare.call.remote),
    }
    table = Table(
        "what", "travels by", "ms", "bare call ms", "ratio", title=f"One client, medians of {ROUNDS} rounds"
    )
    for way, database in (("stream", stream), ("Ray call", called)):
        for what, once in (("quorum write", writes(database)), ("session read", reads(database))):
            taken = await median_ms(once)
            table.add_row(what, way, f"{taken:.3f}", f"{limits[way]:.3f}", f"{taken / limits[way]:.1f}")
    console.print(table)
    await _together(console, stream)
    await _shares(console, stream, folder, limits["stream"])
    await plain.close()
    await streaming.close()


async def _together(console: Console, database: raylite.AsyncDatabase) -> None:
    table = Table(
        "what", "1 session/s", f"{SESSIONS} sessions/s", "ratio", title="Sessions of one driver together"
    )
    for what, make in (("writes", writes), ("reads", reads)):
        one = await per_second([make(database)])
        many = await per_second([make(database) for _ in range(SESSIONS)])
        table.add_row(what, f"{one:.0f}", f"{many:.0f}", f"{many / one:.1f}")
    console.print(table)
    statuses: tuple[ActorStatus, ...] = (await database.info()).actors
    lags = [f"{one.region} {one.lag_ms:.1f} ms" for one in statuses if one.lag_ms is not None]
    console.print(f"confirm lag of the last entry: {', '.join(lags)}")


async def _shares(console: Console, database: raylite.AsyncDatabase, folder: Path, ping_ms: float) -> None:
    write = writes(database)
    results = [await write() for _ in range(CALLS)]
    found = [one for one in results if isinstance(one, raylite.Result)]
    whole = statistics.median(one.meta.timings.round_trip_ms for one in found)
    sqlite = statistics.median(one.meta.duration for one in found)
    sync = await asyncio.to_thread(sync_ms, folder)
    rest = whole - sqlite - sync - 2 * ping_ms
    console.print(
        f"a write takes {whole:.2f} ms: driver to primary and primary to follower and back {2 * ping_ms:.2f}, "
        f"SQLite {sqlite:.2f}, one sync of 4.2 KB {sync:.2f}; the rest, {rest:.2f}, is threads, encoding and "
        "five followers that share this machine"
    )


def main() -> None:
    """Measures on a system of its own."""
    console = Console()
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory(prefix="raylite-bench-") as folder:
        raylite.init(data_dir=folder)
        try:
            background.run(measure(console, Path(folder)), seconds=None)
        finally:
            raylite.shutdown()
    console.print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

"""What many databases cost that nobody uses, and how long the first query of one takes that wakes it.

Each has a table and a row, and no replicas. They are made and used a few at a time, so that as few are awake; then some
are woken one after the other, on an otherwise quiet system.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from rich.console import Console

import raylite
from raylite.actors import handles
from raylite.policies.status import Overview
from raylite.router import api
from raylite.router.background import background
from raylite.router.local_cluster import descendants

HIBERNATE_SECONDS = 5.0
LIMIT_SECONDS = 600.0
"""Nothing that is waited for here takes longer."""
console = Console()


def name_of(number: int) -> str:
    """Of a database."""
    return f"bench-{number}"


async def each(numbers: Sequence[int], at_once: int, work: Callable[[int], Awaitable[None]]) -> None:
    """Does the work for each of them, so many at the same time."""
    room = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with room:
            await work(number)

    await asyncio.gather(*map(one, numbers))


async def create(number: int) -> None:
    """A database without replicas, which is asleep."""
    await api.create_database(name_of(number), replication="disabled")


async def use(number: int) -> None:
    """Its first queries."""
    database = await raylite.connect_async(name_of(number))
    await database.prepare("CREATE TABLE IF NOT EXISTS t (a INTEGER)").run(timeout=LIMIT_SECONDS)
    await database.prepare("INSERT INTO t VALUES (1)").run(timeout=LIMIT_SECONDS)


async def first_query(number: int) -> float:
    """Seconds until a database that is asleep has answered."""
    database = await raylite.connect_async(name_of(number))
    began = time.perf_counter()
    assert await database.prepare("SELECT count(*) FROM t").raw(timeout=LIMIT_SECONDS) == [[1]]
    return time.perf_counter() - began


async def until_asleep(awake: int, count: int) -> None:
    """Waits until all but so many of them are."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            overview: Overview = await handles.call("registry", "overview", seconds=LIMIT_SECONDS)
            if overview.asleep >= count - awake:
                return
            await asyncio.sleep(1)


def footprint(folder: Path) -> tuple[int, float, float]:
    """Processes of the system, their private memory in MB, and what its files take on the disk, in MB."""
    pids = [int(os.getpid()), *descendants(os.getpid())]
    memory = sum(_private_bytes(pid) for pid in pids)
    files = sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
    return len(pids), memory / 1e6, files / 1e6


def _private_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def measure(folder: Path, databases: int, used: int, active: int, wakes: int) -> None:
    """Prints each figure as it is known."""
    say(folder, "nothing yet")
    numbers = range(databases)
    began = time.monotonic()
    background.run(each(numbers, 8, create), seconds=None)
    seconds = time.monotonic() - began
    console.print(f"{databases} databases made in {seconds:.0f} s, {1000 * seconds / databases:.1f} ms each")
    say(folder, "all asleep, never used")
    began = time.monotonic()
    chosen = random.sample(numbers, used)
    background.run(each(chosen, active, use), seconds=None)
    console.print(f"{used} of them used, {active} at a time, in {time.monotonic() - began:.0f} s")
    background.run(until_asleep(0, databases), seconds=None)
    say(folder, "all asleep again")
    times = [background.run(first_query(number)) for number in random.sample(chosen, wakes)]
    ordered = sorted(times)
    console.print(
        f"first query of a database that is asleep, {wakes} times: p50 {statistics.median(ordered):.2f} s, "
        f"p99 {ordered[min(wakes - 1, int(0.99 * wakes))]:.2f} s; load {os.getloadavg()[0]:.1f}"
    )


def say(folder: Path, when: str) -> None:
    """What the system takes now."""
    processes, memory, files = footprint(folder)
    console.print(f"{when}: {processes} processes, {memory:.0f} MB of memory, {files:.0f} MB of files")


def main() -> None:
    """Measures on a system of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--databases", type=int, default=10_000)
    parser.add_argument("--used", type=int, default=200, help="how many are used once")
    parser.add_argument("--active", type=int, default=50, help="how many are used at a time")
    parser.add_argument("--wakes", type=int, default=100)
    chosen = parser.parse_args()
    console.print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="raylite-bench-") as folder:
        raylite.init(data_dir=folder, hibernate=HIBERNATE_SECONDS)
        try:
            measure(Path(folder), chosen.databases, chosen.used, chosen.active, chosen.wakes)
        finally:
            raylite.shutdown()


if __name__ == "__main__":
    main()

"""One huge transaction through a real primary, five followers and three replicas on one node."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest
from tests.cluster.test_faults import copies_agree
from tests.cluster.writers import pid_of, send

import raylite
from raylite.router.background import background

MEGABYTES = int(os.environ.get("RAYLITE_LARGE_MB", "30"))
MOST_MEGABYTES = 120
"""What an actor may need besides: a leader's window, what is on its way to peers, what waits for a journal's sync."""
ROW_BYTES = 1_000_000
REGIONS = ("enam", "weur", "apac")
FOLLOWERS = tuple(f"follower:{index}" for index in range(5))


class Memory:
    """The most memory that actors' processes have had since this was made, beyond what they had then; in MB."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        for pid in pids.values():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._before = {actor: self._peak(pid) for actor, pid in pids.items()}

    def grown(self) -> dict[str, int]:
        return {actor: (self._peak(pid) - self._before[actor]) >> 20 for actor, pid in self._pids.items()}

    def _peak(self, pid: int) -> int:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


async def pids_of(name: str) -> dict[str, int]:
    actors = [f"primary:{name}", *(f"replica:{name}:{region}" for region in REGIONS), *FOLLOWERS]
    return dict(zip(actors, await asyncio.gather(*map(pid_of, actors)), strict=True))


@pytest.mark.timeout(600)
def test_a_huge_transaction_shows_at_once_everywhere_in_bounded_memory(database: raylite.Database) -> None:
    numbers = f"WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MEGABYTES})"

    async def case() -> None:
        here = await raylite.connect_async(database.name)
        await here.exec("CREATE TABLE large (i INTEGER, b BLOB)")
        memory = Memory(await pids_of(database.name))
        seen: list[set[object]] = []
        watching = [asyncio.create_task(watch(region, seen)) for region in REGIONS]
        try:
            await write(here, memory, seen)
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
        await copies_agree(here)
        began = time.monotonic()
        for actor in await pids_of(database.name):
            await send(actor, signal.SIGKILL)
        async with asyncio.timeout(120):
            while await total(here) != MEGABYTES * ROW_BYTES:
                await asyncio.sleep(0.2)
        print(f"all killed and back after {time.monotonic() - began:.1f} s")
        await copies_agree(here)

    async def write(here: raylite.AsyncDatabase, memory: Memory, seen: list[set[object]]) -> None:
        began = time.monotonic()
        session = here.with_session("first-primary")
        insert = f"{numbers} INSERT INTO large SELECT i, randomblob({ROW_BYTES}) FROM n"
        await session.prepare(insert).run(timeout=120)
        wrote = time.monotonic() - began
        for region in REGIONS:
            there = await raylite.connect_async(database.name, region=region)
            count = there.with_session(session.bookmark).prepare("SELECT count(*) FROM large")
            assert await count.raw(timeout=120) == [[MEGABYTES]]
        shown = time.monotonic() - began
        assert all(counts <= {0, MEGABYTES} for counts in seen), "a part of the transaction was seen"
        times = f"acknowledged after {wrote:.1f} s, read everywhere after {shown:.1f} s"
        grown = memory.grown()
        print(f"{MEGABYTES} MB: {times}; MB of memory more: {grown}")
        assert all(size < MOST_MEGABYTES for size in grown.values())

    async def watch(region: str, seen: list[set[object]]) -> None:
        counts: set[object] = set()
        seen.append(counts)
        there = await raylite.connect_async(database.name, region=region)
        while True:
            rows = await there.with_session().prepare("SELECT count(*) FROM large").raw()
            counts.add(rows[0][0])
            await asyncio.sleep(0.02)

    background.run(case())


async def total(database: raylite.AsyncDatabase) -> object:
    try:
        rows = await database.prepare("SELECT sum(length(b)) FROM large").raw()
    except raylite.Error:
        return -1
    return rows[0][0]

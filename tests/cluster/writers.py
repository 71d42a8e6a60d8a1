"""Clients that write without pause and keep what was acknowledged and what nobody can say."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter

import raylite
from raylite.actors import handles
from raylite.policies.status import ActorStatus

CLIENTS = 8


class Writers:
    """Each inserts (client, n) into `t`, which has no unique key, so that a doubled write shows."""

    def __init__(self, database: raylite.AsyncDatabase) -> None:
        self.acknowledged: set[tuple[int, int]] = set()
        self.unknown: set[tuple[int, int]] = set()
        self.refused: Counter[str] = Counter()
        self.last_acknowledged = time.monotonic()
        self._database = database
        self._stopping = False
        self._insert = database.prepare("INSERT INTO t VALUES (?, ?)")
        self._tasks = [asyncio.create_task(self._write(client)) for client in range(CLIENTS)]

    async def acknowledges_after(self, moment: float, seconds: float) -> float:
        """Seconds from `moment` on the monotonic clock to the next acknowledged write; fails after `seconds`."""
        async with asyncio.timeout(seconds):
            while self.last_acknowledged <= moment:
                await asyncio.sleep(0.005)
        return self.last_acknowledged - moment

    async def stop(self) -> None:
        """Ends all clients, each after the write that it has under way."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def check(self) -> None:
        """Everything acknowledged is there once, and nothing is there that was never written."""
        rows = await self._database.prepare("SELECT client, n, count(*) FROM t GROUP BY client, n").raw()
        found = {(client, n): count for client, n, count in rows}
        assert not self.acknowledged - found.keys(), "acknowledged writes are lost"
        assert all(count == 1 for count in found.values()), "writes are doubled"

    async def _write(self, client: int) -> None:
        n = 0
        while not self._stopping:
            n += 1
            self.unknown.add((client, n))
            try:
                await self._insert.bind(client, n).run()
            except raylite.OutcomeUnknown:
                continue
            except raylite.Error as error:
                self.refused[type(error).__name__] += 1
            else:
                self.acknowledged.add((client, n))
                self.last_acknowledged = time.monotonic()
            self.unknown.discard((client, n))


async def pid_of(actor: str) -> int:
    """The process of an actor that lives, or lives again within half a minute."""
    async with asyncio.timeout(30):
        while True:
            try:
                status: ActorStatus = await handles.call(actor, "status", seconds=5)
            except raylite.Error:
                await asyncio.sleep(0.05)
                continue
            return status.pid


async def send(actor: str, number: signal.Signals) -> int:
    """Sends a signal to an actor's process and returns its id."""
    pid = await pid_of(actor)
    os.kill(pid, number)
    return pid

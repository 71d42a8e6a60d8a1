"""Wakes databases that are asleep, a few at a time: processes that start take the processor from all others.

A hundred that started at once on one machine would take from followers and registry what these need to keep their
leases, and the hundred themselves would all be late.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Final

from raylite.actors.catalogue import Catalogue
from raylite.actors.databases import Databases
from raylite.actors.ports import Cluster
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Error, Unreachable
from raylite.policies.system import primary_name, replica_name

_WAIT_SECONDS: Final = limits.CALL_SECONDS / 2
"""Whoever waits for his turn hears of it before his own call ends."""


class Waking:
    """That of the registry. announce: tells routers who is awake; hold: keeps what goes on when a call has ended."""

    def __init__(
        self,
        catalogue: Catalogue,
        databases: Databases,
        cluster: Cluster,
        announce: Callable[[], Awaitable[None]],
        hold: Callable[[Coroutine[object, object, None]], object],
    ) -> None:
        self._catalogue, self._databases, self._cluster = catalogue, databases, cluster
        self._announce, self._hold = announce, hold
        self._busy = 0
        self._turn = asyncio.Condition()

    async def wake(self, name: str) -> DatabaseEntry:
        """See `Registry.wake`."""
        entry = await self._catalogue.get(name)
        if not entry.asleep and entry.members is not None:
            return entry
        woken: asyncio.Future[DatabaseEntry] = asyncio.get_running_loop().create_future()
        self._hold(self._start(name, woken))
        return await woken

    async def _start(self, name: str, woken: asyncio.Future[DatabaseEntry]) -> None:
        """Starts the primary, which ends the call that asked for it; the replicas once that is up, as another turn."""
        try:
            async with self._turned(primary_name(name), _WAIT_SECONDS):
                entry = await self._databases.wake(name)
                await self._announce()
                _answer(woken, entry)
                await self._until_up(limits.START_SECONDS / 2, primary_name(name))
        except Error as error:
            if not woken.done():  # whoever asked may have given up
                woken.set_exception(error)
        else:
            await self._start_replicas(entry)

    async def _start_replicas(self, entry: DatabaseEntry) -> None:
        try:
            async with self._turned(entry.name, limits.START_SECONDS):
                await self._databases.finish_one(entry.name)
                replicas = (replica_name(entry.name, one) for one in entry.replicas)
                await self._until_up(limits.CALL_SECONDS, *replicas)
        except Unreachable as error:
            self._databases.unfinished[entry.name] = str(error)

    async def _until_up(self, seconds: float, *actors: str) -> None:
        waits = (self._cluster.wait_for(one, seconds) for one in actors)
        await asyncio.gather(*waits, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def _turned(self, what: str, seconds: float) -> AsyncGenerator[None]:
        """While this lasts, few others are started; raises `Unreachable` if its turn does not come within `seconds`."""
        width = limits.WOKEN_AT_ONCE * max(1, len(await self._cluster.nodes()))
        async with self._turn:
            try:
                async with asyncio.timeout(seconds):
                    await self._turn.wait_for(lambda: self._busy < width)
            except TimeoutError:
                raise Unreachable(what, f"{self._busy} databases are being woken, and others wait") from None
            self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            async with self._turn:
                self._turn.notify_all()


def _answer(woken: asyncio.Future[DatabaseEntry], entry: DatabaseEntry) -> None:
    if not woken.done():
        woken.set_result(entry)

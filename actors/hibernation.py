"""A database that nobody uses has no processes: how it is laid to rest, and how the next query wakes it.

A primary says that it is idle; the registry asks the replicas, has the primary give its reign up, notes that the
database is asleep, and ends its actors. Nothing is lost if any of them dies on the way: what is confirmed is on a
quorum of followers, and whoever asks for the database wakes it (docs/architecture.md, Hibernation).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator

from raylite.actors.archiving import Archiving
from raylite.actors.core.leader import Leader
from raylite.actors.ports import Cluster
from raylite.actors.registrar import Registrar
from raylite.actors.service import boottime
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Error, Unreachable
from raylite.policies.system import primary_name, replica_name


class Idleness:
    """How long ago somebody last asked an actor for something."""

    def __init__(self, clock: Callable[[], float] = boottime) -> None:
        self._clock, self._last, self._busy = clock, clock(), 0

    @property
    def seconds(self) -> float:
        """0.0 while something is being done for somebody."""
        return 0.0 if self._busy else self._clock() - self._last

    def end(self) -> None:
        """Somebody asks for something now."""
        self._last = self._clock()

    @contextlib.contextmanager
    def ended(self) -> Generator[None]:
        """For the time of what somebody asks for."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            self.end()


async def ask_for_rest(idleness: Idleness, registrar: Registrar, database_id: str, seconds: float) -> None:
    """What a primary does: whenever nobody has used it for so long, it says so to the registry. For ever."""
    while True:
        await asyncio.sleep(max(seconds - idleness.seconds, min(seconds, limits.SETTLED_SECONDS) / 4))
        if idleness.seconds >= seconds:
            with contextlib.suppress(Error):  # it says so again
                await registrar.rest(database_id)


async def is_settled(leader: Leader | None, archiving: Archiving | None) -> bool:
    """Whether all that a primary has confirmed is in cold storage, if there is any, and it has nothing else."""
    if leader is None or leader.confirmation.unconfirmed:
        return False
    place = leader.confirmed
    if archiving is not None:
        try:
            async with asyncio.timeout(limits.SETTLE_SECONDS):
                await archiving.flush(place)
        except (TimeoutError, Unreachable):
            return False
    return not leader.confirmation.unconfirmed and leader.confirmed == place


async def is_idle(cluster: Cluster, entry: DatabaseEntry, seconds: float) -> bool:
    """Whether nobody has asked any copy for anything for so long; one that says nothing serves nobody."""
    actors = (primary_name(entry.name), *(replica_name(entry.name, one) for one in entry.replicas))
    found = await asyncio.gather(*(_idle_seconds(cluster, one) for one in actors))
    return min(found) >= seconds


async def _idle_seconds(cluster: Cluster, actor: str) -> float:
    try:
        return (await cluster.status(actor)).idle_seconds
    except Error:
        return float("inf")

"""Starting anew whom somebody misses, where Ray does not notice: what hangs, or is on a machine that is cut off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from raylite.actors.ports import Cluster
from raylite.actors.primary import PrimaryConfig
from raylite.actors.revival import lease_is_over
from raylite.actors.service import boottime
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.quorum import Member
from raylite.policies.system import primary_name, replica_name

ConfigOf = Callable[[DatabaseEntry], PrimaryConfig]
Inspect = Callable[[str, Member], Awaitable[object]]
"""Asks a follower what it holds of a database, by its id."""
Clock = Callable[[], float]
Start = Callable[[str, bool], Awaitable[None]]


class Supervision:
    """Replaces actors, each once in a while at most, however many miss it.

    The new one starts on another node of its region if there is one, else where the old one was: most often it was
    the process that hung. If it is missed again soon it was the node, and any other will do.
    """

    def __init__(
        self, cluster: Cluster, config_of: ConfigOf, inspect: Inspect, clock: Clock = boottime
    ) -> None:
        self._cluster, self._config_of, self._inspect, self._clock = cluster, config_of, inspect, clock
        self._replaced: dict[str, float] = {}

    async def primary_missed(self, entry: DatabaseEntry) -> bool:
        """Replaces this database's primary unless a quorum may still give it a lease; returns whether it did.

        Safety does not rest on it: epochs fence whoever comes back.
        """
        actor = primary_name(entry.name)
        if entry.members is None or not self._is_due(actor):
            return False
        if not await lease_is_over(
            entry.members, lambda member: self._inspect(entry.database_id, member), limits.LEASE_SECONDS
        ):
            return False
        config = self._config_of(entry)
        return await self._replace(
            actor, lambda avoid, strictly: self._cluster.start_primary(config, avoid, strictly=strictly)
        )

    async def replica_lost(self, entry: DatabaseEntry, region: str) -> bool:
        """Replaces a replica that nobody has heard of for long; returns whether it did."""
        actor = replica_name(entry.name, region)
        return self._is_due(actor) and await self._replace(
            actor,
            lambda avoid, strictly: self._cluster.start_replica(entry, region, avoid, strictly=strictly),
        )

    def _is_due(self, actor: str) -> bool:
        return self._clock() - self._replaced.get(actor, -limits.REPLACE_SECONDS) >= limits.REPLACE_SECONDS

    async def _replace(self, actor: str, start: Start) -> bool:
        """Ends the actor and starts another. Two that miss it at the same moment replace it once."""
        if not self._is_due(actor):
            return False
        now = self._clock()
        self._replaced = {
            name: at for name, at in self._replaced.items() if now - at < limits.REPLACED_AGAIN_SECONDS
        }
        again = actor in self._replaced
        self._replaced[actor] = now
        await start(await self._cluster.kill(actor), again)
        return True

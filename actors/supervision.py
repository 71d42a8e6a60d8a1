"""Starting anew whom somebody misses, where Ray does not notice: what hangs, or is on a machine that is cut off."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from raylite.actors.ports import Cluster, Whereabouts
from raylite.actors.revival import lease_is_over
from raylite.actors.service import boottime
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Error
from raylite.policies.quorum import Member
from raylite.policies.system import PrimaryConfig, primary_name, replica_name

ConfigOf = Callable[[DatabaseEntry], PrimaryConfig]
Inspect = Callable[[str, Member], Awaitable[object]]
"""Asks a follower what it holds of a database, by its id."""
Answers = Callable[[str], Awaitable[bool]]
"""Whether anything on this node answers."""
Unchanged = Callable[[DatabaseEntry], AbstractAsyncContextManager[None]]
"""While it is entered this database is not deleted, nor its name given away; raises `DatabaseNotFound` if it was."""
Clock = Callable[[], float]
Start = Callable[[str, bool], Awaitable[None]]

SETTLED = ("open", "over")
"""States of a primary that is on its way to nothing else."""


class Supervision:
    """Replaces actors, each once in a while at most, however many miss it.

    If nothing on its node answers, the new one starts on any other; else on another node of its region if there is
    one. Whatever is being started on a node that answers is left alone: many that start at once take their time, and
    ending them would make it longer. What they know of a database may be old by the time that they act: a name that
    was given to another database meanwhile is never touched.
    """

    def __init__(
        self,
        cluster: Cluster,
        config_of: ConfigOf,
        inspect: Inspect,
        node_answers: Answers,
        unchanged: Unchanged,
        clock: Clock = boottime,
    ) -> None:
        self._cluster, self._config_of, self._clock = cluster, config_of, clock
        self._inspect, self._node_answers, self._unchanged = inspect, node_answers, unchanged
        self._looked_at: dict[str, float] = {}
        self._starting: dict[str, float] = {}

    async def primary_missed(self, entry: DatabaseEntry) -> bool:
        """Replaces this database's primary unless a quorum may still give it a lease; returns whether it did.

        Safety does not rest on it: epochs fence whoever comes back. Raises `DatabaseNotFound` if it is deleted by now.
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
            entry,
            actor,
            lambda avoid, strictly: self._cluster.start_primary(config, avoid, strictly=strictly),
        )

    async def replica_lost(self, entry: DatabaseEntry, region: str) -> bool:
        """Replaces a replica that nobody has heard of for long; returns whether it did. Raises as `primary_missed`."""
        actor = replica_name(entry.name, region)
        return await self._state(actor) is None and await self._replace(
            entry,
            actor,
            lambda avoid, strictly: self._cluster.start_replica(entry, region, avoid, strictly=strictly),
        )

    def _is_due(self, actor: str) -> bool:
        return self._clock() - self._looked_at.get(actor, -limits.REPLACE_SECONDS) >= limits.REPLACE_SECONDS

    async def _replace(self, entry: DatabaseEntry, actor: str, start: Start) -> bool:
        """Ends the actor and starts another, unless it is starting. Two that miss it at once have that done once."""
        if not self._is_due(actor):
            return False
        now = self._clock()
        self._looked_at = {
            name: at for name, at in self._looked_at.items() if now - at < limits.REPLACE_SECONDS
        }
        self._looked_at[actor] = now
        there = await self._cluster.whereabouts(actor)
        node_answers = not there.node or await self._node_answers(there.node)
        if node_answers and await self._is_on_its_way(actor, there):
            return False
        self._starting.pop(actor, None)
        async with self._unchanged(entry):
            await self._cluster.kill(actor)
            await start(there.node, not node_answers)
        return True

    async def _is_on_its_way(self, actor: str, there: Whereabouts) -> bool:
        """Whether it is being started, or has yet to open, and that for less than a start may take."""
        if not there.starting and await self._state(actor) in (*SETTLED, None):
            self._starting.pop(actor, None)
            return False
        since = self._starting.setdefault(actor, self._clock())
        return self._clock() - since < limits.START_SECONDS

    async def _state(self, actor: str) -> str | None:
        """What it says of itself, None if it says nothing."""
        try:
            return (await self._cluster.status(actor)).state
        except Error:
            return None

"""The routing table on its way from the catalogue to the routing actor."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from raylite.actors.catalogue import Catalogue
from raylite.actors.ports import Cluster
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, Placement, RouteEntry, RoutingTable
from raylite.policies.errors import Error
from raylite.policies.system import primary_name, replica_name

Epoch = Callable[[], Awaitable[int]]
"""The registry's epoch, once it can be asked; raises `Unreachable`."""


class Publication:
    """Gives the routing actor newer tables, and never an older one."""

    def __init__(self, catalogue: Catalogue, cluster: Cluster, epoch: Epoch) -> None:
        self._catalogue, self._cluster, self._epoch = catalogue, cluster, epoch
        self._version = 0
        self._silences = 0

    async def publish(self) -> None:
        """Hands the routing table to the routing actor; raises an `Error`."""
        # Taken before the catalogue is read, and above all of an earlier reign: whoever was stopped in between and
        # goes on later replaces nothing newer.
        epoch = await self._epoch()
        version = self._version = max(self._version + 1, epoch << 32)
        entries = await self._catalogue.awake()
        routes = {entry.name: _route(entry) for entry in entries if entry.members is not None}
        await self._cluster.publish(RoutingTable(version, routes))

    async def see_to_routing(self) -> None:
        """Gives the routing actor the table if it has another one, and replaces it if it hangs; does not raise."""
        try:
            if await self._cluster.published() != self._version or not self._version:
                await self.publish()
            self._silences = 0
        except Error:
            self._silences += 1
        if self._silences >= limits.HEALTH_SILENCES:
            self._silences = 0
            with contextlib.suppress(Error):
                await self._cluster.replace_routing()
                await self.publish()


def _route(entry: DatabaseEntry) -> RouteEntry:
    replicas = [Placement(replica_name(entry.name, region), region) for region in entry.replicas]
    primary = Placement(primary_name(entry.name), entry.region)
    return RouteEntry(entry.database_id, entry.name, primary, tuple(replicas))

"""What actors need of Ray, as ports: only `actors.handles` knows how it is done."""

from __future__ import annotations

from typing import Protocol

from raylite.actors.primary import PrimaryConfig
from raylite.policies.catalogue import DatabaseEntry, RoutingTable


class Cluster(Protocol):
    """Starting and ending actors by name."""

    async def start_primary(self, config: PrimaryConfig) -> None:
        """Start a primary unless one of that name lives."""
        ...

    async def start_replica(self, entry: DatabaseEntry, region: str) -> None:
        """Start a replica unless one of that name lives."""
        ...

    async def kill(self, actor: str) -> None:
        """End the actor of this name for good, if there is one; its name is free then."""
        ...

    async def publish(self, table: RoutingTable) -> None:
        """Hand a new routing table to the routing actor."""
        ...

    def directory(self, database_id: str, role: str) -> str:
        """Where a primary or replica keeps its files."""
        ...

"""The routing actor: keeps the table of who serves which database, and tells routers when it changes."""

from __future__ import annotations

import asyncio

from raylite.policies.catalogue import RoutingTable
from raylite.policies.limits import WATCH_SECONDS
from raylite.policies.system import Settings


class Routing:
    """The newest routing table. The registry pushes it, routers wait for it; it is on no query's path.

    It also hands the system's settings to drivers that join, who have shown Ray that they belong here.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table = RoutingTable(0, {})
        self._changed = asyncio.Condition()

    def __repr__(self) -> str:
        return "routing"

    async def publish(self, table: RoutingTable) -> None:
        """Replaces the table if this one is newer; a policy set by a driver stays."""
        async with self._changed:
            if table.version > self._table.version:
                policy = table.policy or self._table.policy
                self._table = RoutingTable(table.version, table.routes, policy)
                self._changed.notify_all()

    async def set_policy(self, policy: bytes) -> None:
        """Hands a pickled routing policy (b"": the default) to every router."""
        async with self._changed:
            self._table = RoutingTable(self._table.version + 1, self._table.routes, policy)
            self._changed.notify_all()

    async def settings(self) -> Settings:
        """The system's settings, with the key of its streams."""
        return self._settings

    async def watch(self, version: int) -> RoutingTable:
        """The table once it is newer than `version`, or as it is after a while."""
        async with self._changed:
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._changed.wait_for(lambda: self._table.version > version)
            except TimeoutError:
                pass
            return self._table

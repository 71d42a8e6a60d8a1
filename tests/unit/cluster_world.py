"""A cluster of names only: what was started, where, and what was ended. A `Cluster`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from raylite.actors.ports import Survey, Whereabouts
from raylite.policies.catalogue import DatabaseEntry, RoutingTable
from raylite.policies.errors import Unreachable
from raylite.policies.quorum import Members
from raylite.policies.status import ActorStatus
from raylite.policies.system import Node, PrimaryConfig, Site, replica_name


class FakeCluster:
    """Notes every call in `done`. there, state: of every actor; "" if they say nothing of themselves; up: all are."""

    def __init__(self, nodes: Sequence[Node] = ()) -> None:
        self.alive = list(nodes)
        self.done: list[tuple[object, ...]] = []
        self.broken = False
        self.settles = True
        self.idle_seconds = 0.0
        self.there, self.state = Whereabouts("node-1"), ""
        self.failing: set[str] = set()
        self.up = asyncio.Event()
        self.up.set()
        self.table = RoutingTable(0, {})

    async def start_primary(self, config: PrimaryConfig, avoid: str = "", *, strictly: bool = False) -> None:
        if config.database in self.failing:
            raise Unreachable(config.database, "it cannot be started")
        self.done.append(("primary", config.database, avoid, strictly))

    async def start_replica(
        self, entry: DatabaseEntry, region: str, avoid: str = "", *, strictly: bool = False
    ) -> None:
        self.done.append(("replica", replica_name(entry.name, region), avoid, strictly))

    async def wait_for(self, actor: str, seconds: float) -> None:
        self.done.append(("wait", actor))
        await self.up.wait()

    async def kill(self, actor: str) -> None:
        self.done.append(("kill", actor))

    async def whereabouts(self, actor: str) -> Whereabouts:
        return self.there

    async def status(self, actor: str) -> ActorStatus:
        if not self.state:
            raise Unreachable(actor, "it says nothing")
        return ActorStatus(actor, "primary", "enam", 1, self.state, idle_seconds=self.idle_seconds)

    async def settle(self, actor: str) -> bool:
        self.done.append(("settle", actor))
        return self.settles

    async def publish(self, table: RoutingTable) -> None:
        self.table = table

    async def published(self) -> int:
        return self.table.version

    async def replace_routing(self) -> None:
        self.done.append(("replace routing",))

    async def nodes(self) -> list[Node]:
        return list(self.alive)

    async def survey(self, sites: Sequence[Site], *, spare: bool) -> Survey:
        if self.broken:
            raise Unreachable("a disk", "it cannot be read")
        self.done.append(("survey", spare))
        names = {site.follower for site in sites}
        new = [Site(f"follower:{node.id}", node.id, node.region) for node in self.alive]
        return Survey((*sites, *(site for site in new if site.follower not in names)))

    async def note_registry_members(self, members: Members) -> None:
        self.done.append(("registry members", *(one.follower for one in members.current)))

    def directory(self, database_id: str, role: str) -> str:
        return f"databases/{database_id}/{role}"

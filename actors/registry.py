"""The registry: which databases there are, who serves them, and that somebody does (docs/architecture.md, Registry).

Its catalogue is itself a database of this system, so it is as durable as they are. It is on no query's path.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

from raylite.actors.catalogue import Catalogue
from raylite.actors.core import messages as m
from raylite.actors.ports import Cluster
from raylite.actors.primary import Primary, PrimaryConfig
from raylite.actors.service import Surroundings, boottime, wall_us
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, Placement, RouteEntry, RoutingTable
from raylite.policies.errors import Unreachable
from raylite.policies.names import database_name
from raylite.policies.placement import Site, choose_followers, primary_region, tolerated_nodes
from raylite.policies.quorum import Member, Members, is_quorum
from raylite.policies.replication import Replication
from raylite.policies.status import Overview
from raylite.policies.system import REGISTRY, Settings, primary_name, replica_name


class Registry(Primary):
    """The primary of the catalogue's database, and the rules over it. Its own methods travel as Ray calls."""

    def __init__(
        self,
        config: PrimaryConfig,
        settings: Settings,
        around: Surroundings,
        cluster: Cluster,
        followers: Sequence[Site],
        regions: Sequence[str],
    ) -> None:
        super().__init__(config, settings, around)
        self._cluster, self._followers, self._regions = cluster, tuple(followers), tuple(regions)
        self._catalogue = Catalogue(config.database_id, self._query)
        self._ready = asyncio.Event()
        self._one_change = asyncio.Lock()
        self._replacing: dict[str, float] = {}
        self._version = wall_us()

    def _actor_name(self) -> str:
        return REGISTRY

    # The reign

    async def on_open(self) -> None:
        """Brings the catalogue's schema up, finishes what was begun, and sees that everybody lives."""
        await self._catalogue.prepare()
        for entry in await self._catalogue.all():
            await self._complete(entry)
        await self.publish()
        self._ready.set()

    async def ready(self) -> int:
        """Returns the reign's epoch once the registry can be asked; raises `Unreachable` after a while."""
        try:
            await asyncio.wait_for(self._ready.wait(), limits.QUERY_SECONDS)
        except TimeoutError:
            phase = self._relay.core.phase.name if self._relay else "claiming its directory"
            raise Unreachable(REGISTRY, f"its database is not open yet ({phase})") from None
        return self._relay.core.epoch if self._relay else 0

    # The catalogue

    async def create(self, name: str, location_hint: str, near: str, replication: str) -> DatabaseEntry:
        """A new database, open for queries; raises `DatabaseExists`, `InvalidName`, or `Unreachable`.

        location_hint, near: a region or ""; the first that there is wins. replication: see `DatabaseEntry`. If it
        fails half-way the name is taken, and the next start or `lookup` completes it.
        """
        database_name(name)
        await self.ready()
        found = primary_region(location_hint or None, near, self._regions, self.settings.regions)
        region = found or self._regions[0]
        replicas = Replication.parse(replication).wanted(self._regions)
        database_id = secrets.token_hex(16)
        entry = DatabaseEntry(database_id, name, None, region, replicas, replication, wall_us())
        async with self._one_change:
            await self._catalogue.insert(entry)
            entry = await self._complete(entry)
            await self.publish()
        return entry

    async def lookup(self, name: str) -> DatabaseEntry:
        """The database of this name; raises `DatabaseNotFound`."""
        await self.ready()
        entry = await self._catalogue.get(name)
        if entry.members is None:
            async with self._one_change:
                entry = await self._complete(entry)
                await self.publish()
        return entry

    async def databases(self) -> list[DatabaseEntry]:
        """All databases, by name."""
        await self.ready()
        return await self._catalogue.all()

    async def overview(self) -> Overview:
        """Everybody who should live, and how many nodes may be lost."""
        entries = await self.databases()
        actors = [REGISTRY, *(site.follower for site in self._followers)]
        for entry in entries:
            actors += [primary_name(entry.name), *(replica_name(entry.name, one) for one in entry.replicas)]
        sites = {site.follower: site for site in self._followers}
        members = [self.config.members, *(entry.members for entry in entries if entry.members is not None)]
        tolerated = [tolerated_nodes([sites[one.follower] for one in some.current]) for some in members]
        return Overview(tuple(actors), min(tolerated))

    async def delete(self, name: str) -> None:
        """Removes a database: its name is free, its actors end. Raises `DatabaseNotFound`."""
        await self.ready()
        async with self._one_change:
            entry = await self._catalogue.get(name)
            await self._catalogue.delete(entry.database_id)
            await self.publish()
            for actor in (primary_name(name), *(replica_name(name, region) for region in entry.replicas)):
                await self._cluster.kill(actor)

    async def _complete(self, entry: DatabaseEntry) -> DatabaseEntry:
        """Takes a database from wherever it is to having members, a log and its actors; each step can be repeated."""
        if entry.members is None:
            members = await self._join(entry)
            entry = await self._catalogue.set_members(entry, members)
        await self._found(entry)
        await self._cluster.start_primary(self._config_of(entry))
        for region in entry.replicas:
            await self._cluster.start_replica(entry, region)
        return entry

    async def _join(self, entry: DatabaseEntry) -> Members:
        chosen = choose_followers(entry.database_id, self._followers, entry.region, self.settings.regions)
        answers = await asyncio.gather(*(self._ask(one, m.Join(entry.database_id)) for one in chosen))
        joined = zip(chosen, answers, strict=True)
        members = [Member(one, answer.incarnation) for one, answer in joined if isinstance(answer, m.Joined)]
        if len(members) < limits.FOLLOWERS:
            raise Unreachable("a new database's followers", f"{len(members)} of {limits.FOLLOWERS} joined")
        return Members(tuple(members))

    async def _found(self, entry: DatabaseEntry) -> None:
        assert entry.members is not None, "members are written before the log is founded"
        everyone = entry.members.current
        requests = [
            self._ask(one.follower, m.Found(entry.database_id, one.incarnation, entry.members))
            for one in everyone
        ]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        founded = [
            one for one, answer in zip(everyone, answers, strict=True) if isinstance(answer, m.Founded)
        ]
        if not is_quorum(entry.members, founded):
            raise Unreachable(f"{entry.name}'s followers", f"{len(founded)} of {len(everyone)} answer")

    async def _ask(self, follower: str, message: m.Join | m.Found | m.Inspect) -> object:
        connection = await self.dial(follower)
        try:
            return await connection.call(message, limits.CALL_SECONDS)
        finally:
            connection.close()

    def _config_of(self, entry: DatabaseEntry) -> PrimaryConfig:
        assert entry.members is not None, "a database without members has no primary"
        directory = self._cluster.directory(entry.database_id, "primary")
        return PrimaryConfig(entry.database_id, entry.name, entry.members, entry.region, directory)

    # Routing

    async def publish(self) -> None:
        """Hands the routing table to the routing actor, which has none after a restart of its own."""
        entries = await self._catalogue.all()
        routes = {entry.name: _route(entry) for entry in entries if entry.members is not None}
        self._version = max(self._version + 1, wall_us())
        await self._cluster.publish(RoutingTable(self._version, routes))

    # Whoever is missed

    async def report_missing(self, name: str) -> bool:
        """Somebody misses this database's primary: replaces it unless a quorum still gives it a lease.

        Returns whether it was replaced now. Safety does not rest on it: epochs fence whoever comes back.
        """
        entry = await self.lookup(name)
        now = boottime()
        if now - self._replacing.get(name, -limits.REPLACE_SECONDS) < limits.REPLACE_SECONDS:
            return False
        self._replacing[name] = now
        if await self._is_leased(entry):
            return False
        await self._cluster.kill(primary_name(name))
        await self._cluster.start_primary(self._config_of(entry))
        return True

    async def _is_leased(self, entry: DatabaseEntry) -> bool:
        assert entry.members is not None, "lookup completes a database"
        requests = [self._ask(one.follower, m.Inspect(entry.database_id)) for one in entry.members.current]
        answers = await asyncio.gather(*requests, return_exceptions=True)
        leased = [
            member
            for member, answer in zip(entry.members.current, answers, strict=True)
            if isinstance(answer, m.Holding) and answer.lease_seconds > 0
        ]
        return is_quorum(entry.members, leased)


def _route(entry: DatabaseEntry) -> RouteEntry:
    replicas = [Placement(replica_name(entry.name, region), region) for region in entry.replicas]
    primary = Placement(primary_name(entry.name), entry.region)
    return RouteEntry(entry.database_id, entry.name, primary, tuple(replicas))

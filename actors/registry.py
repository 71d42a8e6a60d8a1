"""The registry: which databases there are, who serves them, and that somebody does (docs/architecture.md, Registry).

Its catalogue is itself a database of this system, so it is as durable as they are. It is on no query's path.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, Sequence

import msgspec

from raylite.actors.catalogue import Catalogue
from raylite.actors.core import messages as m
from raylite.actors.holders import holders
from raylite.actors.ports import Cluster
from raylite.actors.primary import Primary, PrimaryConfig
from raylite.actors.removal import Removal
from raylite.actors.service import Surroundings, wall_us
from raylite.actors.supervision import Supervision
from raylite.actors.surveyor import Surveyor
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, Placement, RouteEntry, RoutingTable
from raylite.policies.errors import DatabaseNotFound, Error, Unreachable
from raylite.policies.names import database_name
from raylite.policies.placement import choose_followers, primary_region, tolerated_nodes
from raylite.policies.quorum import Member, Members, is_quorum
from raylite.policies.replication import Replication
from raylite.policies.status import ActorStatus, Overview
from raylite.policies.system import REGISTRY, Settings, Site, primary_name, replica_name


class Registry(Primary):
    """The primary of the catalogue's database, and the rules over it. Its own methods travel as Ray calls."""

    def __init__(
        self,
        config: PrimaryConfig,
        settings: Settings,
        around: Surroundings,
        cluster: Cluster,
        sites: Sequence[Site],
    ) -> None:
        super().__init__(config, settings, around)
        self._cluster = cluster
        self._surveyor = Surveyor(cluster, sites, settings.virtual)
        self._catalogue = Catalogue(config.database_id, self._query)
        self._removal = Removal(self._catalogue, self._ask)
        self._supervision = Supervision(
            cluster, self._config_of, self._inspect, self._node_answers, self._unchanged
        )
        self._ready = asyncio.Event()
        self._due = asyncio.Event()
        self._one_change = asyncio.Lock()
        self._unfinished: dict[str, str] = {}
        self._published = 0
        self._routing_silences = 0
        self.hold(self._look_around())

    def _actor_name(self) -> str:
        return REGISTRY

    async def status(self) -> ActorStatus:
        """How its database is, and what it could not do for others."""
        found = await super().status()
        unfinished = [f"{name}: {why}" for name, why in self._unfinished.items() if why]
        problems = (*found.problems, *self._surveyor.problems, *unfinished)
        return msgspec.structs.replace(found, problems=problems)

    # The reign

    async def on_open(self) -> None:
        """Brings the catalogue's schema up; then what was begun is finished, and whoever does not live is started."""
        await self._catalogue.prepare()
        self._unfinished = {entry.name: "" for entry in await self._catalogue.all()}
        self._ready.set()
        self._due.set()

    async def ready(self) -> int:
        """Returns the reign's epoch once the registry can be asked; raises `Unreachable` after a while."""
        try:
            await asyncio.wait_for(self._ready.wait(), limits.QUERY_SECONDS)
        except TimeoutError:
            phase = self.relay.core.phase.name if self.relay else "claiming its directory"
            raise Unreachable(REGISTRY, f"its database is not open yet ({phase})") from None
        return self.relay.core.epoch if self.relay else 0

    async def _look_around(self) -> None:
        """Sees to the followers, also while this waits for a quorum of its own; once it is open, to all others."""
        while True:
            self._due.clear()
            await self._surveyor.look()
            if self._ready.is_set():
                await self._see_to_routing()
                for name in tuple(self._unfinished):
                    await self._finish(name)
                with contextlib.suppress(Error):
                    present = {site.follower for site in await self._surveyor.present()}
                    await self._removal.run(present, wall_us())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), limits.LOOK_SECONDS)

    async def _finish(self, name: str) -> None:
        """Starts the actors of a database; one that fails is tried again later, and holds no other up."""
        try:
            async with self._one_change:
                await self._complete(await self._catalogue.get(name))
        except DatabaseNotFound:
            del self._unfinished[name]
        except Error as error:
            self._unfinished[name] = str(error)
        else:
            del self._unfinished[name]

    # The catalogue

    async def create(self, name: str, location_hint: str, near: str, replication: str) -> DatabaseEntry:
        """A new database, open for queries; raises `DatabaseExists`, `InvalidName`, or `Unreachable`.

        location_hint, near: a region or ""; the first that there is wins. replication: see `DatabaseEntry`. If it
        fails half-way the name is taken, and the next start or `lookup` completes it.
        """
        database_name(name)
        await self.ready()
        regions = await self._surveyor.regions()
        region = primary_region(location_hint or None, near, regions, self.settings.regions) or regions[0]
        wanted = Replication.parse(replication).wanted(regions)
        database_id = secrets.token_hex(16)
        entry = DatabaseEntry(database_id, name, None, region, wanted, replication, wall_us())
        async with self._one_change:
            await self._catalogue.insert(entry)
            entry = await self._complete(entry)
        replicas = [replica_name(name, one) for one in entry.replicas]
        waiting = [self._cluster.wait_for(one, limits.CALL_SECONDS) for one in replicas]
        primary = self._cluster.wait_for(primary_name(name), limits.START_SECONDS / 2)
        # A replica that takes long is passed over at first; without its primary nobody can do anything.
        primary_up, *_ = await asyncio.gather(primary, *waiting, return_exceptions=True)
        await self._announce()
        if primary_up is not None:
            raise primary_up
        return entry

    async def lookup(self, name: str) -> DatabaseEntry:
        """The database of this name; raises `DatabaseNotFound`."""
        await self.ready()
        entry = await self._catalogue.get(name)
        if entry.members is None:
            async with self._one_change:
                entry = await self._complete(await self._catalogue.get(name))
            await self._announce()
        return entry

    async def databases(self) -> list[DatabaseEntry]:
        """All databases, by name."""
        await self.ready()
        return await self._catalogue.all()

    async def delete(self, name: str) -> None:
        """Removes a database for good: its name is free, its actors end, soon its files go. `DatabaseNotFound`."""
        await self.ready()
        async with self._one_change:
            entry = await self._catalogue.get(name)
            await self._catalogue.delete(entry, wall_us())
            for actor in (primary_name(name), *(replica_name(name, region) for region in entry.replicas)):
                await self._cluster.kill(actor)
        await self._announce()
        self._removal.due = True
        self._due.set()

    @contextlib.asynccontextmanager
    async def _unchanged(self, entry: DatabaseEntry) -> AsyncGenerator[None]:
        """Keeps this database's name from being given to another; raises `DatabaseNotFound` if it has been already."""
        async with self._one_change:
            now = await self._catalogue.get(entry.name)
            if now.database_id != entry.database_id:
                raise DatabaseNotFound(entry.name)
            yield

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
        """Five followers that have all joined; who does not answer is passed over while there are enough others."""
        present = await self._surveyor.present()
        silent: set[str] = set()
        while True:
            left = [site for site in present if site.follower not in silent]
            chosen = choose_followers(entry.database_id, left, entry.region, self.settings.regions)
            members = await self._joined(entry.database_id, chosen)
            if len(members) == limits.FOLLOWERS:
                return Members(tuple(members))
            silent |= set(chosen) - {one.follower for one in members}
            if len(present) - len(silent) < limits.FOLLOWERS:
                found = f"{len(present) - len(silent)} of {limits.FOLLOWERS} answer"
                raise Unreachable("a new database's followers", found)

    async def _joined(self, database_id: str, chosen: Sequence[str]) -> list[Member]:
        asked = (self._ask(one, m.Join(database_id)) for one in chosen)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        joined = zip(chosen, answers, strict=True)
        return [Member(one, answer.incarnation) for one, answer in joined if isinstance(answer, m.Joined)]

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

    async def _ask(self, follower: str, message: m.Join | m.Found | m.Inspect | m.Drop) -> object:
        connection = await self.dial(follower)
        try:
            return await connection.call(message, limits.CALL_SECONDS)
        finally:
            connection.close()

    async def _inspect(self, database_id: str, member: Member) -> object:
        return await self._ask(member.follower, m.Inspect(database_id))

    async def _node_answers(self, node: str) -> bool:
        """Whether a follower there does, any answer will do; where there is none, nothing is known against the node."""
        there = [site.follower for site in self._surveyor.sites if site.node == node]
        asked = [self._ask(one, m.Inspect(self.config.database_id)) for one in there]
        waits = (asyncio.wait_for(one, limits.LEASE_SECONDS) for one in asked)
        answers = await asyncio.gather(*waits, return_exceptions=True)
        return not there or any(not isinstance(one, BaseException) for one in answers)

    def _config_of(self, entry: DatabaseEntry) -> PrimaryConfig:
        assert entry.members is not None, "a database without members has no primary"
        directory = self._cluster.directory(entry.database_id, "primary")
        return PrimaryConfig(entry.database_id, entry.name, entry.members, entry.region, directory)

    # Routing

    async def publish(self) -> None:
        """Hands the routing table to the routing actor, which has none after a restart of its own."""
        # Taken before the catalogue is read, and above all of an earlier reign: whoever was stopped in between and
        # goes on later replaces nothing newer.
        epoch = await self.ready()
        version = self._published = max(self._published + 1, epoch << 32)
        entries = await self._catalogue.all()
        routes = {entry.name: _route(entry) for entry in entries if entry.members is not None}
        await self._cluster.publish(RoutingTable(version, routes))

    async def _announce(self) -> None:
        """As `publish`, but a routing actor that does not answer now gets it later."""
        try:
            await self.publish()
        except Error:
            self._due.set()

    async def _see_to_routing(self) -> None:
        """Gives the routing actor the table if it has another one, and replaces it if it hangs."""
        try:
            if await self._cluster.published() != self._published or not self._published:
                await self.publish()
            self._routing_silences = 0
        except Error:
            self._routing_silences += 1
        if self._routing_silences >= limits.HEALTH_SILENCES:
            self._routing_silences = 0
            with contextlib.suppress(Error):
                await self._cluster.replace_routing()
                await self.publish()

    # Whoever is missed

    async def report_missing(self, name: str) -> bool:
        """Somebody misses this database's primary: returns whether it was replaced now."""
        return await self._supervision.primary_missed(await self.lookup(name))

    async def report_silent(self, database_ids: Sequence[str]) -> tuple[str, ...]:
        """Followers miss the primaries of these databases, by id; returns those that are no databases (any more)."""
        if not self._ready.is_set():
            raise Unreachable(REGISTRY, "its database is not open yet")
        known = {entry.database_id: entry for entry in await self._catalogue.all()}
        room = asyncio.Semaphore(limits.REPLACED_AT_ONCE)

        async def look(entry: DatabaseEntry) -> None:
            async with room:
                with contextlib.suppress(Error):  # it is missed again
                    await self._supervision.primary_missed(entry)

        await asyncio.gather(*(look(known[one]) for one in database_ids if one in known))
        return tuple(one for one in database_ids if one not in known and one != self.config.database_id)

    async def report_lost(self, replica: str) -> bool:
        """The routing actor has not heard of this replica for long: returns whether it was replaced now."""
        _, name, region = replica.split(":")
        entry = await self.lookup(name)
        return region in entry.replicas and await self._supervision.replica_lost(entry, region)

    # What there is

    async def overview(self) -> Overview:
        """Everybody who should live, and how many nodes may be lost."""
        entries = await self.databases()
        sites = {site.follower: site for site in await self._surveyor.present()}
        actors = [REGISTRY, *(site.follower for site in self._surveyor.sites)]
        for entry in entries:
            actors += [primary_name(entry.name), *(replica_name(entry.name, one) for one in entry.replicas)]
        databases = {entry.database_id: entry.members for entry in entries if entry.members is not None}
        databases[self.config.database_id] = self.config.members
        found = await holders(self.dial, databases)
        tolerated = [
            tolerated_nodes([sites[one] for one in found[database] if one in sites], len(members.current))
            for database, members in databases.items()
        ]
        return Overview(tuple(actors), min(tolerated))


def _route(entry: DatabaseEntry) -> RouteEntry:
    replicas = [Placement(replica_name(entry.name, region), region) for region in entry.replicas]
    primary = Placement(primary_name(entry.name), entry.region)
    return RouteEntry(entry.database_id, entry.name, primary, tuple(replicas))

"""The registry: which databases there are, who serves them, and that somebody does (docs/architecture.md, Registry).

Its catalogue is itself a database of this system, so it is as durable as they are. It is on no query's path.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence

import msgspec

from raylite.actors import audit
from raylite.actors.catalogue import Catalogue
from raylite.actors.cold_removal import ColdRemoval
from raylite.actors.databases import Databases
from raylite.actors.enlistment import Enlistment
from raylite.actors.follower_calls import FollowerCalls
from raylite.actors.hibernation import is_idle
from raylite.actors.overview import overview_of
from raylite.actors.ports import Cluster
from raylite.actors.primary import Primary
from raylite.actors.publication import Publication
from raylite.actors.rebuilding import Rebuilding
from raylite.actors.registrar import Registrar
from raylite.actors.removal import Removal
from raylite.actors.service import Surroundings, wall_us
from raylite.actors.supervision import Supervision
from raylite.actors.surveyor import Surveyor
from raylite.actors.token_book import TokenBook, TokenMethods
from raylite.actors.waking import Waking
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry, Fork
from raylite.policies.errors import Error, Unreachable
from raylite.policies.names import database_name
from raylite.policies.placement import primary_region
from raylite.policies.quorum import Member, Members
from raylite.policies.rebuilt import Rebuilt, Recovery
from raylite.policies.replication import Replication
from raylite.policies.status import ActorStatus, Overview
from raylite.policies.system import REGISTRY, PrimaryConfig, Settings, Site, primary_name


class Registry(TokenMethods, Primary):
    """The primary of the catalogue's database, and the rules over it. Its own methods travel as Ray calls."""

    def __init__(
        self,
        config: PrimaryConfig,
        settings: Settings,
        around: Surroundings,
        cluster: Cluster,
        sites: Sequence[Site],
        rebuilt: Rebuilt | None = None,
    ) -> None:
        """rebuilt: see `SystemRecord`."""
        super().__init__(config, settings, around)
        self._cluster = cluster
        self._surveyor = Surveyor(cluster, sites, settings.virtual)
        self._catalogue = Catalogue(config.database_id, self._query)
        audit.show()
        self.token_book = TokenBook(self._catalogue.run, self.ready)
        self._followers = followers = FollowerCalls(
            self.ask_once, self.dial, self._surveyor, config.database_id
        )
        self._enlistment = Enlistment(followers, self._surveyor, settings.regions)
        self._rebuilding = Rebuilding(self._catalogue, settings, config.database_id, rebuilt)
        self._databases = Databases(self._catalogue, cluster, self._enlistment, self._rebuilding)
        self._removal = Removal(self._catalogue, followers.ask, cold=bool(settings.cold))
        self._cold_removal = ColdRemoval(self._catalogue, self._removal, settings, wall_us)
        self._supervision = Supervision(
            cluster,
            self._databases.config_of,
            followers.inspect,
            followers.node_answers,
            self._databases.unchanged,
        )
        self._waking = Waking(self._catalogue, self._databases, cluster, self._announce, self.hold)
        self._publication = Publication(self._catalogue, cluster, self.ready)
        self._ready = asyncio.Event()
        self._due = asyncio.Event()
        self.hold(self._look_around())

    def _actor_name(self) -> str:
        return REGISTRY

    async def status(self) -> ActorStatus:
        """How its database is, and what it could not do for others."""
        found = await super().status()
        cold = (self._rebuilding.problem, self._cold_removal.problem)
        others = (*filter(None, cold), *self._surveyor.problems, *self._databases.problems)
        return msgspec.structs.replace(found, problems=(*found.problems, *others))

    async def stop(self) -> None:
        """See `Primary.stop`."""
        self._followers.close()
        await super().stop()

    # The reign

    async def on_open(self) -> None:
        """Brings the catalogue's schema up; then what was begun is finished, and whoever does not live is started."""
        await self._catalogue.prepare()
        await self._rebuilding.run()
        await self._databases.review()
        self._ready.set()
        self._due.set()
        self.hold(self._cold_removal.run())

    async def ready(self) -> int:
        """Returns the reign's epoch once the registry can be asked; raises `Unreachable` after a while."""
        try:
            async with asyncio.timeout(limits.QUERY_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            phase = self.relay.core.phase.name if self.relay else "claiming its directory"
            doing = self._rebuilding.problem or phase
            raise Unreachable(REGISTRY, f"its database is not open yet ({doing})") from None
        return self.relay.core.epoch if self.relay else 0

    async def _look_around(self) -> None:
        """Sees to the followers, also while this waits for a quorum of its own; once it is open, to all others."""
        while True:
            self._due.clear()
            await self._surveyor.look()
            if self._ready.is_set():
                await self._publication.see_to_routing()
                await self._databases.finish()
                with contextlib.suppress(Error):
                    present = {site.follower for site in await self._surveyor.present()}
                    await self._removal.run(present, wall_us())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.LOOK_SECONDS):
                    await self._due.wait()

    # The catalogue

    async def create(
        self,
        name: str,
        location_hint: str,
        near: str,
        replication: str,
        database_id: str = "",
        fork: Fork | None = None,
    ) -> DatabaseEntry:
        """A new database, which the first query wakes; raises `DatabaseExists`, `InvalidName`, or `Unreachable`.

        location_hint, near: a region or ""; the first that there is wins. replication: see `DatabaseEntry`.
        database_id, fork: of a fork, for which cold storage has what it begins with; its primary is started. If it
        fails half-way the name is taken, and the next `lookup` or `wake` completes it.
        """
        database_name(name)
        await self.ready()
        regions = await self._surveyor.regions()
        region = primary_region(location_hint or None, near, regions, self.settings.regions) or regions[0]
        wanted = Replication.parse(replication).wanted(regions)
        database_id = database_id or secrets.token_hex(16)
        entry = DatabaseEntry(database_id, name, None, region, wanted, replication, wall_us(), fork)
        entry = await self._databases.create(entry)
        return entry if fork is None else await self.wake(name)

    async def lookup(self, name: str) -> DatabaseEntry:
        """The database of this id, or name; raises `DatabaseNotFound`."""
        await self.ready()
        entry = await self._catalogue.find(name) or await self._catalogue.get(name)
        return entry if entry.members is not None else await self._databases.complete(entry.name)

    async def replicate(self, name: str, replication: str) -> DatabaseEntry:
        """Sets where this database has replicas, see `DatabaseEntry`; raises `DatabaseNotFound`, `InvalidName`."""
        await self.ready()
        wanted = Replication.parse(replication).wanted(await self._surveyor.regions())
        entry = await self._databases.replicate(name, replication, wanted)
        await self._announce()
        return entry

    async def wake(self, name: str) -> DatabaseEntry:
        """The database of this name, whose primary is started if it is asleep, and which routers are told of.

        Returns before that is up. Raises `DatabaseNotFound`, `Unreachable`: it may have been started, or has to wait.
        """
        await self.ready()
        return await self._waking.wake(name)

    async def rest(self, database_id: str) -> bool:
        """See `Registrar.rest`."""
        await self.ready()
        entry, cluster = await self._catalogue.find(database_id), self._cluster
        idle = entry is not None and await is_idle(cluster, entry, self.settings.hibernate_seconds)
        if entry is None or not (idle and await cluster.settle(primary_name(entry.name))):
            return False
        await self._databases.fall_asleep(entry, wall_us())
        await self._announce()
        return True

    async def databases(self) -> list[DatabaseEntry]:
        """All databases, by name."""
        await self.ready()
        return await self._catalogue.all()

    async def recovered(self) -> Recovery:
        """Which databases were rebuilt from cold storage alone, and up to where."""
        await self.ready()
        return await self._rebuilding.report()

    async def delete(self, name: str, database_id: str = "") -> None:
        """Removes a database for good: its name is free, its actors end, soon its files go.

        Raises `DatabaseNotFound`, if an id is given also for another database of this name.
        """
        await self.ready()
        await self._databases.delete(name, wall_us(), database_id)
        await self._announce()
        self._removal.due = True
        self._due.set()

    # Routing

    async def publish(self) -> None:
        """Hands the routing table to the routing actor, which has none after a restart of its own."""
        await self._publication.publish()

    async def _announce(self) -> None:
        """As `publish`, but a routing actor that does not answer now gets it later."""
        try:
            await self.publish()
        except Error:
            self._due.set()

    # Whoever is missed

    async def report_missing(self, name: str) -> bool:
        """Somebody misses this database's primary: returns whether it was replaced now. One that is asleep has none."""
        entry = await self.lookup(name)
        if entry.asleep:
            await self._databases.end_if_asleep(entry)
            return False
        return await self._supervision.primary_missed(entry)

    async def report_silent(self, database_ids: Sequence[str]) -> tuple[str, ...]:
        """Followers miss the primaries of these databases, by id; returns those that are no databases (any more)."""
        if not self._ready.is_set():
            raise Unreachable(REGISTRY, "its database is not open yet")
        known = {entry.database_id: entry for entry in await self._catalogue.all()}
        awake = [known[one] for one in database_ids if one in known and not known[one].asleep]
        room = asyncio.Semaphore(limits.REPLACED_AT_ONCE)

        async def look(entry: DatabaseEntry) -> None:
            async with room:
                with contextlib.suppress(Error):  # it is missed again
                    await self._supervision.primary_missed(entry)

        await asyncio.gather(*map(look, awake))
        return tuple(one for one in database_ids if one not in known and one != self.config.database_id)

    async def report_lost(self, replica: str) -> bool:
        """The routing actor has not heard of this replica for long: returns whether it was replaced now."""
        _, name, region = replica.split(":")
        entry = await self.lookup(name)
        awaited = region in entry.replicas and not entry.asleep
        return awaited and await self._supervision.replica_lost(entry, region)

    # Followers

    def registrar(self) -> Registrar:
        """See `Primary.registrar`."""
        return self

    async def substitute(self, database_id: str, beside: Sequence[str], without: Sequence[str]) -> str:
        """See `Registrar.substitute`."""
        await self.ready()
        entry = await self._catalogue.find(database_id)
        near = entry.region if entry else self.config.region
        return await self._enlistment.substitute(database_id, near, beside, without)

    async def note_members(self, database_id: str, members: Members) -> None:
        """See `Registrar.note_members`."""
        await self.ready()
        if database_id == self.config.database_id:
            await self._cluster.note_registry_members(members)
        else:
            await self._catalogue.note_members(database_id, members)

    async def members_of(self, database_id: str) -> Members | None:
        """See `Registrar.members_of`; of the registry's own database every follower that there is."""
        if database_id == self.config.database_id:
            return Members(tuple(Member(site.follower, "") for site in self._surveyor.sites))
        await self.ready()
        entry = await self._catalogue.find(database_id)
        return entry.members if entry else None

    # What there is

    async def overview(self) -> Overview:
        """Everybody who should live, and how many nodes may be lost."""
        own = self.relay.core.members if self.relay else self.config.members
        registry, present = (self.config.database_id, own), await self._surveyor.present()
        return await overview_of(await self.databases(), self._surveyor.sites, present, registry, self.dial)

"""The databases of a system: made and deleted in steps that can each be repeated, one change at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence

import msgspec

from raylite.actors.catalogue import Catalogue
from raylite.actors.enlistment import Enlistment
from raylite.actors.ports import Cluster
from raylite.actors.rebuilding import Rebuilding
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import DatabaseNotFound, Error
from raylite.policies.system import PrimaryConfig, primary_name, replica_name


class Databases:
    """Changes what there is, in the catalogue and in the cluster alike.

    unfinished: names of databases whose actors are still to be started, and why the last attempt failed ("" before).
    Invariant: whoever starts or ends actors of a database holds `_one_change`, and knows that it is in the catalogue.
    """

    def __init__(
        self, catalogue: Catalogue, cluster: Cluster, enlistment: Enlistment, rebuilding: Rebuilding
    ) -> None:
        self.unfinished: dict[str, str] = {}
        self._catalogue, self._cluster, self._enlistment = catalogue, cluster, enlistment
        self._rebuilding = rebuilding
        self._one_change = asyncio.Lock()

    @property
    def problems(self) -> tuple[str, ...]:
        """Which databases could not be started, and why, in words."""
        return tuple(f"{name}: {why}" for name, why in self.unfinished.items() if why)

    async def review(self) -> None:
        """From here on all databases that are awake count as unfinished."""
        self.unfinished = {entry.name: "" for entry in await self._catalogue.awake()}

    async def finish(self) -> None:
        """Starts the actors of what is unfinished; one that fails is tried again later, and holds no other up."""
        for name in tuple(self.unfinished):
            await self.finish_one(name)

    async def finish_one(self, name: str) -> None:
        """Does that for the database of this name."""
        try:
            async with self._one_change:
                await self._complete(await self._catalogue.get(name))
        except DatabaseNotFound:
            self.unfinished.pop(name, None)
        except Error as error:
            self.unfinished[name] = str(error)
        else:
            self.unfinished.pop(name, None)

    async def create(self, entry: DatabaseEntry) -> DatabaseEntry:
        """Takes the name and gets followers, but starts nothing: it is asleep. `DatabaseExists`, or `Unreachable`."""
        async with self._one_change:
            await self._catalogue.insert(entry)
            return await self._complete(entry)

    async def complete(self, name: str) -> DatabaseEntry:
        """The database of this name with members and a log, and with actors unless it is asleep.

        Raises `DatabaseNotFound` or `Unreachable`.
        """
        async with self._one_change:
            return await self._complete(await self._catalogue.get(name))

    async def wake(self, name: str) -> DatabaseEntry:
        """The database of this name, with its primary; what is awake is left as it is. Raises as `complete`.

        Its replicas are for `finish_one`, best when the primary is up: processes that start hold each other up.
        """
        async with self._one_change:
            entry = await self._catalogue.get(name)
            if not entry.asleep and entry.members is not None:
                return entry
            await self._catalogue.wake(entry.database_id)
            try:
                entry = await self._enlist(msgspec.structs.replace(entry, asleep=False))
                await self._cluster.start_primary(self.config_of(entry))
            except Error as error:
                self.unfinished[name] = str(error)
                raise
            return entry

    async def fall_asleep(self, entry: DatabaseEntry, since_us: int) -> None:
        """Notes that this database is asleep, durably, then ends its actors; raises `DatabaseNotFound`."""
        async with self.unchanged(entry):
            await self._catalogue.fall_asleep(entry.database_id, since_us)
            await self._end(entry)

    async def end_if_asleep(self, entry: DatabaseEntry) -> None:
        """Ends actors that somebody saw of it, and that it should not have; raises `DatabaseNotFound`."""
        async with self.unchanged(entry):
            if (await self._catalogue.get(entry.name)).asleep:
                await self._end(entry)

    async def replicate(self, name: str, replication: str, wanted: Sequence[str]) -> DatabaseEntry:
        """Notes durably where this database has replicas from here on, then ends and starts some.

        Raises `DatabaseNotFound`; what cannot be started now is unfinished.
        """
        async with self._one_change:
            entry = await self._catalogue.get(name)
            await self._catalogue.set_replication(entry.database_id, replication, wanted)
            for region in set(entry.replicas).difference(wanted):
                await self._cluster.kill(replica_name(name, region))
        if not entry.asleep:
            await self.finish_one(name)
        return await self._catalogue.get(name)

    async def delete(self, name: str, deleted_us: int, database_id: str = "") -> None:
        """Notes a database as deleted, durably, then ends its actors; raises `DatabaseNotFound`.

        database_id: the one that is meant, "" for whichever has the name.
        """
        async with self._one_change:
            entry = await self._catalogue.get(name)
            if database_id not in ("", entry.database_id):
                raise DatabaseNotFound(name)
            await self._catalogue.delete(entry, deleted_us)
            await self._end(entry)

    @contextlib.asynccontextmanager
    async def unchanged(self, entry: DatabaseEntry) -> AsyncGenerator[None]:
        """Keeps this database's name from being given to another; raises `DatabaseNotFound` if it has been already."""
        async with self._one_change:
            now = await self._catalogue.get(entry.name)
            if now.database_id != entry.database_id:
                raise DatabaseNotFound(entry.name)
            yield

    async def _complete(self, entry: DatabaseEntry) -> DatabaseEntry:
        """Takes a database from wherever it is to having members, a log and, if awake, actors."""
        entry = await self._enlist(entry)
        if not entry.asleep:
            await self._cluster.start_primary(self.config_of(entry))
            for region in entry.replicas:
                await self._cluster.start_replica(entry, region)
        return entry

    async def _enlist(self, entry: DatabaseEntry) -> DatabaseEntry:
        """It has members and a log from here on; each step can be repeated."""
        if entry.members is None:
            await self._rebuilding.begin(entry)
            members = await self._enlistment.join(entry)
            entry = await self._catalogue.set_members(entry, members)
        await self._enlistment.found(entry)
        return entry

    async def _end(self, entry: DatabaseEntry) -> None:
        for actor in (primary_name(entry.name), *(replica_name(entry.name, one) for one in entry.replicas)):
            await self._cluster.kill(actor)

    def config_of(self, entry: DatabaseEntry) -> PrimaryConfig:
        """What this database's primary is started with; it must have members."""
        assert entry.members is not None, "a database without members has no primary"
        directory = self._cluster.directory(entry.database_id, "primary")
        return PrimaryConfig(entry.database_id, entry.name, entry.members, entry.region, directory)

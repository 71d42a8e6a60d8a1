"""The databases of a system: made and deleted in steps that can each be repeated, one change at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from raylite.actors.catalogue import Catalogue
from raylite.actors.enlistment import Enlistment
from raylite.actors.ports import Cluster
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import DatabaseNotFound, Error
from raylite.policies.system import PrimaryConfig, primary_name, replica_name


class Databases:
    """Changes what there is, in the catalogue and in the cluster alike.

    unfinished: names of databases whose actors are still to be started, and why the last attempt failed ("" before).
    Invariant: whoever starts or ends actors of a database holds `_one_change`, and knows that it is in the catalogue.
    """

    def __init__(self, catalogue: Catalogue, cluster: Cluster, enlistment: Enlistment) -> None:
        self.unfinished: dict[str, str] = {}
        self._catalogue, self._cluster, self._enlistment = catalogue, cluster, enlistment
        self._one_change = asyncio.Lock()

    @property
    def problems(self) -> tuple[str, ...]:
        """Which databases could not be started, and why, in words."""
        return tuple(f"{name}: {why}" for name, why in self.unfinished.items() if why)

    async def review(self) -> None:
        """From here on all databases count as unfinished."""
        self.unfinished = {entry.name: "" for entry in await self._catalogue.all()}

    async def finish(self) -> None:
        """Starts the actors of what is unfinished; one that fails is tried again later, and holds no other up."""
        for name in tuple(self.unfinished):
            await self._finish(name)

    async def _finish(self, name: str) -> None:
        try:
            async with self._one_change:
                await self._complete(await self._catalogue.get(name))
        except DatabaseNotFound:
            del self.unfinished[name]
        except Error as error:
            self.unfinished[name] = str(error)
        else:
            del self.unfinished[name]

    async def create(self, entry: DatabaseEntry) -> DatabaseEntry:
        """Takes the name and starts the actors; raises `DatabaseExists`, or `Unreachable` half-way."""
        async with self._one_change:
            await self._catalogue.insert(entry)
            return await self._complete(entry)

    async def complete(self, name: str) -> DatabaseEntry:
        """The database of this name with members, a log and its actors; raises `DatabaseNotFound` or `Unreachable`."""
        async with self._one_change:
            return await self._complete(await self._catalogue.get(name))

    async def delete(self, name: str, deleted_us: int) -> None:
        """Notes a database as deleted, durably, then ends its actors; raises `DatabaseNotFound`."""
        async with self._one_change:
            entry = await self._catalogue.get(name)
            await self._catalogue.delete(entry, deleted_us)
            for actor in (primary_name(name), *(replica_name(name, region) for region in entry.replicas)):
                await self._cluster.kill(actor)

    @contextlib.asynccontextmanager
    async def unchanged(self, entry: DatabaseEntry) -> AsyncGenerator[None]:
        """Keeps this database's name from being given to another; raises `DatabaseNotFound` if it has been already."""
        async with self._one_change:
            now = await self._catalogue.get(entry.name)
            if now.database_id != entry.database_id:
                raise DatabaseNotFound(entry.name)
            yield

    async def _complete(self, entry: DatabaseEntry) -> DatabaseEntry:
        """Takes a database from wherever it is to having members, a log and its actors; each step can be repeated."""
        if entry.members is None:
            members = await self._enlistment.join(entry)
            entry = await self._catalogue.set_members(entry, members)
        await self._enlistment.found(entry)
        await self._cluster.start_primary(self.config_of(entry))
        for region in entry.replicas:
            await self._cluster.start_replica(entry, region)
        return entry

    def config_of(self, entry: DatabaseEntry) -> PrimaryConfig:
        """What this database's primary is started with; it must have members."""
        assert entry.members is not None, "a database without members has no primary"
        directory = self._cluster.directory(entry.database_id, "primary")
        return PrimaryConfig(entry.database_id, entry.name, entry.members, entry.region, directory)

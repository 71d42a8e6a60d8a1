"""A catalogue that was rebuilt from cold storage becomes this system's: so is each of its databases, behind that.

What the catalogue says of members is of a system that is no more. In one transaction they go, and it is noted up to
where each database is held; which is what a recovery says, and where its log goes on (`cold.rebuild`).
"""

from __future__ import annotations

import asyncio
import secrets

from raylite.actors.catalogue import Catalogue
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.boot import open_archive
from raylite.actors.cold.rebuild import begin_again, rebuilt_of
from raylite.actors.cold.snapshot import Run
from raylite.actors.service import boottime
from raylite.policies import limits
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Corrupt, Unreachable
from raylite.policies.rebuilt import Rebuilt, RebuiltDatabase, Recovery
from raylite.policies.system import REGISTRY_DATABASE, Settings


class Rebuilding:
    """That of one registry. rebuilt: up to where its own database was; None if it never was, and neither is another.

    problem: why it waits, in words, "" if it does not.
    """

    def __init__(
        self, catalogue: Catalogue, settings: Settings, registry_id: str, rebuilt: Rebuilt | None
    ) -> None:
        self._catalogue, self._settings = catalogue, settings
        self._registry_id, self._rebuilt = registry_id, rebuilt
        self.problem = ""

    async def run(self) -> None:
        """Decides about all databases, once for a system; tries again while cold storage is away, until cancelled."""
        system_id = self._settings.system_id
        while self._rebuilt is not None and not await self._catalogue.was_rebuilt_for(system_id):
            try:
                await self._decide(system_id)
            except Unreachable as error:
                self.problem = str(error)
                await asyncio.sleep(limits.COLD_RETRY_SECONDS)
        self.problem = ""

    async def _decide(self, system_id: str) -> None:
        names = [entry.database_id for entry in await self._catalogue.all()]
        found = {one: await asyncio.to_thread(self._look, one) for one in names}
        await self._catalogue.rebuild(system_id, found)

    def _look(self, database_id: str) -> Rebuilt:
        archive = self._archive(database_id)
        try:
            return rebuilt_of(archive)
        except Corrupt as error:
            return Rebuilt("", 0, problem=str(error))

    async def begin(self, entry: DatabaseEntry) -> None:
        """To be called before a database gets members: cold storage holds what its log then begins with.

        Raises `Corrupt` if it cannot be rebuilt.
        """
        if entry.rebuilt is None:
            return
        if entry.rebuilt.problem:
            raise Corrupt("cold storage", entry.name, f"it could not be rebuilt: {entry.rebuilt.problem}")
        await asyncio.to_thread(self._begin, entry.database_id, entry.rebuilt)

    def _begin(self, database_id: str, rebuilt: Rebuilt) -> None:
        begin_again(self._archive(database_id), rebuilt, Run(secrets.token_hex(8), boottime))

    def _archive(self, database_id: str) -> Archive:
        return open_archive(self._settings.cold, self._settings.system_id, database_id)

    async def report(self) -> Recovery:
        """What was rebuilt, and up to where."""
        entries, deleted = await self._catalogue.all(), await self._catalogue.deleted()
        ids = [self._registry_id, *(one.database_id for one in entries)]
        known = (*ids, *(one.database_id for one in deleted))
        if self._rebuilt is None:
            return Recovery((), known)
        own = RebuiltDatabase(REGISTRY_DATABASE, self._registry_id, self._rebuilt)
        found = [RebuiltDatabase(one.name, one.database_id, one.rebuilt) for one in entries if one.rebuilt]
        return Recovery((own, *found), known)

"""What cold storage has of databases that are deleted, or of forks that were never made, goes in the end.

A deleted database's objects stay for as long as every entry can be restored. A fork is in cold storage first and in the
catalogue last: one whose maker went away in between has a pin there, and no name. It is noted as deleted, and goes as
those do; so there is time to find out when a rebuilt catalogue does not name what it should.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from raylite.actors.catalogue import Catalogue, Deleted
from raylite.actors.cold import marker
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.removal import remove, strays
from raylite.actors.cold.store import Store
from raylite.actors.removal import Removal
from raylite.policies.errors import Error
from raylite.policies.limits import (
    COLD_CLOCK_SECONDS,
    COLD_GRACE_SECONDS,
    COLD_RETENTION_SECONDS,
    COLD_SWEEP_SECONDS,
)
from raylite.policies.system import Settings

Clock = Callable[[], int]


class ColdRemoval:
    """That of one registry. clock_us: wall clock, microseconds since 1970.

    problem: why something that should go does not, in words, "" if all is well.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        removal: Removal,
        settings: Settings,
        clock_us: Clock,
        open_at: Callable[[str], Store] = open_store,
    ) -> None:
        self.problem = ""
        self._open_at = open_at
        self._catalogue, self._removal, self._settings = catalogue, removal, settings
        self._clock_us = clock_us

    async def run(self) -> None:
        """Looks once a day, sooner again when something went wrong, until it is cancelled; if there is cold storage."""
        while self._settings.cold:
            await self.look()
            await asyncio.sleep(COLD_SWEEP_SECONDS if self.problem else COLD_GRACE_SECONDS)

    async def look(self) -> None:
        """One round; what goes wrong is the `problem` until the next."""
        problems: list[str] = []
        try:
            store = await asyncio.to_thread(self._open)
            now = await asyncio.to_thread(store.now)
            apart = now - self._clock_us() / 1e6
            if abs(apart) > COLD_CLOCK_SECONDS:
                problems.append(
                    f"the clock of cold storage is {apart:+.0f} s from ours: nothing is removed until they agree"
                )
            else:
                await self._note_strays(store, now)
                problems += [await self._remove(store, one, now) for one in await self._catalogue.deleted()]
        except Error as error:
            problems.append(str(error))
        self.problem = "; ".join(one for one in problems if one)

    async def _remove(self, store: Store, deleted: Deleted, now: float) -> str:
        """Removes what may go; what went wrong, in words: it holds no other database up."""
        if now - deleted.deleted_us / 1e6 < COLD_RETENTION_SECONDS:
            return ""
        try:
            if await asyncio.to_thread(remove, store, deleted.database_id, now):
                await self._removal.gone_from_cold_storage(deleted.database_id)
        except Error as error:
            return f"deleted database {deleted.database_id}: {error}"
        return ""

    async def _note_strays(self, store: Store, now: float) -> None:
        databases = [one.database_id for one in await self._catalogue.all()]
        known = [*databases, *(one.database_id for one in await self._catalogue.deleted())]
        for one in sorted(await asyncio.to_thread(strays, store, frozenset(known), now)):
            await self._catalogue.note_stray(one, self._clock_us())
            self._removal.due = True

    def _open(self) -> Store:
        store = self._open_at(self._settings.cold)
        marker.check(store, self._settings.system_id)
        return store

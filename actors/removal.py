"""What is left of deleted databases goes, wherever it is (docs/architecture.md, Registry)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from raylite.actors.catalogue import Catalogue, Deleted
from raylite.actors.core import messages as m
from raylite.policies.limits import DELETED_SECONDS

Ask = Callable[[str, m.Drop], Awaitable[object]]


class Removal:
    """Tells followers of databases that the catalogue notes as deleted, until all that may hold something have gone.

    A follower drops its log and removes what copies there are on its node; one that is away is told when it is back.
    All are told at once, and again after a while: by then no process that was about to start can start any more.

    cold: whether cold storage has something of them, too; then the note stays until that is gone.
    """

    def __init__(self, catalogue: Catalogue, ask: Ask, *, cold: bool) -> None:
        self.due = True
        self._catalogue, self._ask, self._cold = catalogue, ask, cold
        self._done: dict[tuple[str, bool], set[str]] = {}
        self._told: set[str] = set()
        self._gone: set[str] = set()

    async def run(self, present: Collection[str], now_us: int) -> None:
        """One round over these followers, if there is anything to tell; raises what the catalogue raises."""
        if not self.due:
            return
        deleted = [one for one in await self._catalogue.deleted() if one.database_id not in self._told]
        self.due = bool(deleted)
        for one in deleted:
            final = now_us - one.deleted_us >= DELETED_SECONDS * 1_000_000
            if await self._tell(one, present, final=final) and final:
                self._told.add(one.database_id)
                await self._forget(one.database_id)

    async def gone_from_cold_storage(self, database_id: str) -> None:
        """Cold storage has nothing of this deleted database any more; raises what the catalogue raises."""
        self._gone.add(database_id)
        await self._forget(database_id)

    async def _forget(self, database_id: str) -> None:
        """Nothing is noted any more of what is left nowhere."""
        if database_id not in self._told or (self._cold and database_id not in self._gone):
            return
        await self._catalogue.forget(database_id)
        self._told.discard(database_id)
        self._gone.discard(database_id)
        self._done = {key: told for key, told in self._done.items() if key[0] != database_id}

    async def _tell(self, deleted: Deleted, present: Collection[str], *, final: bool) -> bool:
        """Whether all those present, and all that were members, have nothing of it any more."""
        done = self._done.setdefault((deleted.database_id, final), set())
        asked = [one for one in present if one not in done]
        request = m.Drop(deleted.database_id)
        answers = await asyncio.gather(*(self._ask(one, request) for one in asked), return_exceptions=True)
        done |= {one for one, answer in zip(asked, answers, strict=True) if isinstance(answer, m.Dropped)}
        members = {one.follower for one in deleted.members.everyone} if deleted.members else set[str]()
        return done >= members.union(present)

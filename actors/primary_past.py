"""What a primary does with earlier states of its database: reading, restoring, forking, and a check that they hold."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path

from raylite.actors.archiving import Archiving
from raylite.actors.cold.fork import fork_base
from raylite.actors.opening import Opening
from raylite.actors.primary_transfers import take
from raylite.actors.storage.engine import Execution
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.replacement import Replacement
from raylite.actors.storage.snapshot import Snapshot
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.catalogue import Fork
from raylite.policies.errors import Error, NotAllowed, NotPrimary
from raylite.policies.query import Query
from raylite.policies.status import Restored, TimeSpan, Verified


class PrimaryPast:
    """That of one primary. cold: whether there is cold storage; archive: None before the reign is open; place: where a
    database's primary, if it is on this node, has its files; hold: keeps what goes on when a call has ended."""

    def __init__(
        self,
        database: str,
        database_id: str,
        opening: Opening,
        *,
        cold: bool,
        archive: Callable[[], Archiving | None],
        place: Callable[[str], Path],
        hold: Callable[[Coroutine[object, object, None]], object],
    ) -> None:
        self._database, self._database_id, self._cold = database, database_id, cold
        self._opening, self._archive = opening, archive
        self._place, self._hold = place, hold

    async def read(self, query: Query) -> tuple[Execution, Bookmark]:
        """What the query finds in the database as it was; see `Archiving.read`."""
        with self._opening.admitted(query.database, query.at):
            goal = Bookmark.parse(query.at)
            return await self._required().read(query, goal), goal

    async def moment(self, time_us: int) -> str:
        """See `Archiving.moment`."""
        await self._opening.wait()
        return await self._required().moment(time_us)

    async def span(self) -> TimeSpan:
        """See `Archiving.span`."""
        await self._opening.wait()
        return await self._required().span()

    async def restore(self, bookmark: str) -> Restored:
        """Makes the database what it was at that bookmark, as one entry. Raises what a write raises."""
        await self._opening.wait()
        with self._opening.admitted(self._database_id, bookmark):
            path = await self._required().file(Bookmark.parse(bookmark))
        replacement = Replacement(path)
        seconds = limits.LONGEST_QUERY_SECONDS
        _, mark = await self._opening.run(self._database_id, bookmark, seconds, replacement.run)
        return Restored(str(mark), replacement.undo)

    async def fork(self, fork_id: str, bookmark: str) -> Fork:
        """Makes what a database of that id begins with, in cold storage. bookmark: "" for what this one is now.

        Of what this database is now a clone is laid where the fork's primary looks first, if it starts on this node.
        Raises `BookmarkError` if that entry is not kept any more, and `Unreachable` if cold storage is away.
        """
        await self._opening.wait()
        with self._opening.admitted(self._database_id, bookmark):
            taken = await take(self._opening.run, self._database_id, bookmark)
            try:
                goal = Bookmark.parse(bookmark) if bookmark else taken.bookmark
                time_us = await self._required().fork(fork_id, goal)
                if goal.digest == taken.bookmark.digest:
                    await self._seed(fork_id, goal, taken.snapshot)
            finally:
                taken.snapshot.close()
        return Fork(self._database, str(goal), time_us)

    async def _seed(self, fork_id: str, goal: Bookmark, snapshot: Snapshot) -> None:
        """Whoever does not find it, whole, builds the file from cold storage. It goes if nobody takes it in a while."""
        place, base = self._place(fork_id), fork_base(fork_id, goal)
        self._hold(_unseed_later(place))
        with contextlib.suppress(Error, OSError):
            await asyncio.to_thread(Generation.seed, place, fork_id, base, snapshot.clone)

    async def verify(self) -> Verified:
        """Compares the database, whole, with what cold storage alone gives at the same entry; see `cold.verify`."""
        await self._opening.wait()
        taken = await take(self._opening.run, self._database_id, "")
        try:
            return await self._required().verify(taken.snapshot, taken.bookmark)
        finally:
            taken.snapshot.close()

    def _required(self) -> Archiving:
        archive = self._archive()
        if archive is not None:
            return archive
        if not self._cold:
            raise NotAllowed("Going back in time without cold storage", "Start the system with `--cold`.")
        raise NotPrimary(self._database, 0)


async def _unseed_later(place: Path) -> None:
    await asyncio.sleep(limits.SEED_SECONDS)
    with contextlib.suppress(OSError):
        await asyncio.to_thread(Generation.unseed, place)


class PastMethods:
    """The same as methods of the primary's actor."""

    past: PrimaryPast

    async def moment(self, time_us: int) -> str:
        """See `Archiving.moment`."""
        return await self.past.moment(time_us)

    async def span(self) -> TimeSpan:
        """See `Archiving.span`."""
        return await self.past.span()

    async def restore(self, bookmark: str) -> Restored:
        """See `PrimaryPast.restore`."""
        return await self.past.restore(bookmark)

    async def fork(self, fork_id: str, bookmark: str) -> Fork:
        """See `PrimaryPast.fork`."""
        return await self.past.fork(fork_id, bookmark)

    async def verify(self) -> Verified:
        """See `PrimaryPast.verify`."""
        return await self.past.verify()

"""The way of a query through an open primary: it is admitted, runs on the file, and is answered once confirmed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Generator

from raylite.actors.core.queries import Waiting
from raylite.actors.hibernation import Idleness
from raylite.actors.primary_transfers import Job
from raylite.actors.relay import Relay
from raylite.actors.service import boottime
from raylite.actors.storage.primary_file import PrimaryFile, Ran
from raylite.actors.storage.thread import DatabaseThread
from raylite.actors.wal_room import WalRoom
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error


class Admission:
    """That of one reign. refusal: why nothing may be written now, besides the relay's reasons; None if it may."""

    def __init__(
        self,
        relay: Relay,
        file: PrimaryFile,
        room: WalRoom,
        thread: DatabaseThread,
        idleness: Idleness,
        refusal: Callable[[], Error | None],
    ) -> None:
        self._relay, self._file, self._room, self._thread = relay, file, room, thread
        self._idleness, self._refusal = idleness, refusal

    @contextlib.contextmanager
    def admitted(self, bookmark: str) -> Generator[None]:
        """For the time of a query at that bookmark, "" for none; raises if none may run now."""
        self._relay.core.admit(Bookmark.parse(bookmark) if bookmark else None, boottime())
        try:
            with self._idleness.ended():
                yield
        finally:
            self._relay.core.dismissed()

    async def run(self, bookmark: str, seconds: float, job: Job) -> tuple[Ran, Bookmark]:
        """What the job did, and its bookmark, once all that it may have seen is confirmed."""
        with self.admitted(bookmark):
            deadline = boottime() + min(seconds, limits.LONGEST_QUERY_SECONDS)
            await self._room.wait(deadline)
            refusal = self._relay.core.refusal_of_writes(boottime()) or self._refusal()
            ran = await self._thread.run(lambda: job(self._file, deadline - boottime(), refusal))
            self._room.bytes = ran.wal_bytes
            return ran, await self._gate(ran, deadline)

    async def _gate(self, ran: Ran, deadline: float) -> Bookmark:
        """Waits until all that this query may have seen is confirmed; returns its bookmark."""
        token: asyncio.Future[Bookmark] = asyncio.get_running_loop().create_future()
        self._relay.finished(Waiting(token, ran.mark, ran.committed, deadline, boottime()))
        return await token

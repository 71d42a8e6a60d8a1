"""Gives a copy's database to drivers: a snapshot is copied on this node's disk, then read in parts.

So the snapshot is held for as long as a local copy takes, however slow the driver is. The disk needs room for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

import msgspec

from raylite.actors.storage.snapshot import Snapshot
from raylite.actors.storage.spool import Spool, SpoolFile
from raylite.actors.transfers import Stop, Transfers
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Error
from raylite.policies.transfer import CloseTransfer, Opened, OpenExport, Part, ReadExport


class Taken(msgspec.Struct, frozen=True):
    """A snapshot, and the bookmark that it is at."""

    snapshot: Snapshot
    bookmark: Bookmark


class Export:
    """One copy in the making, or made."""

    def __init__(self, snapshot: Snapshot, file: SpoolFile, stop: Stop) -> None:
        self.file, self.size = file, snapshot.size
        self._stop, self._copied, self._digest = stop, 0, ""
        self._error: Error | None = None
        self._work = asyncio.get_running_loop().create_task(self._copy(snapshot))

    @property
    def busy(self) -> bool:
        """Never: an export that nobody asks for is of no use."""
        return False

    async def part(self, offset: int) -> Part:
        """What there is from `offset` on; raises why the copy failed."""
        if not self._work.done():
            await asyncio.wait((self._work,), timeout=limits.TRANSFER_HOLD_SECONDS)
        if self._error is not None:
            raise self._error
        data = b""
        if self._digest:
            data = await asyncio.to_thread(self.file.read, offset, limits.TRANSFER_PART_BYTES)
        return Part(data, self._copied, self._digest)

    async def end(self) -> None:
        """See `Transfer`."""
        self._stop.ask()
        await asyncio.wait((self._work,))

    async def _copy(self, snapshot: Snapshot) -> None:
        """On a thread to its end: cancelling would leave that behind, so only `_stop` ends it early."""
        try:
            await asyncio.shield(asyncio.to_thread(snapshot.copy, self.file.path, self._advance))
            self._digest = await asyncio.shield(asyncio.to_thread(self.file.digest, self._stop.check))
        except Error as error:
            self._error = error

    def _advance(self, copied: int) -> None:
        self._stop.check()
        self._copied = copied


class Exports:
    """Those of one actor. take: a snapshot that shows what was asked for; raises what a query would."""

    def __init__(self, owner: str, spool: Spool, take: Callable[[OpenExport], Awaitable[Taken]]) -> None:
        self._spool, self._take = spool, take
        self._transfers: Transfers[Export] = Transfers(owner)

    def answer(
        self, request: OpenExport | ReadExport | CloseTransfer
    ) -> Coroutine[object, object, Opened | Part | None]:
        """The answer to a request."""
        match request:
            case OpenExport():
                return self._open(request)
            case ReadExport():
                return self._transfers.get(request.transfer).part(request.offset)
            case CloseTransfer():
                return self._close(request.transfer)

    async def stop(self) -> None:
        """Ends all; to be awaited before the copy is closed."""
        await self._transfers.stop()

    async def _open(self, request: OpenExport) -> Opened:
        stop = Stop(min(request.seconds, limits.LONGEST_QUERY_SECONDS))
        self._transfers.reserve()
        try:
            taken = await self._take(request)
            try:
                file = await asyncio.to_thread(self._spool.create, taken.snapshot.size)
            except BaseException:  # a cancellation, too; it goes on
                taken.snapshot.close()
                raise
        except BaseException:  # a cancellation, too; it goes on
            self._transfers.release()
            raise
        export = Export(taken.snapshot, file, stop)
        return Opened(self._transfers.hold(export), export.size, str(taken.bookmark))

    async def _close(self, transfer: str) -> None:
        if transfer in self._transfers:
            await asyncio.shield(self._transfers.drop(transfer))

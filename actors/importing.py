"""Takes whole files from drivers: spooled on the primary's disk, then applied in one transaction.

What carries it to followers and replicas is what carries every other transaction, of whatever size. While it runs the
database's thread does nothing else: other queries of the primary wait, replicas answer theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from raylite.actors.storage.engine_adopt import Load
from raylite.actors.storage.spool import Spool, SpoolFile
from raylite.actors.transfers import Stop, Transfers
from raylite.policies import limits
from raylite.policies.errors import LimitExceeded, OutcomeUnknown, ParameterError, Unreachable
from raylite.policies.transfer import (
    CloseTransfer,
    Imported,
    Kind,
    Opened,
    OpenImport,
    RunImport,
    TransferReply,
    TransferRequest,
    Watched,
    WatchImport,
    WriteImport,
)


class Import:
    """One file. Invariant: it runs once at most, and nothing is written to it from then on."""

    def __init__(self, database: str, kind: Kind, size: int, file: SpoolFile) -> None:
        self.database, self.kind, self.size, self.file = database, kind, size, file
        self.stop = Stop(limits.LONGEST_QUERY_SECONDS)
        self.load = Load(file.path, kind, self.stop.check)
        self.begun = False
        self.over = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether it runs: its answer is what somebody waits for."""
        return self.begun and not self.over.is_set()

    def begin(self, seconds: float) -> None:
        """From now on it runs; raises `OutcomeUnknown` if it did before."""
        if self.begun:
            raise OutcomeUnknown(self.database, "this import was run already")
        self.begun = True
        self.stop = Stop(min(seconds, limits.LONGEST_QUERY_SECONDS))
        self.load = Load(self.file.path, self.kind, self.stop.check)

    async def write(self, request: WriteImport) -> None:
        """Takes bytes of the file."""
        if self.begun:
            raise OutcomeUnknown(self.database, "this import was run already")
        if request.offset < 0 or request.offset + len(request.data) > self.size:
            raise ParameterError(f"bytes from {request.offset} on are not within the file's {self.size}")
        await asyncio.to_thread(self.file.write, request.data, request.offset)

    async def compare(self, digest: str) -> None:
        """Raises `ParameterError` unless what was written is what was sent."""
        if await asyncio.to_thread(self.file.digest, self.stop.check) != digest:
            raise ParameterError("the file's digest is another than at first: it changed while it was sent")

    async def end(self) -> None:
        """See `Transfer`."""
        self.stop.ask()
        if self.begun:
            await self.over.wait()


class Imports:
    """Those of one primary. apply: runs a load within so many seconds; returns its bookmark, once confirmed."""

    def __init__(
        self, owner: str, region: str, spool: Spool, apply: Callable[[str, Load, float], Awaitable[str]]
    ) -> None:
        self._owner, self._region, self._spool, self._apply = owner, region, spool, apply
        self._transfers: Transfers[Import] = Transfers(owner)

    def holds(self, request: TransferRequest) -> bool:
        """Whether the request is for this, not for the exports of the same actor."""
        match request:
            case OpenImport() | WriteImport() | RunImport() | WatchImport():
                return True
            case CloseTransfer():
                return request.transfer in self._transfers
            case _:
                return False

    def answer(self, request: TransferRequest) -> Coroutine[object, object, TransferReply | None]:
        """The answer to a request that this `holds`."""
        match request:
            case OpenImport():
                return self._open(request)
            case WriteImport():
                return self._transfers.get(request.transfer).write(request)
            case RunImport():
                return self._run(self._transfers.get(request.transfer), request)
            case WatchImport():
                return _watched(self._transfers.get(request.transfer))
            case CloseTransfer():
                return self._close(request.transfer)
            case _:
                raise Unreachable(self._owner, "it does no such thing to an import")

    async def stop(self) -> None:
        """Ends all that can be ended; to be awaited before the copy is closed."""
        await self._transfers.stop()

    async def _open(self, request: OpenImport) -> Opened:
        if not 0 <= request.size <= limits.TRANSFER_BYTES:
            raise LimitExceeded("the file", request.size, limits.TRANSFER_BYTES, "bytes")
        self._transfers.reserve()
        try:
            file = await asyncio.to_thread(self._spool.create, request.size)
        except BaseException:  # a cancellation, too; it goes on
            self._transfers.release()
            raise
        held = Import(request.database, request.kind, request.size, file)
        return Opened(self._transfers.hold(held), request.size)

    async def _run(self, held: Import, request: RunImport) -> Imported:
        held.begin(request.seconds)
        try:
            await held.compare(request.digest)
            bookmark = await self._apply(held.database, held.load, held.stop.left)
        finally:
            held.over.set()
        load = held.load
        return Imported(
            bookmark, load.statements, self._owner, self._region,
            load.changes, load.rows_read, load.last_row_id, load.size_after,
        )  # fmt: skip

    async def _close(self, transfer: str) -> None:
        await asyncio.shield(self._transfers.drop(transfer))


async def _watched(held: Import) -> Watched:
    """After a while, or when it is over: so a driver can ask again and again."""
    try:
        async with asyncio.timeout(limits.TRANSFER_HOLD_SECONDS):
            await held.over.wait()
    except TimeoutError:
        return Watched(held.load.done)
    return Watched(held.load.done)

"""The size of a primary's WAL: checkpoints while nothing waits, and a pause of writes when it has grown too large."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from raylite.actors.core.leader import Leader
from raylite.actors.service import boottime
from raylite.actors.storage.primary_file import PrimaryFile
from raylite.actors.storage.thread import DatabaseThread
from raylite.policies import limits
from raylite.policies.errors import Overloaded, StorageFull


class WalRoom:
    """For one open file. full: why its disk takes no more, None if it does; hold: runs work in the background."""

    def __init__(
        self, database: str, file: PrimaryFile, thread: DatabaseThread, leader: Callable[[], Leader | None],
        hold: Callable[..., object],
    ) -> None:  # fmt: skip
        self.bytes = 0
        self.full: StorageFull | None = None
        self._database, self._file, self._thread = database, file, thread
        self._leader, self._hold = leader, hold
        self._checkpointing = False
        self._room = asyncio.Event()
        self._room.set()

    async def wait(self, deadline: float) -> None:
        """Above its bound the WAL is checkpointed to its end before anything more is written."""
        if self.bytes >= limits.WAL_PAUSE_BYTES:
            self._room.clear()
            self.consider()
        try:
            async with asyncio.timeout(max(0.0, deadline - boottime())):
                await self._room.wait()
        except TimeoutError:
            what = f"{self._database}: bytes in the WAL that are not confirmed"
            raise self.full or Overloaded(what, limits.WAL_PAUSE_BYTES) from None

    def consider(self) -> None:
        """Begins a checkpoint if one is due and nothing waits for confirmation."""
        leader = self._leader()
        due = self.bytes >= limits.WAL_CHECKPOINT_BYTES and not self._checkpointing
        if due and leader is not None and leader.confirmation.unconfirmed == 0:
            self._checkpointing = True
            self._hold(self._checkpoint(leader))

    async def _checkpoint(self, leader: Leader) -> None:
        """Without room for it the WAL grows on; above its bound no more is written, and this is tried again."""
        try:
            self.bytes = await self._thread.run(partial(self._file.checkpoint, leader.confirmed))
            self.full = None
        except StorageFull as error:
            self.full = error
            await asyncio.sleep(limits.FULL_RETRY_SECONDS)
        self._checkpointing = False
        if self.full is not None:
            self.consider()
        if self.bytes < limits.WAL_PAUSE_BYTES:
            self._room.set()

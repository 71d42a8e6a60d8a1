"""Transfers under way at one actor: bounded in number, given up when nobody asks for them any more."""

from __future__ import annotations

import asyncio
import secrets
from typing import Generic, Protocol, TypeVar

from raylite.actors.storage.spool import SpoolFile
from raylite.policies import limits
from raylite.policies.errors import Interrupted, Overloaded, Unreachable


class Stop:
    """Whether work on other threads is to end, and until when it may go on. seconds: from now."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + seconds
        self._asked = False

    def ask(self) -> None:
        """From now on `check` raises."""
        self._asked = True

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._until - self._loop.time()

    @property
    def due(self) -> bool:
        """Whether `check` raises."""
        return self._asked or self.left < 0

    def check(self) -> None:
        """Raises `Interrupted` if the work is to end. Any thread may call it."""
        if self._asked:
            raise Interrupted("the transfer")
        if self.left < 0:
            raise Interrupted("the transfer, which had no time left,")


class Transfer(Protocol):
    """One of them. file: removed when it ends; busy: work on it goes on, so it is not idle."""

    file: SpoolFile

    @property
    def busy(self) -> bool:
        """Whether something is under way that nobody need ask for."""
        ...

    async def end(self) -> None:
        """Stop what is under way, and wait for that."""
        ...


T = TypeVar("T", bound=Transfer)


class Transfers(Generic[T]):
    """Those of one kind. All methods belong to the actor's loop; after `stop` none is begun."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._held: dict[str, T] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._opening = 0
        self._stopped = False

    def reserve(self) -> None:
        """Counts one that is about to be made; raises `Overloaded`. `hold` or `release` must follow."""
        if self._stopped:
            raise Unreachable(self._owner, "it is stopping")
        if self._opening + len(self._held) + len(self._endings) >= limits.TRANSFERS:
            raise Overloaded(f"transfers of {self._owner}", limits.TRANSFERS)
        self._opening += 1

    def release(self) -> None:
        """One that was reserved is not made."""
        self._opening -= 1

    def hold(self, transfer: T) -> str:
        """The id of one that was reserved; it is ended once nobody has asked for it for a while."""
        self._opening -= 1
        key = secrets.token_hex(8)
        self._held[key] = transfer
        self._timers[key] = self._timer(key)
        if self._stopped:
            self.drop(key)
        return key

    def get(self, key: str) -> T:
        """The transfer of this id; raises `Unreachable` if there is none."""
        found = self._held.get(key)
        if found is None:
            raise Unreachable(f"{self._owner}: transfer {key}", "it was given up, or its actor started anew")
        self._timers[key].cancel()
        self._timers[key] = self._timer(key)
        return found

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def drop(self, key: str) -> asyncio.Task[None]:
        """Ends a held transfer; the task is done when its file is gone."""
        self._timers.pop(key).cancel()
        task = asyncio.get_running_loop().create_task(_end(self._held.pop(key)))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task

    async def stop(self) -> None:
        """Ends all."""
        self._stopped = True
        for key in list(self._held):
            self.drop(key)
        await asyncio.gather(*self._endings)

    def _timer(self, key: str) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(limits.TRANSFER_IDLE_SECONDS, self._idle, key)

    def _idle(self, key: str) -> None:
        if self._held[key].busy:
            self._timers[key] = self._timer(key)
        else:
            self.drop(key)


async def _end(transfer: Transfer) -> None:
    await transfer.end()
    await asyncio.to_thread(transfer.file.remove)

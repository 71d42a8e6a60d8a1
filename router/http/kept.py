"""Things under keys that nobody can guess: a bounded number, each dropped when it was not asked for for long."""

from __future__ import annotations

import asyncio
import secrets
from typing import Generic, Protocol, TypeVar

from raylite.policies.errors import Overloaded
from raylite.router.http.reading import Rejected

KEY_BYTES = 24


class Keepable(Protocol):
    """What can be kept."""

    @property
    def busy(self) -> bool:
        """Whether it must not be dropped now, however long nobody asks for it."""
        ...

    @property
    def seconds(self) -> float:
        """How long it is kept, from when it was last asked for on."""
        ...

    def drop(self) -> None:
        """Ends it."""
        ...


K = TypeVar("K", bound=Keepable)


class Kept(Generic[K]):
    """Some of them; belongs to one event loop. what: what they are, for errors."""

    def __init__(self, what: str, most: int) -> None:
        self._what, self._most = what, most
        self._held: dict[str, K] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def add(self, thing: K) -> str:
        """Its key; raises `Overloaded`."""
        if len(self._held) >= self._most:
            raise Overloaded(f"{self._what} of this gateway", self._most)
        key = secrets.token_hex(KEY_BYTES)
        self._held[key] = thing
        self.touch(key)
        return key

    def get(self, key: str) -> K:
        """The thing, which counts as asked for now; raises `Rejected`."""
        if key not in self._held:
            gone = f"there is no such {self._what}: it was given up, or is over. Begin again."
            raise Rejected(404, gone)
        self.touch(key)
        return self._held[key]

    def touch(self, key: str) -> None:
        """It is dropped so long after now."""
        if key in self._timers:
            self._timers.pop(key).cancel()
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(self._held[key].seconds, self._expire, key)

    def clear(self) -> None:
        """Drops all of them."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for thing in self._held.values():
            thing.drop()
        self._held.clear()

    def _expire(self, key: str) -> None:
        if self._held[key].busy:
            self.touch(key)
            return
        del self._timers[key]
        self._held.pop(key).drop()

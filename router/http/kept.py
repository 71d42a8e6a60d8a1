"""Things under keys that nobody can guess: a bounded number, each dropped when it was not asked for for long.

One that can be spared is dropped before, when its place is needed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from raylite.policies import limits
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
    def spare(self) -> bool:
        """Whether it may be dropped for another one's place."""
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
    """Some of them; belongs to one event loop. what: what they are, for errors.

    Invariant: they are in the order in which they were asked for last.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._held: OrderedDict[str, K] = OrderedDict()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def add(self, make: Callable[[], K]) -> str:
        """The key of one more, which is made once it has a place; raises `Overloaded`."""
        if len(self._held) >= limits.HTTP_TRANSFERS and not self.give_way():
            raise Overloaded(f"{self._what}s of this gateway", limits.HTTP_TRANSFERS)
        key = secrets.token_hex(KEY_BYTES)
        self._held[key] = make()
        self.touch(key)
        return key

    def get(self, key: str) -> K:
        """The thing, which counts as asked for now; raises `Rejected`."""
        if key not in self._held:
            gone = f"there is no such {self._what}: it was given up, or is over. Begin again."
            raise Rejected(404, gone)
        self.touch(key)
        return self._held[key]

    def find(self, wanted: Callable[[K], bool]) -> str | None:
        """The key of one that is wanted."""
        return next((key for key, one in self._held.items() if wanted(one)), None)

    def touch(self, key: str) -> None:
        """It is dropped so long after now, if it was not already."""
        if key not in self._held:
            return
        if key in self._timers:
            self._timers.pop(key).cancel()
        self._held.move_to_end(key)
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(self._held[key].seconds, self._expire, key)

    def give_way(self) -> bool:
        """Drops the one that can be spared that was not asked for for longest; False if there is none."""
        key = self.find(lambda one: one.spare)
        if key is not None:
            self._drop(key)
        return key is not None

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
        self._drop(key)

    def _drop(self, key: str) -> None:
        self._timers.pop(key).cancel()
        self._held.pop(key).drop()

"""The way of new pieces from the database's thread to the loop, no faster than they are confirmed."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence

from raylite.actors.storage.entries import Made
from raylite.policies import limits


class HandOver:
    """What is made before the loop gets to it goes along: under load one call of `take` has many entries."""

    def __init__(self, take: Callable[[Sequence[Made]], None]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._made: deque[Sequence[Made]] = deque()
        self._calling = False
        self._flow = threading.Event()
        self._flow.set()

    def put(self, made: Sequence[Made]) -> None:
        """New pieces, from the database's thread; it waits here while too much is unconfirmed."""
        self._made.append(made)
        if not self._calling:
            self._calling = True
            self._loop.call_soon_threadsafe(self._hand_on)
        self._flow.wait(limits.CONFIRM_SECONDS)

    def regulate(self, unconfirmed: int) -> None:
        """A script or a large transaction makes entries faster than followers sync: then its thread waits."""
        if unconfirmed > limits.UNCONFIRMED_ENTRIES:
            self._flow.clear()
        else:
            self._flow.set()

    def _hand_on(self) -> None:
        # First the flag: what is made from here on calls again, at worst for nothing.
        self._calling = False
        made: list[Made] = []
        while self._made:
            made += self._made.popleft()
        self._take(made)

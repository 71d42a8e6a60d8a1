"""Sends a leader's messages to one peer, in order, reading what is not in memory outside the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from raylite.actors.core.shipping import Ship
from raylite.actors.piece_store import PieceStore, load

Send = Callable[[Ship, list[bytes]], None]
Missing = Callable[[str, int], None]


class Outbox:
    """The messages that wait for one peer; almost always none does."""

    def __init__(self, store: PieceStore, send: Send, missing: Missing) -> None:
        self._store, self._send, self._missing = store, send, missing
        self._waiting: deque[Ship] = deque()
        self._task: asyncio.Task[None] | None = None

    def ship(self, ship: Ship) -> None:
        """Sends it now if its bytes are at hand and nothing waits before it, else as soon as they are read."""
        pieces = None if self._waiting else self._store.at_hand(ship.first, ship.end)
        if pieces is not None:
            self._send(ship, pieces)
            return
        self._waiting.append(ship)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._drain())

    def clear(self) -> None:
        """Drops what waits: the connection is gone, or the peer goes on from elsewhere."""
        self._waiting.clear()

    async def _drain(self) -> None:
        while self._waiting:
            ship = self._waiting[0]
            pieces = await self._load(ship)
            if not self._waiting or self._waiting[0] is not ship:
                continue
            if pieces is None:
                self.clear()
                self._missing(ship.peer, ship.first)
            else:
                self._waiting.popleft()
                self._send(ship, pieces)
        self._task = None

    async def _load(self, ship: Ship) -> list[bytes] | None:
        pieces: list[bytes] = []
        for ordinal, source in self._store.sources(ship.first, ship.end):
            data = await asyncio.to_thread(load, source)
            if data is None or not self._store.verified(ordinal, data):
                return None
            pieces.append(data)
        return pieces

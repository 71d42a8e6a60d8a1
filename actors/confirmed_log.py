"""The confirmed part of a database's log, as its leader reads it from followers."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import takewhile

from raylite.actors.core import messages as m
from raylite.actors.core.piece import describe_all
from raylite.actors.relay import Relay
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt, Unreachable


class ConfirmedLog:
    """What cold storage is filled from. Followers may hold more than is confirmed, and other things than it."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay

    async def read(self, after: Bookmark, limit: int) -> list[bytes]:
        """Confirmed pieces behind the place `after`, about as many bytes as a follower reads at once; [] at the end.

        Raises `Corrupt` if `after` is not in the log any more, `Unreachable` if no follower answers.
        """
        if not self.waiting_bytes(after):
            return []
        try:
            found = await self._relay.read(after)
        except TimeoutError:
            raise Unreachable("the durability followers", "none has answered what its log holds") from None
        if isinstance(found, m.Missing):
            raise Corrupt("a log", str(after), f"followers hold it from {found.base} on only")
        pieces = await asyncio.to_thread(partial(describe_all, after, found.pieces))
        leader = self._relay.core.leader
        assert leader is not None, "a leader has read this"
        count = sum(1 for _ in takewhile(lambda piece: leader.has_confirmed(piece.place), pieces))
        return found.pieces[:count]

    def newest(self) -> Bookmark:
        """The newest confirmed entry."""
        confirmed = self._relay.core.confirmed
        assert confirmed is not None, "a leader has opened this"
        return confirmed

    def trim(self, held: Bookmark) -> None:
        """Followers need no more what cold storage holds."""
        self._relay.trim(held)

    def waiting_bytes(self, after: Bookmark) -> int:
        """1 if anything behind `after` is confirmed, else 0: how much it is nobody has counted."""
        confirmed = self.newest()
        if after.digest == confirmed.digest:
            return 0
        return int(after.sequence <= confirmed.sequence)  # of the same one: `after` lies within that entry

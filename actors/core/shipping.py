"""What leaves for a leader's peers: pieces out of its window, and heartbeats."""

from __future__ import annotations

import msgspec

from raylite.actors.core.confirmation import Confirmation
from raylite.actors.core.peer import Peer
from raylite.actors.core.window import Window
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark


class Ship(msgspec.Struct, frozen=True):
    """Send an `Append` with the window's pieces `first` to `end - 1` (none: a heartbeat)."""

    peer: str
    number: int
    previous: Bookmark
    first: int
    end: int
    place: Bookmark
    confirmed: Bookmark


class Bounds(msgspec.Struct, frozen=True):
    """How much a leader keeps in its window, sends in one message, and has on its way to one peer; in bytes.

    ahead_pieces: when more wait for confirmation, replicas are sent them ahead of it.
    """

    window_bytes: int = limits.WINDOW_BYTES
    append_bytes: int = limits.APPEND_BYTES
    inflight_bytes: int = limits.PEER_INFLIGHT_BYTES
    ahead_pieces: int = limits.REPLICA_AHEAD_PIECES


DEFAULT_BOUNDS = Bounds()


class Shipping:
    """Numbers messages, and fills them. number: of the newest message; they rise by one over all peers."""

    def __init__(self, window: Window, confirmation: Confirmation, bounds: Bounds) -> None:
        self._window, self._confirmation, self._bounds = window, confirmation, bounds
        self.number = 0

    def next_number(self) -> int:
        """The number of one more message."""
        self.number += 1
        return self.number

    def pump(self, peer: Peer, now: float) -> list[Ship]:
        """All that this peer misses and may have on its way to it."""
        shipped: list[Ship] = []
        end = self._end_for(peer)
        while peer.next < end and peer.has_room(self._bounds.inflight_bytes):
            shipped.append(self._ship(peer, end, now))
        return shipped

    def push(self, peer: Peer, now: float) -> list[Ship]:
        """The same, or at least a heartbeat, so that it hears at once of what is confirmed."""
        return self.pump(peer, now) or [self.heartbeat(peer, now)]

    def heartbeat(self, peer: Peer, now: float) -> Ship:
        """A message without pieces."""
        number = self.next_number()
        peer.sends(number, 0, now)
        place = peer.next_place if peer.place is None else peer.place
        return Ship(peer.id, number, place, peer.next, peer.next, place, self._mark(peer, peer.next))

    def probe(self, peer: Peer, now: float) -> Ship:
        """Asks a peer whether it holds everything."""
        end = self._window.end
        peer.probe(end, self._window.place(end), self.number + 1, now)
        return self.heartbeat(peer, now)

    def _end_for(self, peer: Peer) -> int:
        """A replica can show an entry once it is confirmed: unless much waits, it gets both in one message."""
        if peer.member is not None or self._confirmation.unconfirmed > self._bounds.ahead_pieces:
            return self._window.end
        return self._confirmation.ordinal

    def _ship(self, peer: Peer, limit: int, now: float) -> Ship:
        first, previous, number = peer.next, peer.next_place, self.next_number()
        end, size = self._batch(first, limit)
        place = self._window.place(end)
        peer.sends(number, size, now)
        peer.next, peer.next_place = end, place
        return Ship(peer.id, number, previous, first, end, place, self._mark(peer, end))

    def _batch(self, first: int, limit: int) -> tuple[int, int]:
        """Where a message that begins with ordinal `first` ends, at `limit` at the latest, and its bytes."""
        end, size = first + 1, self._window.piece(first).size
        while end < limit:
            with_next = size + self._window.piece(end).size
            if with_next > self._bounds.append_bytes:
                break
            end, size = end + 1, with_next
        return end, size

    def _mark(self, peer: Peer, end: int) -> Bookmark:
        """The confirmed mark for a message that ends at ordinal `end`: a replica shows only what it then holds."""
        if peer.member is not None or end >= self._confirmation.ordinal:
            return self._confirmation.place
        return self._window.place(self._window.whole(end))

"""Bringing a peer up to date that is behind the leader's window, with what another follower reads from its journal."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core.base import Base
from raylite.actors.core.confirmation import Confirmation
from raylite.actors.core.peer import Peer, State
from raylite.actors.core.piece import Piece
from raylite.actors.core.shipping import Shipping
from raylite.actors.core.window import Window
from raylite.policies.bookmark import Bookmark
from raylite.policies.quorum import Member


class Fetch(msgspec.Struct, frozen=True):
    """Read what follows `after` from `source`, for `peer`; the answer goes to `Leader.fetched`."""

    peer: str
    source: Member
    after: Bookmark


class Forward(msgspec.Struct, frozen=True):
    """Send an `Append` with pieces that a follower read for this peer."""

    peer: str
    number: int
    previous: Bookmark
    pieces: Sequence[bytes]
    place: Bookmark
    confirmed: Bookmark


class Rebase(msgspec.Struct, frozen=True):
    """Have this follower begin its log behind `base`: nobody holds what it misses before that any more."""

    peer: str
    number: int
    base: Base


class CatchingUp:
    """Chooses who reads for whom, and what of it may be sent on."""

    def __init__(
        self, window: Window, peers: dict[str, Peer], confirmation: Confirmation, shipping: Shipping
    ) -> None:
        self._window, self._peers = window, peers
        self._confirmation, self._shipping = confirmation, shipping

    def begin(self, peer: Peer, after: Bookmark, now: float) -> list[Fetch]:
        """It holds the log up to `after`: have what follows read, if anybody can; else the next tick tries again."""
        peer.catch_up(after, now)
        source = None if peer.full else self._choose_source(peer, after)
        if source is None:
            peer.stall()
            return []
        return [Fetch(peer.id, source, after)]

    def begin_behind_window(self, now: float) -> list[Fetch]:
        """Whoever was to get from the window what that has forgotten by now."""
        behind = [
            peer
            for peer in self._peers.values()
            if peer.state is State.STREAMING and peer.next < self._window.first
        ]
        return [fetch for peer in behind for fetch in self.begin(peer, peer.next_place, now)]

    def go_on(self, peer: Peer, reply: m.Appended, now: float) -> list[Fetch]:
        """A place was acknowledged that the window has forgotten, if it ever had it: go on reading from there.

        Unless this is the late answer to something else.
        """
        probed = peer.state is State.PROBING and peer.expects(reply.number)
        if probed or (peer.state is State.CATCHING_UP and reply.place == peer.sent):
            return self.begin(peer, reply.place, now)
        return []

    def forward(self, peer: Peer, reply: m.Pieces, pieces: Sequence[Piece], now: float) -> list[Forward]:
        """Of what a follower holds, only what lies before the window or is in it is surely this leader's log."""
        count = next((i for i, piece in enumerate(pieces) if not self.is_own(piece.place)), len(pieces))
        if count == 0:
            peer.stall()
            return []
        number, place = self._shipping.next_number(), pieces[count - 1].place
        peer.sends_fetched(number, place, now)
        mark = self._mark(pieces[:count])
        return [Forward(peer.id, number, reply.after, reply.pieces[:count], place, mark)]

    def rebase(self, peer: Peer, base: Base, now: float) -> list[Rebase]:
        """What it misses is in cold storage alone, up to `base`, which is confirmed: it begins behind that."""
        number = self._shipping.next_number()
        peer.sends_fetched(number, base.place, now)
        return [Rebase(peer.id, number, base)]

    def rebased(self, peer: Peer, reply: m.Rebased, now: float) -> list[Fetch]:
        """It begins there, or holds that already: go on with what follows."""
        if peer.state is not State.CATCHING_UP or not peer.expects(reply.number):
            return []
        peer.heard(now)
        return self.begin(peer, reply.place, now)

    def _mark(self, pieces: Sequence[Piece]) -> Bookmark:
        """The confirmed mark for a message with these pieces, no further than their last whole entry."""
        confirmed = self._confirmation.place
        whole = next((piece.place for piece in reversed(pieces) if piece.last), confirmed)
        return min(whole, confirmed, key=lambda place: place.sequence)

    def _choose_source(self, peer: Peer, after: Bookmark) -> Member | None:
        """A follower whose log is this leader's up to the window, and to `after` if that is in it."""
        needed = max(self._window.first, self._window.find(after) or 0)
        sources = [
            one.member
            for one in self._peers.values()
            if one.member
            and one.member != peer.member
            and one.acked >= needed
            and one.state is State.STREAMING
        ]
        return sources[self._shipping.number % len(sources)] if sources else None

    def is_own(self, place: Bookmark) -> bool:
        """Whether a place that one of the agreeing followers holds is surely of this leader's log."""
        start = self._window.start
        before = (place.epoch, place.sequence) <= (start.epoch, start.sequence)
        return before or self._window.find(place) is not None

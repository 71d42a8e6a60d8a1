"""The leader of one epoch: ships entries to followers and replicas, and confirms them (docs/architecture.md, Relay).

Followers are voters, replicas are learners: the same messages, but only voters count. The leader knows pieces,
not bytes: effects name pieces by ordinal or carry what was fetched, the shell turns them into `Append`s.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core.catching_up import CatchingUp, Fetch, Forward, Rebase
from raylite.actors.core.confirmation import Confirmation
from raylite.actors.core.membership import Membership, Propose
from raylite.actors.core.peer import Peer, State
from raylite.actors.core.piece import Piece
from raylite.actors.core.shipping import DEFAULT_BOUNDS, Bounds, Ship, Shipping
from raylite.actors.core.takeover import Adopted
from raylite.actors.core.voters import Voters
from raylite.actors.core.window import Window
from raylite.policies.bookmark import Bookmark
from raylite.policies.quorum import Member, Members


class Confirmed(msgspec.Struct, frozen=True):
    """Everything up to this entry is confirmed."""

    place: Bookmark


class Fenced(msgspec.Struct, frozen=True):
    """A higher epoch was promised: this leader is over."""

    epoch: int


class Diverge(msgspec.Struct, frozen=True):
    """Tell a replica that what it holds is not in the log."""

    peer: str


Effect = Ship | Forward | Fetch | Rebase | Confirmed | Fenced | Diverge | Propose


class Leader:
    """One reign. peers: followers and replicas by id.

    voters: of the peers, those whose word counts; confirmation: how far the log is confirmed.
    """

    def __init__(self, database: str, adopted: Adopted, now: float, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self.database, self.epoch = database, adopted.epoch
        self.fenced = False
        self.window = Window(adopted.tail)
        self.peers: dict[str, Peer] = {}
        self.voters = self._make_voters(adopted.members, now)
        # The log may end with the very entry by which the follower that alone holds it is a member no more.
        self.voters.add((adopted.source,), now)
        self.confirmation = Confirmation(self.window, self.voters, adopted.confirmed, now)
        self._membership = self._make_membership()
        self._bounds = bounds
        self._shipping = self._make_shipping()
        self._catching_up = self._make_catching_up()

    def _make_voters(self, members: Members, now: float) -> Voters:
        return Voters(members, self.peers, self.window, now)

    def _make_membership(self) -> Membership:
        return Membership(self.voters, self.confirmation)

    def _make_shipping(self) -> Shipping:
        return Shipping(self.window, self.confirmation, self._bounds)

    def _make_catching_up(self) -> CatchingUp:
        return CatchingUp(self.window, self.peers, self.confirmation, self._shipping)

    # What others may rely on

    @property
    def members(self) -> Members:
        """The members that count now."""
        return self.voters.members

    @property
    def confirmed(self) -> Bookmark:
        """The newest confirmed entry."""
        return self.confirmation.place

    @property
    def agreeing(self) -> list[Member]:
        """The followers whose logs hold this leader's up to where its window begins."""
        return self.voters.holding(self.window.first)

    def has_confirmed(self, place: Bookmark) -> bool:
        """Whether this place, read from one of the `agreeing`, is confirmed, or within an entry that is."""
        return place.sequence <= self.confirmed.sequence and self._catching_up.is_own(place)

    def may_answer(self, now: float) -> bool:
        """Whether the lease runs: no other leader can have confirmed anything by now."""
        return not self.fenced and now < self.voters.leased_until()

    # Events

    def propose(self, pieces: Sequence[Piece], now: float) -> list[Effect]:
        """New pieces of this reign, in order, each following the last one proposed."""
        for piece in pieces:
            self.confirmation.begin()
            self.window.add(piece)
            if piece.members is not None and piece.last:
                self._membership.written(piece.members, self.window.end, now)
        return [ship for peer in self.peers.values() for ship in self._shipping.pump(peer, now)]

    def change_members(self, following: tuple[Member, ...], now: float) -> Sequence[Effect]:
        """Begin to replace the members by `following`, unless a change is under way or nothing is confirmed yet."""
        return self._membership.change(following, now)

    def connected(self, peer_id: str, now: float) -> list[Effect]:
        """A follower's connection is there: find out what it holds."""
        peer = self.peers.get(peer_id)
        return [] if peer is None else [self._shipping.probe(peer, now)]

    def follow(self, replica: str, confirmed: Bookmark, now: float) -> Sequence[Effect]:
        """A replica's connection is there, and it holds the log up to `confirmed`."""
        peer = self.peers[replica] = Peer(replica, None, confirmed, now)
        ordinal = self.window.find(confirmed)
        if ordinal is not None:
            peer.stream_from(ordinal, confirmed)
            return self._shipping.push(peer, now)
        if confirmed.sequence >= self.window.start.sequence:
            return self._diverge(peer)
        return self._catching_up.begin(peer, confirmed, now)

    def lost(self, peer_id: str) -> None:
        """The connection is gone; a replica is forgotten, a follower stays a member."""
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        peer.disconnect()
        if peer.member is None:
            del self.peers[peer_id]

    def missing(self, peer_id: str, first: int, now: float) -> Sequence[Effect]:
        """The shell no longer has the bytes of ordinal `first`, which it was to ship: a follower has them."""
        peer = self.peers.get(peer_id)
        if peer is None:
            return []
        if first < self.window.first:
            return [self._shipping.probe(peer, now)]
        return self._catching_up.begin(peer, self.window.place(first), now)

    def tick(self, now: float) -> list[Effect]:
        """Heartbeats, and another probe for whoever does not answer; call it every tenth of a lease or more often."""
        effects: list[Effect] = []
        for peer in self.peers.values():
            if peer.is_stuck(now):
                effects.append(self._shipping.probe(peer, now))
            elif peer.wants_heartbeat(now):
                effects.append(self._shipping.heartbeat(peer, now))
            elif peer.wants_fetch() and peer.place is not None:
                effects += self._catching_up.begin(peer, peer.place, now)
        return effects

    # Answers

    def received(self, peer_id: str, reply: m.FromFollower, now: float) -> Sequence[Effect]:
        """The effects of a peer's answer to an append."""
        peer = self.peers.get(peer_id)
        if peer is None or self.fenced:
            return []
        match reply:
            case m.Appended() if reply.epoch == self.epoch:
                return self._appended(peer, reply, now)
            case m.Mismatch() if reply.epoch == self.epoch:
                return self._mismatch(peer, reply, now)
            case m.Rebased() if reply.epoch == self.epoch:
                return self._catching_up.rebased(peer, reply, now)
            case m.NoRoom() if reply.epoch == self.epoch:
                return self._filled(peer, reply, now)
            case m.Unknown():
                peer.refuses = True
                return []
            case m.Refused() if reply.epoch > self.epoch:
                self.fenced = True
                return [Fenced(reply.epoch)]
            case _:
                return []

    def fetched(
        self, peer_id: str, reply: m.FromFollower, pieces: Sequence[Piece], now: float
    ) -> Sequence[Effect]:
        """What a follower answered to a `Fetch`; `pieces` describes `reply.pieces`, chained from `reply.after`."""
        peer = self.peers.get(peer_id)
        if peer is None or peer.state is not State.CATCHING_UP or peer.place is None:
            return []
        match reply:
            case m.Pieces() if reply.after == peer.place:
                return self._catching_up.forward(peer, reply, pieces, now)
            case m.Missing() if reply.after == peer.place:
                return self._not_held(peer, reply, now)
            case _:
                peer.stall()
                return []

    def _not_held(self, peer: Peer, reply: m.Missing, now: float) -> Sequence[Effect]:
        """A follower that lags behind where others' logs begin begins there, too; a replica makes its copy anew."""
        trimmed = reply.after.sequence < reply.base.sequence and self._catching_up.is_own(reply.base)
        if peer.member is None and (trimmed or self._lacks(reply.after)):
            return self._diverge(peer)
        if peer.member is not None and trimmed and reply.start is not None:
            return self._catching_up.rebase(peer, reply.start, now)
        peer.stall()
        return []

    def _appended(self, peer: Peer, reply: m.Appended, now: float) -> Sequence[Effect]:
        peer.acknowledge(reply.number, now, leased=reply.leased, room=reply.room)
        ordinal = self.window.find(reply.place)
        if ordinal is None:
            return self._catching_up.go_on(peer, reply, now)
        peer.acked = max(peer.acked, ordinal)
        if peer.state is not State.STREAMING and peer.expects(reply.number):
            peer.stream_from(ordinal, reply.place)
        effects: list[Effect] = []
        if peer.member is not None and ordinal > self.confirmation.ordinal:
            effects += self._confirm(now)
        effects += self._shipping.pump(peer, now)
        return [*effects, *self._membership.newcomers_heard()]

    def _confirm(self, now: float) -> Sequence[Effect]:
        if not self.confirmation.advance(now):
            return []
        self.window.shrink(self._bounds.window_bytes, self.confirmation.ordinal)
        effects: list[Effect] = [Confirmed(self.confirmed), *self._catching_up.begin_behind_window(now)]
        for peer in self.peers.values():
            if peer.is_streaming_learner:
                effects += self._shipping.push(peer, now)
        return [*effects, *self._membership.confirmed()]

    def _mismatch(self, peer: Peer, reply: m.Mismatch, now: float) -> Sequence[Effect]:
        if not peer.expects(reply.number):
            return []
        peer.heard(now)
        for place in (reply.tail, reply.confirmed):
            ordinal = self.window.find(place)
            if ordinal is not None:
                peer.stream_from(ordinal, place)
                return self._shipping.pump(peer, now)
        return self._catching_up.begin(peer, reply.confirmed, now)

    def _filled(self, peer: Peer, reply: m.NoRoom, now: float) -> Sequence[Effect]:
        """Its disk is full: find out once what it holds, then only heartbeats, until it says that there is room."""
        peer.fill(now)
        if peer.state is State.CATCHING_UP and peer.place is not None and peer.expects(reply.number):
            return self._catching_up.begin(peer, peer.place, now)
        if peer.state is State.STREAMING and peer.expects(reply.number):
            return [self._shipping.probe(peer, now)]
        return []

    def _lacks(self, place: Bookmark) -> bool:
        return self.window.find(place) is None

    def _diverge(self, peer: Peer) -> list[Effect]:
        del self.peers[peer.id]
        return [Diverge(peer.id)]

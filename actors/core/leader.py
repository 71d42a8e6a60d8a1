"""The leader of one epoch: ships entries to followers and replicas, and confirms them (docs/architecture.md, Relay).

Followers are voters, replicas are learners: the same messages, but only voters count. The leader knows pieces,
not bytes: effects name pieces by ordinal or carry what was fetched, the shell turns them into `Append`s.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core.peer import Peer, State
from raylite.actors.core.piece import Piece
from raylite.actors.core.takeover import Adopted
from raylite.actors.core.window import Window
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.quorum import Member, Members, agreed, is_quorum


class Ship(msgspec.Struct, frozen=True):
    """Send an `Append` with the window's pieces `first` to `end - 1` (none: a heartbeat)."""

    peer: str
    number: int
    previous: Bookmark
    first: int
    end: int
    place: Bookmark
    confirmed: Bookmark


class Forward(msgspec.Struct, frozen=True):
    """Send an `Append` with pieces that a follower read for this peer."""

    peer: str
    number: int
    previous: Bookmark
    pieces: Sequence[bytes]
    place: Bookmark
    confirmed: Bookmark


class Fetch(msgspec.Struct, frozen=True):
    """Read what follows `after` from `source`, for `peer`; the answer goes to `Leader.fetched`."""

    peer: str
    source: Member
    after: Bookmark


class Confirmed(msgspec.Struct, frozen=True):
    """Everything up to this entry is confirmed."""

    place: Bookmark


class Fenced(msgspec.Struct, frozen=True):
    """A higher epoch was promised: this leader is over."""

    epoch: int


class Diverge(msgspec.Struct, frozen=True):
    """Tell a replica that what it holds is not in the log."""

    peer: str


class Propose(msgspec.Struct, frozen=True):
    """Make an entry of kind MEMBERS and give it to `Leader.propose`."""

    members: Members


Effect = Ship | Forward | Fetch | Confirmed | Fenced | Diverge | Propose


class Bounds(msgspec.Struct, frozen=True):
    """How much a leader keeps in its window, sends in one message, and has on its way to one peer; in bytes.

    ahead_pieces: when more wait for confirmation, replicas are sent them ahead of it.
    """

    window_bytes: int = limits.WINDOW_BYTES
    append_bytes: int = limits.APPEND_BYTES
    inflight_bytes: int = limits.PEER_INFLIGHT_BYTES
    ahead_pieces: int = limits.REPLICA_AHEAD_PIECES


DEFAULT_BOUNDS = Bounds()


def peer_of(member: Member) -> str:
    """The peer id of a follower: an incarnation is made once, so no two logs share it."""
    return f"{member.follower}/{member.incarnation}"


class Leader:
    """One reign.

    Invariants: an ordinal counts as confirmed only with a quorum of every set of members, and only from the first
    entry of the own epoch on; `confirmed` is the place of a whole entry and never falls.
    agreed_at: when a quorum last got further, if only within an entry.
    """

    def __init__(self, database: str, adopted: Adopted, now: float, bounds: Bounds = DEFAULT_BOUNDS) -> None:
        self.database, self.epoch = database, adopted.epoch
        self._bounds = bounds
        self.members = adopted.members
        self.window = Window(adopted.tail)
        self.confirmed = adopted.confirmed
        self.fenced = False
        self._confirmed_ordinal = self._agreed = 0
        self.agreed_at = now
        self._own_from: int | None = None
        self._number = 0
        self._target: tuple[Member, ...] = ()
        self._proposed: Members | None = None
        self.peers: dict[str, Peer] = {}
        for member in adopted.members.everyone:
            self._add_follower(member, now)

    # Events

    def propose(self, pieces: Sequence[Piece], now: float) -> list[Effect]:
        """New pieces of this reign, in order, each following the last one proposed."""
        for piece in pieces:
            if self._own_from is None:
                self._own_from = self.window.end
            self.window.add(piece)
            if piece.members is not None and piece.last:
                self._use(piece.members, now)
        return [effect for peer in self.peers.values() for effect in self._pump(peer, now)]

    def connected(self, peer_id: str, now: float) -> list[Effect]:
        """A follower's connection is there: find out what it holds."""
        peer = self.peers.get(peer_id)
        return [] if peer is None else self._probe(peer, now)

    def follow(self, replica: str, confirmed: Bookmark, now: float) -> list[Effect]:
        """A replica's connection is there, and it holds the log up to `confirmed`."""
        peer = self.peers[replica] = self._make_peer(replica, None, confirmed, now)
        ordinal = self.window.find(confirmed)
        if ordinal is not None:
            peer.stream_from(ordinal, confirmed)
            return self._pump(peer, now) or [self._heartbeat(peer, now)]
        if confirmed.sequence >= self.window.start.sequence:
            return self._diverge(peer)
        return self._catch_up(peer, confirmed, now)

    def lost(self, peer_id: str) -> None:
        """The connection is gone; a replica is forgotten, a follower stays a member."""
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        peer.disconnect()
        if peer.member is None:
            del self.peers[peer_id]

    def received(self, peer_id: str, reply: m.FromFollower, now: float) -> list[Effect]:
        """The effects of a peer's answer to an append."""
        peer = self.peers.get(peer_id)
        if peer is None or self.fenced:
            return []
        match reply:
            case m.Appended() if reply.epoch == self.epoch:
                return self._appended(peer, reply, now)
            case m.Mismatch() if reply.epoch == self.epoch:
                return self._mismatch(peer, reply, now)
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
    ) -> list[Effect]:
        """What a follower answered to a `Fetch`; `pieces` describes `reply.pieces`, chained from `reply.after`."""
        peer = self.peers.get(peer_id)
        if peer is None or peer.state is not State.CATCHING_UP or peer.place is None:
            return []
        match reply:
            case m.Pieces() if reply.after == peer.place:
                return self._forward(peer, reply, pieces, now)
            case m.Missing() if (
                reply.after == peer.place and peer.member is None and not self._has(peer.place)
            ):
                return self._diverge(peer)
            case _:
                peer.stall()
                return []

    def tick(self, now: float) -> list[Effect]:
        """Heartbeats, and another probe for whoever does not answer; call it every tenth of a lease or more often."""
        effects: list[Effect] = []
        for peer in self.peers.values():
            if peer.is_stuck(now):
                effects += self._probe(peer, now)
            elif peer.wants_heartbeat(now):
                effects.append(self._heartbeat(peer, now))
            elif peer.wants_fetch() and peer.place is not None:
                effects += self._catch_up(peer, peer.place, now)
        return effects

    def missing(self, peer_id: str, first: int, now: float) -> list[Effect]:
        """The shell no longer has the bytes of ordinal `first`, which it was to ship: a follower has them."""
        peer = self.peers.get(peer_id)
        if peer is None:
            return []
        if first < self.window.first:
            return self._probe(peer, now)
        return self._catch_up(peer, self.window.place(first), now)

    # What others may rely on

    def may_answer(self, now: float) -> bool:
        """Whether the lease runs: no other leader can have confirmed anything by now."""
        until = agreed(self.members, self._lease_start) + limits.LEASE_SECONDS - limits.LEASE_DRIFT_SECONDS
        return not self.fenced and now < until

    def answering(self, now: float) -> int:
        """How many followers have answered lately."""
        return sum(self.answers(member, now) for member in self.members.everyone)

    def has_quorum(self, now: float) -> bool:
        """Whether enough followers have answered lately for a write to have a chance."""
        everyone = self.members.everyone
        return is_quorum(self.members, [one for one in everyone if self.answers(one, now)])

    def has_room(self, now: float) -> bool:
        """Whether enough of those who answer have room on their disks for new writes to be begun."""
        return self._is_quorum(lambda peer: not peer.low, now)

    def can_store(self, now: float) -> bool:
        """Whether enough of those who answer still take what is sent to them."""
        return self._is_quorum(lambda peer: not peer.full, now)

    @property
    def low(self) -> list[str]:
        """The followers that have said that their disks have little room, or none."""
        return sorted(one.follower for one in self.members.everyone if self.peers[peer_of(one)].low)

    def _is_quorum(self, fits: Callable[[Peer], bool], now: float) -> bool:
        chosen = [one for one in self.members.everyone if fits(self.peers[peer_of(one)])]
        return is_quorum(self.members, [one for one in chosen if self.answers(one, now)])

    @property
    def agreeing(self) -> list[Member]:
        """The followers whose logs hold this leader's up to where its window begins."""
        first = self.window.first
        return [
            peer.member for peer in self.peers.values() if peer.member is not None and peer.acked >= first
        ]

    def has_confirmed(self, place: Bookmark) -> bool:
        """Whether this place, read from one of the `agreeing`, is confirmed, or within an entry that is."""
        return place.sequence <= self.confirmed.sequence and self._is_own(place)

    @property
    def unconfirmed(self) -> int:
        """How many pieces wait for confirmation."""
        return self.window.end - self._confirmed_ordinal

    # Membership

    def change_members(self, following: tuple[Member, ...], now: float) -> list[Effect]:
        """Begin to replace the members by `following`; newcomers must hold everything confirmed first.

        Nothing happens while a change is in the log; one that still waits for its newcomers is given up for this one.
        """
        if self.members.following or self._proposed is not None or not self._reigns:
            return []
        self._target = following
        self._drop_former()
        for member in following:
            if peer_of(member) not in self.peers:
                self._add_follower(member, now)
        return self._advance_members()

    def _advance_members(self) -> list[Effect]:
        if self._proposed is not None:
            return []
        if self.members.following:
            return self._propose_members(Members(self.members.following))
        newcomers = [member for member in self._target if member not in self.members.current]
        ready = all(self._acked(member) >= self._confirmed_ordinal for member in newcomers)
        if not self._target or not ready or self.members.current == self._target:
            return []
        target, self._target = self._target, ()
        return self._propose_members(Members(self.members.current, target))

    def _propose_members(self, members: Members) -> list[Effect]:
        self._proposed = members
        return [Propose(members)]

    def _use(self, members: Members, now: float) -> None:
        self.members, self._proposed = members, None
        for member in members.everyone:
            if peer_of(member) not in self.peers:
                self._add_follower(member, now)

    def _drop_former(self) -> None:
        known = {peer_of(member) for member in (*self.members.everyone, *self._target)}
        for peer_id in [one.id for one in self.peers.values() if one.member and one.id not in known]:
            del self.peers[peer_id]

    def _add_follower(self, member: Member, now: float) -> None:
        peer = self._make_peer(peer_of(member), member, self.window.start, now)
        self.peers[peer.id] = peer

    def _make_peer(self, peer_id: str, member: Member | None, place: Bookmark, now: float) -> Peer:
        return Peer(peer_id, member, place, now)

    # Answers

    def _appended(self, peer: Peer, reply: m.Appended, now: float) -> list[Effect]:
        peer.acknowledge(reply.number, now, leased=reply.leased, room=reply.room)
        ordinal = self.window.find(reply.place)
        if ordinal is None:
            return self._read_on(peer, reply, now)
        peer.acked = max(peer.acked, ordinal)
        if peer.state is not State.STREAMING and peer.expects(reply.number):
            peer.stream_from(ordinal, reply.place)
        news = peer.member is not None and ordinal > self._confirmed_ordinal
        effects = (self._confirm(now) if news else []) + self._pump(peer, now)
        return effects + (self._advance_members() if self._target else [])

    def _read_on(self, peer: Peer, reply: m.Appended, now: float) -> list[Effect]:
        """A place was acknowledged that the window has forgotten, if it ever had it: go on reading from there.

        Unless this is the late answer to something else.
        """
        probed = peer.state is State.PROBING and peer.expects(reply.number)
        if probed or (peer.state is State.CATCHING_UP and reply.place == peer.sent):
            return self._catch_up(peer, reply.place, now)
        return []

    def _mismatch(self, peer: Peer, reply: m.Mismatch, now: float) -> list[Effect]:
        if not peer.expects(reply.number):
            return []
        peer.heard(now)
        for place in (reply.tail, reply.confirmed):
            ordinal = self.window.find(place)
            if ordinal is not None:
                peer.stream_from(ordinal, place)
                return self._pump(peer, now)
        return self._catch_up(peer, reply.confirmed, now)

    def _filled(self, peer: Peer, reply: m.NoRoom, now: float) -> list[Effect]:
        """Its disk is full: find out once what it holds, then only heartbeats, until it says that there is room."""
        peer.fill(now)
        if peer.state is State.CATCHING_UP and peer.place is not None and peer.expects(reply.number):
            return self._catch_up(peer, peer.place, now)
        if peer.state is State.STREAMING and peer.expects(reply.number):
            return self._probe(peer, now)
        return []

    def _confirm(self, now: float) -> list[Effect]:
        agreed_ordinal = self._agreed_ordinal()
        if agreed_ordinal > self._agreed:
            self._agreed, self.agreed_at = agreed_ordinal, now
        ordinal = self.window.whole(max(agreed_ordinal, self.window.first))
        if ordinal <= self._confirmed_ordinal or self._own_from is None or ordinal <= self._own_from:
            return []
        passed = self._members_between(self._confirmed_ordinal, ordinal)
        self._confirmed_ordinal = ordinal
        self.confirmed = self.window.place(ordinal)
        effects: list[Effect] = [Confirmed(self.confirmed), *self._shrink_window(now)]
        for peer in self.peers.values():
            if peer.is_streaming_learner:
                effects += self._pump(peer, now) or [self._heartbeat(peer, now)]
        if passed or self._target or self.members.following:
            effects += self._members_confirmed(ordinal)
        return effects

    def _members_between(self, first: int, end: int) -> bool:
        return any(piece.members is not None for piece in self.window.run(first, end))

    def _members_confirmed(self, ordinal: int) -> list[Effect]:
        """The newest members count from when they are written; the next step waits until they are confirmed."""
        if any(piece.members is not None for piece in self.window.run(ordinal, self.window.end)):
            return []
        if not self.members.following:
            self._drop_former()
        return self._advance_members()

    def _agreed_ordinal(self) -> int:
        return int(agreed(self.members, self._acked))

    def _acked(self, member: Member) -> int:
        return self.peers[peer_of(member)].acked

    def _lease_start(self, member: Member) -> float:
        return self.peers[peer_of(member)].acknowledged_send

    def answers(self, member: Member, now: float) -> bool:
        """Whether this follower has answered lately."""
        return now - self.peers[peer_of(member)].heard_at < limits.PEER_SILENCE_SECONDS

    @property
    def _reigns(self) -> bool:
        return self._own_from is not None and self._confirmed_ordinal > self._own_from

    # Sending

    def _pump(self, peer: Peer, now: float) -> list[Effect]:
        effects: list[Effect] = []
        end = self._end_for(peer)
        while peer.has_room(self._bounds.inflight_bytes) and peer.next < end:
            effects.append(self._ship(peer, self._batch_end(peer.next, end), now))
        return effects

    def _end_for(self, peer: Peer) -> int:
        """A replica can show an entry once it is confirmed: unless much waits, it gets both in one message."""
        ahead = self.window.end - self._confirmed_ordinal > self._bounds.ahead_pieces
        return self.window.end if peer.member is not None or ahead else self._confirmed_ordinal

    def _shrink_window(self, now: float) -> list[Effect]:
        """Forget what is confirmed beyond the bound; whoever was to get it from here reads it from a follower."""
        self.window.shrink(self._bounds.window_bytes, self._confirmed_ordinal)
        behind = [
            peer
            for peer in self.peers.values()
            if peer.state is State.STREAMING and peer.next < self.window.first
        ]
        return [effect for peer in behind for effect in self._catch_up(peer, peer.next_place, now)]

    def _batch_end(self, first: int, limit: int) -> int:
        end, size = first + 1, self.window.piece(first).size
        while end < limit and size + self.window.piece(end).size <= self._bounds.append_bytes:
            size += self.window.piece(end).size
            end += 1
        return end

    def _ship(self, peer: Peer, end: int, now: float) -> Ship:
        first, previous = peer.next, peer.next_place
        number = self._next_number()
        place = self.window.place(end)
        peer.sends(number, sum(piece.size for piece in self.window.run(first, end)), now)
        peer.next, peer.next_place = end, place
        return Ship(peer.id, number, previous, first, end, place, self._mark(peer, end))

    def _heartbeat(self, peer: Peer, now: float) -> Ship:
        if peer.place is None:
            return self._ship(peer, peer.next, now)
        number = self._next_number()
        peer.sends(number, 0, now)
        return Ship(peer.id, number, peer.place, peer.next, peer.next, peer.place, self.confirmed)

    def _probe(self, peer: Peer, now: float) -> list[Effect]:
        peer.probe(self.window.end, self.window.place(self.window.end), self._number + 1, now)
        return [self._heartbeat(peer, now)]

    def _mark(self, peer: Peer, end: int) -> Bookmark:
        """The confirmed mark for a message that ends at ordinal `end`: a replica shows only what it then holds."""
        if peer.member is not None or end >= self._confirmed_ordinal:
            return self.confirmed
        return self.window.place(self.window.whole(end))

    def _catch_up(self, peer: Peer, after: Bookmark, now: float) -> list[Effect]:
        peer.catch_up(after, now)
        source = None if peer.full else self._choose_source(peer, after)
        if source is None:
            peer.stall()
            return []
        return [Fetch(peer.id, source, after)]

    def _choose_source(self, peer: Peer, after: Bookmark) -> Member | None:
        """A follower whose log is this leader's up to the window, and to `after` if that is in it."""
        needed = max(self.window.first, self.window.find(after) or 0)
        candidates = [
            one.member
            for one in self.peers.values()
            if one.member and one.connected and one.acked >= needed and one.state is State.STREAMING
        ]
        others = [member for member in candidates if member != peer.member]
        return others[self._number % len(others)] if others else None

    def _forward(self, peer: Peer, reply: m.Pieces, pieces: Sequence[Piece], now: float) -> list[Effect]:
        """Of what a follower holds, only what lies before the window or is in it is surely this leader's log."""
        count = next((i for i, piece in enumerate(pieces) if not self._is_own(piece.place)), len(pieces))
        if count == 0:
            peer.stall()
            return []
        number = self._next_number()
        place = pieces[count - 1].place
        whole = next((piece.place for piece in reversed(pieces[:count]) if piece.last), self.confirmed)
        confirmed = min(whole, self.confirmed, key=lambda one: one.sequence)
        peer.sends_fetched(number, place, now)
        return [Forward(peer.id, number, reply.after, reply.pieces[:count], place, confirmed)]

    def _has(self, place: Bookmark) -> bool:
        return self.window.find(place) is not None

    def _is_own(self, place: Bookmark) -> bool:
        start = self.window.start
        return (place.epoch, place.sequence) <= (start.epoch, start.sequence) or self._has(place)

    def _diverge(self, peer: Peer) -> list[Effect]:
        del self.peers[peer.id]
        return [Diverge(peer.id)]

    def _next_number(self) -> int:
        self._number += 1
        return self._number

"""A primary's reign, from taking over to being fenced (docs/architecture.md, The primary).

Phases: TAKING_OVER (a quorum promises) -> CONFIRMING (the first entry of the own epoch gets its quorum; by it all
before it is confirmed) -> REPLAYING (the own file is brought there) -> OPEN -> OVER. There is no way back: a
process has one reign.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

import msgspec

from raylite.actors.core import leader as lead
from raylite.actors.core import messages as m
from raylite.actors.core import takeover as take
from raylite.actors.core.history import History
from raylite.actors.core.peer import peer_of
from raylite.actors.core.piece import Piece
from raylite.actors.core.queries import Queries, Respond, Waiting
from raylite.actors.core.shipping import DEFAULT_BOUNDS, Bounds
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import NotPrimary, StorageFull
from raylite.policies.quorum import Member, Members


class Phase(enum.Enum):
    """Where the reign is."""

    TAKING_OVER = enum.auto()
    CONFIRMING = enum.auto()
    REPLAYING = enum.auto()
    OPEN = enum.auto()
    OVER = enum.auto()


class Begin(msgspec.Struct, frozen=True):
    """Make an entry of kind EMPTY behind the adopted tail, in the new epoch, and give it to `committed`."""

    adopted: take.Adopted


class Replay(msgspec.Struct, frozen=True):
    """Bring the own file up to this confirmed entry, then call `replayed`."""

    place: Bookmark


Effect = lead.Effect | take.Ask | Begin | Replay | Respond


class PrimaryCore:
    """One process' attempt to be the primary of one database."""

    def __init__(
        self,
        database: str,
        name: str,
        members: Members,
        directory: str,
        *,
        jitter: float,
        bounds: Bounds = DEFAULT_BOUNDS,
    ) -> None:
        self.database, self.name, self.directory = database, name, directory
        self.phase = Phase.TAKING_OVER
        self._bounds = bounds
        self.takeover = self._make_takeover(members, jitter)
        self.leader: lead.Leader | None = None
        self.history: History | None = None
        self._queries: Queries | None = None
        self._connected: set[str] = set()

    @property
    def epoch(self) -> int:
        """The epoch of this reign, or the one that it asks for."""
        return self.takeover.epoch

    @property
    def members(self) -> Members:
        """The members that count now."""
        return self.leader.members if self.leader else self.takeover.members

    @property
    def contacts(self) -> tuple[Member, ...]:
        """The followers that connections are needed to; it grows when a newcomer is to join."""
        if self.leader is None:
            return self.takeover.members.everyone
        return tuple(peer.member for peer in self.leader.peers.values() if peer.member is not None)

    @property
    def confirmed(self) -> Bookmark | None:
        """The newest confirmed entry that this reign knows of."""
        return self.leader.confirmed if self.leader else None

    # Events of the relay

    def begin(self, adopted: take.Adopted, now: float) -> list[Effect]:
        """A quorum has promised: go on from what is adopted, and confirm a first entry of the own epoch."""
        self.phase = Phase.CONFIRMING
        self.leader = self._make_leader(adopted, now)
        self.history = History(adopted.tail, adopted.epochs)
        self._queries = self._make_queries(self.leader, self.history)
        probes = [effect for peer in sorted(self._connected) for effect in self.leader.connected(peer, now)]
        return [Begin(adopted), *probes]

    def connected(self, peer_id: str, now: float) -> list[Effect]:
        """A follower's connection is there."""
        self._connected.add(peer_id)
        if self.phase is Phase.OVER:
            return []
        if self.leader:
            return self._carry(self.leader.connected(peer_id, now), now)
        found = [one for one in self.members.everyone if peer_of(one) == peer_id]
        return [effect for one in found for effect in self.takeover.connected(one)]

    def lost(self, peer_id: str) -> None:
        """A follower's or replica's connection is gone."""
        self._connected.discard(peer_id)
        if self.leader:
            self.leader.lost(peer_id)

    def follow(self, replica: str, confirmed: Bookmark, now: float) -> list[Effect]:
        """A replica asks for the stream; raises `NotPrimary` if this reign is not open yet, or certainly over."""
        reigns = self.phase in (Phase.REPLAYING, Phase.OPEN) and confirmed.epoch <= self.epoch
        if self.leader is None or not reigns:
            raise NotPrimary(self.name, self.epoch)
        return self._carry(self.leader.follow(replica, confirmed, now), now)

    def received(self, peer_id: str, reply: m.FromFollower, now: float) -> list[Effect]:
        """A peer's answer to a promise or an append; if the database is deleted, so is this reign's end."""
        if isinstance(reply, m.Unknown) and reply.dropped:
            return [lead.Fenced(self.epoch), *self._end()]
        if self.phase is Phase.OVER:
            return []
        if self.leader:
            return self._carry(self.leader.received(peer_id, reply, now), now)
        found = [one for one in self.members.everyone if peer_of(one) == peer_id]
        for member in found:
            adopted = self.takeover.received(member, reply, now)
            if adopted:
                return self.begin(adopted, now)
        return list(self.takeover.tick(now)) if isinstance(reply, m.Refused) else []

    def fetched(
        self, peer_id: str, reply: m.FromFollower, pieces: Sequence[Piece], now: float
    ) -> list[Effect]:
        """The answer to a `Fetch`."""
        if self.leader is None or self.phase is Phase.OVER:
            return []
        return self._carry(self.leader.fetched(peer_id, reply, pieces, now), now)

    def missing(self, peer_id: str, first: int, now: float) -> list[Effect]:
        """The bytes of ordinal `first` are not at hand any more."""
        if self.leader is None or self.phase is Phase.OVER:
            return []
        return self._carry(self.leader.missing(peer_id, first, now), now)

    def committed(self, pieces: Sequence[Piece], now: float) -> list[Effect]:
        """Pieces that the database's thread has made, in order."""
        if self.leader is None or self.history is None or self.phase is Phase.OVER:
            return []
        for piece in pieces:
            if piece.last:
                self.history.extend(piece.place)
        return self._carry(self.leader.propose(pieces, now), now)

    def replayed(self) -> None:
        """The own file is at the place that `Replay` named."""
        if self.phase is Phase.REPLAYING:
            self.phase = Phase.OPEN

    def change_members(self, following: tuple[Member, ...], now: float) -> list[Effect]:
        """Begin to replace the members; nothing happens while another change is under way or before it is open."""
        if self.phase is not Phase.OPEN or self.leader is None:
            return []
        known = set(self.leader.peers)
        effects = list(self.leader.change_members(following, now))
        for peer in sorted((set(self.leader.peers) - known) & self._connected):
            effects += self.leader.connected(peer, now)
        return self._carry(effects, now)

    def tick(self, now: float) -> list[Effect]:
        """The passing of time; call it every tenth of a lease or more often."""
        if self.phase is Phase.OVER:
            return []
        if self.leader is None:
            return list(self.takeover.tick(now))
        return [*self._carry(self.leader.tick(now), now), *self._running.expire(now)]

    def stop(self) -> Sequence[Effect]:
        """Ends the reign: whoever waits is told that the outcome is unknown, or to ask again."""
        return self._end()

    # Queries

    def admit(self, bookmark: Bookmark | None, now: float) -> None:
        """Raises `NotPrimary`, or an error of `Queries.admit`, unless a query may run here now."""
        if self.phase is not Phase.OPEN or self._queries is None:
            raise NotPrimary(self.name, self.epoch)
        self._queries.admit(bookmark, now)

    def dismissed(self) -> None:
        """A query that was admitted has its response, or has come to nothing."""
        self._running.dismissed()

    def refusal_of_writes(self, now: float) -> StorageFull | None:
        """Why no write may begin now, though reads may; None if it may."""
        return self._queries.refusal_of_writes(now) if self._queries else None

    def finished(self, waiting: Waiting, now: float) -> Sequence[Effect]:
        """A query has run: its response leaves when all that it may have seen is confirmed."""
        return self._running.finished(waiting, now)

    @property
    def _running(self) -> Queries:
        assert self._queries is not None, "a query runs only after the takeover"
        return self._queries

    # Steps

    def _make_takeover(self, members: Members, jitter: float) -> take.Takeover:
        return take.Takeover(self.database, members, self.directory, jitter=jitter)

    def _make_leader(self, adopted: take.Adopted, now: float) -> lead.Leader:
        return lead.Leader(self.database, adopted, now, self._bounds)

    def _make_queries(self, leader: lead.Leader, history: History) -> Queries:
        return Queries(self.name, leader, history)

    def _carry(self, effects: Sequence[lead.Effect], now: float) -> list[Effect]:
        """What the leader wants, with what follows from it here."""
        carried: list[Effect] = []
        for effect in effects:
            carried.append(effect)
            match effect:
                case lead.Confirmed():
                    carried += self._confirm(effect.place, now)
                case lead.Fenced():
                    carried += self._end()
                case _:
                    pass
        return carried + list(self._queries.retry(now) if self._queries else [])

    def _confirm(self, place: Bookmark, now: float) -> Sequence[Effect]:
        if self.phase is Phase.CONFIRMING:
            self.phase = Phase.REPLAYING
            return [Replay(place)]
        return self._running.confirmed(place, now)

    def _end(self) -> Sequence[Effect]:
        self.phase = Phase.OVER
        return self._queries.end() if self._queries else []

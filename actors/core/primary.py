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
from raylite.actors.core.shipping import DEFAULT_BOUNDS, Bounds
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import (
    Error,
    NoQuorum,
    NotPrimary,
    OutcomeUnknown,
    Overloaded,
    StorageFull,
    Unavailable,
)
from raylite.policies.gate import Gate
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


class Respond(msgspec.Struct, frozen=True):
    """Let the response that `token` stands for leave; `error` instead of it if there is one."""

    token: object
    bookmark: Bookmark
    error: Error | None


class Waiting(msgspec.Struct, frozen=True):
    """A response at the gate. mark: the newest entry that it may have seen; wrote: whether it made an entry.

    It waits until its deadline; if `since` is given, not longer either than CONFIRM_SECONDS from then on, or from
    when followers last got further: the log has one order, so what they store leads to the mark.
    """

    token: object
    mark: Bookmark
    wrote: bool
    deadline: float
    since: float | None = None


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
        self._gate: Gate[Waiting] = Gate(limits.WAITING_QUERIES)
        self._leased: list[Waiting] = []
        self._connected: set[str] = set()
        self._admitted = 0

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
                return self._begin(adopted, now)
        return []

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
        return self._carry(self.leader.change_members(following, now), now)

    def tick(self, now: float) -> list[Effect]:
        """The passing of time; call it every tenth of a lease or more often."""
        if self.phase is Phase.OVER:
            return []
        if self.leader is None:
            return list(self.takeover.tick(now))
        return self._carry(self.leader.tick(now), now) + self._expire(now)

    def stop(self) -> list[Effect]:
        """Ends the reign: whoever waits is told that the outcome is unknown, or to ask again."""
        return self._end()

    # Queries

    def admit(self, bookmark: Bookmark | None, now: float) -> None:
        """Raises unless a query may run here now.

        `NotPrimary`, `NoQuorum`, `Overloaded`, `BookmarkError`, or `StorageFull` if not even a read could be answered.
        Whoever is admitted is to be `dismissed`, once.
        """
        if self.phase is not Phase.OPEN or self.leader is None or self.history is None:
            raise NotPrimary(self.name, self.epoch)
        if not self.leader.voters.has_quorum(now):
            needed = len(self.members.current) // 2 + 1
            raise NoQuorum(self.name, self.leader.voters.answering(now), needed)
        if self.leader.confirmation.unconfirmed and not self.leader.voters.can_store(now):
            raise self._full(self.leader)
        if self._admitted >= limits.WAITING_QUERIES:
            raise Overloaded(
                f"{self.name}: queries that run or wait for confirmation", limits.WAITING_QUERIES
            )
        if bookmark is not None:
            self._check_bookmark(self.history, bookmark, now)
        self._admitted += 1

    def refusal_of_writes(self, now: float) -> StorageFull | None:
        """Why no write may begin now, though reads may: too few followers have room for it; None if it may."""
        if self.leader is None or self.leader.voters.has_room(now):
            return None
        return self._full(self.leader)

    def _full(self, leader: lead.Leader) -> StorageFull:
        names = ", ".join(leader.voters.low)
        return StorageFull(f"{self.name}'s durability followers", f"no room left on the disks of {names}")

    def _check_bookmark(self, history: History, bookmark: Bookmark, now: float) -> None:
        """A bookmark of a later reign means that this one may be over; while its lease runs there is no later one."""
        history.check_database(bookmark)
        if bookmark.epoch > self.epoch and not self._may_answer(now):
            raise NotPrimary(self.name, self.epoch)
        history.check(bookmark)

    def dismissed(self) -> None:
        """A query that was admitted has its response, or has come to nothing."""
        self._admitted -= 1

    def finished(self, waiting: Waiting, now: float) -> list[Effect]:
        """A query has run: its response leaves when all that it may have seen is confirmed."""
        if self.phase is not Phase.OPEN or self.leader is None:
            return [self._refuse(waiting)]
        if waiting.mark.sequence <= self.leader.confirmed.sequence:
            return self._release([waiting], now)
        self._gate.wait(waiting.mark.sequence, waiting)
        return []

    # Steps

    def _make_takeover(self, members: Members, jitter: float) -> take.Takeover:
        return take.Takeover(self.database, members, self.directory, jitter=jitter)

    def _make_leader(self, adopted: take.Adopted, now: float) -> lead.Leader:
        return lead.Leader(self.database, adopted, now, self._bounds)

    def _begin(self, adopted: take.Adopted, now: float) -> list[Effect]:
        self.phase = Phase.CONFIRMING
        self.leader = self._make_leader(adopted, now)
        self.history = History(adopted.tail, adopted.epochs)
        probes = [effect for peer in sorted(self._connected) for effect in self.leader.connected(peer, now)]
        return [Begin(adopted), *probes]

    def _carry(self, effects: Sequence[lead.Effect], now: float) -> list[Effect]:
        """What the leader wants, with what follows from it here."""
        carried: list[Effect] = []
        for effect in effects:
            match effect:
                case lead.Confirmed():
                    carried += [effect, *self._confirm(effect.place, now)]
                case lead.Fenced():
                    carried += [effect, *self._end()]
                case _:
                    carried.append(effect)
        return carried + self._retry_leased(now)

    def _confirm(self, place: Bookmark, now: float) -> list[Effect]:
        if self.phase is Phase.CONFIRMING:
            self.phase = Phase.REPLAYING
            return [Replay(place)]
        return self._release(self._gate.confirmed(place.sequence), now)

    def _release(self, waiting: Sequence[Waiting], now: float) -> list[Effect]:
        """A write's quorum proves that it was the leader's; whatever only read needs the lease, now, after it ran."""
        leased = self._may_answer(now)
        self._leased += [one for one in waiting if not (one.wrote or leased)]
        return [Respond(one.token, one.mark, None) for one in waiting if one.wrote or leased]

    def _may_answer(self, now: float) -> bool:
        return self.leader is not None and self.leader.may_answer(now)

    def _retry_leased(self, now: float) -> list[Effect]:
        if not self._leased:
            return []
        waiting, self._leased = self._leased, []
        return self._release(waiting, now)

    def _expire(self, now: float) -> list[Effect]:
        expired = [*self._gate.drop(lambda one: self._is_over(one, now))]
        expired += [one for one in self._leased if self._is_over(one, now)]
        self._leased = [one for one in self._leased if not self._is_over(one, now)]
        return [self._refuse(one) for one in expired]

    def _is_over(self, waiting: Waiting, now: float) -> bool:
        if waiting.since is None or self.leader is None:
            return waiting.deadline <= now
        moved = max(waiting.since, self.leader.confirmation.agreed_at)
        return waiting.deadline <= now or now - moved >= limits.CONFIRM_SECONDS

    def _end(self) -> list[Effect]:
        self.phase = Phase.OVER
        waiting = [*self._gate.break_(NotPrimary(self.name, self.epoch)), *self._leased]
        self._leased = []
        return [self._refuse(one) for one in waiting]

    def _refuse(self, waiting: Waiting) -> Respond:
        return Respond(waiting.token, waiting.mark, self._refusal(waiting.wrote))

    def _refusal(self, wrote: bool) -> Unavailable | OutcomeUnknown:
        over = self.phase is Phase.OVER
        low = self.leader.voters.low if self.leader else []
        if wrote:
            reason = (
                "another primary took over" if over else "too few durability followers confirmed it in time"
            )
            full = f" (no room left on the disks of {', '.join(low)})" if low and not over else ""
            return OutcomeUnknown(self.name, reason + full)
        if over or self.leader is None:
            return NotPrimary(self.name, self.epoch)
        if low:
            return self._full(self.leader)
        return NoQuorum(self.name, 0, len(self.members.current) // 2 + 1)

"""Misreadings by those who lead, and by sessions; each a small override of the part that it concerns."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from raylite.actors.core import (
    catching_up,
    keys,
    leader,
    membership,
    messages,
    peer,
    primary,
    queries,
    shipping,
    takeover,
    voters,
)
from raylite.actors.core.history import History
from raylite.actors.core.simulation import primaries, sessions
from raylite.actors.core.simulation.history import Kind, Operation
from raylite.policies.bookmark import Bookmark
from raylite.policies.quorum import Member, Members


def led_by(kind: type[leader.Leader]) -> type[primary.PrimaryCore]:
    """A primary core whose leader is of this kind."""

    class Led(primary.PrimaryCore):
        def _make_leader(self, adopted: takeover.Adopted, now: float) -> leader.Leader:
            return kind(self.database, adopted, now, self._bounds)

    return Led


# Leaders


class CountsSequences(leader.Leader):
    """Believes a sequence, whatever the digest."""

    def _appended(self, peer: peer.Peer, reply: messages.Appended, now: float) -> Sequence[leader.Effect]:
        window, sequence = self.window, reply.place.sequence
        if window.find(reply.place) is None and sequence >= window.start.sequence:
            places = [window.place(ordinal) for ordinal in range(window.first, window.end + 1)]
            reached = [place for place in places if place.sequence <= sequence][-1]
            reply = msgspec.structs.replace(reply, place=reached)
        return super()._appended(peer, reply, now)


class CountsOldEntries(leader.Leader):
    """Takes what it adopted for confirmed as soon as a quorum holds it; sends that by itself to whoever misses it."""

    def _make_catching_up(self) -> catching_up.CatchingUp:
        return SendsWhatWasAdopted(self.window, self.peers, self.confirmation, self._shipping)

    def _appended(self, peer: peer.Peer, reply: messages.Appended, now: float) -> Sequence[leader.Effect]:
        effects = super()._appended(peer, reply, now)
        adopted, confirmed = self.window.start, self.confirmation.place
        held = self.voters.agreed_ordinal() >= 0 and not self.window.first
        if not held or confirmed.sequence >= adopted.sequence:
            return effects
        self.confirmation.place = adopted
        return [leader.Confirmed(adopted), *effects]


class SendsWhatWasAdopted(catching_up.CatchingUp):
    def is_own(self, place: Bookmark) -> bool:
        return place.sequence <= self._window.start.sequence


class LeasedFromTheAnswer(leader.Leader):
    def _make_voters(self, members: Members, now: float) -> voters.Voters:
        return VotersLeasedFromTheAnswer(members, self.peers, self.window, now)


class VotersLeasedFromTheAnswer(voters.Voters):
    def _make_peer(self, member: Member, now: float) -> peer.Peer:
        return PeerLeasedFromTheAnswer(peer.peer_of(member), member, self._window.start, now)


class PeerLeasedFromTheAnswer(peer.Peer):
    def acknowledge(self, number: int, now: float, *, leased: bool, room: bool = True) -> None:
        super().acknowledge(number, now, leased=leased, room=room)
        self.acknowledged_send = now


class AsksOneSetOnly(leader.Leader):
    """Takes a majority of the newest set for a quorum, of the lease and of who answers."""

    def _make_voters(self, members: Members, now: float) -> voters.Voters:
        return VotersOfOneSet(members, self.peers, self.window, now)


class VotersOfOneSet(voters.Voters):
    def _deciding(self) -> Members:
        return Members(self.members.following or self.members.current)


class EndsChangesEarly(leader.Leader):
    """Lets the new members alone count before the entry that names both sets is confirmed."""

    def _make_membership(self) -> membership.Membership:
        return HastyMembership(self.voters, self.confirmation)


class HastyMembership(membership.Membership):
    def confirmed(self) -> list[membership.Propose]:
        self._written = 0 if self._voters.members.following else self._written
        return super().confirmed()


class TalksMuch(leader.Leader):
    """No misreading: before pieces it sends a heartbeat, and to everyone its newest mark, held there or not."""

    def _make_shipping(self) -> shipping.Shipping:
        return TalkativeShipping(self.window, self.confirmation, self._bounds)


class TalkativeShipping(shipping.Shipping):
    def _mark(self, peer: peer.Peer, end: int) -> Bookmark:
        return self._confirmation.place

    def pump(self, peer: peer.Peer, now: float) -> list[shipping.Ship]:
        behind = peer.has_room(self._bounds.inflight_bytes) and peer.next < self._window.end
        return [*([self.heartbeat(peer, now)] if behind else []), *super().pump(peer, now)]


# Primaries


class WritesAdoptedTailIntoFile(primary.PrimaryCore):
    def begin(self, adopted: takeover.Adopted, now: float) -> list[primary.Effect]:
        return [*super().begin(adopted, now), primary.Replay(adopted.tail)]


class SkipsGateForReads(primary.PrimaryCore):
    def finished(self, waiting: queries.Waiting, now: float) -> Sequence[primary.Effect]:
        if waiting.wrote:
            return super().finished(waiting, now)
        return [queries.Respond(waiting.token, waiting.mark, None)]


class SkipsGateForErrors(primaries.Primary):
    def finish(self, waiting: queries.Waiting, operation: Operation) -> None:
        if operation.kind is Kind.FAIL:
            self.carry_out([queries.Respond(waiting.token, waiting.mark, None)])
        else:
            super().finish(waiting, operation)


class ChecksNoLease(primary.PrimaryCore):
    def _make_queries(self, leader: leader.Leader, history: History) -> queries.Queries:
        return QueriesWithoutLease(self.name, leader, history)


class QueriesWithoutLease(queries.Queries):
    def _release(self, waiting: Sequence[queries.Waiting], now: float) -> list[queries.Respond]:
        return [queries.Respond(one.token, one.mark, None) for one in waiting]


class KeepsToTheMembersItWasTold(primary.PrimaryCore):
    def _make_takeover(self, members: Members, jitter: float) -> takeover.Takeover:
        return TakeoverByHint(self.database, members, self.directory, jitter=jitter)


class TakeoverByHint(takeover.Takeover):
    """Counts promises by the registry's copy of the members, not by the log's."""

    def received(self, member: Member, reply: messages.FromFollower, now: float) -> takeover.Adopted | None:
        if isinstance(reply, messages.Promised):
            reply = msgspec.structs.replace(reply, members=self.members)
        return super().received(member, reply, now)


# Sessions


class AsksTwoAtOnce(sessions.Session):
    def ask(self) -> None:
        super().ask()
        if self.errand is not None and self.world.chance(0.3):
            sessions.Errand(self, self._operation(Kind.READ)).send()

    def ended(self, operation: Operation, bookmark: Bookmark | None) -> None:
        if self.errand is not None and operation is not self.errand.operation:
            return
        super().ended(operation, bookmark)


# Keys


class ForgetsWithoutKnowing(keys.Keys):
    """Runs whatever it does not know."""

    def may_have_forgotten(self, since: int) -> bool:
        return False


class BeginsWithoutKeys(primaries.Primary):
    """Knows only the keys of its own reign, and takes them for all."""

    def replayed(self) -> None:
        super().replayed()
        self.keys = keys.Keys()

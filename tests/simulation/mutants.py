"""Misreadings of the protocol, each a small override of the core, or of the shell's part, that it concerns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from raylite.actors.core import (
    allegiance,
    catching_up,
    follower,
    held_log,
    leader,
    messages,
    peer,
    primary,
    replica,
    shipping,
    store,
    takeover,
    voters,
)
from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Piece, decode_header
from raylite.actors.core.simulation import copies, followers, primaries, sessions
from raylite.actors.core.simulation.cores import describe
from raylite.actors.core.simulation.history import Kind, Operation
from raylite.policies.bookmark import Bookmark, extend
from raylite.policies.quorum import Member, Members

T = TypeVar("T")


def led_by(kind: type[leader.Leader]) -> type[primary.PrimaryCore]:
    """A primary core whose leader is of this kind."""

    class Led(primary.PrimaryCore):
        def _make_leader(self, adopted: takeover.Adopted, now: float) -> leader.Leader:
            return kind(self.database, adopted, now, self._bounds)

    return Led


def holding(kind: type[held_log.HeldLog]) -> type[follower.FollowerLog]:
    """A follower that holds its log in this way."""

    class Holding(follower.FollowerLog):
        def _make_log(self, index: LogIndex, confirmed: Bookmark | None) -> held_log.HeldLog:
            return kind(index, confirmed)

    return Holding


def promising(kind: type[allegiance.Allegiance]) -> type[follower.FollowerLog]:
    """A follower that promises and gives leases in this way."""

    class Promising(follower.FollowerLog):
        def _make_allegiance(self, promised: int, started: float) -> allegiance.Allegiance:
            return kind(promised, started)

    return Promising


# Followers


class AcknowledgesItsTail(follower.FollowerLog):
    def _acknowledged(self, message: messages.Append) -> Bookmark:
        return self.index.tail


class CountsSequences(leader.Leader):
    """Believes a sequence, whatever the digest."""

    def _appended(self, peer: peer.Peer, reply: messages.Appended, now: float) -> Sequence[leader.Effect]:
        window, sequence = self.window, reply.place.sequence
        if window.find(reply.place) is None and sequence >= window.start.sequence:
            places = [window.place(ordinal) for ordinal in range(window.first, window.end + 1)]
            reached = [place for place in places if place.sequence <= sequence][-1]
            reply = msgspec.structs.replace(reply, place=reached)
        return super()._appended(peer, reply, now)


class CutsWhatFollows(held_log.HeldLog):
    def _kept(self, start: int, pieces: Sequence[Piece]) -> int:
        return start


class MarksAsSent(held_log.HeldLog):
    def _confirmed_after(self, message: messages.Append) -> Bookmark:
        return message.confirmed


class MarksUpToItsTail(held_log.HeldLog):
    def _confirmed_after(self, message: messages.Append) -> Bookmark:
        return min(message.confirmed, self.index.tail, key=lambda place: place.sequence)


class PromisesTheNewEpochAsItsTail(follower.FollowerLog):
    def _promised_tail(self) -> Bookmark:
        return msgspec.structs.replace(self.index.tail, epoch=self.promised)


class PromisesNothingByAppend(follower.FollowerLog):
    def _follow(self, epoch: int) -> list[store.Store]:
        return []


class ForgetsItsLease(allegiance.Allegiance):
    def _lease_at_start(self, started: float) -> allegiance.Lease:
        return allegiance.Lease(self.promised, "", started)


class ClaimsToRenew(allegiance.Allegiance):
    def renew(self, epoch: int, directory: str, now: float) -> bool:
        super().renew(epoch, directory, now)
        return True


class AnswersFromAnEmptyDisk(followers.FollowerProcess):
    def unknown(self, message: messages.ToFollower, answer: followers.Answer) -> None:
        if isinstance(message, messages.Promise | messages.Append):
            log = self.start_log(message.incarnation)
            names = [f"follower-{one}" for one in range(5)]
            members = Members(tuple(Member(name, f"{name}.1") for name in names))
            self.receive(messages.Found(log.database, log.incarnation, members), lambda _: None)
            self.receive(message, answer)
        else:
            super().unknown(message, answer)


# Digests


def without_epoch(previous: Bookmark, encoded: Sequence[bytes]) -> list[Piece]:
    """Pieces as `describe` gives them, but for digests in which every epoch is 0."""
    pieces: list[Piece] = []
    for piece, data in zip(describe(previous, encoded), encoded, strict=True):
        before = pieces[-1].place if pieces else previous
        header, _ = decode_header(data)
        size = 4  # where the epoch is in a piece's header
        blank = data[:size] + bytes(4) + data[size + 4 :]
        assert header.epoch == int.from_bytes(data[size : size + 4])
        place = msgspec.structs.replace(piece.place, digest=extend(before.digest, blank))
        pieces.append(msgspec.structs.replace(piece, place=place))
    return pieces


class FollowerWithoutEpoch(follower.FollowerLog):
    def _describe(self, message: messages.Append) -> list[Piece]:
        return without_epoch(message.previous, message.pieces)


class ReplicaWithoutEpoch(replica.ReplicaLog):
    def _describe(self, message: messages.Append) -> list[Piece]:
        return without_epoch(message.previous, message.pieces)


# Leaders


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
    def _is_own(self, place: Bookmark) -> bool:
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
    def _begin(self, adopted: takeover.Adopted, now: float) -> list[primary.Effect]:
        return [*super()._begin(adopted, now), primary.Replay(adopted.tail)]


class SkipsGateForReads(primary.PrimaryCore):
    def finished(self, waiting: primary.Waiting, now: float) -> list[primary.Effect]:
        if waiting.wrote:
            return super().finished(waiting, now)
        return [primary.Respond(waiting.token, waiting.mark, None)]


class SkipsGateForErrors(primaries.Primary):
    def finish(self, waiting: primary.Waiting, operation: Operation) -> None:
        if operation.kind is Kind.FAIL:
            self.carry_out([primary.Respond(waiting.token, waiting.mark, None)])
        else:
            super().finish(waiting, operation)


class ChecksNoLease(primary.PrimaryCore):
    def _release(self, waiting: Sequence[primary.Waiting], now: float) -> list[primary.Effect]:
        return [primary.Respond(one.token, one.mark, None) for one in waiting]


class KeepsToTheMembersItWasTold(primary.PrimaryCore):
    def _make_takeover(self, members: Members, jitter: float) -> takeover.Takeover:
        return TakeoverByHint(self.database, members, self.directory, jitter=jitter)


class TakeoverByHint(takeover.Takeover):
    """Counts promises by the registry's copy of the members, not by the log's."""

    def received(self, member: Member, reply: messages.FromFollower, now: float) -> takeover.Adopted | None:
        if isinstance(reply, messages.Promised):
            reply = msgspec.structs.replace(reply, members=self.members)
        return super().received(member, reply, now)


# Replicas


class PublishesByNumber(replica.ReplicaLog):
    def _confirmed_count(self, confirmed: Bookmark) -> int:
        held = [
            count
            for count, piece in enumerate(self.held, 1)
            if piece.last and piece.place.sequence <= confirmed.sequence
        ]
        return held[-1] if held else 0


class KeepsOldFrames(replica.ReplicaLog):
    def _cut(self, count: int) -> list[replica.Effect]:
        super()._cut(count)
        return []


class RecoversLeftOverWal(copies.ReplicaFile):
    def start(self, left_over: list[copies.Frame]) -> None:
        for frame in left_over:
            self.view.update(frame.pages)


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

"""Misreadings by those who hold a log, followers and replicas; each a small override of the part that it concerns."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from raylite.actors.core import (
    allegiance,
    follower,
    held_log,
    messages,
    replica,
    store,
)
from raylite.actors.core.base import Base
from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Piece, decode_header
from raylite.actors.core.simulation import copies, followers
from raylite.actors.core.simulation.cores import describe
from raylite.policies.bookmark import Bookmark, extend
from raylite.policies.quorum import Member, Members


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


class CutsWhatFollows(held_log.HeldLog):
    def _kept(self, start: int, pieces: Sequence[Piece]) -> int:
        return start


class MarksAsSent(held_log.HeldLog):
    def _confirmed_after(self, message: messages.Append) -> Bookmark:
        return message.confirmed


class MarksUpToItsTail(held_log.HeldLog):
    def _confirmed_after(self, message: messages.Append) -> Bookmark:
        return min(message.confirmed, self.index.tail, key=lambda place: place.sequence)


class DropsWhatFollowsABase(held_log.HeldLog):
    def rebase(self, base: Base) -> list[store.Store]:
        self.index, self.confirmed = LogIndex.behind(base), base.place
        return [store.StoreBase(base)]


class TrimsAllItHolds(held_log.HeldLog):
    def trim(self, held: Bookmark) -> list[store.Store]:
        self.confirmed = self.index.tail
        return super().trim(self.confirmed)


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

"""A durability follower's part in one database: promise, append, lease (docs/architecture.md, Followers).

Messages in, effects out. The shell carries effects out in order, and lets a `Reply` leave only when everything
stored before it is synced.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Piece, describe_all
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt
from raylite.policies.limits import LEASE_SECONDS
from raylite.policies.quorum import Members


class StorePiece(msgspec.Struct, frozen=True):
    """Write a piece behind all that is stored."""

    piece: Piece
    encoded: bytes


class StorePromise(msgspec.Struct, frozen=True):
    """Write that no lower epoch is accepted any more."""

    epoch: int


class StoreCut(msgspec.Struct, frozen=True):
    """Write that the log now ends at `place`."""

    place: Bookmark


class StoreConfirmed(msgspec.Struct, frozen=True):
    """Write the confirmed mark; it needs no sync of its own, a lower one is as true."""

    confirmed: Bookmark


class StoreFounded(msgspec.Struct, frozen=True):
    """Write the members that the log begins with."""

    members: Members


class StoreGaveUp(msgspec.Struct, frozen=True):
    """Write that this database was found damaged and is held here no more."""


class StoreDropped(msgspec.Struct, frozen=True):
    """Write that this database is deleted: nothing is held of it, and it can never be joined again."""


class Reply(msgspec.Struct, frozen=True):
    """Answer the request that `to` stands for, once all stored before is synced."""

    to: object
    message: m.FromFollower


class Load(msgspec.Struct, frozen=True):
    """Answer `to` with the bytes of these pieces (a `Pieces` message), in order."""

    to: object
    after: Bookmark
    pieces: Sequence[Piece]
    tail: Bookmark
    confirmed: Bookmark


Store = StorePiece | StorePromise | StoreCut | StoreConfirmed | StoreFounded | StoreGaveUp | StoreDropped
Effect = Store | Reply | Load


class Lease(msgspec.Struct, frozen=True):
    """A lease given to the leader of `epoch`, who holds the lock of `directory`, until the clock shows `until`."""

    epoch: int
    directory: str
    until: float


def refusal_for_room(answer: m.FromFollower) -> m.NoRoom | None:
    """What to answer a leader instead, when a full disk kept from being stored what `answer` would vouch for."""
    match answer:
        case m.Appended() | m.Mismatch() | m.Promised() | m.Refused():
            return m.NoRoom(answer.database, answer.number, answer.epoch)
        case _:
            return None


class FollowerLog:
    """One database in one follower. has_room: whether its disk has, as leaders are told; set from outside.

    Invariants: `confirmed` lies within the log and never falls; an epoch below `promised` changes nothing;
    no promise is answered while a lease given to another directory runs.
    """

    def __init__(
        self,
        database: str,
        incarnation: str,
        index: LogIndex,
        *,
        promised: int = 0,
        confirmed: Bookmark | None = None,
        gave_up: bool = False,
        dropped: bool = False,
        started: float,
    ) -> None:
        self.database, self.incarnation, self.index = database, incarnation, index
        self.promised, self.gave_up, self.dropped = promised, gave_up, dropped
        self.confirmed = confirmed or index.base
        # Whoever was promised something before this start may hold a lease that is forgotten here.
        self._lease = Lease(promised, "", started + LEASE_SECONDS if promised else started)
        self._waiting: list[tuple[m.Promise, object]] = []
        self.has_room = True

    def receive(self, message: m.ToFollower, to: object, now: float) -> list[Effect]:
        """The effects of one request; `to` names it in the reply. Raises `Corrupt`, unchanged, on a bad append."""
        match message:
            case m.Join():
                return [self._joined(to)]
            case m.Inspect():
                return [Reply(to, self._holding(now))]
            case m.Drop():
                return self._drop(to, now)
            case _ if not self._knows(message.incarnation):
                return [Reply(to, self._unknown(getattr(message, "number", 0)))]
            case m.Found():
                return self._found(message, to)
            case m.Promise():
                return self._promise(message, to, now)
            case m.Append():
                return self._append(message, to, now)
            case m.Read():
                return [self._read(message, to)]
            case m.Release():
                return self._release(message, to, now)

    def tick(self, now: float) -> list[Effect]:
        """Promises that waited for a lease which is over by now; call it at least every tenth of a lease."""
        if not self._waiting or now < self._lease.until:
            return []
        waiting = sorted(self._waiting, key=lambda asked: asked[0].epoch, reverse=True)
        self._waiting = []
        return [effect for message, to in waiting for effect in self._answer_promise(message, to)]

    def lease_seconds(self, now: float) -> float:
        """How long the lease that was given still runs, 0 if none does."""
        return max(0.0, self._lease.until - now)

    def missed_seconds(self, now: float) -> float:
        """How long ago the lease ended that somebody heard since this start has not released; 0 if it did not."""
        return max(0.0, now - self._lease.until) if self._lease.directory else 0.0

    def _knows(self, incarnation: str) -> bool:
        return incarnation == self.incarnation and not (self.gave_up or self.dropped)

    def _unknown(self, number: int) -> m.Unknown:
        return m.Unknown(self.database, number, self.gave_up, self.dropped)

    def _drop(self, to: object, now: float) -> list[Effect]:
        done = Reply(to, m.Dropped(self.database))
        if self.dropped:
            return [done]
        self.dropped, self.gave_up = True, False
        self.index = LogIndex(self.index.base, None)
        self.confirmed = self.index.base
        self._lease, self._waiting = Lease(self.promised, "", now), []
        return [StoreDropped(), done]

    def _joined(self, to: object) -> Reply:
        if not self._knows(self.incarnation):
            return Reply(to, self._unknown(0))
        return Reply(to, m.Joined(self.database, self.incarnation))

    def _found(self, message: m.Found, to: object) -> list[Effect]:
        done = Reply(to, m.Founded(self.database))
        if self.index.members is not None:
            return [done]
        self.index = LogIndex(self.index.base, message.members)
        return [StoreFounded(message.members), done]

    def _holding(self, now: float) -> m.FromFollower:
        members = self.index.members
        if members is None or not self._knows(self.incarnation):
            return self._unknown(0)
        lease = self.lease_seconds(now)
        return m.Holding(
            self.database, self.incarnation, self.promised, self.index.tail, self.confirmed, members, lease
        )

    # Promises and leases

    def _promise(self, message: m.Promise, to: object, now: float) -> list[Effect]:
        if message.epoch <= self.promised:
            return [Reply(to, m.Refused(self.database, message.number, self.promised))]
        if now < self._lease.until and message.directory != self._lease.directory:
            self._waiting = [asked for asked in self._waiting if asked[0].directory != message.directory]
            self._waiting.append((message, to))
            return []
        return self._answer_promise(message, to)

    def _answer_promise(self, message: m.Promise, to: object) -> list[Effect]:
        if message.epoch <= self.promised:
            return [Reply(to, m.Refused(self.database, message.number, self.promised))]
        members = self.index.members
        if members is None:
            return [Reply(to, m.Unknown(self.database, message.number))]
        self.promised = message.epoch
        answer = m.Promised(
            self.database,
            message.number,
            message.epoch,
            self._promised_tail(),
            self.confirmed,
            self.index.base,
            members,
            tuple(self.index.epochs),
            self.index.tail_us,
        )
        return [StorePromise(message.epoch), Reply(to, answer)]

    def _promised_tail(self) -> Bookmark:
        return self.index.tail

    def _renew(self, message: m.Append, now: float) -> bool:
        """Whether the lease runs anew; the leader is told, since it counts on what it believes to have."""
        if self._waiting:
            return False
        self._lease = Lease(message.epoch, message.directory, now + LEASE_SECONDS)
        return True

    def _release(self, message: m.Release, to: object, now: float) -> list[Effect]:
        if self._lease.epoch == message.epoch:
            self._lease = Lease(message.epoch, "", now)
        return [Reply(to, m.Released(self.database)), *self.tick(now)]

    # The log

    def _append(self, message: m.Append, to: object, now: float) -> list[Effect]:
        if message.epoch < self.promised:
            return [Reply(to, m.Refused(self.database, message.number, self.promised))]
        pieces = self._describe(message)
        if pieces and pieces[-1].place != message.place:
            raise Corrupt("an append", str(message.place), f"its pieces end at {pieces[-1].place}")
        effects: list[Effect] = []
        if message.epoch > self.promised:
            effects += self._raise_promise(message.epoch)
        leased = self._renew(message, now)
        start = self.index.find(message.previous)
        if start is None:
            tail = self.index.tail
            mismatch = m.Mismatch(self.database, message.number, message.epoch, tail, self.confirmed)
            return [*effects, Reply(to, mismatch)]
        try:
            effects += self._extend(start, pieces, message.pieces)
        except Corrupt:
            return [*self._give_up(), Reply(to, m.Unknown(self.database, message.number, True))]
        effects += self._confirm(message)
        place = self._acknowledged(message)
        answer = m.Appended(self.database, message.number, message.epoch, place, leased, self.has_room)
        return [*effects, Reply(to, answer)]

    def _describe(self, message: m.Append) -> list[Piece]:
        return describe_all(message.previous, message.pieces)

    def _raise_promise(self, epoch: int) -> list[Effect]:
        self.promised = epoch
        return [StorePromise(epoch)]

    def _extend(self, start: int, pieces: Sequence[Piece], encoded: Sequence[bytes]) -> list[Effect]:
        held = self._held(start, pieces)
        if held == len(pieces):
            return []
        effects = self._cut(start + held)
        for piece, data in zip(pieces[held:], encoded[held:], strict=True):
            self.index.append(piece)
            effects.append(StorePiece(piece, data))
        return effects

    def _held(self, start: int, pieces: Sequence[Piece]) -> int:
        """How many of `pieces` stand in the log already, from its `start`-th on."""
        own = self.index.pieces[start : start + len(pieces)]
        for count, (mine, theirs) in enumerate(zip(own, pieces, strict=False)):
            if mine.place.digest != theirs.place.digest:
                return count
        return len(own)

    def _cut(self, count: int) -> list[Effect]:
        if count == len(self.index.pieces):
            return []
        confirmed = self.index.find(self.confirmed)
        if confirmed is None or count < confirmed:
            raise Corrupt("a log", str(self.confirmed), "a leader's log differs below the confirmed mark")
        self.index.cut(count)
        return [StoreCut(self.index.place(count))]

    def _confirm(self, message: m.Append) -> list[Effect]:
        confirmed = self._confirmed_after(message)
        if confirmed.sequence <= self.confirmed.sequence:
            return []
        self.confirmed = confirmed
        return [StoreConfirmed(confirmed)]

    def _confirmed_after(self, message: m.Append) -> Bookmark:
        """The leader's mark, no further than the last whole entry that this append shows to be shared."""
        count = self.index.find(message.place)
        shared = self.index.place(self.index.whole(count or 0))
        return min(message.confirmed, shared, key=lambda place: place.sequence)

    def _acknowledged(self, message: m.Append) -> Bookmark:
        """The end of this very append, never the own tail: what lies behind it may be another leader's."""
        return message.place

    def _read(self, message: m.Read, to: object) -> Effect:
        start = self.index.find(message.after)
        if start is None:
            return Reply(to, m.Missing(self.database, message.after, self.index.base, self.index.tail))
        chosen: list[Piece] = []
        size = 0
        for piece in self.index.pieces[start : self.index.find(self.index.tail)]:
            size += piece.size
            if chosen and size > message.limit:
                break
            chosen.append(piece)
        return Load(to, message.after, chosen, self.index.tail, self.confirmed)

    def _give_up(self) -> list[Effect]:
        self.gave_up = True
        return [StoreGaveUp()]

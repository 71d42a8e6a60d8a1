"""A durability follower's part in one database: promise, append, lease (docs/architecture.md, Followers).

Messages in, effects out. The shell carries effects out in order, and lets a `Reply` leave only when everything
stored before it is synced.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core.allegiance import Allegiance, Asked
from raylite.actors.core.held_log import HeldLog
from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Piece, check_end, describe_all
from raylite.actors.core.store import Store, StoreDropped, StoreGaveUp
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt


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


Effect = Store | Reply | Load


def refusal_for_room(answer: m.FromFollower) -> m.NoRoom | None:
    """What to answer a leader instead, when a full disk kept from being stored what `answer` would vouch for."""
    match answer:
        case m.Appended() | m.Mismatch() | m.Promised() | m.Refused() | m.Rebased():
            return m.NoRoom(answer.database, answer.number, answer.epoch)
        case _:
            return None


class FollowerLog:
    """One database in one follower. has_room: whether its disk has, as leaders are told; set from outside.

    Invariants: an epoch below `promised` changes nothing; what is given up or dropped is never answered for again.
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
        self.database, self.incarnation = database, incarnation
        self.gave_up, self.dropped = gave_up, dropped
        self._log = self._make_log(index, confirmed)
        self._allegiance = self._make_allegiance(promised, started)
        self.has_room = True

    def _make_log(self, index: LogIndex, confirmed: Bookmark | None) -> HeldLog:
        return HeldLog(index, confirmed)

    def _make_allegiance(self, promised: int, started: float) -> Allegiance:
        return Allegiance(promised, started)

    @property
    def index(self) -> LogIndex:
        """The pieces that are held."""
        return self._log.index

    @property
    def confirmed(self) -> Bookmark:
        """The newest entry that is known to be confirmed."""
        return self._log.confirmed

    @property
    def promised(self) -> int:
        """The highest epoch that was promised."""
        return self._allegiance.promised

    def lease_seconds(self, now: float) -> float:
        """How long the lease that was given still runs, 0 if none does."""
        return self._allegiance.lease_seconds(now)

    def missed_seconds(self, now: float) -> float:
        """How long ago the lease ended that somebody heard since this start has not released; 0 if it did not."""
        return self._allegiance.missed_seconds(now)

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
                return self._promise(Asked(message, to), now)
            case m.Append():
                return self._append(message, to, now)
            case m.Read():
                return [self._read(message, to)]
            case m.Rebase():
                return self._rebase(message, to)
            case m.Trim():
                return [*self._log.trim(message.held), Reply(to, m.Trimmed(self.database, self.index.base))]
            case m.Release():
                self._allegiance.release(message.epoch, now)
                return [Reply(to, m.Released(self.database)), *self.tick(now)]

    @property
    def waits(self) -> bool:
        """Whether `tick` may have something to do before the next message."""
        return self._allegiance.is_awaited

    def tick(self, now: float) -> list[Effect]:
        """Promises that waited for a lease which is over by now; call it at least every tenth of a lease."""
        return [effect for asked in self._allegiance.due(now) for effect in self._answer(asked)]

    # Whether the database is known here

    def _knows(self, incarnation: str) -> bool:
        return incarnation == self.incarnation and not (self.gave_up or self.dropped)

    def _unknown(self, number: int) -> m.Unknown:
        return m.Unknown(self.database, number, self.gave_up, self.dropped)

    def _joined(self, to: object) -> Reply:
        if not self._knows(self.incarnation):
            return Reply(to, self._unknown(0))
        return Reply(to, m.Joined(self.database, self.incarnation))

    def _holding(self, now: float) -> m.FromFollower:
        members, tail, lease = self.index.members, self.index.tail, self.lease_seconds(now)
        if members is None or not self._knows(self.incarnation):
            return self._unknown(0)
        return m.Holding(self.database, self.incarnation, self.promised, tail, self.confirmed, members, lease)

    def _drop(self, to: object, now: float) -> list[Effect]:
        done = Reply(to, m.Dropped(self.database))
        if self.dropped:
            return [done]
        self.dropped, self.gave_up = True, False
        self._log.clear()
        self._allegiance.end(now)
        return [StoreDropped(), done]

    def _give_up(self) -> list[Effect]:
        self.gave_up = True
        return [StoreGaveUp()]

    def _found(self, message: m.Found, to: object) -> list[Effect]:
        """Behind a base nobody goes on with an epoch below that of its entry."""
        followed = self._follow(message.base.place.epoch) if message.base else []
        stored = self._log.found(message.members, message.base)
        return [*followed, *stored, Reply(to, m.Founded(self.database))]

    # Promises

    def _promise(self, asked: Asked, now: float) -> list[Effect]:
        if asked.message.epoch > self.promised and self._allegiance.waits(asked, now):
            return []
        return self._answer(asked)

    def _answer(self, asked: Asked) -> list[Effect]:
        epoch, number = asked.message.epoch, asked.message.number
        if epoch <= self.promised:
            return [Reply(asked.to, self._refused(number))]
        members = self.index.members
        if members is None:
            return [Reply(asked.to, m.Unknown(self.database, number))]
        stored = self._allegiance.promise(epoch)
        index, tail = self.index, self._promised_tail()
        answer = m.Promised(
            self.database, number, epoch, tail, self.confirmed, index.base, members, tuple(index.epochs),
            index.tail_us,
        )  # fmt: skip
        return [*stored, Reply(asked.to, answer)]

    def _promised_tail(self) -> Bookmark:
        return self.index.tail

    def _refused(self, number: int) -> m.Refused:
        return m.Refused(self.database, number, self.promised)

    # Appends and reads

    def _append(self, message: m.Append, to: object, now: float) -> list[Effect]:
        if message.epoch < self.promised:
            return [Reply(to, self._refused(message.number))]
        pieces = self._describe(message)
        check_end(pieces, message.place)
        followed = self._follow(message.epoch)
        leased = self._allegiance.renew(message.epoch, message.directory, now)
        start = self.index.find(message.previous)
        if start is None:
            return [*followed, Reply(to, self._mismatch(message))]
        try:
            stored = self._log.extend(start, pieces, message.pieces)
        except Corrupt:
            return [*self._give_up(), Reply(to, m.Unknown(self.database, message.number, True))]
        stored += self._log.confirm(message)
        return [*followed, *stored, Reply(to, self._appended(message, leased))]

    def _describe(self, message: m.Append) -> list[Piece]:
        return describe_all(message.previous, message.pieces)

    def _follow(self, epoch: int) -> list[Store]:
        """A leader of a higher epoch is thereby promised it."""
        return self._allegiance.promise(epoch) if epoch > self.promised else []

    def _mismatch(self, message: m.Append) -> m.Mismatch:
        return m.Mismatch(self.database, message.number, message.epoch, self.index.tail, self.confirmed)

    def _appended(self, message: m.Append, leased: bool) -> m.Appended:
        place = self._acknowledged(message)
        return m.Appended(self.database, message.number, message.epoch, place, leased, self.has_room)

    def _acknowledged(self, message: m.Append) -> Bookmark:
        """The end of this very append, never the own tail: what lies behind it may be another leader's."""
        return message.place

    def _rebase(self, message: m.Rebase, to: object) -> list[Effect]:
        if message.epoch < self.promised:
            return [Reply(to, self._refused(message.number))]
        stored = [*self._follow(message.epoch), *self._log.rebase(message.base)]
        place = message.base.place
        return [*stored, Reply(to, m.Rebased(self.database, message.number, message.epoch, place))]

    def _read(self, message: m.Read, to: object) -> Effect:
        index, chosen = self.index, self._log.read(message.after, message.limit)
        if chosen is None:
            start = index.base_at(0) if index.base.sequence else None
            return Reply(to, m.Missing(self.database, message.after, index.base, index.tail, start))
        return Load(to, message.after, chosen, index.tail, self.confirmed)

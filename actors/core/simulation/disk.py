"""A follower's disk: what is synced stays, of the rest a crash keeps what was written first."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import msgspec

from raylite.actors.core import follower as core
from raylite.actors.core import store
from raylite.actors.core.base import Base
from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Piece
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.quorum import Members


class StoreJoined(msgspec.Struct, frozen=True):
    """Write that the database was joined, with an empty log."""

    incarnation: str


Change = StoreJoined | store.Store


class Record(msgspec.Struct, frozen=True):
    """One change. epoch: of the append that made it, 0 if it was none."""

    change: Change
    epoch: int


class Disk:
    """Records in order, of which the first `synced` are safe.

    wanted: up to where a sync is asked for; encoded: the bytes of every piece that was ever written; low: it has
    little room, and says so; refused: what it has no room for at all.
    """

    def __init__(self, database: str, random: Random) -> None:
        self.database = database
        self.records: list[Record] = []
        self.encoded: dict[Bookmark, bytes] = {}
        self.synced = 0
        self.wanted = 0
        self.low = False
        self.refused: frozenset[type[Change]] = frozenset()
        self._random = random

    def refuses(self, effects: Sequence[core.Effect]) -> bool:
        """Whether there is no room for what these write."""
        return any(type(effect) in self.refused for effect in effects)

    def write(self, change: Change, epoch: int) -> None:
        """Adds a record; a confirmed mark needs no sync of its own."""
        self.records.append(Record(change, epoch))
        if isinstance(change, store.StorePiece):
            self.encoded[change.piece.place] = change.encoded
        if not isinstance(change, store.StoreConfirmed):
            self.wanted = len(self.records)

    def sync(self, end: int) -> Sequence[Record]:
        """The first `end` records are safe; returns those that were not before."""
        newly = self.records[self.synced : end]
        self.synced = max(self.synced, end)
        return newly

    def crash(self) -> Sequence[Record]:
        """Loses a part of what is not synced; returns what stayed of it, which the next start syncs."""
        stays = self._random.randint(self.synced, len(self.records))
        del self.records[stays:]
        self.wanted = stays
        return self.sync(stays)

    def lose(self) -> None:
        """The disk is replaced by an empty one."""
        self.records.clear()
        self.synced = self.wanted = 0

    def recover(self) -> Recovered | None:
        """What a start finds; None if the database was never joined."""
        found: Recovered | None = None
        for record in self.records:
            if isinstance(record.change, StoreJoined):
                found = Recovered(self.database, record.change.incarnation)
            elif found is not None:
                found.apply(record.change)
        return found


class Recovered:
    """The state that the records of one database add up to."""

    def __init__(self, database: str, incarnation: str) -> None:
        self.incarnation = incarnation
        self.base = self.confirmed = origin(database)
        self.members: Members | None = None
        self.epochs: tuple[tuple[int, int], ...] = ()
        self.base_us = 0
        self.promised = 0
        self.pieces: list[Piece] = []
        self.gave_up = False

    def apply(self, change: Change) -> None:
        """One more record."""
        match change:
            case store.StorePiece(piece, _):
                self.pieces.append(piece)
            case store.StorePromise(epoch):
                self.promised = epoch
            case store.StoreCut(place):
                self._cut(place)
            case store.StoreConfirmed(confirmed):
                self.confirmed = confirmed
            case store.StoreFounded(members):
                self.members = members
            case store.StoreBase(base):
                self._begin_behind(base)
            case store.StoreGaveUp():
                self.gave_up = True
            case StoreJoined() | store.StoreDropped():
                pass  # no database is deleted here

    def _cut(self, place: Bookmark) -> None:
        while self.pieces and self.pieces[-1].place != place:
            self.pieces.pop()

    def _begin_behind(self, base: Base) -> None:
        places = [piece.place for piece in self.pieces]
        self.pieces = self.pieces[places.index(base.place) + 1 :] if base.place in places else []
        self.base, self.members, self.epochs, self.base_us = (
            base.place, base.members, base.epochs, base.time_us,
        )  # fmt: skip
        self.confirmed = max(self.confirmed, base.place, key=lambda place: place.sequence)

    def index(self) -> LogIndex:
        """The log."""
        return LogIndex(
            self.base, self.members, self.pieces, epochs=self.epochs, base_us=self.base_us
        )  # fmt: skip

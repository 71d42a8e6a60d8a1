"""What a journal holds of one database: its changes, applied in order."""

from __future__ import annotations

from raylite.actors.core.base import Base
from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Piece, describe
from raylite.actors.core.store import (
    StoreBase,
    StoreConfirmed,
    StoreCut,
    StoreDropped,
    StoreFounded,
    StoreGaveUp,
    StorePiece,
    StorePromise,
)
from raylite.actors.storage.log_checkpoint import Awaited, Kept
from raylite.actors.storage.log_records import (
    PLACE_BYTES,
    Change,
    Kind,
    Location,
    StoreJoined,
    decode_change,
    decode_place,
)
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt
from raylite.policies.quorum import Members

_InLog = StorePiece | StoreConfirmed | StoreCut | StorePromise | StoreFounded | StoreBase


class Recovered:
    """One database's state: after a start, and kept up with `apply` from then on if its user wishes.

    members, epochs, base_us: what the log up to `base` says, None before it was founded; pieces: the log behind it,
    each with where it is; noted: a record says that it was given up; dropped: one says that it is deleted, and that
    holds whatever else is found. Invariants: each piece follows the one before; `confirmed` is `base` or the place of
    a whole entry in the log; when it was given up or dropped there is no log.
    """

    def __init__(self, database: str) -> None:
        self.database = database
        self.dropped = False
        self._begin("", 0)

    def _begin(self, incarnation: str, segment: int) -> None:
        self.incarnation = incarnation
        self.members: Members | None = None
        self.epochs: tuple[tuple[int, int], ...] = ()
        self.base_us = 0
        self.promised = 0
        self.base = self.confirmed = origin(self.database)
        self.pieces: list[tuple[Piece, Location]] = []
        self.gave_up = self.noted = False
        self._joined_in = self._base_in = segment
        self._awaited, self._detached, self._settled = Awaited.NOTHING, False, True

    @classmethod
    def kept(cls, kept: Kept) -> Recovered:
        """The state that a checkpoint has. What is `replay`ed next may begin earlier, until `settle`.

        So at first its log may have had another end than the base, one that is cut away later.
        """
        state = cls(kept.database)
        state._begin(kept.incarnation, 0)
        state.promised, state.gave_up, state.dropped = kept.promised, kept.gave_up, kept.dropped
        state.noted = kept.gave_up
        if kept.base:
            state._set_base(kept.base)
        state._awaited, state._detached, state._settled = kept.awaited, True, False
        return state

    def keep(self, first: int) -> Kept:
        """The state for a checkpoint whose oldest segment is `first`; none of the log's pieces lies before that."""
        awaited = Awaited.JOINED if self._joined_in >= first else Awaited.NOTHING
        if awaited is Awaited.NOTHING and self._base_in >= first and not self.gave_up:
            awaited = Awaited.BASE
        return Kept(
            self.database, self.incarnation, self.promised, self.base, self.members, self.epochs, self.base_us,
            awaited, self.gave_up, self.dropped,
        )  # fmt: skip

    def settle(self) -> None:
        """All is replayed: whoever still waits for the record to go on from has lost it."""
        if self._awaited is not Awaited.NOTHING:
            self.lose()
        self._detached, self._settled = False, True

    @property
    def index(self) -> LogIndex:
        """The log without its bytes."""
        pieces = [piece for piece, _ in self.pieces]
        return LogIndex(self.base, self.members, pieces, epochs=self.epochs, base_us=self.base_us)

    @property
    def oldest(self) -> int | None:
        """The segment of the first piece that is needed, None if none is."""
        return self.pieces[0][1].segment if self.pieces else None

    @property
    def end(self) -> Bookmark:
        """The place of the last piece, whether or not it completes its entry."""
        return self.pieces[-1][0].place if self.pieces else self.base

    @property
    def tail(self) -> Bookmark:
        """The place of the last whole entry."""
        return next((piece.place for piece, _ in reversed(self.pieces) if piece.last), self.base)

    def apply(self, change: Change, location: Location) -> None:
        """One more change, written at `location`. Raises `Corrupt`, unchanged, if it cannot come here."""
        if isinstance(change, StoreDropped):
            self._begin(self.incarnation, self._joined_in)
            self.dropped = True
        elif self.dropped:
            raise self._corrupt("it was dropped")
        elif isinstance(change, StoreJoined):
            self._begin(change.incarnation, location.segment)
        elif self._awaited is Awaited.JOINED:
            pass
        elif isinstance(change, StoreGaveUp):
            self.lose()
            self.noted = True
        elif not self.gave_up:
            self._apply(change, location)

    def replay(self, kind: int, payload: memoryview, location: Location) -> None:
        """`apply` for a record read from disk; a piece is checked by the digest of the log before it."""
        if kind != Kind.PIECE:
            self.apply(decode_change(kind, payload), location)
        elif self._awaited is Awaited.JOINED or self.gave_up:
            pass
        elif not self._detached or self._attaches(payload, location):
            encoded = payload[PLACE_BYTES:]
            piece = describe(self.end, encoded)
            if piece.place != decode_place(payload):
                raise self._corrupt(f"a piece says {decode_place(payload)}, its bytes say {piece.place}")
            self.apply(StorePiece(piece, b""), location)

    def lose(self) -> None:
        """Found damaged: what is left of it says nothing any more, unless that it is deleted."""
        if self.dropped:
            return
        self.gave_up = True
        self._awaited = Awaited.NOTHING
        self.pieces = []
        self.base = self.confirmed = origin(self.database)

    def _attaches(self, payload: memoryview, location: Location) -> bool:
        """Whether a piece follows the base, so the log ended there, whatever had been before."""
        place = decode_place(payload)
        if place == self.base:
            self._attach(location)
            return False
        try:
            self._detached = describe(self.base, payload[PLACE_BYTES:]).place != place
        except Corrupt:
            return False
        return not self._detached

    def _attach(self, location: Location) -> None:
        self._detached, self._awaited, self._base_in = False, Awaited.NOTHING, location.segment

    def _apply(self, change: _InLog, location: Location) -> None:
        if not self.incarnation:
            raise self._corrupt("it was never joined")
        match change:
            case StorePiece(piece, _):
                self._check_order(piece)
                self.pieces.append((piece, location))
            case StoreConfirmed(confirmed):
                if not self._detached:
                    self._confirm(confirmed)
            case StoreCut(place):
                self._cut(place)
            case StorePromise(epoch):
                self.promised = max(self.promised, epoch)
            case StoreFounded(members):
                if self._settled:
                    self._found(members)
            case StoreBase(base):
                self._rebase(base, location)

    def _check_order(self, piece: Piece) -> None:
        """An entry's pieces are numbered from 0 and share its place; entries are numbered without a gap."""
        before = self.pieces[-1][0] if self.pieces else None
        if before is None or before.last:
            wanted = (self.end.sequence + 1, 0)
        else:
            wanted = (before.place.sequence, before.number + 1)
        same_epoch = before is None or before.last or piece.place.epoch == before.place.epoch
        if (piece.place.sequence, piece.number) != wanted or not same_epoch:
            raise self._corrupt(f"sequence {piece.place.sequence} piece {piece.number} follows {self.end}")

    def _found(self, members: Members) -> None:
        if self.members is not None and self.members != members:
            raise self._corrupt("it was founded twice")
        self.members = members

    def _rebase(self, base: Base, location: Location) -> None:
        """What follows the base stays, if the log holds that entry; bases only rise."""
        if base.place == self.base and self._awaited is Awaited.BASE:
            self._attach(location)
        if base.place.sequence <= self.base.sequence:
            return
        count = next((i for i, (piece, _) in enumerate(self.pieces, 1) if piece.place == base.place), 0)
        self._base_in = self.pieces[count - 1][1].segment if count else location.segment
        self.pieces = self.pieces[count:] if count else []
        self._set_base(base)

    def _set_base(self, base: Base) -> None:
        self.base, self.members, self.epochs, self.base_us = (
            base.place, base.members, base.epochs, base.time_us,
        )  # fmt: skip
        self.confirmed = max(self.confirmed, base.place, key=lambda place: place.sequence)

    def _confirm(self, confirmed: Bookmark) -> None:
        if confirmed.sequence > self.confirmed.sequence:
            self._count_of(confirmed)
            self.confirmed = confirmed

    def _cut(self, place: Bookmark) -> None:
        if not self._settled and place != self.base and place.sequence <= self.base.sequence:
            self.pieces, self._detached = [], True  # the base was cut away, and stored again later
            self._awaited = Awaited.BASE
        if self._detached:
            self._detached = place != self.base
            return
        count = self._count_of(place)
        if place.sequence < self.confirmed.sequence:
            raise self._corrupt(f"it was cut at {place}, below the confirmed {self.confirmed}")
        del self.pieces[count:]

    def _count_of(self, place: Bookmark) -> int:
        """How many pieces lead up to `place`; looked for from the end, since that is near."""
        for count in range(len(self.pieces), 0, -1):
            found = self.pieces[count - 1][0].place
            if found == place:
                return count
            if found.sequence < place.sequence:
                break
        if place == self.base:
            return 0
        raise self._corrupt(f"{place} is not in its log")

    def _corrupt(self, reason: str) -> Corrupt:
        return Corrupt("a follower's log", f"database {self.database}", reason)

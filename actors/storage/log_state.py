"""What a journal holds of one database: its changes, applied in order."""

from __future__ import annotations

from raylite.actors.core.piece import Piece, describe
from raylite.actors.core.store import (
    StoreConfirmed,
    StoreCut,
    StoreDropped,
    StoreFounded,
    StoreGaveUp,
    StorePiece,
    StorePromise,
)
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

_InLog = StorePiece | StoreConfirmed | StoreCut | StorePromise | StoreFounded


class Recovered:
    """One database's state: after a start, and kept up with `apply` from then on if its user wishes.

    members: those of the base, None before it was founded; pieces: the log behind `base`, each with where it is;
    noted: a record says that it was given up; dropped: one says that it is deleted, and that holds whatever else is
    found. Invariants: each piece follows the one before; `confirmed` is `base`
    or the place of a whole entry in the log; when it was given up or dropped there is no log.
    """

    def __init__(self, database: str) -> None:
        self.database = database
        self.dropped = False
        self._begin("")

    def _begin(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.members: Members | None = None
        self.promised = 0
        self.base = self.confirmed = origin(self.database)
        self.pieces: list[tuple[Piece, Location]] = []
        self.gave_up = self.noted = False

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
            self._begin(self.incarnation)
            self.dropped = True
        elif self.dropped:
            raise self._corrupt("it was dropped")
        elif isinstance(change, StoreJoined):
            self._begin(change.incarnation)
        elif isinstance(change, StoreGaveUp):
            self.lose()
            self.noted = True
        elif not self.gave_up:
            self._apply(change, location)

    def replay(self, kind: int, payload: memoryview, location: Location) -> None:
        """`apply` for a record read from disk; a piece is checked by the digest of the log before it."""
        if kind != Kind.PIECE:
            self.apply(decode_change(kind, payload), location)
        elif not self.gave_up:
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
        self.pieces = []
        self.base = self.confirmed = origin(self.database)

    def _apply(self, change: _InLog, location: Location) -> None:
        if not self.incarnation:
            raise self._corrupt("it was never joined")
        match change:
            case StorePiece(piece, _):
                self._check_order(piece)
                self.pieces.append((piece, location))
            case StoreConfirmed(confirmed):
                self._confirm(confirmed)
            case StoreCut(place):
                self._cut(place)
            case StorePromise(epoch):
                self.promised = max(self.promised, epoch)
            case StoreFounded(members):
                self._found(members)

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

    def _confirm(self, confirmed: Bookmark) -> None:
        if confirmed.sequence > self.confirmed.sequence:
            self._count_of(confirmed)
            self.confirmed = confirmed

    def _cut(self, place: Bookmark) -> None:
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

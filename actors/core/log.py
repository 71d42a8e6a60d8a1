"""The index of one database's log: its pieces in order, found by place. No bytes."""

from __future__ import annotations

from collections.abc import Iterable

from raylite.actors.core.base import Base
from raylite.actors.core.piece import Kind, Piece
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt
from raylite.policies.quorum import Members


class LogIndex:
    """The pieces behind `base`, each following the one before it.

    Only the last entry may be incomplete (more of its pieces are on their way); `tail` never is. members, epochs,
    base_us: what the log up to the base says, see `Base`.
    """

    def __init__(
        self,
        base: Bookmark,
        members: Members | None,
        pieces: Iterable[Piece] = (),
        *,
        epochs: Iterable[tuple[int, int]] = (),
        base_us: int = 0,
    ) -> None:
        self.base, self._base_us = base, base_us
        self.pieces: list[Piece] = []
        self._whole = 0
        self._next: dict[bytes, int] = {base.digest: 0}
        self._members: list[tuple[int, Members]] = [] if members is None else [(-1, members)]
        self.epochs: list[tuple[int, int]] = list(epochs)
        for piece in pieces:
            self.append(piece)

    @classmethod
    def behind(cls, base: Base, pieces: Iterable[Piece] = ()) -> LogIndex:
        """The log that follows `base`."""
        return cls(base.place, base.members, pieces, epochs=base.epochs, base_us=base.time_us)

    @property
    def tail(self) -> Bookmark:
        """The place of the last whole entry, `base` if there is none."""
        return self.place(self._whole)

    @property
    def tail_us(self) -> int:
        """The time in the last whole entry, 0 if there is none."""
        return self._time_us(self._whole)

    @property
    def members(self) -> Members | None:
        """The newest members in the log, confirmed or not; those of the base if it has none."""
        return self._members[-1][1] if self._members else None

    def place(self, count: int) -> Bookmark:
        """The place where the first `count` pieces end."""
        return self.pieces[count - 1].place if count else self.base

    def find(self, place: Bookmark) -> int | None:
        """How many pieces lead up to `place`, None if it is not in this log."""
        return self._next.get(place.digest)

    def whole(self, count: int) -> int:
        """The count of pieces up to the last whole entry within the first `count`."""
        while count and not self.pieces[count - 1].last:
            count -= 1
        return count

    def base_at(self, count: int) -> Base | None:
        """What the first `count` pieces say, which end with a whole entry; None if the log has no members yet."""
        place = self.place(count)
        members = next((one for end, one in reversed(self._members) if end < count), None)
        if members is None:
            return None
        epochs = tuple(epoch for epoch in self.epochs if epoch[1] <= place.sequence)
        return Base(place, members, epochs, self._time_us(count))

    def _time_us(self, count: int) -> int:
        return self.pieces[count - 1].time_us if count else self._base_us

    def append(self, piece: Piece) -> None:
        """Put `piece` at the end; raises `Corrupt` if it cannot stand there."""
        self._check(piece)
        self.pieces.append(piece)
        end = len(self.pieces)
        self._next[piece.place.digest] = end
        if piece.last:
            self._whole = end
            if piece.members is not None:
                self._members.append((end - 1, piece.members))
        if not self.epochs or self.epochs[-1][0] != piece.place.epoch:
            self.epochs.append((piece.place.epoch, piece.place.sequence))

    def _check(self, piece: Piece) -> None:
        fits = self._begins(piece) if self._whole == len(self.pieces) else self._goes_on(piece)
        if not fits or (piece.kind is Kind.MEMBERS) != (piece.members is not None):
            raise Corrupt(
                "a log",
                str(piece.place),
                f"piece {piece.number} cannot follow {self.place(len(self.pieces))}",
            )

    def _begins(self, piece: Piece) -> bool:
        """Whether it is the first of the next entry."""
        tail, place = self.tail, piece.place
        return piece.number == 0 and place.sequence == tail.sequence + 1 and place.epoch >= tail.epoch

    def _goes_on(self, piece: Piece) -> bool:
        """Whether it is the next of the last entry, which is incomplete."""
        last, place = self.pieces[-1], piece.place
        same_entry = place.sequence == last.place.sequence and place.epoch == last.place.epoch
        return same_entry and piece.number == last.number + 1

    def cut(self, count: int) -> None:
        """Keep the first `count` pieces only."""
        for piece in self.pieces[count:]:
            del self._next[piece.place.digest]
        del self.pieces[count:]
        self._whole = self.whole(count)
        while self._members and self._members[-1][0] >= count:
            self._members.pop()
        end = self.place(count)
        while self.epochs and self.epochs[-1][1] > end.sequence:
            self.epochs.pop()

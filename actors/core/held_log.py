"""The log that a follower holds, against what arrives from leaders."""

from __future__ import annotations

from collections.abc import Sequence

from raylite.actors.core import messages as m
from raylite.actors.core.base import Base
from raylite.actors.core.log import LogIndex
from raylite.actors.core.piece import Piece, count_same
from raylite.actors.core.store import Store, StoreBase, StoreConfirmed, StoreCut, StoreFounded, StorePiece
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt
from raylite.policies.quorum import Members


class HeldLog:
    """The pieces that a follower holds of one database, and up to where it knows them to be confirmed.

    Invariants: `confirmed` lies within the log and never falls; nothing at or below it is cut away.
    """

    def __init__(self, index: LogIndex, confirmed: Bookmark | None) -> None:
        self.index = index
        self.confirmed = confirmed or index.base

    def found(self, members: Members, base: Base | None) -> list[Store]:
        """Make `members` those that the log begins with, unless it has some; begin behind `base` if there is one."""
        if self.index.members is not None:
            return []
        if base is not None:
            return self.rebase(base)  # one record says both: half of them would be another log
        self.index = LogIndex(self.index.base, members)
        return [StoreFounded(members)]

    def rebase(self, base: Base) -> list[Store]:
        """Begin behind `base`, which is confirmed, with nothing else, unless more than that is known to be held."""
        if self.index.find(base.place) is not None or self.confirmed.sequence >= base.place.sequence:
            return []
        self.index, self.confirmed = LogIndex.behind(base), base.place
        return [StoreBase(base)]

    def trim(self, held: Bookmark) -> list[Store]:
        """Forget what cold storage holds, all up to `held`, as far as it is known here to be confirmed."""
        end = min(held, self.confirmed, key=lambda place: place.sequence)
        count = self.index.find(end)
        base = self.index.base_at(count) if count else None
        if count is None or base is None or self.index.whole(count) != count:
            return []
        self.index = LogIndex.behind(base, self.index.pieces[count:])
        return [StoreBase(base)]

    def clear(self) -> None:
        """Hold nothing of the database any more."""
        self.index = LogIndex(self.index.base, None)
        self.confirmed = self.index.base

    def extend(self, start: int, pieces: Sequence[Piece], encoded: Sequence[bytes]) -> list[Store]:
        """Have `pieces` stand from the `start`-th place on; raises `Corrupt` if that is damage."""
        kept = self._kept(start, pieces)
        effects = self._cut(kept)
        for piece, data in zip(pieces[kept - start :], encoded[kept - start :], strict=True):
            self.index.append(piece)
            effects.append(StorePiece(piece, data))
        return effects

    def _kept(self, start: int, pieces: Sequence[Piece]) -> int:
        """How many pieces of the log stay: all, unless one of `pieces` differs from the one in its place."""
        own = self.index.pieces[start : start + len(pieces)]
        same = count_same(own, pieces)
        return start + same if same < len(own) else len(self.index.pieces)

    def _cut(self, count: int) -> list[Store]:
        if count == len(self.index.pieces):
            return []
        confirmed = self.index.find(self.confirmed)
        if confirmed is None or count < confirmed:
            raise Corrupt("a log", str(self.confirmed), "a leader's log differs below the confirmed mark")
        self.index.cut(count)
        return [StoreCut(self.index.place(count))]

    def confirm(self, message: m.Append) -> list[Store]:
        """Take over the leader's confirmed mark as far as this append, which is held by now, lets it count."""
        if message.confirmed.sequence <= self.confirmed.sequence:
            return []
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

    def read(self, after: Bookmark, limit: int) -> list[Piece] | None:
        """Whole entries' pieces behind `after`, up to about `limit` bytes, at least one; None if it is not held."""
        start = self.index.find(after)
        if start is None:
            return None
        chosen: list[Piece] = []
        size = 0
        for piece in self.index.pieces[start : self.index.find(self.index.tail)]:
            size += piece.size
            if chosen and size > limit:
                break
            chosen.append(piece)
        return chosen

"""A replica's part in one database: hold what arrives, show what is confirmed (docs/architecture.md, Replicas)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from raylite.actors.core import messages as m
from raylite.actors.core.history import History
from raylite.actors.core.piece import Piece, check_end, count_same, describe_all
from raylite.policies.bookmark import Bookmark


class Write(msgspec.Struct, frozen=True):
    """Put these pieces behind what is written; readers do not see them yet."""

    pieces: Sequence[Piece]
    encoded: Sequence[bytes]


class CutTo(msgspec.Struct, frozen=True):
    """Take back everything behind `place`; readers have not seen it."""

    place: Bookmark


class Publish(msgspec.Struct, frozen=True):
    """Show everything up to this entry. confirmed_us: the leader's clock when it was confirmed, 0 if unknown."""

    place: Bookmark
    confirmed_us: int


class Rebuild(msgspec.Struct, frozen=True):
    """What was shown is not in the leader's log: begin anew with an empty copy."""

    reason: str


class Answer(msgspec.Struct, frozen=True):
    """Answer the leader."""

    message: m.FromFollower


Effect = Write | CutTo | Publish | Rebuild | Answer


class ReplicaLog:
    """One copy.

    Invariants: `published` never falls and is confirmed; `held` is what is written behind it, each piece following
    the one before; only entries of which this very digest was confirmed are published.
    """

    def __init__(self, database: str, published: Bookmark, epoch: int = 0) -> None:
        self.database, self.published = database, published
        self.epoch = max(epoch, published.epoch)
        self.held: list[Piece] = []
        self.history = History(published)

    @property
    def tail(self) -> Bookmark:
        """Where what is written ends."""
        return self.held[-1].place if self.held else self.published

    def receive(self, message: m.Append) -> list[Effect]:
        """The effects of a leader's append; raises `Corrupt`, unchanged, if it is not what it says."""
        if message.epoch < self.epoch:
            return [Answer(m.Refused(self.database, message.number, self.epoch))]
        pieces = self._describe(message)
        check_end(pieces, message.place)
        self.epoch = message.epoch
        if message.epochs:
            self.history.learn_epochs(message.epochs)
        start = self._start(message.previous, pieces)
        if start is None:
            return [Answer(self._mismatch(message))]
        skip, kept = start
        effects = self._extend(kept, pieces[skip:], message.pieces[skip:])
        effects += self._publish(message)
        return [*effects, Answer(m.Appended(self.database, message.number, message.epoch, message.place))]

    def diverged(self, message: m.Diverged) -> list[Effect]:
        """A leader says that its log lacks what this copy shows."""
        if message.epoch < self.epoch:
            return []
        self.epoch = message.epoch
        return [Rebuild(f"the log of epoch {message.epoch} does not hold {self.published}")]

    def step_back(self, published: Bookmark) -> None:
        """Nothing behind `published` could be written, so nothing there counts as held or shown any more."""
        self.held.clear()
        self.published = published

    def _describe(self, message: m.Append) -> list[Piece]:
        return describe_all(message.previous, message.pieces)

    def _mismatch(self, message: m.Append) -> m.Mismatch:
        return m.Mismatch(self.database, message.number, message.epoch, self.tail, self.published)

    def _start(self, previous: Bookmark, pieces: Sequence[Piece]) -> tuple[int, int] | None:
        """(how many of `pieces` lie at or below `published`, how many of `held` precede the rest); None: unknown."""
        if previous.digest == self.published.digest:
            return 0, 0
        for count, piece in enumerate(self.held, 1):
            if piece.place.digest == previous.digest:
                return 0, count
        for skip, piece in enumerate(pieces, 1):
            if piece.place.digest == self.published.digest:
                return skip, 0
        return None

    def _extend(self, kept: int, pieces: Sequence[Piece], encoded: Sequence[bytes]) -> list[Effect]:
        same = count_same(self.held[kept:], pieces)
        if same == len(pieces):
            return []
        effects = self._cut(kept + same)
        self.held += pieces[same:]
        return [*effects, Write(pieces[same:], encoded[same:])]

    def _cut(self, count: int) -> list[Effect]:
        if count == len(self.held):
            return []
        del self.held[count:]
        return [CutTo(self.tail)]

    def _publish(self, message: m.Append) -> list[Effect]:
        count = self._confirmed_count(message.confirmed)
        if not count:
            return []
        for piece in self.held[:count]:
            if piece.last:
                self.history.extend(piece.place)
        self.published = self.held[count - 1].place
        del self.held[:count]
        return [Publish(self.published, message.confirmed_us)]

    def _confirmed_count(self, confirmed: Bookmark) -> int:
        """How many held pieces the confirmation covers: none unless the very entry that it names is held."""
        for count, piece in enumerate(self.held, 1):
            if piece.last and piece.place.digest == confirmed.digest:
                return count
        return 0

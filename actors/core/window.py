"""A leader's recent pieces, by ordinal: a count from the start of its reign that only this leader knows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from raylite.actors.core.piece import Piece
from raylite.policies.bookmark import Bookmark


class Window:
    """The pieces `first` to `end - 1`; `start` is the place before the first, always that of a whole entry."""

    def __init__(self, start: Bookmark) -> None:
        self.start = start
        self.first = 0
        self.size = 0
        self._pieces: deque[Piece] = deque()
        self._ordinals: dict[bytes, int] = {start.digest: 0}

    @property
    def end(self) -> int:
        """The ordinal that the next piece gets."""
        return self.first + len(self._pieces)

    def add(self, piece: Piece) -> None:
        """Put a piece at the end."""
        self._pieces.append(piece)
        self._ordinals[piece.place.digest] = self.end
        self.size += piece.size

    def piece(self, ordinal: int) -> Piece:
        """The piece of this ordinal."""
        return self._pieces[ordinal - self.first]

    def run(self, first: int, end: int) -> Sequence[Piece]:
        """The pieces from ordinal `first` to before `end`."""
        return tuple(self.piece(ordinal) for ordinal in range(first, end))

    def place(self, ordinal: int) -> Bookmark:
        """The place where everything below `ordinal` ends."""
        return self.piece(ordinal - 1).place if ordinal > self.first else self.start

    def find(self, place: Bookmark) -> int | None:
        """The ordinal that follows `place`, None if it lies outside."""
        return self._ordinals.get(place.digest)

    def whole(self, ordinal: int) -> int:
        """The end of the last whole entry at or below `ordinal`."""
        while ordinal > self.first and not self.piece(ordinal - 1).last:
            ordinal -= 1
        return ordinal

    def shrink(self, limit: int, keep: int) -> None:
        """Forget whole entries below ordinal `keep` until at most `limit` bytes are left."""
        while self.size > limit:
            count = next((i for i, piece in enumerate(self._pieces, 1) if piece.last), None)
            if count is None or self.first + count > keep:
                return
            self._forget(count)

    def _forget(self, count: int) -> None:
        for _ in range(count):
            del self._ordinals[self.start.digest]
            piece = self._pieces.popleft()
            self.start = piece.place
            self.first += 1
            self.size -= piece.size

"""The bytes of a leader's window, by ordinal."""

from __future__ import annotations

from collections.abc import Sequence

from raylite.actors.core.piece import describe
from raylite.actors.core.window import Window
from raylite.actors.storage.entries import Made, Span
from raylite.policies.errors import Corrupt


class PieceStore:
    """Holds what `window` names; a large entry's pieces are read again from the WAL while it has them."""

    def __init__(self, window: Window) -> None:
        self._window = window
        self._sources: dict[int, bytes | Span] = {}
        self._first = window.first

    def add(self, made: Sequence[Made], first: int) -> None:
        """Take the bytes of new pieces, of which the first has ordinal `first`."""
        for ordinal, one in enumerate(made, first):
            self._sources[ordinal] = one.source

    def shrink(self) -> None:
        """Forget what the window has forgotten."""
        while self._first < self._window.first:
            self._sources.pop(self._first, None)
            self._first += 1

    def at_hand(self, first: int, end: int) -> list[bytes] | None:
        """The bytes of these pieces if all are in memory."""
        found = [self._sources.get(ordinal) for ordinal in range(first, end)]
        data = [one for one in found if isinstance(one, bytes)]
        return data if len(data) == len(found) else None

    def sources(self, first: int, end: int) -> list[tuple[int, bytes | Span | None]]:
        """What there is of these pieces, to be given to `load` outside the loop."""
        return [(ordinal, self._sources.get(ordinal)) for ordinal in range(first, end)]

    def verified(self, ordinal: int, data: bytes) -> bool:
        """Whether these bytes, read from a WAL that may have begun anew since, are still the piece."""
        if not self._window.first <= ordinal < self._window.end:
            return False
        try:
            return describe(self._window.place(ordinal), data).place == self._window.piece(ordinal).place
        except Corrupt:
            return False


def load(source: bytes | Span | None) -> bytes | None:
    """The bytes of a source, None if there is none. Reads a file: not for the loop."""
    return source.load() if isinstance(source, Span) else source

"""What the simulated database holds, and how a change of it becomes an entry.

A page's content is the number of the write that made it; page 1 is part of every write, so it names the newest one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from raylite.actors.core.keys import KEY_BYTES
from raylite.actors.core.piece import Header, Kind, Pages, Piece, decode_pages, encode, encode_members
from raylite.actors.core.takeover import Adopted
from raylite.policies.bookmark import Bookmark
from raylite.policies.quorum import Members

PAGE_BYTES = 64
FIRST_PAGE = 1
PAGES = 9

State = dict[int, int]
"""Which write made each page; a page that no write made is missing."""
Describe = Callable[[Bookmark, Sequence[bytes]], list[Piece]]


class Made(msgspec.Struct, frozen=True):
    """A new piece and its bytes."""

    piece: Piece
    encoded: bytes


def content(write: int) -> bytes:
    """The page that a write makes."""
    return write.to_bytes(8) * (PAGE_BYTES // 8)


def key(write: int) -> bytes:
    """The key that all attempts at a write share."""
    return write.to_bytes(KEY_BYTES)


def changes(encoded: bytes) -> Mapping[int, int]:
    """What a piece changes: the write that made each of its pages."""
    _, pages = decode_pages(encoded)
    return {
        number: int.from_bytes(one[:8]) for number, one in zip(pages.numbers, pages.contents, strict=True)
    }


class Writer:
    """The end of the log as one leader writes it."""

    def __init__(self, adopted: Adopted, clock_us: Callable[[], int], describe: Describe) -> None:
        self.epoch, self.tail = adopted.epoch, adopted.tail
        self._last_us = adopted.tail_us
        self._clock_us, self._describe = clock_us, describe

    def empty(self) -> list[Made]:
        """The first entry of a reign."""
        return self._entry(Kind.EMPTY, b"", [()], 0)

    def members(self, members: Members) -> list[Made]:
        """An entry that changes the members."""
        return self._entry(Kind.MEMBERS, encode_members(members), [()], 0)

    def write(self, write: int, pages: Sequence[int], per_piece: int) -> list[Made]:
        """An entry of this write, with so many pages in a piece."""
        parts = [pages[first : first + per_piece] for first in range(0, len(pages), per_piece)]
        return self._entry(Kind.WRITE, key(write), parts, write)

    def _entry(self, kind: Kind, extra: bytes, parts: Sequence[Sequence[int]], write: int) -> list[Made]:
        self._last_us = max(self._last_us, self._clock_us())
        sequence = self.tail.sequence + 1
        data: list[bytes] = []
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            size = PAGE_BYTES if part else 0
            header = Header(
                kind, last, self.epoch, sequence, number, self._last_us, size, PAGES if part else 0,
                extra if last else b"",
            )  # fmt: skip
            data.append(encode(header, Pages(part, [content(write)] * len(part))))
        pieces = self._describe(self.tail, data)
        self.tail = pieces[-1].place
        return [Made(piece, one) for piece, one in zip(pieces, data, strict=True)]

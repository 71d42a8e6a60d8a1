"""Makes the next entries of a log out of commits; alone it assigns sequence, time and digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from raylite.actors.core.piece import Header, Kind, Pages, Piece, encode, encode_members
from raylite.policies.bookmark import Bookmark, extend
from raylite.policies.limits import PIECE_BYTES
from raylite.policies.quorum import Members


class Span(msgspec.Struct, frozen=True):
    """A piece that is read again from the WAL when it is needed, while that holds it. read: page of a frame."""

    header: Header
    numbers: Sequence[int]
    frames: Sequence[int]
    read: Callable[[int], bytes]

    def load(self) -> bytes:
        """The piece's bytes."""
        return encode(self.header, Pages(self.numbers, [self.read(frame) for frame in self.frames]))


class Made(msgspec.Struct, frozen=True):
    """A new piece and where its bytes are: at hand for an entry of one piece, else in the WAL."""

    piece: Piece
    source: bytes | Span


class EntryWriter:
    """The end of one log, as the leader of `epoch` writes it. Used by one thread.

    clock_us: wall clock, microseconds since 1970; entries never carry a time below the one before.
    """

    def __init__(self, epoch: int, tail: Bookmark, tail_us: int, clock_us: Callable[[], int]) -> None:
        self.epoch, self.tail = epoch, tail
        self._last_us = tail_us
        self._clock_us = clock_us

    def empty(self, note: bytes = b"") -> Made:
        """An entry without pages: the first of a reign, or a write with a key that has changed nothing."""
        return self._special(Kind.EMPTY, note, None)

    def members(self, members: Members) -> Made:
        """An entry that changes the members."""
        return self._special(Kind.MEMBERS, encode_members(members), members)

    def write(
        self,
        page_size: int,
        database_pages: int,
        pages: Sequence[tuple[int, int]],
        read: Callable[[int], bytes],
        note: bytes = b"",
    ) -> Iterator[Made]:
        """The pieces of one commit. pages: (page number, WAL frame), ascending; read: the page in a frame.

        note: of a write with a key, see `Keys`; the last piece carries it.
        """
        per_piece = max(1, PIECE_BYTES // page_size)
        count = -(-len(pages) // per_piece)
        sequence, time_us = self.tail.sequence + 1, self._time()
        for number in range(count):
            part = pages[number * per_piece : (number + 1) * per_piece]
            last = number == count - 1
            header = Header(
                Kind.WRITE, last, self.epoch, sequence, number, time_us, page_size, database_pages,
                note if last else b"",
            )  # fmt: skip
            span = Span(header, [page for page, _ in part], [frame for _, frame in part], read)
            encoded = span.load()
            yield Made(self._place(header, encoded, None), encoded if count == 1 else span)

    def _special(self, kind: Kind, extra: bytes, members: Members | None) -> Made:
        header = Header(kind, True, self.epoch, self.tail.sequence + 1, 0, self._time(), 0, 0, extra)
        encoded = encode(header, Pages((), ()))
        return Made(self._place(header, encoded, members), encoded)

    def _place(self, header: Header, encoded: bytes, members: Members | None) -> Piece:
        digest = extend(self.tail.digest, encoded)
        self.tail = Bookmark(self.epoch, header.sequence, self.tail.history, digest)
        return Piece(
            self.tail, header.kind, header.number, header.last, len(encoded), header.time_us, members
        )

    def _time(self) -> int:
        self._last_us = max(self._last_us, self._clock_us())
        return self._last_us

"""Entries as they travel and rest: one or more pieces, chained by a running digest.

An entry is one committed transaction. Most are a single piece; a large one is cut into pieces that share its
sequence, and only the piece with the flag LAST completes it. A piece's place is a bookmark whose digest covers
every byte of the log up to and including that piece, so a digest names one prefix of one log.
Layout, big-endian (docs/formats.md): header, extra, page numbers (u32 each), pages.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

import msgspec

from raylite.policies.bookmark import Bookmark, extend
from raylite.policies.errors import Corrupt
from raylite.policies.quorum import Members

VERSION = 1
_HEADER = struct.Struct(">BBBBIQIQIIII")
_LAST = 1


class Kind(enum.IntEnum):
    """What an entry is; `RESTORE` has its number reserved in the format."""

    WRITE = 1
    EMPTY = 2
    MEMBERS = 3
    RESTORE = 4


_KINDS = {int(kind): kind for kind in Kind}


class Header(msgspec.Struct, frozen=True):
    """Everything of a piece but its pages.

    number: index of the piece in its entry; time_us: wall clock, microseconds since 1970, never decreasing along
    a log; page_size: bytes; database_pages: size of the database after the entry, in pages; extra: for MEMBERS the
    encoded members; for the last piece of a WRITE, and for an EMPTY, its note if it has one, see `Keys`.
    """

    kind: Kind
    last: bool
    epoch: int
    sequence: int
    number: int
    time_us: int
    page_size: int
    database_pages: int
    extra: bytes = b""


class Piece(msgspec.Struct, frozen=True):
    """A piece without its bytes: what the protocol needs to know of it. size: encoded bytes."""

    place: Bookmark
    kind: Kind
    number: int
    last: bool
    size: int
    time_us: int = 0
    members: Members | None = None


class Pages(msgspec.Struct, frozen=True):
    """The pages of one piece: numbers (from 1), and their contents in the same order, page_size bytes each."""

    numbers: Sequence[int]
    contents: Sequence[bytes | memoryview]


def encode(header: Header, pages: Pages) -> bytes:
    """The bytes of a piece."""
    count = len(pages.numbers)
    head = _HEADER.pack(
        VERSION, header.kind, _LAST if header.last else 0, 0, header.epoch, header.sequence, header.number,
        header.time_us, header.page_size, header.database_pages, len(header.extra), count,
    )  # fmt: skip
    return b"".join((head, header.extra, struct.pack(f">{count}I", *pages.numbers), *pages.contents))


def decode_header(encoded: bytes | memoryview) -> tuple[Header, int]:
    """The header and the count of pages; raises `Corrupt` on anything that `encode` does not write."""
    if len(encoded) < _HEADER.size:
        raise Corrupt("a piece", "its header", f"{len(encoded)} bytes")
    version, kind, flags, zero, epoch, sequence, number, time_us, page_size, database_pages, extra, count = (
        _HEADER.unpack_from(encoded)
    )
    if version != VERSION or kind not in _KINDS or flags & ~_LAST or zero:
        where = _where(epoch, sequence, number)
        raise Corrupt("a piece", where, f"version {version}, kind {kind}, flags {flags}")
    expected = _HEADER.size + extra + count * (4 + page_size)
    if len(encoded) != expected:
        where = _where(epoch, sequence, number)
        raise Corrupt("a piece", where, f"{len(encoded)} bytes, its header says {expected}")
    blob = bytes(encoded[_HEADER.size : _HEADER.size + extra])
    header = Header(
        _KINDS[kind], flags == _LAST, epoch, sequence, number, time_us, page_size, database_pages, blob
    )
    return header, count


def _where(epoch: int, sequence: int, number: int) -> str:
    return f"epoch {epoch} sequence {sequence} piece {number}"


def decode_pages(encoded: bytes | memoryview) -> tuple[Header, Pages]:
    """Header and pages; the contents are views into `encoded`, without a copy. Raises `Corrupt`.

    Page numbers ascend from 1 to the size of the database at most, so that a page can be written where it says.
    """
    header, count = decode_header(encoded)
    view = memoryview(encoded)
    first = _HEADER.size + len(header.extra)
    numbers = struct.unpack_from(f">{count}I", view, first)
    if not all(one < other for one, other in pairwise((0, *numbers, header.database_pages + 1))):
        where = _where(header.epoch, header.sequence, header.number)
        raise Corrupt("a piece", where, f"its pages are not in order, or not of {header.database_pages}")
    first += 4 * count
    size = header.page_size
    return header, Pages(numbers, [view[first + i * size : first + (i + 1) * size] for i in range(count)])


def runs(pages: Pages) -> Iterator[tuple[int, bytes]]:
    """The pages as they can be written at once: the first number of those that follow each other, and all of them."""
    first = 0
    for end, number in enumerate(pages.numbers, 1):
        if end == len(pages.numbers) or pages.numbers[end] != number + 1:
            yield pages.numbers[first], b"".join(pages.contents[first:end])
            first = end


def note_of(header: Header) -> bytes:
    """The note of a write with a key that this piece carries, empty if it carries none."""
    return b"" if header.kind is Kind.MEMBERS else header.extra


def describe(previous: Bookmark, encoded: bytes | memoryview) -> Piece:
    """The piece that these bytes are when they follow `previous`; raises `Corrupt` if they cannot."""
    header, _ = decode_header(encoded)
    if header.epoch < previous.epoch or not previous.sequence <= header.sequence <= previous.sequence + 1:
        raise Corrupt(
            "a log", f"epoch {header.epoch} sequence {header.sequence}", f"it cannot follow {previous}"
        )
    place = Bookmark(header.epoch, header.sequence, previous.history, extend(previous.digest, encoded))
    members = decode_members(header.extra) if header.kind is Kind.MEMBERS else None
    return Piece(place, header.kind, header.number, header.last, len(encoded), header.time_us, members)


def describe_all(previous: Bookmark, encoded: Iterable[bytes | memoryview]) -> list[Piece]:
    """`describe` along a run of pieces, each following the one before it."""
    found: list[Piece] = []
    for one in encoded:
        piece = describe(previous, one)
        found.append(piece)
        previous = piece.place
    return found


def check_end(pieces: Sequence[Piece], end: Bookmark) -> None:
    """Raises `Corrupt` unless `pieces`, if there are any, end at `end`, as their sender says."""
    if pieces and pieces[-1].place != end:
        raise Corrupt("an append", str(end), f"its pieces end at {pieces[-1].place}")


def count_same(mine: Iterable[Piece], theirs: Iterable[Piece]) -> int:
    """How many pieces two runs that follow the same place have in common before they part, or one ends."""
    count = 0
    for one, other in zip(mine, theirs, strict=False):
        if one.place.digest != other.place.digest:
            break
        count += 1
    return count


def encode_members(members: Members) -> bytes:
    """Members as an entry's `extra`."""
    return msgspec.msgpack.encode(members)


def decode_members(extra: bytes) -> Members:
    """The members in an entry's `extra`; raises `Corrupt` if they are none."""
    try:
        return msgspec.msgpack.decode(extra, type=Members)
    except (ValueError, RecursionError) as error:
        raise Corrupt("a members entry", "its extra", str(error)) from error

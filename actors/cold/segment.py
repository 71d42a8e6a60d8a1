"""A segment of a log: confirmed pieces, byte for byte as followers keep them, as one object.

Envelope with the contents, zstd frames of some pieces each, and at the end a checksum of all of it. The contents tell
for every piece its place and where it is, so that a reader can begin anywhere; the running digest proves that pieces
follow each other and what lies before the segment. A segment may begin and end inside an entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from raylite.actors.cold.codec import CHECK_BYTES, check, pack, seal, unpack, unseal
from raylite.actors.cold.names import SegmentName, is_id
from raylite.actors.core.piece import decode_header, describe
from raylite.policies.bookmark import DIGEST_BYTES, HISTORY_BYTES, Bookmark, origin
from raylite.policies.errors import Corrupt
from raylite.policies.limits import COLD_BLOCK_BYTES, COLD_OBJECT_BYTES

MAGIC: Final = b"RLCS"
TRAILER_BYTES: Final = CHECK_BYTES


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A piece in the contents, with its place. block: index of its frame; offset, size: bytes in there.

    last: it completes its entry; database_pages: size of the database after that, 0 for an entry without pages.
    """

    place: Bookmark
    number: int
    last: bool
    time_us: int
    page_size: int
    database_pages: int
    block: int
    offset: int
    size: int


class Block(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A frame. offset: from the end of the envelope; size: of the frame; raw: of what is in it, in bytes."""

    offset: int
    size: int
    raw: int
    check: bytes


class Contents(msgspec.Struct, frozen=True, array_like=True):
    """What a segment holds: the pieces behind `after`, in order."""

    database_id: str
    after: Bookmark
    entries: tuple[Entry, ...]
    blocks: tuple[Block, ...]

    @property
    def name(self) -> SegmentName:
        """The name that says what these contents are."""
        last = self.entries[-1]
        return SegmentName(self.database_id, self.after, last.place, last.time_us, last.last)

    def index(self, place: Bookmark) -> int | None:
        """How many pieces lie up to `place`: 0 for `after`; None if it is no place of this segment."""
        if place.digest == self.after.digest:
            return 0
        return next((n for n, one in enumerate(self.entries, 1) if one.place.digest == place.digest), None)

    def validate(self, where: str) -> None:
        """Raises `Corrupt` unless all of it fits together, as it does in what `cut` writes."""
        if not self.entries or not self.blocks or not is_id(self.database_id) or not _follows(self):
            raise Corrupt("cold storage", where, "its contents are not one stretch of a log")
        if not _fits(self):
            raise Corrupt("cold storage", where, "its contents point outside of it")


class Segment(msgspec.Struct, frozen=True):
    """A whole segment and its name."""

    name: SegmentName
    data: bytes
    contents: Contents


def cut(database_id: str, after: Bookmark, pieces: Sequence[bytes]) -> Segment:
    """The segment of these pieces, of which there is one at least, behind `after`.

    Raises `Corrupt` if they do not follow each other. The same pieces give the same name wherever they are cut.
    """
    entries: list[Entry] = []
    blocks: list[Block] = []
    frames: list[bytes] = []
    place, offset = after, 0
    for block, group in enumerate(_groups(pieces)):
        at = 0
        for encoded in group:
            entries.append(_entry(place, encoded, block, at))
            place, at = entries[-1].place, at + len(encoded)
        frames.append(pack(b"".join(group)))
        blocks.append(Block(offset, len(frames[-1]), at, check(frames[-1])))
        offset += len(frames[-1])
    contents = Contents(database_id, after, tuple(entries), tuple(blocks))
    contents.validate("a new segment")
    data = b"".join((seal(MAGIC, contents), *frames))
    return Segment(contents.name, data + check(data), contents)


def decode(data: bytes, where: str) -> tuple[Contents, list[bytes]]:
    """Contents and pieces of a whole segment, all of it verified; raises `Corrupt` for any damage."""
    if check(memoryview(data)[:-TRAILER_BYTES]) != data[-TRAILER_BYTES:]:
        raise Corrupt("cold storage", where, "it does not have its checksum")
    contents, first = decode_contents(data, where)
    if first + contents.blocks[-1].offset + contents.blocks[-1].size + TRAILER_BYTES != len(data):
        raise Corrupt("cold storage", where, f"{len(data)} bytes, its contents tell of others")
    frames = [data[first + one.offset : first + one.offset + one.size] for one in contents.blocks]
    return contents, list(pieces_of(contents, 0, len(contents.entries), frames, where))


def decode_contents(data: bytes, where: str) -> tuple[Contents, int]:
    """The contents at the beginning of a segment, and how many bytes they take; raises `Corrupt`."""
    contents, size = unseal(MAGIC, data, Contents, where)
    contents.validate(where)
    return contents, size


def pieces_of(
    contents: Contents, first: int, end: int, frames: Sequence[bytes], where: str
) -> Iterator[bytes]:
    """Pieces `first` to `end` (not included), each verified by the running digest.

    frames: those of the blocks from that of the first piece on. Raises `Corrupt` for any damage.
    """
    base = contents.entries[first].block
    place = contents.entries[first - 1].place if first else contents.after
    opened, raw = -1, b""
    for entry in contents.entries[first:end]:
        if entry.block != opened:
            block = contents.blocks[entry.block]
            frame, opened = frames[entry.block - base], entry.block
            if check(frame) != block.check:
                raise Corrupt("cold storage", where, f"block {entry.block} does not have its checksum")
            raw = unpack(frame, block.raw, where)
        encoded = raw[entry.offset : entry.offset + entry.size]
        _check_piece(place, encoded, entry, where)
        place = entry.place
        yield encoded


def _groups(pieces: Sequence[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for one in pieces:
        if group and size + len(one) > COLD_BLOCK_BYTES:
            yield group
            group, size = [], 0
        group.append(one)
        size += len(one)
    if group:
        yield group


def _entry(previous: Bookmark, encoded: bytes, block: int, offset: int) -> Entry:
    header, _ = decode_header(encoded)
    place = describe(previous, encoded).place
    return Entry(
        place, header.number, header.last, header.time_us, header.page_size, header.database_pages,
        block, offset, len(encoded),
    )  # fmt: skip


def _check_piece(previous: Bookmark, encoded: bytes, entry: Entry, where: str) -> None:
    try:
        found = _entry(previous, encoded, entry.block, entry.offset)
    except Corrupt as error:
        raise Corrupt("cold storage", where, str(error)) from error
    if found != entry:
        raise Corrupt("cold storage", where, f"the piece at {entry.place} is another one")


def _follows(contents: Contents) -> bool:
    """Whether places can be those of one log, as far as that shows without the pieces."""
    places = [contents.after, *(one.place for one in contents.entries)]
    history = origin(contents.database_id).history
    shaped = all(
        one.history == history and len(one.history) == HISTORY_BYTES and len(one.digest) == DIGEST_BYTES
        and 0 <= one.epoch < 1 << 32 and 0 <= one.sequence < 1 << 64
        for one in places
    )  # fmt: skip
    ascending = all(
        old.epoch <= new.epoch and old.sequence <= new.sequence <= old.sequence + 1
        for old, new in pairwise(places)
    )
    times = [one.time_us for one in contents.entries]
    return shaped and ascending and all(old <= new for old, new in pairwise([0, *times]))


def _fits(contents: Contents) -> bool:
    """Whether frames lie one behind the other and pieces fill what is in them."""
    offset = 0
    for one in contents.blocks:
        if one.offset != offset or one.size <= 0 or not 0 < one.raw <= COLD_OBJECT_BYTES:
            return False
        offset += one.size
    raws = [0] * len(contents.blocks)
    block = 0
    for entry in contents.entries:
        if not block <= entry.block <= block + 1 or entry.block >= len(raws) or entry.size <= 0:
            return False
        block = entry.block
        if entry.offset != raws[block]:
            return False
        raws[block] += entry.size
    return raws == [one.raw for one in contents.blocks]

"""Records of a follower's journal: each one change of one database.

Layout, big-endian (docs/formats.md): magic and the segment's salt; version, kind, length of the database id; payload
length and checksum; how many databases the segment has had so far, this one included; up to which offset the segment
was synced when this was written; checksum of all that, of the id, and of the record's own offset; id; payload.

The checksums are zlib's CRC-32: it finds every flipped bit and every burst of up to 32, costs 2 microseconds for a
page and needs no further package; what a piece is in the end vouched for by is the digest of its log. The salt is
random, so that neither an older segment's blocks nor a page that holds a copy of a journal passes for a record.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Iterable

import msgspec

from raylite.actors.core.base import Base
from raylite.actors.core.piece import decode_members, encode_members
from raylite.actors.core.store import (
    StoreBase,
    StoreConfirmed,
    StoreCut,
    StoreDropped,
    StoreFounded,
    StoreGaveUp,
    StorePiece,
    StorePromise,
)
from raylite.policies.bookmark import DIGEST_BYTES, HISTORY_BYTES, Bookmark
from raylite.policies.errors import Corrupt

VERSION = 1
MAGIC = b"RLJR"
SALT_BYTES = 8
_FIXED = struct.Struct(f">4s{SALT_BYTES}sBBBxIIII")
_CHECKSUM = struct.Struct(">I")
_EPOCH = struct.Struct(">Q")
_PLACE = struct.Struct(f">IQ{HISTORY_BYTES}s{DIGEST_BYTES}s")
PLACE_BYTES = _PLACE.size
HEAD_BYTES = _FIXED.size + _CHECKSUM.size
ID_BYTES = 255


class StoreJoined(msgspec.Struct, frozen=True):
    """Write that this follower joined the database, as `incarnation`, with an empty log."""

    incarnation: str


Change = (
    StorePiece
    | StoreConfirmed
    | StorePromise
    | StoreCut
    | StoreFounded
    | StoreBase
    | StoreJoined
    | StoreGaveUp
    | StoreDropped
)


class Record(msgspec.Struct, frozen=True):
    """One change of one database. database: its id, at most 255 bytes."""

    database: str
    change: Change


class Kind(enum.IntEnum):
    """What a record says."""

    JOINED = 1
    FOUNDED = 2
    PROMISED = 3
    PIECE = 4
    CUT = 5
    CONFIRMED = 6
    GAVE_UP = 7
    SYNCED = 8
    REBASED = 9
    DROPPED = 11


LAZY = frozenset((Kind.CONFIRMED, Kind.SYNCED))
"""Kinds that nothing waits for: a log without them is as true."""


class Location(msgspec.Struct, frozen=True, gc=False):
    """Where a whole record is: segment number, offset and size in bytes."""

    segment: int
    offset: int
    size: int


class Parts(msgspec.Struct, frozen=True, gc=False):
    """A record but for what its place in a segment adds. The payload is `head` followed by `body`."""

    kind: Kind
    database: bytes
    head: bytes = b""
    body: bytes | memoryview = b""

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return HEAD_BYTES + len(self.database) + len(self.head) + len(self.body)


SYNCED = Parts(Kind.SYNCED, b"")


class Head(msgspec.Struct, frozen=True, gc=False):
    """A record's own description, its checksum verified. start, payload, end: offsets in the segment."""

    kind: int
    database: str
    checksum: int
    databases: int
    synced: int
    start: int
    payload: int
    end: int


def take_apart(record: Record) -> Parts:
    """The record as bytes; the piece's own are not copied."""
    database = record.database.encode()
    if len(database) > ID_BYTES:
        raise ValueError(f"a database id of {len(database)} bytes")
    match record.change:
        case StorePiece(piece, encoded):
            return Parts(Kind.PIECE, database, encode_place(piece.place), encoded)
        case StoreConfirmed(place):
            return Parts(Kind.CONFIRMED, database, encode_place(place))
        case StorePromise(epoch):
            return Parts(Kind.PROMISED, database, _EPOCH.pack(epoch))
        case StoreCut(place):
            return Parts(Kind.CUT, database, encode_place(place))
        case StoreFounded(members):
            return Parts(Kind.FOUNDED, database, encode_members(members))
        case StoreBase(base):
            return Parts(Kind.REBASED, database, msgspec.msgpack.encode(base))
        case StoreJoined(incarnation):
            return Parts(Kind.JOINED, database, incarnation.encode())
        case StoreGaveUp():
            return Parts(Kind.GAVE_UP, database)
        case StoreDropped():
            return Parts(Kind.DROPPED, database)


def decode_change(kind: int, payload: memoryview) -> Change:
    """The change in a payload, whatever its kind but PIECE; raises `Corrupt` if it is none."""
    try:
        match kind:
            case Kind.CONFIRMED:
                return StoreConfirmed(_only_place(payload))
            case Kind.PROMISED:
                return StorePromise(_EPOCH.unpack(payload)[0])
            case Kind.CUT:
                return StoreCut(_only_place(payload))
            case Kind.FOUNDED:
                return StoreFounded(decode_members(bytes(payload)))
            case Kind.REBASED:
                return StoreBase(msgspec.msgpack.decode(payload, type=Base))
            case Kind.JOINED:
                return StoreJoined(str(payload, "utf-8"))
            case Kind.GAVE_UP if not payload:
                return StoreGaveUp()
            case Kind.DROPPED if not payload:
                return StoreDropped()
            case Kind.GAVE_UP | Kind.DROPPED:
                raise ValueError(f"{len(payload)} bytes where none are written")
            case _:
                raise Corrupt("a journal", f"a record of kind {kind}", "this version does not know that kind")
    except (struct.error, ValueError, RecursionError) as error:  # also text that is no UTF-8
        raise Corrupt("a journal", f"a record of kind {kind}", str(error)) from error


def encode_place(place: Bookmark) -> bytes:
    """A bookmark in `PLACE_BYTES` bytes."""
    return _PLACE.pack(place.epoch, place.sequence, place.history, place.digest)


def decode_place(payload: memoryview) -> Bookmark:
    """The bookmark at the beginning of a payload; raises `Corrupt` if that is shorter."""
    if len(payload) < PLACE_BYTES:
        raise Corrupt("a journal", "a record's place", f"{len(payload)} bytes where it has {PLACE_BYTES}")
    return Bookmark(*_PLACE.unpack(payload[:PLACE_BYTES]))


def _only_place(payload: memoryview) -> Bookmark:
    if len(payload) != PLACE_BYTES:
        raise ValueError(f"{len(payload)} bytes where a place has {PLACE_BYTES}")
    return decode_place(payload)


class Encoder:
    """Makes the bytes of records that follow each other in one segment.

    `databases` grows by those that occur, also if the bytes are never written: it may count too many, never too few.
    """

    def __init__(self, segment: int, salt: bytes, offset: int, synced: int, databases: set[bytes]) -> None:
        self._segment, self._salt, self._synced, self._databases = segment, salt, synced, databases
        self._buffers: list[bytes | memoryview] = []
        self.end = offset

    def add(self, parts: Parts) -> Location:
        """Puts one more record at the end."""
        if parts.database:
            self._databases.add(parts.database)
        checksum = zlib.crc32(parts.body, zlib.crc32(parts.head))
        size = len(parts.head) + len(parts.body)
        fixed = _FIXED.pack(
            MAGIC, self._salt, VERSION, parts.kind, len(parts.database), size, checksum,
            len(self._databases), self._synced,
        )  # fmt: skip
        location = Location(self._segment, self.end, parts.size)
        own = _CHECKSUM.pack(_head_checksum(fixed, parts.database, self.end))
        self._buffers += (fixed, own, parts.database, parts.head, parts.body)
        self.end += location.size
        return location

    def add_all(self, parts: Iterable[Parts]) -> list[Location]:
        """Puts records at the end, in order."""
        return [self.add(one) for one in parts]

    def take(self, *, zeros: int = 0) -> bytes:
        """All bytes, and as many zeros behind them."""
        return b"".join((*self._buffers, bytes(zeros)))


def _head_checksum(fixed: bytes | memoryview, database: bytes | memoryview, offset: int) -> int:
    return zlib.crc32(database, zlib.crc32(fixed, offset))


def decode_head(data: memoryview, index: int, offset: int, salt: bytes) -> Head | None:
    """The head of the record at `index` of `data`, which is `offset` in its segment; None if there is no sound one.

    Raises `Corrupt` if it is sound and of another version, for then nothing here can be judged.
    """
    if index + HEAD_BYTES > len(data):
        return None
    fixed = data[index : index + _FIXED.size]
    magic, found, version, kind, id_size, size, checksum, databases, synced = _FIXED.unpack(fixed)
    if magic != MAGIC or found != salt:
        return None
    database = data[index + HEAD_BYTES : index + HEAD_BYTES + id_size]
    (own,) = _CHECKSUM.unpack_from(data, index + _FIXED.size)
    if own != _head_checksum(fixed, database, offset):
        return None
    if version != VERSION:
        raise Corrupt("a journal", f"offset {offset}", f"version {version}, this reads {VERSION}")
    payload = offset + HEAD_BYTES + id_size
    try:
        name = str(database, "utf-8")
    except UnicodeDecodeError:
        return None
    return Head(kind, name, checksum, databases, synced, offset, payload, payload + size)

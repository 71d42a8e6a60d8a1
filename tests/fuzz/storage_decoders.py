"""Decoders of what followers and copies keep on their disks, with values that these really write."""

from __future__ import annotations

import struct
import zlib

import msgspec
from tests.fuzz.decoder import Decoder
from tests.unit.log_disk import Disk
from tests.unit.log_model import DIRECTORY, OWNER, opened

from raylite.actors.core.base import Base
from raylite.actors.core.keys import KEY_BYTES, Keys
from raylite.actors.core.piece import (
    Header,
    Kind,
    Pages,
    decode_members,
    decode_pages,
    encode,
    encode_members,
)
from raylite.actors.core.piece import describe as described
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
from raylite.actors.storage import log_records as records
from raylite.actors.storage.directory import Record as CopyRecord
from raylite.actors.storage.directory import open_keys, seal_keys
from raylite.actors.storage.engine import Execution
from raylite.actors.storage.log_checkpoint import Awaited, Checkpoint, Kept, encoded
from raylite.actors.storage.log_checkpoint import decode as decode_checkpoint
from raylite.actors.storage.log_directory import OWNER as OWNER_FILE
from raylite.actors.storage.log_segment import BLOCK_BYTES, decode_header, encode_header
from raylite.actors.storage.log_segment import Header as SegmentHeader
from raylite.actors.storage.outcome import decode_outcome, encode_outcome
from raylite.actors.storage.wal_format import WalHeader
from raylite.actors.storage.wal_format import checksum as wal_checksum
from raylite.actors.storage.wal_index import IndexHeader
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import BookmarkError, Corrupt, ForeignDirectory, StatementError
from raylite.policies.query import Rows, StatementMeta
from raylite.policies.quorum import Member, Members

DATABASE = "d0c"
SALT = b"saltsalt"
MEMBERS = Members((Member("follower:0", "i0"), Member("follower:1", "i1")), (Member("follower:2", "i2"),))
START = origin(DATABASE)
WRITE = encode(
    Header(Kind.WRITE, True, 1, 1, 0, 5, 16, 3, b"k" * KEY_BYTES + b"note"),
    Pages([1, 3], [b"a" * 16, b"b" * 16]),
)
EMPTY = encode(Header(Kind.EMPTY, True, 1, 1, 0, 5, 0, 0), Pages((), ()))
CHANGED = encode(Header(Kind.MEMBERS, True, 1, 1, 0, 5, 0, 0, encode_members(MEMBERS)), Pages((), ()))
PLACE = described(START, WRITE).place
LATER = Bookmark(2, 9, PLACE.history, PLACE.digest)
ROWS = Rows(("a", "b"), [(1, "x"), (None, b"y")], StatementMeta(0.5, 1, 7, True, 8192, None, 2))
CHANGES: tuple[records.Change, ...] = (
    StorePiece(described(START, WRITE), WRITE), StoreConfirmed(PLACE), StorePromise(7), StoreCut(START),
    StoreFounded(MEMBERS), StoreBase(Base(PLACE, MEMBERS, ((1, 1),), 5)), records.StoreJoined("i0"), StoreGaveUp(),
    StoreDropped(),
)  # fmt: skip


def _piece(data: bytes) -> bytes:
    header, pages = decode_pages(data)
    assert encode(header, pages) == data
    return data


def _record(change: records.Change) -> bytes:
    encoder = records.Encoder(1, SALT, 0, 0, set())
    encoder.add(records.take_apart(records.Record(DATABASE, change)))
    return encoder.take()


def _record_again(data: bytes) -> bytes | None:
    """One record as a scan of a segment reads it: its head, then its payload, then what that says."""
    head = records.decode_head(memoryview(data), 0, 0, SALT)
    if head is None or head.end != len(data):
        return None
    payload = memoryview(data)[head.payload : head.end]
    if zlib.crc32(payload) != head.checksum:
        return None
    if head.kind == records.Kind.PIECE:
        place, piece = (
            records.decode_place(payload[: records.PLACE_BYTES]),
            bytes(payload[records.PLACE_BYTES :]),
        )
        parts = records.Parts(records.Kind.PIECE, head.database.encode(), records.encode_place(place), piece)
    else:
        parts = records.take_apart(records.Record(head.database, records.decode_change(head.kind, payload)))
    others = head.databases - bool(head.database)
    if not 0 <= others < 8:
        return None
    encoder = records.Encoder(1, SALT, 0, head.synced, {b"\xff%d" % n for n in range(others)})
    encoder.add(parts)
    return encoder.take()


def _forged_record(data: bytes) -> bytes:
    """Both checksums of a record made right."""
    fixed = bytearray(data[: records.HEAD_BYTES].ljust(records.HEAD_BYTES, b"\0"))
    start = records.HEAD_BYTES + fixed[14]
    struct.pack_into(">II", fixed, 16, max(0, len(data) - start), zlib.crc32(data[start:]))
    own = zlib.crc32(data[records.HEAD_BYTES : start], zlib.crc32(fixed[:-4], 0))
    struct.pack_into(">I", fixed, len(fixed) - 4, own)
    return bytes(fixed) + data[records.HEAD_BYTES :]


def _segment_header(data: bytes) -> bytes | None:
    header = decode_header(data, 3)
    return encode_header(header) if header else None


def _forged_segment_header(data: bytes) -> bytes:
    block = data[:BLOCK_BYTES].ljust(48, b"\0")
    return block[:44] + struct.pack(">I", zlib.crc32(block[:44])) + block[48:]


def _forged_checkpoint(data: bytes) -> bytes:
    return data[:8].ljust(8, b"\0") + struct.pack(">I", zlib.crc32(data[12:])) + data[12:]


def _forged_wal_header(data: bytes) -> bytes:
    head = data[:24].ljust(24, b"\0")
    return head + struct.pack(">II", *wal_checksum(head, (0, 0), "big" if head[3] & 1 else "little"))


def _forged_index_header(data: bytes) -> bytes:
    head = data[:40].ljust(40, b"\0")
    return head + struct.pack("=II", *wal_checksum(head, (0, 0), "little"))


def _keys() -> Keys:
    keys = Keys(2)
    keys.add(3, b"k" * KEY_BYTES + b"one")
    keys.add(5, b"l" * KEY_BYTES)
    return keys


def _outcome(error: StatementError | None) -> bytes:
    return encode_outcome(Execution([] if error else [ROWS], True, error))


def _kept(awaited: Awaited, members: Members | None) -> Kept:
    return Kept(DATABASE, "i0", 7, PLACE, members, ((1, 1),), 5, awaited, False, False)


_KEPT = (_kept(Awaited.BASE, MEMBERS), _kept(Awaited.JOINED, None))


def _owner(data: bytes) -> bytes:
    """What a follower makes of the owner of its directory."""
    disk = Disk()
    descriptor = disk.open(DIRECTORY / OWNER_FILE, create=True)
    disk.pwrite(descriptor, data, 0)
    disk.close(descriptor)
    opened(disk).close()
    return msgspec.json.encode(OWNER)


DECODERS = (
    Decoder("a journal's owner", (msgspec.json.encode(OWNER),), _owner, (Corrupt, ForeignDirectory)),
    Decoder("a piece", (WRITE, EMPTY, CHANGED), _piece),
    Decoder("members", (encode_members(MEMBERS),), lambda data: encode_members(decode_members(data))),
    Decoder(
        "a journal's record", tuple(map(_record, CHANGES)), _record_again, covered=True, forge=_forged_record
    ),
    Decoder(
        "the header of a journal's segment",
        (encode_header(SegmentHeader(3, SALT, 2, 9000, 1, 8192, 1)),),
        _segment_header,
        covered=True,
        forge=_forged_segment_header,
    ),
    Decoder(
        "a journal's checkpoint",
        (encoded(Checkpoint(3, _KEPT)), encoded(Checkpoint(1, ()))),
        lambda data: encoded(decode_checkpoint(data)),
        covered=True,
        forge=_forged_checkpoint,
    ),
    Decoder(
        "the header of a WAL",
        tuple(WalHeader(order, 7, SALT).encode()[0] for order in ("little", "big")),
        lambda data: WalHeader.decode(data).encode()[0],
        covered=True,
        forge=_forged_wal_header,
    ),
    Decoder(
        "the header of a WAL-index",
        (IndexHeader(7, 5, 3, (1, 2), SALT).encode(),),
        lambda data: IndexHeader.decode(data).encode(),
        covered=True,
        forge=_forged_index_header,
    ),
    Decoder(
        "a copy's record",
        (CopyRecord(DATABASE, "boot", START, PLACE).encode(), CopyRecord(DATABASE, "boot", PLACE).encode()),
        lambda data: CopyRecord.decode(data).encode(),
        covered=True,
    ),
    Decoder(
        "a copy's keys",
        (seal_keys(LATER, _keys()), seal_keys(LATER, Keys(1))),
        lambda data: seal_keys(LATER, open_keys(LATER, data)),
        covered=True,
    ),
    Decoder("the keys of writes", (_keys().encode(),), lambda data: Keys.decode(data, 9).encode()),
    Decoder(
        "a write's outcome",
        (_outcome(None), _outcome(StatementError("no such table"))),
        lambda data: encode_outcome(decode_outcome(data)),
    ),
    Decoder(
        "a bookmark as text",
        (str(PLACE).encode(), str(START).encode()),
        lambda data: str(Bookmark.parse(data.decode("latin-1"))).encode(),
        (BookmarkError,),
    ),
    Decoder(
        "a base",
        (msgspec.msgpack.encode(Base(PLACE, MEMBERS, ((1, 1),), 5)),),
        lambda data: (
            records.take_apart(
                records.Record(DATABASE, records.decode_change(records.Kind.REBASED, memoryview(data)))
            ).head
        ),
        (Corrupt,),
    ),
)

"""Decoders of what an object store gives back, and of the files of a data directory."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import msgspec
from tests.fuzz.decoder import Decoder
from tests.fuzz.storage_decoders import MEMBERS
from tests.unit.cold_world import DATABASE, ImagePages, MemoryStore, new_run
from tests.unit.test_cold_manifest import FORKED

from raylite.actors.catalogue import Catalogue
from raylite.actors.cluster import ClusterFile, read_cluster_file, write_cluster_file
from raylite.actors.cold import codec, marker
from raylite.actors.cold.manifest import MAGIC as MANIFEST_MAGIC
from raylite.actors.cold.manifest import State, read_manifest
from raylite.actors.cold.names import SegmentName, SnapshotName
from raylite.actors.cold.segment import MAGIC as SEGMENT_MAGIC
from raylite.actors.cold.segment import cut, decode, decode_contents
from raylite.actors.cold.snapshot import read_chunk, write_snapshot
from raylite.actors.core.piece import Header, Kind, Pages, encode
from raylite.actors.founding import DataDirectory
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.log_directory import Owner
from raylite.policies.bookmark import origin
from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.errors import Corrupt, ForeignDirectory, Unreachable
from raylite.policies.query import Answer, Query, Rows, StatementMeta, Value
from raylite.policies.quorum import Members
from raylite.policies.rebuilt import Rebuilt
from raylite.policies.system import SystemRecord

_BODY = codec.ENVELOPE_BYTES
_START = origin(DATABASE)
_STORE = MemoryStore()
(_CHUNK,) = write_snapshot(
    _STORE, ImagePages(State(DATABASE, _START, 0, 1), b"page" * (PAGE_SIZE // 4)), None, new_run()
).chunks
_PIECES = [
    encode(Header(Kind.WRITE, last, 1, sequence, number, 5, 64, 2), Pages([2], [bytes([sequence]) * 64]))
    for sequence, number, last in ((1, 0, True), (2, 0, False), (2, 1, True))
]
_SEGMENT = cut(DATABASE, _START, _PIECES)


def _stored(name: str, data: bytes) -> MemoryStore:
    store = MemoryStore()
    store.put(name, data)
    return store


def _envelope(magic: bytes, body: bytes) -> bytes:
    fixed = magic + bytes([codec.VERSION, 0, 0, 0]) + len(body).to_bytes(4, "big")
    return fixed + codec.check(fixed + body) + body


def _segment(data: bytes) -> bytes:
    contents, pieces = decode(data, "a segment")
    return cut(contents.database_id, contents.after, pieces).data


def _forged_segment(data: bytes) -> bytes:
    """Contents that somebody made up before frames that are sound."""
    size = int.from_bytes(_SEGMENT.data[8:12], "big")
    head = _envelope(SEGMENT_MAGIC, data[_BODY : len(data) - (len(_SEGMENT.data) - _BODY - size)])
    whole = head + _SEGMENT.data[_BODY + size : -codec.CHECK_BYTES]
    return whole + codec.check(whole)


def _contents(data: bytes) -> bytes:
    return codec.seal(SEGMENT_MAGIC, decode_contents(data, "a segment")[0])


def _manifest(data: bytes) -> bytes:
    name = FORKED.state.name
    return read_manifest(_stored(str(name), data), name).encode()


def _marker(data: bytes) -> bytes:
    marker.check(_stored(marker.NAME, data), "mine")
    return _claimed()


def _claimed() -> bytes:
    store = MemoryStore()
    marker.claim(store, marker.Marker("mine", "registry"))
    return store.objects[marker.NAME][0]


def _chunk(data: bytes) -> bytes:
    store = _stored(str(_CHUNK.name), data)
    read_chunk(store, msgspec.structs.replace(_CHUNK, size=len(data)))
    return _STORE.objects[str(_CHUNK.name)][0]


def _forged_chunk(data: bytes) -> bytes:
    return data[:12].ljust(12, b"\0") + codec.check(data[28:]) + data[28:]


def _snapshot_name(data: bytes) -> bytes:
    return str(SnapshotName.parse(data.decode("latin-1"))).encode("latin-1")


def _segment_name(data: bytes) -> bytes:
    return str(SegmentName.parse(data.decode("latin-1"))).encode("latin-1")


# Files of a data directory: JSON without a checksum, each replaced whole

_REBUILT = Rebuilt(str(origin("registry")), 7, ((1, 1), (2, 5)), 65_538)
_RECORD = SystemRecord(1, "system", "registry", "5" * 64, "before", _REBUILT)
_HOME = tempfile.TemporaryDirectory(prefix="raylite-fuzz-")
_PATH = Path(_HOME.name)
_FILES = {
    "system.json": msgspec.json.encode(_RECORD),
    "registry.json": msgspec.json.encode(MEMBERS),
    "followers.json": b'{"next":7}',
    "followers/3/owner": msgspec.json.encode(Owner("follower:3", "system")),
}
(_PATH / "followers/3").mkdir(parents=True)


def _holding(name: str, data: bytes) -> bytes:
    """What the directory holds, with these bytes in one of its files."""
    for one, sound in _FILES.items():
        (_PATH / one).write_bytes(data if one == name else sound)
    found = DataDirectory(_PATH).holding()
    encoded = {
        "system.json": found.record,
        "registry.json": found.members,
        "followers.json": {"next": found.next_follower},
        "followers/3/owner": {"follower": "follower:3", "system_id": found.journals[0].system_id},
    }
    return msgspec.json.encode(encoded[name])


def _cluster(data: bytes) -> bytes | None:
    (_PATH / "cluster.json").write_bytes(data)
    found = read_cluster_file(_PATH)
    return _cluster_bytes(found) if found else None


def _cluster_bytes(cluster: ClusterFile) -> bytes:
    write_cluster_file(_PATH, cluster)
    return (_PATH / "cluster.json").read_bytes()


def _members_of(data: bytes) -> bytes:
    """The members in a row of the catalogue."""
    return msgspec.msgpack.encode(_catalogued(data, None).members)


def _rebuilt_of(data: bytes) -> bytes:
    """Up to where it was rebuilt, in a row of the catalogue."""
    return msgspec.json.encode(_catalogued(None, data.decode(errors="replace")).rebuilt)


def _catalogued(members: bytes | None, rebuilt: str | None) -> DatabaseEntry:
    row: tuple[Value, ...] = (
        "id", "shop", members, "enam", "enam,weur", "auto", 7, None, None, None, None, rebuilt,
    )  # fmt: skip

    async def ask(_query: Query) -> Answer:
        meta = StatementMeta(0.0, 0, 0, False, 0, None, None)
        return Answer([Rows(("",) * len(row), [row], meta)], "", "", "", True, False)

    return asyncio.run(Catalogue("registry", ask).get("shop"))


def _file(name: str) -> Decoder:
    return Decoder(f"the file {name}", (_FILES[name],), lambda data: _holding(name, data))


DECODERS = (
    Decoder("a cold segment", (_SEGMENT.data,), _segment, covered=True, forge=_forged_segment),
    Decoder(
        "the contents of a cold segment",
        (codec.seal(SEGMENT_MAGIC, _SEGMENT.contents),),
        _contents,
        covered=True,
        forge=lambda data: _envelope(SEGMENT_MAGIC, data[_BODY:]),
    ),
    Decoder(
        "a manifest",
        (FORKED.encode(),),
        _manifest,
        covered=True,
        forge=lambda data: _envelope(MANIFEST_MAGIC, data[_BODY:]),
    ),
    Decoder(
        "a cold store's marker",
        (_claimed(),),
        _marker,
        (Corrupt, ForeignDirectory, Unreachable),
        covered=True,
        forge=lambda data: _envelope(b"RLCY", data[_BODY:]),
    ),
    Decoder(
        "a chunk of a snapshot",
        (_STORE.objects[str(_CHUNK.name)][0],),
        _chunk,
        covered=True,
        forge=_forged_chunk,
    ),
    Decoder("the name of a segment", (str(_SEGMENT.name).encode(),), _segment_name),
    Decoder("the name of a snapshot", (str(FORKED.state.name).encode(),), _snapshot_name),
    *map(_file, _FILES),
    Decoder(
        "the file cluster.json",
        (_cluster_bytes(ClusterFile("127.0.0.1:1", "token", (1, 2), "/tmp")),),
        _cluster,
    ),
    Decoder(
        "a database's members in the catalogue",
        (msgspec.msgpack.encode(MEMBERS), msgspec.msgpack.encode(Members(MEMBERS.current))),
        _members_of,
    ),
    Decoder(
        "up to where a database was rebuilt, in the catalogue", (msgspec.json.encode(_REBUILT),), _rebuilt_of
    ),
)

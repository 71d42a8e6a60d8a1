"""Manifests: read as written, and whatever else is under their name is damage and nothing worse."""

from __future__ import annotations

import struct
from typing import TypeVar, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cold_world import DATABASE, MemoryStore, new_run

from raylite.actors.cold import codec
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.manifest import MAGIC, ChunkRef, Manifest, State, Tail, read_manifest, write_manifest
from raylite.actors.cold.names import SegmentName
from raylite.actors.cold.segment import MAGIC as SEGMENT_MAGIC
from raylite.actors.cold.segment import Contents, cut, decode_contents
from raylite.actors.core.piece import Header, Kind, Pages, encode
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt
from raylite.policies.quorum import Member, Members

T = TypeVar("T")

START = origin(DATABASE)
PARENT = "9a2e"
SEGMENT = SegmentName(PARENT, origin(PARENT), Bookmark(1, 4, origin(PARENT).history, b"x" * 12), 1_000, True)
FORKED = Manifest(
    State(
        DATABASE, Bookmark(3, 9, START.history, b"d" * 12), 77, 2000, epochs=((1, 1), (3, 8)),
        members=Members((Member("follower:0", "a"),)), keys=b"keys",
    ),
    (ChunkRef(PARENT, "0" * 16, b"1" * 32, 1024, 5000), ChunkRef(DATABASE, "1" * 16, b"2" * 32, 500, 900)),
    (Tail(SEGMENT.after, SEGMENT.last, (str(SEGMENT),), 4000),),
    "a bookmark",
)  # fmt: skip
PIECE = encode(Header(Kind.EMPTY, True, 1, 1, 0, 5, 0, 0), Pages((), ()))

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=20),
    st.binary(max_size=40), st.lists(st.integers(), max_size=2),
)  # fmt: skip


def sealed(magic: bytes, body: bytes) -> bytes:
    """As an envelope is made, of any body: whoever can write objects can do that."""
    fixed = struct.pack(">4sBxxxI", magic, codec.VERSION, len(body))
    return fixed + codec.check(fixed + body) + body


def changed(value: object, data: st.DataObject) -> object:
    """The same lists with one thing in them replaced."""
    if not isinstance(value, list) or not value or data.draw(st.integers(0, 3)) == 0:
        return data.draw(leaves)
    parts = cast("list[object]", value)
    at = data.draw(st.integers(0, len(parts) - 1))
    return [changed(one, data) if number == at else one for number, one in enumerate(parts)]


def forged(struct_: msgspec.Struct, magic: bytes, data: st.DataObject) -> bytes:
    plain: object = msgspec.msgpack.decode(msgspec.msgpack.encode(struct_))
    try:
        return sealed(magic, msgspec.msgpack.encode(changed(plain, data)))
    except OverflowError:
        return b""


def test_a_manifest_is_read_as_it_was_written() -> None:
    store = MemoryStore()
    assert write_manifest(store, FORKED) == FORKED
    assert FORKED.owners == {PARENT}
    assert FORKED.objects == {str(one.name) for one in FORKED.chunks} | {str(SEGMENT)}
    assert (FORKED.chunk_bytes, FORKED.tail_bytes) == (5900, 4000)


def test_of_two_manifests_of_one_place_the_first_stays() -> None:
    store = MemoryStore()
    other = msgspec.structs.replace(FORKED, made_from="another run")
    write_manifest(store, other)
    assert write_manifest(store, FORKED) == other


def test_no_flipped_bit_and_no_other_length_passes() -> None:
    data = FORKED.encode()
    name = FORKED.state.name
    for at in range(len(data)):
        for wrong in (data[:at], data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]):
            store = MemoryStore()
            store.put(str(name), wrong)
            with pytest.raises(Corrupt):
                read_manifest(store, name)
    store = MemoryStore()
    store.put(str(name), data + b"\0")
    with pytest.raises(Corrupt):
        read_manifest(store, name)


@given(st.data())
def test_a_forged_manifest_is_damage_or_one_that_can_be(data: st.DataObject) -> None:
    store = MemoryStore()
    store.put(str(FORKED.state.name), forged(FORKED, MAGIC, data))
    try:
        found = read_manifest(store, FORKED.state.name)
    except Corrupt:
        return
    assert found.state.name == FORKED.state.name
    assert found.objects
    assert found.encode()


@given(st.data())
def test_forged_contents_of_a_segment_are_damage_or_ones_that_can_be(data: st.DataObject) -> None:
    real = cut(DATABASE, START, [PIECE, encode(Header(Kind.EMPTY, True, 1, 2, 0, 6, 0, 0), Pages((), ()))])
    try:
        found, _ = decode_contents(forged(real.contents, SEGMENT_MAGIC, data), "here")
    except Corrupt:
        return
    assert isinstance(found, Contents)
    assert SegmentName.parse(str(found.name)) == found.name


@pytest.mark.parametrize("database_id", ["", "a/b", "..", "x" * 200])
def test_an_id_that_is_none_is_damage_wherever_it_stands(database_id: str) -> None:
    place = origin(database_id)
    state = msgspec.structs.replace(FORKED.state, database_id=database_id)
    owned = msgspec.structs.replace(FORKED.chunks[0], database_id=database_id)
    for forgery in (
        msgspec.structs.replace(FORKED, state=state),
        msgspec.structs.replace(FORKED, chunks=(owned,)),
    ):
        store = MemoryStore()
        store.put(str(FORKED.state.name), forgery.encode())
        with pytest.raises(Corrupt):
            read_manifest(store, FORKED.state.name)
    with pytest.raises(Corrupt):
        cut(database_id, place, [PIECE])


@given(st.binary(max_size=300))
def test_any_body_is_damage_and_nothing_worse(body: bytes) -> None:
    for magic, kind in ((MAGIC, Manifest), (SEGMENT_MAGIC, Contents)):
        for data in (body, magic + body, sealed(magic, body)):
            with pytest.raises(Corrupt):
                unsealed(magic, data, kind)


def unsealed(magic: bytes, data: bytes, kind: type[T]) -> T:
    return codec.unseal_all(magic, data, kind, "here")


def test_a_manifest_under_another_s_name_is_damage() -> None:
    store = MemoryStore()
    made = Archive(store, "07e2").found(new_run())
    store.put(str(FORKED.state.name), made.encode())
    with pytest.raises(Corrupt, match="it is the manifest of '07e2'"):
        read_manifest(store, FORKED.state.name)


def test_a_body_that_is_nested_deeper_than_anybody_may_follow_is_refused() -> None:
    """Behind the last field, where fields of a later version would be passed over."""
    body = msgspec.msgpack.encode(FORKED)
    deep = bytes([body[0] + 1]) + body[1:] + b"\x91" * 100_000 + b"\xc0"
    store = MemoryStore()
    store.put(str(FORKED.state.name), sealed(MAGIC, deep))
    with pytest.raises(Corrupt):
        read_manifest(store, FORKED.state.name)

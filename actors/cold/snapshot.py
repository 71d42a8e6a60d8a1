"""Makes and reads snapshots: a database's pages in chunks of bounded size.

A chunk is named by the digest of its pages and by the run that wrote it. A run takes over the chunks of the newest
manifest whose pages did not change, and writes the others under names of its own; so nothing that it writes or refers
to can be what retention is about to delete (docs/formats.md, Cold storage).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b
from typing import Final, Protocol

import msgspec

from raylite.actors.cold.codec import CHECK_BYTES, check, pack, unpack
from raylite.actors.cold.manifest import ChunkRef, Manifest, State, write_manifest
from raylite.actors.cold.names import CHUNK_DIGEST_BYTES, ChunkName
from raylite.actors.cold.store import Store, fetch
from raylite.actors.storage.image import EMPTY, PAGE_SIZE
from raylite.policies.bookmark import origin
from raylite.policies.errors import Corrupt, Unreachable
from raylite.policies.limits import COLD_CHUNK_BYTES, COLD_OBJECT_BYTES, COLD_RUN_SECONDS

_HEAD: Final = struct.Struct(f">4sBxxxI{CHECK_BYTES}s")
_MAGIC: Final = b"RLCC"
_VERSION: Final = 1
CHUNK_PAGES: Final = COLD_CHUNK_BYTES // PAGE_SIZE


class PageSource(Protocol):
    """A database that stands still at one whole, confirmed entry while it is read."""

    @property
    def state(self) -> State:
        """Which one, at which entry."""
        ...

    def read(self, first: int, count: int) -> bytes:
        """Pages `first` (from 1) to `first + count - 1`, one behind the other."""
        ...


class EmptySource(msgspec.Struct, frozen=True):
    """A database before its first entry, as the log alone would begin."""

    database_id: str

    @property
    def state(self) -> State:
        """See `PageSource.state`."""
        return State(self.database_id, origin(self.database_id), 0, 1)

    def read(self, first: int, count: int) -> bytes:
        """See `PageSource.read`."""
        return EMPTY[(first - 1) * PAGE_SIZE : (first - 1 + count) * PAGE_SIZE]


class Run(msgspec.Struct, frozen=True):
    """One attempt at a snapshot. nonce: 16 random hexadecimal digits, never used again; clock: seconds, monotonic."""

    nonce: str
    clock: Callable[[], float]


def write_snapshot(
    store: Store, source: PageSource, basis: Manifest | None, run: Run, damaged: Collection[str] = ()
) -> Manifest:
    """The snapshot of `source`, held: all that it needs was read back. Memory: a few chunks.

    basis: the newest manifest of this database at the beginning of the run, whose chunks are taken over where pages
    are the same, but for those in `damaged`. If there is a snapshot of that place already, it is that one. Raises
    `Unreachable` if the run takes longer than `COLD_RUN_SECONDS`, and what the store raises; chunks without a
    manifest are removed later.
    """
    state = source.state
    old = basis.chunks if basis else ()
    known = {one.digest: one for one in old if str(one.name) not in damaged}
    end = run.clock() + COLD_RUN_SECONDS
    chunks: list[ChunkRef] = []
    for first in range(1, state.database_pages + 1, CHUNK_PAGES):
        if run.clock() > end:
            raise Unreachable(f"cold storage {store.address}", f"a snapshot took over {COLD_RUN_SECONDS:g} s")
        pages = _read(source, first, min(CHUNK_PAGES, state.database_pages + 1 - first))
        digest = blake2b(pages, digest_size=CHUNK_DIGEST_BYTES).digest()
        if digest not in known:
            known[digest] = _write_chunk(store, ChunkName(state.database_id, run.nonce, digest), pages)
        chunks.append(known[digest])
    if run.clock() > end:
        raise Unreachable(f"cold storage {store.address}", f"a snapshot took over {COLD_RUN_SECONDS:g} s")
    return write_manifest(store, Manifest(state, tuple(chunks)))


def read_chunk(store: Store, ref: ChunkRef) -> bytes:
    """A chunk's pages; raises `Corrupt` if it is gone or damaged."""
    where = str(ref.name)
    if not _HEAD.size < ref.size <= COLD_OBJECT_BYTES or ref.pages * PAGE_SIZE > COLD_OBJECT_BYTES:
        raise Corrupt("cold storage", where, f"a chunk of {ref.size} bytes with {ref.pages} pages")
    data = fetch(store, where, 0, ref.size)
    magic, version, raw, found = _HEAD.unpack_from(data)
    frame = data[_HEAD.size :]
    if magic != _MAGIC or version != _VERSION or raw != ref.pages * PAGE_SIZE or found != check(frame):
        raise Corrupt("cold storage", where, "it is not the chunk that the manifest names")
    pages = unpack(frame, raw, where)
    if blake2b(pages, digest_size=CHUNK_DIGEST_BYTES).digest() != ref.digest:
        raise Corrupt("cold storage", where, "its pages do not have their digest")
    return pages


def numbered(manifest: Manifest) -> Iterator[tuple[int, ChunkRef]]:
    """The chunks with the number of their first page."""
    first = 1
    for chunk in manifest.chunks:
        yield first, chunk
        first += chunk.pages


def _read(source: PageSource, first: int, count: int) -> bytes:
    pages = source.read(first, count)
    if len(pages) != count * PAGE_SIZE:
        raise Corrupt("a source of pages", f"page {first}", f"{len(pages)} bytes where {count} pages must be")
    return pages


def _write_chunk(store: Store, name: ChunkName, pages: bytes) -> ChunkRef:
    frame = pack(pages)
    data = _HEAD.pack(_MAGIC, _VERSION, len(pages), check(frame)) + frame
    ref = ChunkRef(name.database_id, name.run, name.digest, len(pages) // PAGE_SIZE, len(data))
    store.put(str(name), data)
    read_chunk(store, ref)
    return ref

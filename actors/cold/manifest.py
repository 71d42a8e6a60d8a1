"""The manifest of a snapshot: which objects make a database at one place of its log.

Pages come from chunks, of this database's own runs or of others' (a fork begins with its parent's). Over them go
`tails`: stretches of other databases' logs, so that a fork copies neither chunks nor segments. The manifest is written
last, when all that it names is there and was read back.
"""

from __future__ import annotations

from typing import Final

import msgspec

from raylite.actors.cold.codec import seal, unseal_all
from raylite.actors.cold.names import CHUNK_DIGEST_BYTES, ChunkName, Reach, SegmentName, SnapshotName, is_id
from raylite.actors.cold.store import Store, fetch_small
from raylite.actors.storage.image import PAGE_SIZE
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt, ParameterError
from raylite.policies.quorum import Members

MAGIC: Final = b"RLCM"


class State(msgspec.Struct, frozen=True, array_like=True):
    """A database at a whole entry, but for its pages.

    time_us: the time in that entry; database_pages: its size; epochs: (epoch, sequence of its first entry),
    ascending; members: the newest in the log, None before the first; keys: of writes, see
    `Keys`, empty: all up to here are forgotten.
    """

    database_id: str
    bookmark: Bookmark
    time_us: int
    database_pages: int
    page_size: int = PAGE_SIZE
    epochs: tuple[tuple[int, int], ...] = ()
    members: Members | None = None
    keys: bytes = b""

    @property
    def name(self) -> SnapshotName:
        """The name of a snapshot of this state."""
        return SnapshotName(self.database_id, self.bookmark, self.time_us)


class ChunkRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where `pages` pages are, one behind the other. size: bytes of the object."""

    database_id: str
    run: str
    digest: bytes
    pages: int
    size: int

    @property
    def name(self) -> ChunkName:
        """Its object."""
        return ChunkName(self.database_id, self.run, self.digest)


class Tail(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of a database's log, from the whole entry `after` to the whole entry `last`.

    segments: names of objects that hold it, each going on from the one before (they may overlap); size: their bytes.
    """

    after: Bookmark
    last: Bookmark
    segments: tuple[str, ...]
    size: int


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot: the chunks' pages in order, then the tails' entries in order, are the pages of `state`."""

    state: State
    chunks: tuple[ChunkRef, ...]
    tails: tuple[Tail, ...] = ()
    made_from: str = ""
    """What it was made from, for people: the bookmark of its parent if it is a fork."""

    @property
    def reach(self) -> Reach:
        """How far it reaches in its log."""
        return self.state.bookmark.epoch, self.state.bookmark.sequence, True

    @property
    def chunk_bytes(self) -> int:
        """Bytes of all chunks, as they are stored."""
        return sum(one.size for one in self.chunks)

    @property
    def tail_bytes(self) -> int:
        """Bytes of all segments in the tails, as they are stored."""
        return sum(one.size for one in self.tails)

    @property
    def objects(self) -> set[str]:
        """The names of all objects that it needs."""
        names = {str(one.name) for one in self.chunks}
        return names.union(*(one.segments for one in self.tails))

    @property
    def owners(self) -> set[str]:
        """The ids of all other databases whose objects it needs."""
        found = {one.database_id for one in self.chunks}
        found.update(SegmentName.parse(name).database_id for one in self.tails for name in one.segments)
        return found - {self.state.database_id}

    def encode(self) -> bytes:
        """The manifest as an object."""
        return seal(MAGIC, self)

    def validate(self, where: str) -> None:
        """Raises `Corrupt` unless it can be the manifest of that name."""
        state = self.state
        if not is_id(state.database_id) or str(state.name) != where:
            raise Corrupt("cold storage", where, f"it is the manifest of {state.database_id[:200]!r}")
        if state.bookmark.history != origin(state.database_id).history:
            raise Corrupt("cold storage", where, "its bookmark is of another database")
        if state.page_size != PAGE_SIZE or state.database_pages < 1 or not self.chunks:
            raise Corrupt("cold storage", where, f"{state.database_pages} pages of {state.page_size} bytes")
        if any(one.pages < 1 or len(one.digest) != CHUNK_DIGEST_BYTES for one in self.chunks):
            raise Corrupt("cold storage", where, "a chunk without pages")
        if not self.tails and sum(one.pages for one in self.chunks) != state.database_pages:
            raise Corrupt("cold storage", where, f"its chunks are not {state.database_pages} pages")
        try:
            _ = self.objects, self.owners  # what cannot be the name of an object shows here
        except ParameterError as error:
            raise Corrupt("cold storage", where, str(error)) from error


def read_manifest(store: Store, name: SnapshotName) -> Manifest:
    """The manifest of that name; raises `Corrupt` if it is gone, damaged, or another's."""
    manifest = unseal_all(MAGIC, fetch_small(store, str(name)), Manifest, str(name))
    manifest.validate(str(name))
    return manifest


def write_manifest(store: Store, manifest: Manifest) -> Manifest:
    """The manifest that is held under that name, read back: this one, or an earlier one of the same place.

    Everything that it names was read back before. Raises `Corrupt` if what is there is damaged.
    """
    store.put(str(manifest.state.name), manifest.encode())
    return read_manifest(store, manifest.state.name)

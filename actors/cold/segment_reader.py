"""Reads segments from the store: only the contents, or pieces from anywhere in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from raylite.actors.cold.codec import sealed_bytes
from raylite.actors.cold.names import SegmentName
from raylite.actors.cold.segment import MAGIC, Contents, decode, decode_contents, pieces_of
from raylite.actors.cold.store import Store, fetch, fetch_small
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt

_HEAD_BYTES: Final = 64 << 10
_REMEMBERED: Final = 16


class _Known(msgspec.Struct, frozen=True):
    """What was read of a segment. first: where its frames begin; data: its first bytes, all of them if it is small."""

    contents: Contents
    first: int
    data: bytes


class SegmentReader:
    """Segments of one store. Keeps the contents of the last few that it read. For one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[SegmentName, _Known] = {}

    def contents(self, name: SegmentName) -> Contents:
        """What the segment holds; raises `Corrupt` if it is gone, damaged, or not what its name says."""
        return self._open(name).contents

    def pieces(self, name: SegmentName, after: Bookmark, last: Bookmark) -> Iterator[bytes]:
        """Its pieces behind `after` up to `last`, each verified by the running digest from `after` on.

        Reads only the frames that they are in. Raises `Corrupt` as `contents`, or if it has no such places.
        """
        known = self._open(name)
        contents = known.contents
        first, end = contents.index(after), contents.index(last)
        if first is None or end is None or first > end:
            raise Corrupt("cold storage", str(name), f"it does not lead from {after} to {last}")
        if first == end:
            return
        blocks = contents.blocks[contents.entries[first].block : contents.entries[end - 1].block + 1]
        base, stop = blocks[0].offset, blocks[-1].offset + blocks[-1].size
        data = known.data[known.first + base : known.first + stop]
        if len(data) < stop - base:
            data = fetch(self._store, str(name), known.first + base, stop - base)
        frames = [data[one.offset - base : one.offset - base + one.size] for one in blocks]
        yield from pieces_of(contents, first, end, frames, str(name))

    def verified(self, name: SegmentName) -> Contents:
        """What the segment holds, once every byte of it was read and fits; raises `Corrupt` otherwise."""
        contents, _ = decode(fetch_small(self._store, str(name)), str(name))
        _check_name(contents, name)
        return contents

    def _open(self, name: SegmentName) -> _Known:
        found = self._known.get(name)
        if found is None:
            found = self._read(name)
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[name] = found
        return found

    def _read(self, name: SegmentName) -> _Known:
        head = self._store.read(str(name), 0, _HEAD_BYTES)
        if head is None:
            raise Corrupt("cold storage", str(name), "there is no such object")
        size = sealed_bytes(MAGIC, head, str(name))
        if size > len(head) >= _HEAD_BYTES:
            head += fetch(self._store, str(name), len(head), size - len(head))
        contents, first = decode_contents(head, str(name))
        _check_name(contents, name)
        return _Known(contents, first, head)


def _check_name(contents: Contents, name: SegmentName) -> None:
    if contents.name != name:
        raise Corrupt("cold storage", str(name), f"it holds what belongs to {contents.name}")

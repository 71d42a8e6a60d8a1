"""Compares a database, whole, with what cold storage alone gives of it; memory is bounded, and writes go on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Final

from raylite.actors.cold.archive import Archive
from raylite.actors.cold.restore import restore
from raylite.actors.storage.engine import Engine
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.image import PAGE_SIZE
from raylite.actors.storage.snapshot import Snapshot
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt
from raylite.policies.status import Verified

_CHUNK_BYTES: Final = 256 * PAGE_SIZE
_COPYING_CHANGES: Final = ((18, 20), (24, 28), (40, 44), (92, 100))
"""Bytes of page 1 that SQLite changes when it copies a database: journal mode, counters, its own version."""


def verify(archive: Archive, goal: Bookmark, snapshot: Snapshot, folder: Path) -> Verified:
    """What the live database at `goal`, the snapshot's entry, is against a restore; the snapshot is closed. Blocks.

    folder: makes it, with two files as large as the database, and removes it. Raises `StorageFull`, and what the store
    raises if it is away.
    """
    folder.mkdir(parents=True)
    try:
        snapshot.copy(folder / "live", _unwatched)
        restore(archive, goal, RealFiles(), folder / "restored")
        return _compared(goal, folder / "live", folder / "restored")
    except Corrupt as error:
        return Verified(str(goal), 0, "", (f"cold storage is damaged at {error.where}: {error.reason}",))
    finally:
        snapshot.close()
        shutil.rmtree(folder)


def _compared(goal: Bookmark, live: Path, restored: Path) -> Verified:
    digest = blake2b(digest_size=16)
    different: list[int] = []
    for number, (mine, other) in enumerate(zip(_pages(live), _pages(restored), strict=False), 1):
        digest.update(other)
        if mine != other:
            different.append(number)
    sizes = live.stat().st_size, restored.stat().st_size
    problems = [f"page {one} is not what cold storage gives" for one in different[:5]]
    if len(different) > len(problems):
        problems.append(f"and {len(different) - len(problems)} more pages")
    if sizes[0] != sizes[1]:
        problems.append(f"the database has {sizes[0]} bytes, cold storage gives {sizes[1]}")
    with closing(Engine.past(restored)) as engine:
        problems += [f"cold storage gives a database in which {one}" for one in engine.integrity_check()]
    return Verified(str(goal), sizes[1] // PAGE_SIZE, digest.hexdigest(), tuple(problems))


def _pages(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        first = True
        while chunk := file.read(_CHUNK_BYTES):
            if first:
                chunk, first = _masked(chunk), False
            yield from (chunk[at : at + PAGE_SIZE] for at in range(0, len(chunk), PAGE_SIZE))


def _masked(chunk: bytes) -> bytes:
    head = bytearray(chunk)
    for begin, end in _COPYING_CHANGES:
        head[begin:end] = bytes(end - begin)
    return bytes(head)


def _unwatched(size: int) -> None:
    """Nobody waits for how far it is."""

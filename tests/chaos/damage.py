"""Flips single bits in files of actors that are down, where the protocol promises to survive it (docs/faults.md)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncGenerator
from pathlib import Path

from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.log_scan import scan
from raylite.actors.storage.log_segment import numbers, path_of

LOCK_SECONDS = 5.0


@contextlib.asynccontextmanager
async def held(folder: Path) -> AsyncGenerator[None]:
    """Keeps the next process of an actor from its directory; raises `BlockingIOError` if it was faster."""
    lock = await asyncio.to_thread(RealFiles().lock, folder / "lock", LOCK_SECONDS)
    try:
        yield
    finally:
        os.close(lock)


def flip(path: Path, offset: int, bit: int) -> None:
    """Flips one bit; twice is as if nothing had been."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def flip_journal(folder: Path, chance: random.Random) -> str:
    """A bit of what a journal can tell from a torn tail; says where, "" if there is nothing of that kind.

    The last batch that was synced is left alone: before the next one or a second without writes, nothing on the disk
    says that it was synced, so damage in it is a torn tail to whoever reads it.
    """
    files, places = RealFiles(), list[tuple[Path, int]]()
    found = numbers(files, folder)
    for number in found:
        scanned = scan(files, folder, number, None)
        certain = scanned.synced if number == found[-1] else scanned.end
        places.append((path_of(folder, number), certain))
    total = sum(certain for _, certain in places)
    if not total:
        return ""
    at = chance.randrange(total)
    for path, certain in places:
        if at < certain:
            flip(path, at, chance.randrange(8))
            return f"{path.name} at {at} of {certain}"
        at -= certain
    raise AssertionError("an offset is in one of the segments")


def flip_copy(folder: Path, chance: random.Random) -> str:
    """A bit of what a copy keeps beside its database file; says where, "" if there is nothing.

    The database file itself has no checksums, and nothing finds a flipped bit in it but `raylite check`.
    """
    names = ("database-wal", "database-shm")
    files = [path for path in folder.glob("generation-*/*") if path.name in names]
    return _flip_one([*files, *(folder / name for name in ("record", "keys"))], chance)


def flip_object(path: Path, chance: random.Random) -> tuple[int, int]:
    """A bit of an object in cold storage; its offset and number, so that it can be flipped back."""
    place = chance.randrange(path.stat().st_size), chance.randrange(8)
    flip(path, *place)
    return place


def objects(folder: Path) -> list[Path]:
    """What cold storage holds of a database's log and snapshots, by name."""
    kinds = ("log", "snapshots", "chunks")
    found = (path for kind in kinds for path in (folder / kind).rglob("*"))
    return sorted(path for path in found if path.is_file() and path.stat().st_size)


def _flip_one(paths: list[Path], chance: random.Random) -> str:
    found = sorted(path for path in paths if path.exists() and path.stat().st_size)
    if not found:
        return ""
    path = chance.choice(found)
    offset = chance.randrange(path.stat().st_size)
    flip(path, offset, chance.randrange(8))
    return f"{path.name} at {offset}"

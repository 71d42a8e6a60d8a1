"""Brings a primary's file to a confirmed entry, from what a follower holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from raylite.actors.core import messages as m
from raylite.actors.storage.directory import Directory
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.wal_replay import Replay
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt

Read = Callable[[Bookmark], Awaitable[m.Pieces | m.Missing]]


async def bring_up(read: Read, directory: Directory, database_id: str, place: Bookmark) -> Generation:
    """A generation whose file holds everything up to `place`, which is confirmed, and nothing more.

    What the directory has is used if its record stands in the log by digest and nothing else is in doubt; else the
    file is made anew from the log's beginning. Raises what `read` raises.
    """
    generation = await asyncio.to_thread(Generation.begin, directory, database_id)
    try:
        return await _replay(read, generation, place)
    except Corrupt as error:
        fresh = await asyncio.to_thread(Generation.anew, directory, database_id, str(error))
        return await _replay(read, fresh, place)


async def _replay(read: Read, generation: Generation, place: Bookmark) -> Generation:
    with Replay(generation, place) as replay:
        while replay.reached.digest != place.digest:
            found = await read(replay.reached)
            if isinstance(found, m.Missing) or not found.pieces:
                raise Corrupt("a copy", str(replay.reached), "the log does not hold what it was at")
            await asyncio.to_thread(_write, replay, found.pieces, place)
    return generation


def _write(replay: Replay, pieces: list[bytes], place: Bookmark) -> None:
    for piece in pieces:
        if replay.write(piece).digest == place.digest:
            return

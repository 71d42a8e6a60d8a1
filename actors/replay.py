"""Brings a primary's file to a confirmed entry, from what followers hold, and before that what cold storage holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from raylite.actors.cold.boot import advance, open_archive
from raylite.actors.core import messages as m
from raylite.actors.storage.directory import Directory
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.wal_replay import Replay
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt, Unreachable
from raylite.policies.system import Settings

Read = Callable[[Bookmark], Awaitable[m.Pieces | m.Missing]]
Advance = Callable[[Generation], Generation]
"""Brings a file to what cold storage holds, see `cold.boot.advance`; blocks."""


def advance_by(settings: Settings, database_id: str, until: Bookmark) -> Advance:
    """By the system's cold storage, if it has one; never beyond `until`."""

    def advanced(generation: Generation) -> Generation:
        if not settings.cold:
            return generation
        archive = open_archive(settings.cold, settings.system_id, database_id)
        return advance(archive, generation, until)

    return advanced


async def bring_up(
    read: Read, advance: Advance, directory: Directory, database_id: str, place: Bookmark
) -> Generation:
    """A generation whose file holds everything up to `place`, which is confirmed, and nothing more.

    What the directory has is used if its record stands in the log by digest and nothing else is in doubt; else the
    file is made anew, from the log's beginning or cold storage. Raises what `read` and `advance` raise.
    """
    generation = await asyncio.to_thread(Generation.begin, directory, database_id)
    try:
        return await _reach(read, advance, generation, place)
    except Corrupt as error:
        fresh = await asyncio.to_thread(Generation.anew, directory, database_id, str(error))
        return await _reach(read, advance, fresh, place)


async def _reach(read: Read, advance: Advance, generation: Generation, place: Bookmark) -> Generation:
    if generation.certain.digest != place.digest and _is_trimmed(await read(generation.certain), generation):
        behind = generation.certain
        generation = await asyncio.to_thread(partial(advance, generation))
        if generation.certain == behind:
            raise Unreachable(
                "cold storage", f"followers have trimmed what follows {behind}, it holds nothing"
            )
    return await _replay(read, generation, place)


def _is_trimmed(found: m.Pieces | m.Missing, generation: Generation) -> bool:
    return isinstance(found, m.Missing) and found.base.sequence > generation.certain.sequence


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

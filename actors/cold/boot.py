"""Brings a copy's file to what cold storage holds: for one that has nothing, or misses what followers have trimmed."""

from __future__ import annotations

import time

from raylite.actors.cold import marker
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.chain import Chain
from raylite.actors.cold.folder import open_store
from raylite.actors.cold.restore import restore
from raylite.actors.cold.segment_reader import SegmentReader
from raylite.actors.core.keys import Keys
from raylite.actors.storage.files import RealFiles
from raylite.actors.storage.generation import Generation
from raylite.actors.storage.wal_replay import Replay
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt, Unreachable
from raylite.policies.limits import COLD_NEAR_SECONDS


def open_archive(address: str, system_id: str, database_id: str) -> Archive:
    """The archive, once it is certain that this node sees what the others see; raises what `marker.check` does."""
    store = open_store(address)
    marker.check(store, system_id)
    return Archive(store, database_id)


def advance(archive: Archive, generation: Generation, until: Bookmark | None = None) -> Generation:
    """A generation at the newest entry that is held, or nearly; `generation` itself if it is there. Blocks.

    The log is applied to the file that there is, if it leads from there; else the file is restored whole. What is
    uploaded meanwhile is applied too, until that takes little time. Raises `Unreachable` if more is held than
    `until`, for then another primary reigns, and what `restore` raises.
    """
    while True:
        began = time.monotonic()
        held = archive.held()
        if held is None or held.newest.bookmark.sequence <= generation.certain.sequence:
            return generation
        goal = held.newest.bookmark
        if until is not None and (goal.epoch, goal.sequence) > (until.epoch, until.sequence):
            raise Unreachable(archive.store.address, f"it holds more than {until}: another primary reigns")
        generation = _reach(archive, generation, goal)
        if time.monotonic() - began < COLD_NEAR_SECONDS:
            return generation


def _reach(archive: Archive, generation: Generation, goal: Bookmark) -> Generation:
    chain = archive.lead(generation.certain, goal)
    if chain is not None:
        try:
            return _follow(archive, generation, goal, chain)
        except Corrupt as error:
            return _restore(archive, generation, goal, str(error))
    return _restore(
        archive, generation, goal, f"the log that is held does not lead from {generation.certain}"
    )


def _follow(archive: Archive, generation: Generation, goal: Bookmark, chain: Chain) -> Generation:
    reader = SegmentReader(archive.store)
    with Replay(generation, goal) as replay:
        for step in chain.steps:
            for encoded in reader.pieces(step.segment, step.after, step.last):
                replay.write(encoded)
    return generation


def _restore(archive: Archive, generation: Generation, goal: Bookmark, doubt: str) -> Generation:
    fresh = Generation.anew(generation.directory, archive.database_id, doubt)
    fresh.set_goal(goal)
    state = restore(archive, goal, RealFiles(), fresh.database)
    fresh.set_certain(goal, Keys.decode(state.keys, goal.sequence))
    return fresh

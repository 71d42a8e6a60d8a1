"""Forks: a new database that begins as another was at some entry, without a copy of what cold storage has.

A fork's first manifest names the parent's chunks and segments. Before it is written the fork puts a *pin* into every
database whose objects it will need, and then looks whether what it builds on is still there. Retention deletes
manifests first, then looks for pins, then deletes what nothing names. So either retention sees the pin, or the fork
sees that it came too late.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from raylite.actors.cold import names
from raylite.actors.cold.archive import Archive, Plan
from raylite.actors.cold.codec import seal
from raylite.actors.cold.manifest import Manifest, State, Tail, read_manifest, write_manifest
from raylite.policies.bookmark import Bookmark, extend, origin
from raylite.policies.errors import BookmarkError, Corrupt, Unreachable
from raylite.policies.limits import COLD_RUN_SECONDS

_PIN: Final = b"RLCP"


class Pin(msgspec.Struct, frozen=True, array_like=True):
    """What a pin says, for people: the fork, and the parent's entry that it begins with."""

    fork_id: str
    parent: str


def fork_base(fork_id: str, parent: Bookmark) -> Bookmark:
    """The place that a fork's log begins behind: epoch 0, sequence 1, a digest that names the parent's entry.

    It is not the origin, so a copy that was built from the empty image does not pass for one of the fork.
    """
    start = origin(fork_id)
    return Bookmark(0, 1, start.history, extend(start.digest, str(parent).encode()))


def fork(archive: Archive, fork_id: str, goal: Bookmark, clock: Callable[[], float]) -> Manifest:
    """The manifest that database `fork_id` begins with: the archive's database as it was at `goal`. Held.

    Time and size do not depend on the database's: nothing is copied. The same call again gives the same manifest.
    Raises `BookmarkError` if the archive does not lead to `goal`, or not any more when all was ready.
    """
    end = clock() + COLD_RUN_SECONDS
    plan = archive.plan(goal)
    manifest = _manifest(archive, plan, fork_id)
    pin = seal(_PIN, Pin(fork_id, str(goal)))
    for owner in sorted(manifest.owners):
        archive.store.put(names.pin_name(owner, fork_id), pin)
    _check_still_there(archive, plan)
    if clock() > end:
        raise Unreachable(f"cold storage {archive.store.address}", f"a fork took over {COLD_RUN_SECONDS:g} s")
    return write_manifest(archive.store, manifest)


def _manifest(archive: Archive, plan: Plan, fork_id: str) -> Manifest:
    parent, steps = plan.manifest, plan.chain.steps
    last = archive.last_whole(steps)
    time_us = last.time_us if last else parent.state.time_us
    tails = parent.tails
    if steps:
        sizes = {str(name): one.size for name, one in archive.segments(plan.chain.start)}
        segments = tuple(str(step.segment) for step in steps)
        size = sum(sizes.get(name, 0) for name in segments)
        tails = (*tails, Tail(plan.chain.start, plan.goal, segments, size))
    state = State(fork_id, fork_base(fork_id, plan.goal), time_us, _database_pages(archive, plan))
    return Manifest(state, parent.chunks, tails, str(plan.goal))


def _database_pages(archive: Archive, plan: Plan) -> int:
    """The size of the database at the goal: that of the newest entry with pages."""
    for step in reversed(plan.chain.steps):
        contents = archive.reader.contents(step.segment)
        first, end = contents.index(step.after), contents.index(step.last)
        for entry in reversed(contents.entries[first:end]):
            if entry.last and entry.database_pages:
                return entry.database_pages
    return plan.manifest.state.database_pages


def _check_still_there(archive: Archive, plan: Plan) -> None:
    """Looks again at what the pins are to keep, now that they are there."""
    try:
        read_manifest(archive.store, plan.manifest.state.name)
    except Corrupt as error:
        raise BookmarkError(str(plan.goal), "is not kept by cold storage any more") from error

"""Which entry a time stands for, and how far back an archive goes."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from raylite.actors.cold.archive import Archive, Held, Moment
from raylite.actors.cold.chain import Chain, Segments
from raylite.actors.cold.names import SnapshotName
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import Corrupt, ParameterError


class Span(msgspec.Struct, frozen=True):
    """The oldest and the newest entry that an archive can restore; all between them it can, too."""

    oldest: Moment
    newest: Moment


def find(archive: Archive, time_us: int) -> Moment:
    """The newest entry that is held whose time is not after `time_us`, microseconds since 1970.

    Entries that are not uploaded yet are not looked at. Raises `ParameterError` if all that is kept is later, and
    `Corrupt` if the archive was never begun.
    """
    held = _held(archive)
    if held.newest.time_us <= time_us:
        return held.newest
    for name, _ in reversed(archive.snapshots()):
        chain = _lead(archive, name, held.newest.bookmark) if name.time_us <= time_us else None
        if chain and (found := _within(archive, name, chain, time_us)):
            return found
    oldest = span(archive).oldest
    raise ParameterError(
        f"{_text(time_us)} is before the oldest state that is kept, of {_text(oldest.time_us)}"
    )


def span(archive: Archive) -> Span:
    """How far back the archive goes; raises `Corrupt` if it was never begun."""
    held = _held(archive)
    for name, _ in archive.snapshots():
        chain = _lead(archive, name, held.newest.bookmark)
        if chain is not None:
            return Span(_oldest(archive, name, chain), held.newest)
    state = held.manifest.state
    return Span(Moment(state.bookmark, state.time_us), held.newest)


def _held(archive: Archive) -> Held:
    held = archive.held()
    if held is None:
        raise Corrupt("cold storage", archive.database_id, "it has no archive of this database")
    return held


def _lead(archive: Archive, name: SnapshotName, end: Bookmark) -> Chain | None:
    listed = [one for one, _ in archive.segments(name.bookmark)]
    return Segments(listed, archive.reader.contents).lead(name.bookmark, end)


def _within(archive: Archive, name: SnapshotName, chain: Chain, time_us: int) -> Moment | None:
    """The newest entry of the snapshot and the chain behind it that is not after `time_us`.

    None if that is before a database's first entry: no time stands for a database that was not there yet.
    """
    later = (n for n, step in enumerate(chain.steps, 1) if step.segment.last_us > time_us)
    found = archive.last_whole(chain.steps[: next(later, len(chain.steps))], time_us)
    if found:
        return Moment(found.place, found.time_us)
    return Moment(name.bookmark, name.time_us) if name.bookmark.sequence else None


def _oldest(archive: Archive, name: SnapshotName, chain: Chain) -> Moment:
    """The snapshot's entry, or a database's first one if the snapshot is of before that."""
    if not name.bookmark.sequence:
        for step in chain.steps:
            for entry in archive.reader.contents(step.segment).entries:
                if entry.last:
                    return Moment(entry.place, entry.time_us)
    return Moment(name.bookmark, name.time_us)


def _text(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).isoformat(timespec="seconds")

"""How a database goes on when nothing is left of it but its archive.

All that was acknowledged behind the newest whole entry that is held is lost. The log goes on behind that entry with
an empty one, whose epoch is so far above all that may have been that it wins over whatever a primary of old times
still uploads, and that the table of epochs tells lost bookmarks from those that stand. That entry is in cold storage
before any follower hears of it; which one it is follows from `Rebuilt` alone, so each step can be repeated.
"""

from __future__ import annotations

from raylite.actors.cold import names
from raylite.actors.cold.archive import Archive, Held
from raylite.actors.cold.snapshot import Run
from raylite.actors.core.base import Base
from raylite.actors.storage.entries import EntryWriter, Made
from raylite.policies.bookmark import Bookmark, origin
from raylite.policies.errors import Corrupt
from raylite.policies.limits import RECOVERY_EPOCHS
from raylite.policies.quorum import Members
from raylite.policies.rebuilt import Rebuilt


def rebuilt_of(archive: Archive) -> Rebuilt:
    """Up to where this archive's database can be rebuilt now; its origin if the archive was never begun.

    Raises `Corrupt` if there is something of which nothing can be made, and what the store raises.
    """
    held = archive.held()
    listed = archive.segments()
    epochs = [name.last.epoch for name, _ in listed] + [
        name.bookmark.epoch for name, _ in archive.snapshots()
    ]
    epoch = max(epochs, default=0) + RECOVERY_EPOCHS
    if held is not None:
        newest = held.newest
        return Rebuilt(str(newest.bookmark), newest.time_us, _epochs(archive, held), epoch)
    if listed:
        raise Corrupt(
            "cold storage", names.folder(archive.database_id), "it has a log, and no snapshot before it"
        )
    return Rebuilt(str(origin(archive.database_id)), 0, (), epoch)


def begin_again(archive: Archive, rebuilt: Rebuilt, run: Run) -> None:
    """The entry that the log goes on with is held on return; the same at each call. Raises as `Archive.upload`."""
    after = Bookmark.parse(rebuilt.bookmark)
    if after == origin(archive.database_id):
        archive.found(run)
    made = _first(rebuilt)
    assert isinstance(made.source, bytes), "an entry without pages is one piece"
    archive.upload(after, [made.source])


def rebuilt_base(rebuilt: Rebuilt, members: Members) -> Base:
    """Where the followers' logs begin: behind the entry of `begin_again`."""
    place = _first(rebuilt).piece.place
    return Base(place, members, (*rebuilt.epochs, (place.epoch, place.sequence)), rebuilt.time_us)


def _first(rebuilt: Rebuilt) -> Made:
    after, time_us = Bookmark.parse(rebuilt.bookmark), rebuilt.time_us
    return EntryWriter(rebuilt.epoch, after, time_us, lambda: time_us).empty()


def _epochs(archive: Archive, held: Held) -> tuple[tuple[int, int], ...]:
    """The table of epochs up to the newest entry that is held."""
    found = list(held.manifest.state.epochs)
    end = held.newest.bookmark.sequence
    for step in held.chain.steps:
        contents = archive.reader.contents(step.segment)
        for entry in contents.entries[contents.index(step.after) : contents.index(step.last)]:
            if entry.place.sequence <= end and (not found or found[-1][0] < entry.place.epoch):
                found.append((entry.place.epoch, entry.place.sequence))
    return tuple(found)

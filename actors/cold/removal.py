"""Removes what cold storage has of a deleted database, in an order that may be cut anywhere.

First its manifests go, so that nobody can fork it any more, and it needs nothing itself; then its pins in the
databases that it was forked from; then all its objects that no fork of it needs. Forks hold their own pins, in every
database whose objects they name, so one outlives the databases that it comes from, however many there were.
"""

from __future__ import annotations

from collections.abc import Collection

from raylite.actors.cold import names
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.manifest import read_manifest
from raylite.actors.cold.names import SnapshotName
from raylite.actors.cold.needs import needed_objects, pins
from raylite.actors.cold.store import Store
from raylite.policies.errors import Corrupt
from raylite.policies.limits import COLD_GRACE_SECONDS


def remove(store: Store, database_id: str, now: float) -> bool:
    """Whether nothing of it is left; False: forks need the rest, or are being made. now: by the store's clock.

    It must be certain that the database is deleted, and that nobody uploads any more. The same call again goes on.
    Raises `Corrupt` if a fork's manifest cannot be read, for nobody knows what that needs, and what the store raises.
    """
    archive = Archive(store, database_id)
    owners: set[str] = set()
    for name, _ in archive.snapshots():
        owners |= _owners(store, name)
    for name, _ in archive.snapshots():
        store.delete(str(name))
    # Cut here the pins are left to whoever looks next at what those databases need.
    for owner in sorted(owners):
        store.delete(names.pin_name(owner, database_id))
    needed = needed_objects(store, database_id, now)
    if needed is None:
        return False
    kept = needed.union(one.name for one in pins(store, database_id))
    for one in store.list(names.folder(database_id)):
        if one.name not in kept:
            store.delete(one.name)
    return not store.list(names.folder(database_id))


def strays(store: Store, known: Collection[str], now: float) -> set[str]:
    """Forks of the databases in `known`, by id, that are not in it, and that nobody can be about to make any more.

    A pin of a fork of which there is nothing else, any more or ever, is removed.
    """
    found: set[str] = set()
    for pin in (pin for one in known for pin in pins(store, one)):
        fork_id = names.pinned(pin.name)
        if pin.modified > now - COLD_GRACE_SECONDS:
            continue
        if not store.list(names.folder(fork_id)):
            store.delete(pin.name)
        elif fork_id not in known:
            found.add(fork_id)
    return found


def _owners(store: Store, name: SnapshotName) -> set[str]:
    """The databases whose objects a manifest names; none if it cannot be read: it goes all the same."""
    try:
        return read_manifest(store, name).owners
    except Corrupt:
        return set()

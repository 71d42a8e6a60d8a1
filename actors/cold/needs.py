"""Which of a database's objects are needed: those that its own manifests name, or those of its forks."""

from __future__ import annotations

from raylite.actors.cold import names
from raylite.actors.cold.archive import Archive
from raylite.actors.cold.manifest import read_manifest
from raylite.actors.cold.store import Object, Store
from raylite.policies.limits import COLD_GRACE_SECONDS


def needed_objects(store: Store, database_id: str, now: float) -> set[str] | None:
    """The names of all objects that a manifest of this database or of a fork names. now: by the store's clock.

    None if that cannot be told now, since a fork is being made. A pin that has long been there, of a fork that needs
    nothing (any more), is removed. Raises `Corrupt` if a manifest cannot be read.
    """
    needed = named_objects(store, database_id)
    own = f"{names.folder(database_id)}/"
    found = pins(store, database_id)
    for pin in found:
        named = named_objects(store, names.pinned(pin.name))
        if any(name.startswith(own) for name in named):
            needed |= named
        elif pin.modified > now - COLD_GRACE_SECONDS:
            return None
        else:
            store.delete(pin.name)
    # A fork that pinned meanwhile may build on a manifest that was read above, or on one that was just removed.
    known = {one.name for one in found}
    return needed if all(one.name in known for one in pins(store, database_id)) else None


def named_objects(store: Store, database_id: str) -> set[str]:
    """What the manifests of this database name; raises `Corrupt` if one cannot be read."""
    found: set[str] = set()
    for name, _ in Archive(store, database_id).snapshots():
        found |= read_manifest(store, name).objects
    return found


def pins(store: Store, database_id: str) -> list[Object]:
    """The pins of its forks."""
    return store.list(names.pin_folder(database_id))

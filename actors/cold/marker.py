"""Whose an object store is: a marker that the first node of a system leaves and every node looks for.

A folder that only one node sees is no cold storage, and an empty folder where a disk is not mounted is no empty
archive. A node that does not find its system's marker uses nothing of the store. A system that was rebuilt from a store
is a new one, and leaves a marker behind the older ones: the last one counts.
"""

from __future__ import annotations

from typing import Final

import msgspec

from raylite.actors.cold.codec import seal, unseal_all
from raylite.actors.cold.store import Store
from raylite.policies.errors import ForeignDirectory, Unreachable

NAME: Final = "system"
SUCCESSORS: Final = "successors"
_MAGIC: Final = b"RLCY"


class Marker(msgspec.Struct, frozen=True, array_like=True):
    """Whose a store is. registry_id: of the database that has the catalogue, "" if that is not known."""

    system_id: str
    registry_id: str = ""


def claim(store: Store, marker: Marker) -> None:
    """Makes the store this system's if it is nobody's; once for a system, when cold storage is switched on.

    Raises `ForeignDirectory` if it is another's, and what the store raises.
    """
    store.put(NAME, seal(_MAGIC, marker))
    check(store, marker.system_id)


def succeed(store: Store, marker: Marker, predecessor: str) -> None:
    """Makes the store of the system `predecessor` this one's, from which that was rebuilt; the same at each call.

    One system at most comes after another. Raises `ForeignDirectory` if it is a third one's, else as `check`.
    """
    count = len(store.list(SUCCESSORS))
    if read(store).system_id == predecessor:
        store.put(f"{SUCCESSORS}/{count + 1:08x}", seal(_MAGIC, marker))
    check(store, marker.system_id)


def check(store: Store, system_id: str) -> None:
    """Returns if this node sees this system's store.

    Raises `Unreachable` if there is no marker, `ForeignDirectory` if it is another's, `Corrupt` if it is damaged.
    """
    found = read(store)
    if found.system_id != system_id:
        raise ForeignDirectory(store.address, f"system {found.system_id}", f"system {system_id}")


def read(store: Store) -> Marker:
    """Whose the store is now; raises `Unreachable` if there is no marker, `Corrupt` if it is damaged."""
    successors = store.list(SUCCESSORS)
    name = successors[-1].name if successors else NAME
    data = store.read(name)
    if data is None:
        reason = "it has no marker of a system, so this node does not see what the others see"
        raise Unreachable(f"cold storage {store.address}", reason)
    return unseal_all(_MAGIC, data, Marker, name)

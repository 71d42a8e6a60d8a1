"""Whose an object store is: a marker that the first node of a system leaves and every node looks for.

A folder that only one node sees is no cold storage, and an empty folder where a disk is not mounted is no empty
archive. A node that does not find its system's marker uses nothing of the store.
"""

from __future__ import annotations

from typing import Final

import msgspec

from raylite.actors.cold.codec import seal, unseal_all
from raylite.actors.cold.store import Store
from raylite.policies.errors import ForeignDirectory, Unreachable

NAME: Final = "system"
_MAGIC: Final = b"RLCY"


class _Marker(msgspec.Struct, frozen=True, array_like=True):
    system_id: str


def claim(store: Store, system_id: str) -> None:
    """Makes the store this system's if it is nobody's; once for a system, when cold storage is switched on.

    Raises `ForeignDirectory` if it is another's, and what the store raises.
    """
    store.put(NAME, seal(_MAGIC, _Marker(system_id)))
    check(store, system_id)


def check(store: Store, system_id: str) -> None:
    """Returns if this node sees this system's store.

    Raises `Unreachable` if there is no marker, `ForeignDirectory` if it is another's, `Corrupt` if it is damaged.
    """
    data = store.read(NAME)
    if data is None:
        reason = "it has no marker of a system, so this node does not see what the others see"
        raise Unreachable(f"cold storage {store.address}", reason)
    found = unseal_all(_MAGIC, data, _Marker, NAME)
    if found.system_id != system_id:
        raise ForeignDirectory(store.address, f"system {found.system_id}", f"system {system_id}")

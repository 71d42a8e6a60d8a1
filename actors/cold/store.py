"""The port to an object store: named objects, each written once.

Names are paths with `/`. An object never changes; what is wrong is written anew under another name. Every call ends
within a deadline. Methods block: they are for threads, never for an event loop.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from raylite.policies.errors import Corrupt
from raylite.policies.limits import COLD_OBJECT_BYTES


class Object(msgspec.Struct, frozen=True, order=True, gc=False):
    """What a listing tells. size: bytes; modified: seconds since 1970 by the store's own clock."""

    name: str
    size: int
    modified: float


class Store(Protocol):
    """An object store.

    Every method raises `Unreachable` (no answer in time, or one that makes no sense), `NotAllowed` (the store
    refuses us), and `StorageFull`; after an error of `put` or `delete` nobody knows whether it happened.
    """

    @property
    def address(self) -> str:
        """Where it is, for people."""
        ...

    def put(self, name: str, data: bytes) -> bool:
        """Whether the object was made: False if there is one of that name, whatever it holds.

        Either way the object of that name is durable on return. Nobody ever sees a part of it.
        """
        ...

    def read(self, name: str, first: int = 0, size: int | None = None) -> bytes | None:
        """`size` bytes from offset `first` (all without a size), fewer only at the end; None: no such object."""
        ...

    def list(self, prefix: str, after: str = "") -> list[Object]:
        """All objects in that folder and below, ascending by name; `after`: only names beyond that text."""
        ...

    def delete(self, name: str) -> None:
        """There is no object of that name on return."""
        ...

    def now(self) -> float:
        """The store's own clock, the one of `Object.modified`."""
        ...


def fetch(store: Store, name: str, first: int, size: int) -> bytes:
    """`read` of what must be there, whole; raises `Corrupt` if it is not."""
    data = store.read(name, first, size)
    if data is None:
        raise Corrupt("cold storage", name, "there is no such object")
    if len(data) != size:
        raise Corrupt("cold storage", name, f"{len(data)} bytes at {first} where {size} must be")
    return data


def fetch_small(store: Store, name: str) -> bytes:
    """A whole object, which must be there; raises `Corrupt` if it is absurdly large."""
    data = store.read(name, 0, COLD_OBJECT_BYTES + 1)
    if data is None:
        raise Corrupt("cold storage", name, "there is no such object")
    if len(data) > COLD_OBJECT_BYTES:
        raise Corrupt("cold storage", name, f"more than {COLD_OBJECT_BYTES} bytes")
    return data

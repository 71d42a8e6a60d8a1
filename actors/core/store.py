"""What a follower writes into its journal, one record each, in the order of its effects (docs/formats.md)."""

from __future__ import annotations

import msgspec

from raylite.actors.core.base import Base
from raylite.actors.core.piece import Piece
from raylite.policies.bookmark import Bookmark
from raylite.policies.quorum import Members


class StorePiece(msgspec.Struct, frozen=True):
    """Write a piece behind all that is stored."""

    piece: Piece
    encoded: bytes


class StorePromise(msgspec.Struct, frozen=True):
    """Write that no lower epoch is accepted any more."""

    epoch: int


class StoreCut(msgspec.Struct, frozen=True):
    """Write that the log now ends at `place`."""

    place: Bookmark


class StoreConfirmed(msgspec.Struct, frozen=True):
    """Write the confirmed mark; it needs no sync of its own, a lower one is as true."""

    confirmed: Bookmark


class StoreFounded(msgspec.Struct, frozen=True):
    """Write the members that the log begins with."""

    members: Members


class StoreBase(msgspec.Struct, frozen=True):
    """Write that the log begins behind `base`: what follows that entry stays if the log holds it, else nothing does."""

    base: Base


class StoreGaveUp(msgspec.Struct, frozen=True):
    """Write that this database was found damaged and is held here no more."""


class StoreDropped(msgspec.Struct, frozen=True):
    """Write that this database is deleted: nothing is held of it, and it can never be joined again."""


Store = (
    StorePiece
    | StorePromise
    | StoreCut
    | StoreConfirmed
    | StoreFounded
    | StoreBase
    | StoreGaveUp
    | StoreDropped
)

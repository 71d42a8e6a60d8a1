"""What the HTTP application needs of whoever mounts it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from raylite.policies.catalogue import DatabaseEntry
from raylite.policies.tokens import Scope
from raylite.router.client import AsyncDatabase
from raylite.router.router import Router

__all__ = ["AnyoneMay", "Authorizer", "Databases", "Management", "Scope", "Target"]


class Target(msgspec.Struct, frozen=True):
    """One database as it is asked for. Its router belongs to the event loop that the application runs on."""

    router: Router
    database_id: str


class Databases(Protocol):
    """Knows the databases."""

    async def find(self, name: str) -> Target:
        """The database of this name or id; raises `DatabaseNotFound`, `InvalidName` or an `Unavailable`."""
        ...


class Authorizer(Protocol):
    """Decides who may do what."""

    async def check(self, token: str, scope: Scope, database: str) -> bool:
        """Whether the bearer of this token ("": there is none) may; database: name or id as the request has it.

        "" is what concerns all of them.
        """
        ...

    async def who(self, token: str) -> str:
        """The name of the token's holder for the audit line, "" if it is unknown."""
        ...


class Management(Protocol):
    """Makes, shows, changes and removes databases. A name may be an id, too, but for a new database."""

    async def create(self, name: str, location_hint: str, replication: str) -> DatabaseEntry:
        """A new database; replication: as in the entry.

        Raises `DatabaseExists`, `InvalidName`, `OutcomeUnknown` or an `Unavailable`.
        """
        ...

    async def databases(self) -> list[DatabaseEntry]:
        """All, by name; raises an `Unavailable`."""
        ...

    async def lookup(self, name: str) -> DatabaseEntry:
        """This one; raises `DatabaseNotFound`, `InvalidName` or an `Unavailable`."""
        ...

    async def open(self, name: str) -> AsyncDatabase:
        """This one to be asked, exported and restored; raises as `lookup`."""
        ...

    async def replicate(self, name: str, replication: str) -> DatabaseEntry:
        """Changes where it has replicas; raises as `lookup`, and `OutcomeUnknown`."""
        ...

    async def delete(self, name: str) -> None:
        """Removes it for good; raises as `lookup`, and `OutcomeUnknown`."""
        ...


class AnyoneMay:
    """An `Authorizer` that lets all through: for tests, and for loopback if it is asked for explicitly."""

    async def check(self, token: str, scope: Scope, database: str) -> bool:
        """True."""
        return True

    async def who(self, token: str) -> str:
        """Nobody is known."""
        return ""

"""What the HTTP application needs of whoever mounts it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from raylite.policies.tokens import Scope
from raylite.router.router import Router

__all__ = ["AnyoneMay", "Authorizer", "Databases", "Scope", "Target"]


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
        """Whether the bearer of this token ("": there is none) may; database: name or id as the request has it."""
        ...


class AnyoneMay:
    """An `Authorizer` that lets all through: for tests, and for loopback if it is asked for explicitly."""

    async def check(self, token: str, scope: Scope, database: str) -> bool:
        """True."""
        return True

"""What the HTTP application needs of whoever mounts it."""

from __future__ import annotations

import enum
from typing import Protocol

import msgspec

from raylite.router.router import Router


class Scope(enum.StrEnum):
    """What a request asks for. Any query is WRITE: its text may write, and that is known only when it is compiled."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


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

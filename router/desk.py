"""What is asked about a database besides queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from raylite.policies.catalogue import Fork
from raylite.policies.status import ActorStatus, Restored, TimeSpan, Verified

if TYPE_CHECKING:
    from raylite.router.client import AsyncDatabase


class DatabaseInfo(msgspec.Struct, frozen=True):
    """One database. actors: its primary first, then its replicas; those that did not answer are missing.

    fork: what it began as, None if it is no fork; asleep: it has no actors until somebody asks for it.
    """

    name: str
    database_id: str
    region: str
    replicas: tuple[str, ...]
    actors: tuple[ActorStatus, ...]
    fork: Fork | None = None
    asleep: bool = False


class Desk(Protocol):
    """Who knows about a database what its queries do not tell."""

    async def describe(self) -> DatabaseInfo:
        """Where it is, and how its actors are."""
        ...

    async def moment(self, time_us: int) -> str:
        """The bookmark of the newest entry that is not later."""
        ...

    async def restore(self, bookmark: str) -> Restored:
        """Makes it what it was at that bookmark."""
        ...

    async def fork(self, name: str, bookmark: str) -> AsyncDatabase:
        """A new database that begins as this one was at that bookmark, "" for now."""
        ...

    async def verify(self) -> Verified:
        """Compares it with what cold storage gives."""
        ...

    async def span(self) -> TimeSpan:
        """How far back it can be read."""
        ...

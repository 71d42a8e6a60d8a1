"""What the registry does for a primary: other followers than those that it was told of, and rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from raylite.policies import limits
from raylite.policies.quorum import Members
from raylite.policies.system import REGISTRY


class Registrar(Protocol):
    """The registry, wherever it is. Every method raises an `Error` if it does not answer in time."""

    async def substitute(self, database_id: str, beside: Sequence[str], without: Sequence[str]) -> str:
        """The follower to take a lost one's place in this database, "" if there is none.

        beside: the followers that stay; without: those that must not be chosen.
        """
        ...

    async def note_members(self, database_id: str, members: Members) -> None:
        """Takes note of the members of a database, durably: whom its next primary is to ask first."""
        ...

    async def members_of(self, database_id: str) -> Members | None:
        """The members that were noted last, None of a database that there is not; only whom to ask, not who counts."""
        ...

    async def rest(self, database_id: str) -> bool:
        """Nobody has used this database's primary for long: returns whether it was laid to rest, its actors ended."""
        ...


class CalledRegistrar:
    """The registry, by calls of its actor. call: of an actor's method by names."""

    def __init__(self, call: Callable[..., Awaitable[Any]]) -> None:
        self._call = call

    async def substitute(self, database_id: str, beside: Sequence[str], without: Sequence[str]) -> str:
        """See `Registrar.substitute`."""
        found: str = await self._call(REGISTRY, "substitute", database_id, tuple(beside), tuple(without))
        return found

    async def note_members(self, database_id: str, members: Members) -> None:
        """See `Registrar.note_members`."""
        await self._call(REGISTRY, "note_members", database_id, members)

    async def members_of(self, database_id: str) -> Members | None:
        """See `Registrar.members_of`."""
        found: Members | None = await self._call(REGISTRY, "members_of", database_id)
        return found

    async def rest(self, database_id: str) -> bool:
        """See `Registrar.rest`."""
        found: bool = await self._call(REGISTRY, "rest", database_id, seconds=2 * limits.SETTLE_SECONDS)
        return found

"""What the registry asks of followers: one message over a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from raylite.actors.core import messages as m
from raylite.actors.stream import Payload
from raylite.actors.surveyor import Surveyor
from raylite.policies import limits
from raylite.policies.quorum import Member

AskOnce = Callable[[str, Payload], Awaitable[object]]
"""The answer of the actor of this name to one request; raises an `Error`."""


class FollowerCalls:
    """Asks followers by name. own: the id of the registry's own database."""

    def __init__(self, ask: AskOnce, surveyor: Surveyor, own: str) -> None:
        self._ask, self._surveyor, self._own = ask, surveyor, own

    async def ask(self, follower: str, message: m.Join | m.Found | m.Inspect | m.Drop) -> object:
        """Its answer; raises an `Error`."""
        return await self._ask(follower, message)

    async def inspect(self, database_id: str, member: Member) -> object:
        """What a member holds of this database; raises an `Error`."""
        return await self.ask(member.follower, m.Inspect(database_id))

    async def node_answers(self, node: str) -> bool:
        """Whether a follower there does, any answer will do; where there is none, nothing is known against the node."""
        there = [site.follower for site in self._surveyor.sites if site.node == node]
        asked = [self.ask(one, m.Inspect(self._own)) for one in there]
        waits = (asyncio.wait_for(one, limits.LEASE_SECONDS) for one in asked)
        answers = await asyncio.gather(*waits, return_exceptions=True)
        return not there or any(not isinstance(one, BaseException) for one in answers)

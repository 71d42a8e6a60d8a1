"""What the registry asks of followers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from raylite.actors.core import messages as m
from raylite.actors.stream import Connection, Payload
from raylite.actors.surveyor import Surveyor
from raylite.policies import limits
from raylite.policies.errors import NoReply, Unreachable
from raylite.policies.quorum import Member

AskOnce = Callable[[str, Payload], Awaitable[object]]
"""The answer of the actor of this name to one request; raises an `Error`."""


Dial = Callable[[str], Awaitable[Connection]]
"""A new connection to the actor of this name; raises an `Error`."""


class FollowerCalls:
    """Asks followers by name. own: the id of the registry's own database."""

    def __init__(self, ask: AskOnce, dial: Dial, surveyor: Surveyor, own: str) -> None:
        self._ask, self._dial, self._surveyor, self._own = ask, dial, surveyor, own
        self._kept: dict[str, Connection] = {}

    async def enlist(self, follower: str, message: m.Join | m.Found) -> object:
        """Its answer over a connection that is kept for many databases; raises an `Error`.

        Both messages can be sent again, so they are if that connection has ended, ends or is silent.
        """
        kept = self._kept.get(follower)
        if kept is not None:
            try:
                return await kept.call(message, limits.CONNECT_SECONDS)
            except (Unreachable, NoReply):
                kept.close()
        self._kept[follower] = await self._dial(follower)
        return await self._kept[follower].call(message, limits.CALL_SECONDS)

    def close(self) -> None:
        """Ends the connections that are kept."""
        for connection in self._kept.values():
            connection.close()

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

"""A reign that begins asks who the members are, if those that it was told of know better, or are all gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from raylite.actors.core import messages as m
from raylite.actors.core.takeover import Takeover
from raylite.actors.registrar import Registrar
from raylite.actors.stream import Payload
from raylite.policies import limits
from raylite.policies.errors import Error
from raylite.policies.quorum import Member

AskOnce = Callable[[str, Payload], Awaitable[Payload | None]]
"""The answer of the actor of this name to one request; raises an `Error`."""


class Finding:
    """They may have joined anew, or been replaced, since that was noted. What counts is what the newest log says."""

    def __init__(self, takeover: Takeover, registrar: Registrar, ask: AskOnce) -> None:
        self._takeover, self._registrar, self._ask = takeover, registrar, ask

    async def run(self) -> None:
        """Until a quorum has promised."""
        while self._takeover.adopted is None:
            await asyncio.sleep(limits.HINT_SECONDS)
            asked = (self._inspect(one) for one in await self._names())
            held = [one for one in await asyncio.gather(*asked) if one is not None]
            if held:
                newest = max(held, key=lambda one: (one.tail.epoch, one.tail.sequence))
                self._takeover.learn(newest.members)

    async def _names(self) -> set[str]:
        known: tuple[Member, ...] = self._takeover.members.everyone
        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(limits.HINT_SECONDS):
                noted = await self._registrar.members_of(self._takeover.database)
                known += noted.everyone if noted else ()
        return {one.follower for one in known}

    async def _inspect(self, follower: str) -> m.Holding | None:
        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(limits.HINT_SECONDS):
                found = await self._ask(follower, m.Inspect(self._takeover.database))
                return found if isinstance(found, m.Holding) else None
        return None

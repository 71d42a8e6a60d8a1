"""A leader's reads of its own log, from followers that hold it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from raylite.actors.core import messages as m
from raylite.actors.core.primary import PrimaryCore
from raylite.actors.links import Link
from raylite.actors.stream import Payload
from raylite.policies import limits
from raylite.policies.bookmark import Bookmark
from raylite.policies.errors import NoReply, Unreachable
from raylite.policies.quorum import Member


class LogReading:
    """One reign's. link: the connection to a follower, dialled if need be."""

    def __init__(self, reign: PrimaryCore, link: Callable[[Member], Link]) -> None:
        self._core, self._link = reign, link

    async def read(self, after: Bookmark) -> m.Pieces | m.Missing:
        """What some follower holds behind `after`, or that none of those that answer holds it.

        Raises TimeoutError if none that agrees answers.
        """
        async with asyncio.timeout(limits.CALL_SECONDS):
            return await self._read(after)

    async def _read(self, after: Bookmark) -> m.Pieces | m.Missing:
        while True:
            missing: m.Missing | None = None
            for member in self._core.leader.agreeing if self._core.leader else ():
                reply = await self._read_from(member, after)
                if isinstance(reply, m.Pieces):
                    return reply
                missing = reply if isinstance(reply, m.Missing) else missing
            if missing is not None:
                return missing
            await asyncio.sleep(limits.RETRY_SECONDS)

    async def _read_from(self, member: Member, after: Bookmark) -> Payload | None:
        connection = self._link(member).connection
        if connection is None:
            return None
        request = m.Read(self._core.database, member.incarnation, after, limits.READ_BYTES)
        try:
            return await connection.call(request, limits.CALL_SECONDS)
        except (Unreachable, NoReply):
            return None

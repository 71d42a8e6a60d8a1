"""Which followers hold which databases, asked of them and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

from raylite.actors.core import messages as m
from raylite.actors.stream import Connection
from raylite.policies import limits
from raylite.policies.errors import Error
from raylite.policies.quorum import Members

Dial = Callable[[str], Awaitable[Connection]]


async def holders(dial: Dial, databases: Mapping[str, Members]) -> Mapping[str, set[str]]:
    """For each database, by id, the followers that answer and hold it as its members name them.

    One that has lost its disk, or gave the database up, is not among them.
    """
    found: dict[str, set[str]] = {database: set() for database in databases}
    followers = {one.follower for members in databases.values() for one in members.current}

    async def look(follower: str) -> None:
        with contextlib.suppress(Error, TimeoutError):
            for database in await asyncio.wait_for(_held(dial, follower, databases), limits.STATUS_SECONDS):
                found[database].add(follower)

    await asyncio.gather(*(look(one) for one in followers))
    return found


async def _held(dial: Dial, follower: str, databases: Mapping[str, Members]) -> list[str]:
    held: list[str] = []
    connection = await dial(follower)
    try:
        for database, members in databases.items():
            named = {one.incarnation for one in members.current if one.follower == follower}
            if named:
                answer = await connection.call(m.Inspect(database), limits.CALL_SECONDS)
                if isinstance(answer, m.Holding) and answer.incarnation in named:
                    held.append(database)
    finally:
        connection.close()
    return held

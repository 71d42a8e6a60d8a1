"""Which followers hold which databases, asked of them and nobody else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from raylite.actors.core import messages as m
from raylite.actors.stream import Connection
from raylite.policies import limits
from raylite.policies.errors import Error
from raylite.policies.quorum import Member, Members

Dial = Callable[[str], Awaitable[Connection]]


async def holders(dial: Dial, databases: Mapping[str, Members]) -> Mapping[str, set[str]]:
    """For each database, by id, the followers that answer and hold it as the members that the newest log names.

    One that has lost its disk, or gave the database up, is not among them. databases: with members as they were noted;
    those may have joined anew since.
    """
    held: dict[str, dict[str, m.Holding]] = {database: {} for database in databases}
    followers = {one.follower for members in databases.values() for one in members.current}

    async def look(follower: str) -> None:
        with contextlib.suppress(Error, TimeoutError):
            asked = [database for database, members in databases.items() if _names(members, follower)]
            for found in await asyncio.wait_for(_held(dial, follower, asked), limits.STATUS_SECONDS):
                held[found.database][follower] = found

    await asyncio.gather(*(look(one) for one in followers))
    return {database: _members_among(found) for database, found in held.items()}


def _names(members: Members, follower: str) -> bool:
    return any(one.follower == follower for one in members.current)


def _members_among(found: Mapping[str, m.Holding]) -> set[str]:
    if not found:
        return set()
    newest = max(found.values(), key=lambda one: (one.tail.epoch, one.tail.sequence)).members
    return {name for name, one in found.items() if Member(name, one.incarnation) in newest.everyone}


async def _held(dial: Dial, follower: str, databases: Sequence[str]) -> list[m.Holding]:
    connection = await dial(follower)
    try:
        answers = [await connection.call(m.Inspect(one), limits.CALL_SECONDS) for one in databases]
        return [one for one in answers if isinstance(one, m.Holding)]
    finally:
        connection.close()

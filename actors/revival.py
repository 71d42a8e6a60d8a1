"""Whether an actor that says nothing may be replaced, and whoever notices it first does so.

Safety never rests on this: epochs fence whoever comes back. It is about not ending what works, and about two that
notice at once ending the same process and not each other's new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from raylite.actors.core import messages as m
from raylite.policies.errors import Error
from raylite.policies.quorum import Member, Members, may_agree

Inspect = Callable[[Member], Awaitable[object]]
"""Asks a follower what it holds of the database: its answer, or an `Error`."""


class Suspect(Protocol):
    """One process of an actor, as it was found by its name: never whoever has that name later."""

    async def answers(self) -> bool:
        """Whether it says anything at all, in whatever state it is, within a few seconds."""
        ...

    async def is_running(self) -> bool:
        """Whether Ray takes it for running; what Ray knows to be dead or starting, Ray brings up."""
        ...

    async def replace(self) -> None:
        """End it for good and start another of its name, unless somebody else just did."""
        ...


async def replace_if_hung(suspect: Suspect, members: Members, inspect: Inspect, seconds: float) -> bool:
    """Replaces a primary that is silent, is not being restarted, and surely has no lease; returns whether it did."""
    if await suspect.answers() or not await suspect.is_running():
        return False
    if not await lease_is_over(members, inspect, seconds):  # asked last: meanwhile it has run out
        return False
    await suspect.replace()
    return True


async def lease_is_over(members: Members, inspect: Inspect, seconds: float) -> bool:
    """Whether it is certain that no quorum gives anybody a lease. A follower that does not answer in time might."""
    everyone = members.everyone
    answers = await asyncio.gather(*(_answer(inspect(member), seconds) for member in everyone))
    free = [
        member
        for member, answer in zip(everyone, answers, strict=True)
        if answer is not None and _is_free(answer)
    ]
    return not may_agree(members, free)


async def _answer(asked: Awaitable[object], seconds: float) -> object | None:
    try:
        return await asyncio.wait_for(asked, seconds)
    except (Error, TimeoutError):
        return None


def _is_free(answer: object) -> bool:
    """A follower that does not hold the database gives no lease either."""
    return isinstance(answer, m.Unknown) or (isinstance(answer, m.Holding) and answer.lease_seconds <= 0)

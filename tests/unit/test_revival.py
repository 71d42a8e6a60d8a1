"""Who hangs is replaced; who is slow, unheard of, or being started, is not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from raylite.actors.core import messages as m
from raylite.actors.revival import lease_is_over, replace_if_hung
from raylite.policies.bookmark import origin
from raylite.policies.errors import Unreachable
from raylite.policies.quorum import Member, Members

MEMBERS = Members(tuple(Member(f"follower:{number}", "x") for number in range(5)))
SECONDS = 0.05
FREE, HELD, LOST, HANGS = "free", "held", "lost", "hangs"


async def _asked(member: Member, states: Mapping[str, str]) -> object:
    state = states[member.follower]
    if state == HANGS:
        await asyncio.sleep(3600)
    if state == LOST:
        raise Unreachable(member.follower, "it is gone")
    place = origin("db")
    return m.Holding("db", "x", 1, place, place, MEMBERS, 1.5 if state == HELD else 0.0)


def _over(*states: str) -> bool:
    named = {f"follower:{number}": state for number, state in enumerate(states)}
    return asyncio.run(lease_is_over(MEMBERS, lambda member: _asked(member, named), SECONDS))


@pytest.mark.parametrize(
    ("states", "over"),
    [
        ((FREE, FREE, FREE, HELD, HELD), True),
        ((FREE, FREE, FREE, LOST, HANGS), True),
        ((FREE, FREE, HELD, HELD, HELD), False),
        ((FREE, FREE, HELD, LOST, HANGS), False),
        ((FREE, FREE, LOST, LOST, LOST), False),
        ((HANGS, HANGS, HANGS, HANGS, HANGS), False),
    ],
)
def test_a_lease_is_over_once_those_who_say_so_leave_no_quorum(states: tuple[str, ...], over: bool) -> None:
    assert _over(*states) == over


def test_a_follower_that_holds_the_database_no_more_gives_no_lease() -> None:
    async def unknown(member: Member) -> object:
        return m.Unknown("db", 0)

    assert asyncio.run(lease_is_over(MEMBERS, unknown, SECONDS))


class Fake:
    """A process with the answers of a case."""

    def __init__(self, *, answers: bool, running: bool) -> None:
        self._answers, self._running = answers, running
        self.replaced = 0

    async def answers(self) -> bool:
        return self._answers

    async def is_running(self) -> bool:
        return self._running

    async def replace(self) -> None:
        self.replaced += 1


@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("state", [FREE, HELD, HANGS])
def test_only_a_silent_process_that_runs_and_has_no_lease_is_replaced(
    answers: bool, running: bool, state: str
) -> None:
    fake = Fake(answers=answers, running=running)
    states = {f"follower:{number}": state for number in range(5)}
    work = replace_if_hung(fake, MEMBERS, lambda member: _asked(member, states), SECONDS)
    replaced = asyncio.run(work)
    assert replaced == (not answers and running and state == FREE)
    assert fake.replaced == replaced

"""When a follower misses a primary: only one that it heard itself, that released nothing, and for two leases."""

from __future__ import annotations

import pytest

from raylite.actors.core import messages as m
from raylite.actors.core.follower import FollowerLog
from raylite.actors.core.log import LogIndex
from raylite.policies.bookmark import origin
from raylite.policies.limits import LEASE_SECONDS
from raylite.policies.quorum import Member, Members

PLACE = origin("db")
MEMBERS = Members(tuple(Member(f"follower:{number}", "mine") for number in range(5)))


def follower(*, promised: int = 0) -> FollowerLog:
    """One that starts at time 0."""
    return FollowerLog("db", "mine", LogIndex(PLACE, MEMBERS), promised=promised, started=0.0)


def hear(log: FollowerLog, epoch: int, now: float) -> None:
    beat = m.Append("db", "mine", 1, epoch, f"directory-{epoch}", PLACE, [], PLACE, PLACE)
    log.receive(beat, None, now)


def test_a_primary_is_missed_from_the_end_of_its_lease_on() -> None:
    log = follower()
    hear(log, 1, 10.0)
    assert log.missed_seconds(10.0 + LEASE_SECONDS) == 0
    assert log.missed_seconds(10.0 + 2 * LEASE_SECONDS) == pytest.approx(LEASE_SECONDS)
    hear(log, 1, 20.0)
    assert log.missed_seconds(20.0 + LEASE_SECONDS) == 0


@pytest.mark.parametrize("promised", [0, 3])
def test_nobody_is_missed_who_was_not_heard_since_the_start(promised: int) -> None:
    assert follower(promised=promised).missed_seconds(1000.0) == 0


def test_whoever_released_his_lease_is_not_missed() -> None:
    log = follower()
    hear(log, 1, 10.0)
    log.receive(m.Release("db", "mine", 1), None, 11.0)
    assert log.missed_seconds(1000.0) == 0


def test_a_successor_that_never_came_is_missed_like_the_one_before() -> None:
    log = follower()
    hear(log, 1, 10.0)
    log.receive(m.Promise("db", "mine", 1, 2, "another"), None, 10.0 + LEASE_SECONDS)
    assert log.missed_seconds(10.0 + 2 * LEASE_SECONDS) > 0
    hear(log, 2, 20.0)
    assert log.missed_seconds(20.0 + LEASE_SECONDS) == 0

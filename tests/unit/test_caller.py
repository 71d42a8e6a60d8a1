"""A caller's connections: how far away their other ends are, also when the first measurement was a bad one."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from raylite.policies import limits
from raylite.policies.backoff import Backoff
from raylite.policies.errors import NoReply
from raylite.router import caller
from raylite.router.caller import MEASURING, watch


class FakeConnection:
    """Answers pings after so many seconds each, and then never."""

    def __init__(self, *round_trips: float, waiting: int = 0) -> None:
        self._round_trips = list(round_trips)
        self.waiting, self.is_open = waiting, True

    async def ping(self, seconds: float) -> float:
        if not self._round_trips:
            raise NoReply("replica:shop:enam", "no answer")
        return self._round_trips.pop(0)

    def abort(self, reason: str) -> None:
        self.is_open = False


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "MEASURING", Backoff(0.0001, 0.001))


def test_the_shortest_of_late_counts_and_not_the_one_that_was_measured_first() -> None:
    measured = deque([80.0], maxlen=3)
    asyncio.run(watch(FakeConnection(0.002, 0.001, 0.003, waiting=1), measured))
    assert min(measured) == 1.0
    assert 80.0 not in measured


def test_a_bad_first_measurement_is_made_good_well_before_the_next_silence() -> None:
    pauses = [MEASURING.delay(taken, jitter=1.0) for taken in range(limits.ROUND_TRIP_SAMPLES)]
    assert sum(pauses[:3]) < limits.PEER_SILENCE_SECONDS / 2
    assert max(pauses) <= limits.PEER_SILENCE_SECONDS


def test_a_connection_is_given_up_only_if_somebody_waits_for_it() -> None:
    async def case() -> None:
        for waiting in (1, 0):
            connection = FakeConnection(waiting=waiting)
            task = asyncio.create_task(watch(connection, deque()))
            await asyncio.wait([task], timeout=0.05)
            assert connection.is_open == (waiting == 0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(case())

"""Which copy of a database a session should ask first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from raylite.policies.limits import ROUTING_LAG_MS, ROUTING_NEAR_MS
from raylite.policies.regions import Regions


class Candidate(msgspec.Struct, frozen=True):
    """A copy that could answer, as its caller knows it.

    actor: its actor's name; round_trip_ms: shortest that the caller measured of late, None before any; lag_ms: how
    old its data is, None if unknown; primary: whether it is the primary.
    """

    actor: str
    region: str
    round_trip_ms: float | None = None
    lag_ms: float | None = None
    alive: bool = True
    primary: bool = False


class RoutingPolicy(Protocol):
    """Ranks copies. A driver may hand in its own: it travels by cloudpickle and runs in every router."""

    def rank(self, caller_region: str, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Some or all of the candidates, best first. A router asks the next one when one does not answer."""
        ...


class Nearest:
    """The nearest copy first: by measured round trip, by what its region's place suggests before there is any.

    Times that differ by less than `near_ms` count as equal; then a replica goes before the primary, the smaller
    distance between regions decides, and then the time. So noise moves no session to another region, and the
    primary is spared where a replica is as near. A region without a place that was not measured comes behind all
    others. Dead replicas and those more than `lag_ms` behind are left out; the primary never is: it is the last
    resort, dead or not, as it may have come back.
    """

    def __init__(
        self, regions: Regions | None = None, near_ms: float = ROUTING_NEAR_MS, lag_ms: float = ROUTING_LAG_MS
    ) -> None:
        self.regions = regions or Regions()
        self.near_ms, self.lag_ms = near_ms, lag_ms

    def rank(self, caller_region: str, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The usable candidates, nearest first; a primary that seems dead behind them."""
        usable = [one for one in candidates if self.usable(one)]
        groups = self._groups(caller_region, usable)
        ranked = [
            one for group in groups for one in sorted(group, key=lambda c: self._order(caller_region, c))
        ]
        return ranked + [one for one in candidates if one.primary and not one.alive]

    def usable(self, candidate: Candidate) -> bool:
        """Whether to ask it at all."""
        fresh = candidate.primary or candidate.lag_ms is None or candidate.lag_ms <= self.lag_ms
        return candidate.alive and fresh

    def time_ms(self, caller_region: str, candidate: Candidate) -> float:
        """The round trip as measured, else as its region's place suggests, else infinite."""
        if candidate.round_trip_ms is not None:
            return candidate.round_trip_ms
        guess = self.regions.round_trip_ms(caller_region, candidate.region)
        return float("inf") if guess is None else guess

    def _groups(self, caller_region: str, candidates: Iterable[Candidate]) -> list[list[Candidate]]:
        """Candidates by time, cut into groups that span at most `near_ms`."""
        groups: list[list[Candidate]] = []
        first_ms = float("-inf")
        for one in sorted(candidates, key=lambda c: self.time_ms(caller_region, c)):
            time_ms = self.time_ms(caller_region, one)
            if not groups or time_ms > first_ms + self.near_ms:
                groups.append([])
                first_ms = time_ms
            groups[-1].append(one)
        return groups

    def _order(self, caller_region: str, candidate: Candidate) -> tuple[bool, float, float, str]:
        distance = self.regions.distance_km(caller_region, candidate.region)
        farness = float("inf") if distance is None else distance
        return candidate.primary, farness, self.time_ms(caller_region, candidate), candidate.actor

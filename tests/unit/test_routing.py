"""Which copy is asked first."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from itertools import pairwise

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.policies.regions import Regions
from raylite.policies.routing import Candidate, Nearest, RoutingPolicy


def _replica(
    region: str, ms: float | None = None, *, lag_ms: float | None = None, alive: bool = True
) -> Candidate:
    return Candidate(f"replica:{region}", region, ms, lag_ms, alive)


def _primary(region: str, ms: float | None = None, *, alive: bool = True) -> Candidate:
    return Candidate("primary", region, ms, None, alive, primary=True)


def _order(policy: RoutingPolicy, caller: str, *candidates: Candidate) -> list[str]:
    ranked = policy.rank(caller, candidates)
    return ["primary" if one.primary else one.region for one in ranked]


def test_before_anything_was_measured_distance_decides() -> None:
    found = _order(Nearest(), "eeur", _replica("apac"), _replica("enam"), _replica("weur"))
    assert found == ["weur", "enam", "apac"]


def test_a_measured_time_counts_more_than_distance() -> None:
    assert _order(Nearest(), "eeur", _replica("weur", 250.0), _replica("enam", 90.0)) == ["enam", "weur"]


def test_what_was_not_measured_yet_is_taken_for_as_far_as_its_place_suggests() -> None:
    found = _order(Nearest(), "weur", _replica("enam", 85.0), _replica("weur"), _replica("apac"))
    assert found == ["weur", "enam", "apac"]


def test_noise_moves_nobody_to_another_region() -> None:
    found = _order(Nearest(), "weur", _replica("apac", 0.6), _replica("weur", 4.1), _replica("enam", 0.4))
    assert found == ["weur", "enam", "apac"]


def test_a_replica_goes_before_a_primary_that_is_as_near() -> None:
    assert _order(Nearest(), "enam", _primary("enam", 0.4), _replica("enam", 1.9)) == ["enam", "primary"]
    assert _order(Nearest(), "enam", _primary("enam"), _replica("enam")) == ["enam", "primary"]


def test_a_primary_goes_before_a_replica_on_another_continent() -> None:
    found = _order(Nearest(), "enam", _replica("apac", 200.0), _primary("enam", 0.4), _replica("weur"))
    assert found == ["primary", "weur", "apac"]


def test_the_next_nearest_follows_when_the_nearest_is_dead_or_far_behind() -> None:
    far = _replica("weur", 1.0, lag_ms=60_000.0)
    dead = _replica("eeur", 20.0, alive=False)
    found = _order(
        Nearest(), "weur", far, dead, _replica("enam", 85.0, lag_ms=900.0), _primary("apac", 160.0)
    )
    assert found == ["enam", "primary"]


def test_the_primary_is_the_last_resort_even_when_it_seems_dead() -> None:
    assert _order(Nearest(), "enam", _primary("enam", alive=False), _replica("apac")) == ["apac", "primary"]
    assert _order(Nearest(), "enam", _primary("enam", alive=False)) == ["primary"]


def test_an_unknown_label_is_ranked_by_measured_time_alone() -> None:
    assert _order(Nearest(), "enam", _replica("rack-7", 3.0), _replica("weur")) == ["rack-7", "weur"]
    assert _order(Nearest(), "enam", _replica("rack-7"), _replica("apac")) == ["apac", "rack-7"]
    found = _order(Nearest(), "rack-7", _replica("enam", 90.0), _replica("weur", 30.0), _replica("rack-8"))
    assert found == ["weur", "enam", "rack-8"]


def test_the_callers_own_label_is_near_even_without_a_place() -> None:
    assert _order(Nearest(), "rack-7", _replica("rack-8", 0.3), _replica("rack-7")) == ["rack-7", "rack-8"]


def test_regions_of_ones_own_have_their_distance() -> None:
    policy = Nearest(Regions({"berlin": (52.5, 13.4)}))
    assert _order(policy, "berlin", _replica("weur"), _replica("eeur"), _replica("enam"))[2] == "enam"


class Contrary(Nearest):
    """A driver's own: the farthest first."""

    def rank(self, caller_region: str, candidates: Sequence[Candidate]) -> list[Candidate]:
        return super().rank(caller_region, candidates)[::-1]


def test_a_policy_of_a_drivers_own_travels_by_value() -> None:
    class Fixed(Nearest):
        def time_ms(self, caller_region: str, candidate: Candidate) -> float:
            return 1000.0 * len(candidate.region) + len(caller_region)

    for policy, first in (
        (Contrary(), "oc"),
        (Fixed(), "me"),
        (Nearest(Regions({"x": (1.0, 2.0)})), "weur"),
    ):
        copy = pickle.loads(cloudpickle.dumps(policy))
        assert isinstance(copy, Nearest)
        assert _order(copy, "weur", _replica("weur"), _replica("me"), _replica("oc"))[0] == first


_CANDIDATES = st.lists(
    st.builds(
        Candidate,
        actor=st.sampled_from(["a", "b", "c", "d"]),
        region=st.sampled_from(["enam", "weur", "apac", "rack-7"]),
        round_trip_ms=st.none() | st.floats(0, 400),
        lag_ms=st.none() | st.floats(0, 20_000),
        alive=st.booleans(),
    ),
    max_size=6,
)


@given(_CANDIDATES, st.sampled_from(["enam", "rack-7", "rack-9"]), st.booleans())
def test_ranking_keeps_the_primary_leaves_out_the_useless_and_never_prefers_what_is_clearly_farther(
    replicas: list[Candidate], caller: str, alive: bool
) -> None:
    policy, primary = Nearest(), _primary("weur", 50.0, alive=alive)
    ranked = policy.rank(caller, [*replicas, primary])
    useful = [one for one in replicas if one.alive and (one.lag_ms or 0) <= policy.lag_ms]
    assert sorted(map(repr, ranked)) == sorted(map(repr, [*useful, primary]))
    times = [policy.time_ms(caller, one) for one in ranked if one.alive]
    assert all(earlier <= later + policy.near_ms for earlier, later in pairwise(times))


@pytest.mark.parametrize("caller", ["enam", "rack-9"])
def test_without_candidates_there_is_nothing_to_ask(caller: str) -> None:
    assert Nearest().rank(caller, []) == []

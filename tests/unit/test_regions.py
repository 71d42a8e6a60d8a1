"""Places, distances and round trips."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raylite.policies.errors import InvalidName
from raylite.policies.regions import (
    BUILT_IN,
    DEFAULT,
    EARTH_RADIUS_KM,
    HOP_MS,
    MS_PER_KM,
    Coordinates,
    Given,
    Regions,
    great_circle_km,
    parse,
)

_PLAIN = Regions()
_PAIRS = list(itertools.combinations(BUILT_IN, 2))
_PLACES = st.tuples(st.floats(-90, 90), st.floats(-180, 180))


def _chord_km(a: Coordinates, b: Coordinates) -> float:
    """The same distance from the straight line through the Earth, by another formula."""
    points = [
        (
            math.cos(math.radians(lat)) * math.cos(math.radians(lon)),
            math.cos(math.radians(lat)) * math.sin(math.radians(lon)),
            math.sin(math.radians(lat)),
        )
        for lat, lon in (a, b)
    ]
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.dist(*points) / 2))


def test_the_built_in_regions_are_those_of_d1() -> None:
    assert set(BUILT_IN) == {"wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"}
    assert set(DEFAULT) <= set(BUILT_IN)


@given(_PLACES, _PLACES)
def test_distance_agrees_with_the_straight_line_through_the_earth(a: Coordinates, b: Coordinates) -> None:
    # Near the far side of the Earth an ulp of the sine is kilometres.
    assert great_circle_km(a, b) == pytest.approx(_chord_km(a, b), abs=1.0)


def test_a_known_distance_comes_out() -> None:
    assert great_circle_km((48.8566, 2.3522), (40.7128, -74.0060)) == pytest.approx(5837, abs=5)


@pytest.mark.parametrize(("a", "b"), _PAIRS)
def test_a_typical_round_trip_is_possible_and_near_what_distance_suggests(a: str, b: str) -> None:
    typical, distance = _PLAIN.round_trip_ms(a, b), _PLAIN.distance_km(a, b)
    assert typical is not None
    assert distance is not None
    assert typical == _PLAIN.round_trip_ms(b, a)
    assert typical > distance * 0.01, "faster than light in glass"
    # The most is from South America to Africa: traffic goes by way of Europe.
    assert 0.7 < typical / (HOP_MS + MS_PER_KM * distance) < 3.1


def test_the_round_trips_of_the_default_regions_are_realistic() -> None:
    found = [_PLAIN.round_trip_ms(a, b) for a, b in itertools.combinations(DEFAULT, 2)]
    assert found == [80.0, 200.0, 160.0]


def test_a_region_is_at_no_distance_from_itself_even_without_a_place() -> None:
    for region in ("enam", "rack-7"):
        assert _PLAIN.distance_km(region, region) == 0
        assert _PLAIN.round_trip_ms(region, region) == 0


def test_an_unknown_label_has_no_distance_and_no_round_trip() -> None:
    assert _PLAIN.distance_km("enam", "rack-7") is None
    assert _PLAIN.round_trip_ms("rack-7", "enam") is None


def test_a_region_of_ones_own_gets_its_round_trip_from_its_distance() -> None:
    regions = Regions({"berlin": (52.52, 13.40)})
    distance = great_circle_km((52.52, 13.40), BUILT_IN["weur"])
    assert regions.round_trip_ms("berlin", "weur") == pytest.approx(HOP_MS + MS_PER_KM * distance)
    assert regions.round_trip_ms("enam", "weur") == 80.0


def test_a_built_in_region_that_was_moved_is_where_it_was_moved_to() -> None:
    regions = Regions({"weur": (-33.9, 18.4)})
    assert regions.place("weur") == (-33.9, 18.4)
    distance = regions.distance_km("weur", "enam")
    assert distance is not None
    assert regions.round_trip_ms("weur", "enam") == pytest.approx(HOP_MS + MS_PER_KM * distance)


def test_nearest_goes_by_distance_and_passes_over_what_has_none() -> None:
    assert _PLAIN.nearest("eeur", ["enam", "rack-7", "weur"]) == "weur"
    assert _PLAIN.nearest("eeur", ["rack-7"]) is None
    assert _PLAIN.nearest("rack-7", ["enam", "rack-7"]) == "rack-7"


@pytest.mark.parametrize(
    ("given_regions", "names"),
    [
        ("weur, enam,weur", ("weur", "enam")),
        (["apac"], ("apac",)),
        (("rack-7", "enam"), ("rack-7", "enam")),
        ({"berlin": (52.52, 13.40)}, ("berlin",)),
    ],
)
def test_regions_can_be_given_as_text_names_or_places(given_regions: Given, names: tuple[str, ...]) -> None:
    found, regions = parse(given_regions)
    assert found == names
    assert regions.own == (given_regions if isinstance(given_regions, dict) else {})


@pytest.mark.parametrize(
    "wrong",
    ["", [], {}, "enam,,weur", ["a b"], {"x": (91.0, 0.0)}, {"x": (0.0, 181.0)}, {"x": (math.nan, 0.0)}],
)
def test_what_is_no_region_or_no_place_is_refused(wrong: Given) -> None:
    with pytest.raises(InvalidName):
        parse(wrong)

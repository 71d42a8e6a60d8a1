"""Where regions are, how far apart, and how long a message takes between them.

Built in are the location hints of Cloudflare D1, each at one city that stands for it. A system can add regions of
its own with coordinates. Any other node label works as a region too, but has no distance to another one: such a
region is ranked by measured time alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TypeGuard

import msgspec

from raylite.policies.errors import InvalidName
from raylite.policies.names import region_name

Coordinates = tuple[float, float]
"""Latitude and longitude in degrees, north and east positive."""
Given = str | Iterable[str] | Mapping[str, Coordinates]
"""Regions as a user gives them: names (as text with commas between them), or names with coordinates."""

BUILT_IN: Mapping[str, Coordinates] = {
    "wnam": (37.34, -121.89),  # San Jose
    "enam": (39.04, -77.49),  # Ashburn
    "sam": (-23.55, -46.63),  # São Paulo
    "weur": (50.11, 8.68),  # Frankfurt
    "eeur": (52.23, 21.01),  # Warsaw
    "apac": (1.35, 103.82),  # Singapore
    "oc": (-33.87, 151.21),  # Sydney
    "afr": (-26.20, 28.05),  # Johannesburg
    "me": (25.20, 55.27),  # Dubai
}
DEFAULT = ("enam", "weur", "apac")
"""The virtual regions of an embedded system that names none."""

# Round trips in ms between the cities above, rounded to ten: what cables give rather than what light needs.
# They are there to make `--wan` realistic; nothing that matters for safety reads them.
_NAMES: tuple[str, ...] = ("wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me")
_TRIANGLE: tuple[tuple[int, ...], ...] = (
    (),
    (60,),
    (170, 110),
    (140, 80, 200),
    (160, 100, 220, 20),
    (170, 200, 320, 160, 180),
    (140, 200, 310, 250, 270, 90),
    (280, 220, 330, 160, 180, 240, 280),
    (220, 170, 290, 110, 120, 90, 180, 150),
)
_MATRIX: Mapping[frozenset[str], float] = {
    frozenset((a, b)): float(ms)
    for a, row in zip(_NAMES, _TRIANGLE, strict=True)
    for b, ms in zip(_NAMES, row, strict=False)
}

EARTH_RADIUS_KM = 6371.0
HOP_MS = 2.0
MS_PER_KM = 0.0145
"""Light in glass needs 0.01 ms a km there and back; cables take 1.45 times the straight way."""


def great_circle_km(a: Coordinates, b: Coordinates) -> float:
    """Kilometres between two places along the surface (haversine formula)."""
    lat_a, lon_a, lat_b, lon_b = map(math.radians, (*a, *b))
    half = (
        math.sin((lat_b - lat_a) / 2) ** 2
        + math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    )
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(half)))


class Regions(msgspec.Struct, frozen=True):
    """The regions of one system that have a place. own: its own ones, which may also move a built-in one."""

    own: Mapping[str, Coordinates] = {}

    def place(self, region: str) -> Coordinates | None:
        """Coordinates of a region; None for a label without any."""
        return self.own.get(region) or BUILT_IN.get(region)

    def distance_km(self, a: str, b: str) -> float | None:
        """Great-circle distance; 0 from a region to itself; None if one of two labels has no place."""
        if a == b:
            return 0.0
        place_a, place_b = self.place(a), self.place(b)
        return great_circle_km(place_a, place_b) if place_a and place_b else None

    def round_trip_ms(self, a: str, b: str) -> float | None:
        """Milliseconds there and back over a usual network; None if one of two labels has no place.

        Between two built-in regions from a table, else `HOP_MS + MS_PER_KM * distance`. 0 within a region.
        """
        typical = _MATRIX.get(frozenset((a, b)))
        if typical is not None and a not in self.own and b not in self.own:
            return typical
        distance = self.distance_km(a, b)
        return HOP_MS + MS_PER_KM * distance if distance else distance

    def nearest(self, region: str, among: Iterable[str]) -> str | None:
        """The one of `among` that is nearest to `region` by distance; None if none has one."""
        known = [(distance, one) for one in among if (distance := self.distance_km(region, one)) is not None]
        return min(known)[1] if known else None


def parse(regions: Given) -> tuple[tuple[str, ...], Regions]:
    """What a user gave as regions: their names in order, each once, and the places of those with coordinates.

    Raises `InvalidName` for a name that no region may have, no name at all, or coordinates that are not on Earth.
    """
    listed = regions.split(",") if isinstance(regions, str) else regions
    names = tuple(dict.fromkeys(region_name(name.strip()) for name in listed))
    if not names:
        raise InvalidName("", "at least one region is needed")
    own = dict(regions) if _has_places(regions) else {}
    for name, (latitude, longitude) in own.items():
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise InvalidName(name, f"({latitude}, {longitude}) is not a latitude and a longitude in degrees")
    return names, Regions(own)


def _has_places(regions: Given) -> TypeGuard[Mapping[str, Coordinates]]:
    return isinstance(regions, Mapping)

"""Plane geometry of one square: local metres, rings, and the fill level of a bin.

A square is a few hundred metres wide, so a local tangent plane is exact enough: over 500 m the error
against the ellipsoid stays below 1 cm. Everything here is pure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

LonLat = tuple[float, float]
"""Longitude, latitude [degrees, WGS 84], in GeoJSON order."""
Metres = tuple[float, float]
"""East, north of the frame's origin [m]."""

FILL_MIN_PCT = 0.0
FILL_MAX_PCT = 120.0
"""Waste heaped above the rim reads as more than 100 %. Beyond this bound the echo says nothing more."""

_WGS84_A_M = 6_378_137.0
_WGS84_E2 = 0.006_694_379_990_14


class FillGeometry(Protocol):
    """Where a level sensor looks into a bin: the two distances that a bin's plan entry gives."""

    @property
    def empty_mm(self) -> int:
        """Distance from sensor to bin floor [mm]."""

    @property
    def full_mm(self) -> int:
        """Distance from sensor to the waste when the bin is full to the rim [mm]."""


def fill_pct_of(geometry: FillGeometry, distance_mm: float) -> float:
    """Fill level of a bin from the echo distance.

    Linear between the two distances of the plan, as container height and level relate in OMA LwM2M
    object 3435 (level = height of the waste / height of the container). A bin wider at the top than at
    the bottom holds more than the figure says in its upper half; the plan's two distances are the place
    to correct that, not the code.

    Parameters
    ----------
    geometry
        A bin of the plan; ``empty_mm`` MUST be greater than ``full_mm`` (the plan check enforces it).
    distance_mm
        Echo distance from sensor to waste [mm].

    Returns
    -------
    float
        Fill level [%, 0..120]. A distance beyond the floor (a bag that sags, a lifted lid) reads 0;
        waste above the rim reads more than 100, at most ``FILL_MAX_PCT``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> fill_pct_of(SimpleNamespace(empty_mm=900, full_mm=100), 300)
    75.0
    """
    depth_mm = geometry.empty_mm - geometry.full_mm
    pct = 100.0 * (geometry.empty_mm - distance_mm) / depth_mm
    # Compared by hand: min() and max() take as long as all the rest, and ingest asks for every reading.
    if pct < FILL_MIN_PCT:
        return FILL_MIN_PCT
    if pct > FILL_MAX_PCT:
        return FILL_MAX_PCT
    return pct


def distance_mm_of(geometry: FillGeometry, fill_pct: float) -> float:
    """Echo distance at a fill level: the inverse of `fill_pct_of` between its bounds.

    Parameters
    ----------
    geometry
        A bin of the plan.
    fill_pct
        Fill level [%, 0..120].

    Returns
    -------
    float
        Distance from sensor to waste [mm].
    """
    return geometry.empty_mm - fill_pct / 100.0 * (geometry.empty_mm - geometry.full_mm)


@dataclass(frozen=True, slots=True)
class Frame:
    """Local east-north plane in metres around an origin.

    Parameters
    ----------
    origin_lon, origin_lat
        Origin of the frame [degrees, WGS 84].
    """

    origin_lon: float
    origin_lat: float

    @property
    def m_per_deg_lon(self) -> float:
        """Length of one degree of longitude at the origin [m], from the WGS 84 ellipsoid."""
        phi = math.radians(self.origin_lat)
        normal_m = _WGS84_A_M / math.sqrt(1 - _WGS84_E2 * math.sin(phi) ** 2)
        return math.radians(normal_m * math.cos(phi))

    @property
    def m_per_deg_lat(self) -> float:
        """Length of one degree of latitude at the origin [m], from the WGS 84 ellipsoid."""
        phi = math.radians(self.origin_lat)
        return math.radians(_WGS84_A_M * (1 - _WGS84_E2) / (1 - _WGS84_E2 * math.sin(phi) ** 2) ** 1.5)

    def to_m(self, lon: float, lat: float) -> Metres:
        """East, north of the origin [m] of a point given in degrees."""
        return (lon - self.origin_lon) * self.m_per_deg_lon, (lat - self.origin_lat) * self.m_per_deg_lat

    def to_lonlat(self, east_m: float, north_m: float) -> LonLat:
        """Longitude, latitude [degrees] of a point given in metres."""
        return self.origin_lon + east_m / self.m_per_deg_lon, self.origin_lat + north_m / self.m_per_deg_lat

    def distance_m(self, a: LonLat, b: LonLat) -> float:
        """Straight distance between two points given in degrees [m]."""
        return math.hypot((a[0] - b[0]) * self.m_per_deg_lon, (a[1] - b[1]) * self.m_per_deg_lat)


def contains(rings: Sequence[Sequence[LonLat]], point: LonLat) -> bool:
    """Whether a point lies in a polygon (even-odd rule, so holes are outside).

    Parameters
    ----------
    rings
        Outer ring, then holes; each closed (first position repeated at the end).
    point
        Same units as the rings. A point exactly on an edge may fall on either side.
    """
    inside = False
    x, y = point
    for ring in rings:
        for (x1, y1), (x2, y2) in pairwise(ring):
            if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
                inside = not inside
    return inside


def signed_area(ring: Sequence[LonLat]) -> float:
    """Area of a closed ring, positive when it turns anticlockwise; unit of the coordinates squared."""
    # Relative to the first vertex: in degrees the products would otherwise cancel away.
    x0, y0 = ring[0]
    return 0.5 * sum((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0) for (x1, y1), (x2, y2) in pairwise(ring))


def _side(a: LonLat, b: LonLat, c: LonLat) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _between(a: LonLat, b: LonLat, c: LonLat) -> bool:
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def segments_touch(a: LonLat, b: LonLat, c: LonLat, d: LonLat) -> bool:
    """Whether the closed segments a-b and c-d share a point."""
    s1, s2, s3, s4 = _side(a, b, c), _side(a, b, d), _side(c, d, a), _side(c, d, b)
    if ((s1 > 0) != (s2 > 0)) and ((s3 > 0) != (s4 > 0)) and 0 not in (s1, s2, s3, s4):
        return True
    return (
        (s1 == 0 and _between(a, b, c))
        or (s2 == 0 and _between(a, b, d))
        or (s3 == 0 and _between(c, d, a))
        or (s4 == 0 and _between(c, d, b))
    )


def first_crossing(ring: Sequence[LonLat]) -> tuple[int, int] | None:
    """Find the first two sides of a closed ring that cross or touch although not neighbours.

    Returns
    -------
    tuple[int, int] | None
        Side i runs from position i to i + 1. None for a simple ring.
    """
    sides = len(ring) - 1
    for i in range(sides):
        a, b = ring[i], ring[i + 1]
        low_x, high_x = min(a[0], b[0]), max(a[0], b[0])
        for j in range(i + 2, sides):
            if i == 0 and j == sides - 1:
                continue  # the last side meets the first one by definition
            c, d = ring[j], ring[j + 1]
            if max(c[0], d[0]) < low_x or min(c[0], d[0]) > high_x:
                continue
            if segments_touch(a, b, c, d):
                return i, j
    return None

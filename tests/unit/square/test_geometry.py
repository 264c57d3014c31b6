"""Plane geometry and fill level."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from square.geometry import (
    FILL_MAX_PCT,
    Frame,
    contains,
    distance_mm_of,
    fill_pct_of,
    first_crossing,
    signed_area,
)

TUGU = Frame(112.9067, -7.6414)
BIN = SimpleNamespace(empty_mm=980, full_mm=240)
SQUARE = [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0), (0.0, 0.0)]

lons = st.floats(-179, 179)
lats = st.floats(-80, 80)
metres = st.floats(-2000, 2000)
geometries = st.tuples(st.integers(1, 9000), st.integers(1, 900)).map(
    lambda p: SimpleNamespace(empty_mm=p[0] + p[1], full_mm=p[0])
)


def test_frame_degree_lengths_at_the_square():
    """One degree at the tugu has the lengths computed by hand from the WGS 84 ellipsoid: 110,594 and 110,337 m."""
    assert pytest.approx(110_594, abs=1) == TUGU.m_per_deg_lat
    assert pytest.approx(110_337, abs=1) == TUGU.m_per_deg_lon


def test_frame_degree_lengths_at_equator_and_pole():
    """At the equator one degree of longitude is 2 pi a / 360 = 111,319.49 m; near the pole it vanishes."""
    assert Frame(0, 0).m_per_deg_lon == pytest.approx(111_319.49, abs=0.01)
    assert Frame(0, 0).m_per_deg_lat == pytest.approx(110_574.28, abs=0.01)
    assert Frame(0, 89.9999).m_per_deg_lon < 1


def test_frame_anchor_lies_south():
    """The plus code -7.6419, 112.9067 is 55.3 m south of the tugu: 0.0005 x 110,594."""
    east_m, north_m = TUGU.to_m(112.9067, -7.6419)
    assert east_m == pytest.approx(0, abs=1e-6)
    assert north_m == pytest.approx(-55.297, abs=0.001)


@given(lons, lats, metres, metres)
def test_frame_round_trip(lon, lat, east_m, north_m):
    """Metres to degrees and back is the identity to a tenth of a millimetre."""
    frame = Frame(lon, lat)
    back = frame.to_m(*frame.to_lonlat(east_m, north_m))
    assert back == pytest.approx((east_m, north_m), abs=1e-4)


def test_fill_pct_of_known_distances():
    """Floor 980 mm, full 240 mm: depth 740; 610 mm is (980 - 610) / 740 = 50 %."""
    assert fill_pct_of(BIN, 980) == 0
    assert fill_pct_of(BIN, 610) == 50
    assert fill_pct_of(BIN, 240) == 100


def test_fill_pct_of_beyond_the_floor_reads_empty():
    """A distance beyond the floor is 0 %, never negative."""
    assert fill_pct_of(BIN, 1100) == 0


def test_fill_pct_of_above_the_rim_exceeds_100_up_to_a_bound():
    """Waste 74 mm above full is 110 %; an echo at the sensor itself stops at the bound."""
    assert fill_pct_of(BIN, 166) == pytest.approx(110)
    assert fill_pct_of(BIN, 0) == FILL_MAX_PCT


@given(geometries, st.integers(0, 10000), st.integers(0, 10000))
def test_fill_pct_of_falls_with_distance(geometry, a_mm, b_mm):
    """Nearer waste never reads emptier, and every value lies in 0..120."""
    near, far = sorted((a_mm, b_mm))
    assert FILL_MAX_PCT >= fill_pct_of(geometry, near) >= fill_pct_of(geometry, far) >= 0


@given(geometries, st.floats(0, 100))
def test_distance_mm_of_inverts_fill(geometry, pct):
    """Level to distance and back is the identity between empty and full."""
    assert fill_pct_of(geometry, distance_mm_of(geometry, pct)) == pytest.approx(pct, abs=1e-6)


def test_contains_respects_holes():
    """A point in the hole of a ring-shaped area is outside; one between the rings is inside."""
    hole = [(4.0, 4.0), (6.0, 4.0), (6.0, 6.0), (4.0, 6.0), (4.0, 4.0)]
    assert contains([SQUARE, hole], (2, 2))
    assert not contains([SQUARE, hole], (5, 5))
    assert not contains([SQUARE, hole], (11, 5))


@given(st.floats(-20, 30), st.floats(-20, 30))
def test_contains_agrees_with_comparison_on_a_square(x, y):
    """On an axis-parallel square the answer is two comparisons, away from the border."""
    assume(min(abs(x), abs(x - 10), abs(y), abs(y - 10)) > 1e-9)
    assert contains([SQUARE], (x, y)) == (0 < x < 10 and 0 < y < 10)


@given(st.integers(3, 24), st.floats(1, 100), st.randoms(use_true_random=False))
def test_first_crossing_none_for_star_shaped_ring(corners, radius, rng):
    """Corners in order of their angle never cross; area has the sign of the direction."""
    ring = [
        (r * math.cos(2 * math.pi * i / corners), r * math.sin(2 * math.pi * i / corners))
        for i in range(corners)
        for r in [radius * rng.uniform(0.6, 1.0)]
    ]
    ring.append(ring[0])
    assert first_crossing(ring) is None
    assert signed_area(ring) > 0 > signed_area(ring[::-1])


def test_first_crossing_names_the_sides_of_a_bow_tie():
    """In a bow tie side 0 (bottom) is clear and sides 1 and 3 cross."""
    assert first_crossing([(0, 0), (10, 0), (0, 10), (10, 10), (0, 0)]) == (1, 3)


def test_first_crossing_sees_a_touching_corner():
    """A corner that lies on a far side makes the outline ambiguous and is reported."""
    assert first_crossing([(0, 0), (10, 0), (10, 10), (5, 0), (0, 10), (0, 0)]) is not None


def test_signed_area_survives_degrees():
    """A lawn of 10 m x 10 m given in degrees has 100 square metres within 0.1 %."""
    ring = [TUGU.to_lonlat(x, y) for x, y in SQUARE]
    area_m2 = signed_area(ring) * TUGU.m_per_deg_lon * TUGU.m_per_deg_lat
    assert area_m2 == pytest.approx(100, rel=1e-3)

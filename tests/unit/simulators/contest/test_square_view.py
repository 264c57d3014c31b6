"""What the office knows of places and distances is what the plan says."""

import math
from itertools import combinations

import pytest

from simulators.contest.square_view import PARAMETERS, SquareView, Walks
from simulators.contest.variants import side_by_side
from tests.unit.simulators.contest.stages import NINE_S, stage

SITE = stage().site
VIEW = stage().square


def test_walks_are_those_of_the_plan_to_the_last_bit():
    """Between all bins, zones and posts: the same lengths as the paths give, both ways."""
    places = [*(VIEW.asset(one).place for one in VIEW.volumes_l), SITE.depot.lonlat, SITE.tps.lonlat]
    for a, b in combinations(places[::3], 2):
        assert VIEW.walks.distance_m(a, b) == SITE.walking.distance_m(a, b) == Walks(SITE).distance_m(b, a)


def test_where_no_path_joins_two_places_the_way_is_straight_with_a_detour():
    """Squares side by side have no path between them; nothing is infinitely far."""
    wide = side_by_side(SITE, 2).site
    a, b = wide.bins[0].lonlat, wide.bins[len(SITE.bins)].lonlat
    assert math.isinf(wide.walking.distance_m(a, b))
    assert Walks(wide).distance_m(a, b) == pytest.approx(wide.frame.distance_m(a, b) * PARAMETERS["detour"].value)


def test_stops_have_places_and_hours():
    """A bin has its own, a zone that of its middle, unloading the nearest place; a cart may be emptied at any time."""
    assert VIEW.place_of("empty", "bin-001", SITE.depot.lonlat) == SITE.bin("bin-001").lonlat
    assert VIEW.place_of("unload", "", SITE.depot.lonlat) == SITE.tps.lonlat
    near_m = VIEW.walks.distance_m(VIEW.place_of("sweep", "zona-tugu", SITE.depot.lonlat), SITE.centre)
    assert near_m < 30
    closed_s = NINE_S + 2.5 * 3600  # 11:30: the forecourt is closed for the prayer
    assert not VIEW.is_open("sweep", "zona-payung", closed_s)
    assert VIEW.is_open("sweep", "zona-kuliner", closed_s)
    assert VIEW.is_open("unload", "", closed_s)


def test_carts_go_to_the_nearest_of_several_places():
    """Each of two squares has its own transfer point."""
    wide = side_by_side(SITE, 2)
    view = SquareView.of(wide.site, homes=wide.homes, unload_places=wide.unload_places)
    places = [view.place_of("unload", "", view.asset(f"bin-001-{n}").place) for n in (0, 1)]
    assert places == list(wide.unload_places)

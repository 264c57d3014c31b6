"""The ground: spots, zones, bins in reach."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulators.ground import CHARACTERS, PARAMETERS, Ground, character_of, nearest
from square.geometry import contains
from tests.unit.simulators.wide_site import copies, shipped


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground.of(shipped())


def test_a_point_belongs_to_the_zone_around_it(ground):
    """Where the plan says that a point lies in a zone, it is that zone; nearly every spot has one."""
    site = shipped()
    points = [site.frame.to_lonlat(x, y) for x, y in ground.points_m]
    inside = [[contains(zone.rings, point) for zone in site.zones] for point in points]
    housed = [i for i, found in enumerate(inside) if sum(found) == 1]
    assert len(housed) > 0.9 * len(points)
    # 1 mm of rounding may carry a spot over an edge
    assert sum(not inside[i][ground.zone_of_point[i]] for i in housed) <= 0.01 * len(housed)


def test_every_zone_has_spots_and_a_character(ground):
    """No zone is without a place where something may lie, and the shipped names are understood."""
    assert np.bincount(ground.zone_of_point, minlength=len(shipped().zones)).min() > 0
    by_id = dict(zip((z.id for z in shipped().zones), ground.zone_characters, strict=True))
    assert by_id["zona-payung"] == "forecourt"
    assert by_id["zona-masjid-makam"] == "mosque"
    assert by_id["zona-terminal"] == "terminal"
    assert by_id["zona-kuliner"] == "food"
    assert by_id["zona-taman-tenggara"] == "park"
    assert set(ground.zone_characters) <= set(CHARACTERS)


def test_a_zone_of_unknown_words_is_a_park():
    """A site abroad, with names of its own, still works."""
    zone = replace(shipped().zones[0], id="platz-1", name_id="Stadtgarten", name_en="Green")
    assert character_of(zone) == "park"


@pytest.mark.parametrize("name", ["Jl. Balaikota", "Sisi utara (Jalan Raya)", "North street, east side", "JL WAHID"])
def test_words_are_read_without_their_signs(name):
    """Streets of a plan are often called "Jl.", with a full stop."""
    zone = replace(shipped().zones[0], id="zona-9", name_id=name, name_en=name)
    assert character_of(zone) == "street"


def test_a_hole_is_no_part_of_a_zone():
    """A pond of a quarter of a zone takes a quarter of its area, and no spot lies in it."""
    zone = shipped().zones[1]
    corners = np.array(zone.rings[0])
    middle = corners[:-1].mean(axis=0)
    pond = tuple((float(lon), float(lat)) for lon, lat in middle + (corners - middle) / 2.0)
    ground = Ground.of(replace(shipped(), zones=(replace(zone, rings=(zone.rings[0], pond)),), bins=()))
    whole = Ground.of(replace(shipped(), zones=(zone,), bins=()))
    assert ground.zone_area_m2[0] == pytest.approx(0.75 * whole.zone_area_m2[0], rel=1e-6)
    paths = len(ground.paths.vertices_m)
    inside = [
        contains((pond,), shipped().frame.to_lonlat(x, y)) for x, y in ground.points_m[paths : -len(shipped().gates)]
    ]
    assert len(inside) > 10
    assert not any(inside)


def test_area_is_that_of_the_plan(ground):
    """The forecourt is 23 m by 96 m: 2,208 m2."""
    index = [z.id for z in shipped().zones].index("zona-payung")
    assert ground.zone_area_m2[index] == pytest.approx(2208, rel=0.01)


def test_paths_are_cut_without_changing_their_length(ground):
    """The pieces of the paths are as long as the paths, and short; every vertex is a spot."""
    paths = ground.paths
    whole_m = sum(length_m for _, _, length_m in shipped().walking.edges)
    assert paths.lengths_mm.sum() / 1000 == pytest.approx(whole_m, rel=1e-4)
    assert paths.lengths_mm.max() <= 1500 * PARAMETERS["path_spacing_m"].value
    assert np.abs(ground.points_m[: len(paths.vertices_m)] - paths.vertices_m).max() < 0.001


def test_a_site_without_bins_has_none_near(ground):
    """Legal, and everything falls to the ground."""
    bare = Ground.of(replace(shipped(), bins=()))
    assert (bare.near == -1).all()
    assert bare.near.shape == (len(bare.points_m), 1)
    assert (ground.near[:, 0] >= 0).mean() > 0.9


coordinate = st.integers(-90_000, 90_000).map(lambda mm: mm / 1000)
cloud = st.lists(st.tuples(coordinate, coordinate), max_size=25).map(lambda p: np.array(p, dtype=float).reshape(-1, 2))


@settings(max_examples=60, deadline=None)
@given(points=cloud, targets=cloud, most=st.integers(1, 5))
@example(points=np.array([[15.0, 15.0]]), targets=np.array([[45.0, 15.0], [-15.0, 15.0]]), most=1)  # equally far
def test_nearest_is_what_comparing_all_says(points, targets, most):
    """The search in cells finds the same targets, in the same order, as looking at every pair."""
    which, far_mm = nearest(points, targets, reach_m=30.0, most=most)
    for i, point in enumerate(points):
        apart = np.rint(np.hypot(*(targets - point).T) * 1000).astype(int) if len(targets) else np.empty(0, int)
        expected = [(mm, j) for mm, j in sorted((mm, j) for j, mm in enumerate(apart.tolist())) if mm <= 30_000][:most]
        found = [(int(mm), int(j)) for j, mm in zip(which[i], far_mm[i], strict=True) if j >= 0]
        assert found == expected


def test_ten_thousand_bins_are_built_in_time():
    """A town of 209 squares and 10,032 bins takes less than 5 s of processor time; its far end is like the near one."""
    town, one = copies(209), Ground.of(shipped())
    began_s = time.process_time()
    ground = Ground.of(town)
    assert time.process_time() - began_s < 5.0
    assert len(ground.bins) == 209 * 48
    assert len(ground.points_m) == 209 * len(one.points_m)
    last = ground.near[ground.zone_of_point >= 208 * len(shipped().zones)]
    assert set(last[last >= 0]) <= set(range(208 * 48, 209 * 48))

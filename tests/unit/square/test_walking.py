"""Walking distances."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from square.geometry import Frame
from square.walking import WalkingGraph

FRAME = Frame(112.9067, -7.6414)


def at(east_m, north_m):
    return FRAME.to_lonlat(east_m, north_m)


def grid(side=4, step_m=10.0):
    rows = [[at(x * step_m, y * step_m) for x in range(side)] for y in range(side)]
    return WalkingGraph([*rows, *map(list, zip(*rows, strict=True))], FRAME)


GRID = grid()
places = st.tuples(st.floats(-20, 50), st.floats(-20, 50)).map(lambda p: at(*p))


def test_distance_m_follows_the_path():
    """Around the corner of an L of 30 m and 40 m the walk is 70 m, not the 50 m of the crow."""
    graph = WalkingGraph([[at(0, 0), at(30, 0), at(30, 40)]], FRAME)
    assert graph.distance_m(at(0, 0), at(30, 40)) == pytest.approx(70, abs=0.05)


def test_distance_m_adds_the_way_to_the_path():
    """From 3 m beside one end to 4 m beside the other of a 20 m path: 27 m."""
    graph = WalkingGraph([[at(0, 0), at(20, 0)]], FRAME)
    assert graph.distance_m(at(0, 3), at(20, -4)) == pytest.approx(27, abs=0.05)


def test_distance_m_infinite_without_a_joint():
    """Lines that cross without a common vertex are not joined."""
    graph = WalkingGraph([[at(-10, 0), at(10, 0)], [at(0, -10), at(0, 10)]], FRAME)
    assert graph.distance_m(at(-10, 0), at(0, 10)) == math.inf
    assert graph.route(at(-10, 0), at(0, 10)) is None
    assert [len(part) for part in graph.components()] == [2, 2]


def test_nearest_without_paths_is_an_error():
    """A plan without paths says so instead of returning a place."""
    with pytest.raises(ValueError, match="no paths"):
        WalkingGraph([], FRAME).nearest(112.9, -7.6)


@given(
    st.lists(st.tuples(st.floats(-300, 300), st.floats(-300, 300)), min_size=1, max_size=30),
    st.tuples(st.floats(-900, 900), st.floats(-900, 900)),
)
def test_nearest_is_what_looking_at_every_vertex_finds(vertices, place):
    """The cells only save work: the same vertex and the same last bit, near, far, and among equals the first."""
    graph = WalkingGraph([[at(*vertex) for vertex in vertices]], FRAME)
    point = at(*place)
    distances = [FRAME.distance_m(point, node) for node in graph.nodes]
    assert graph.nearest(*point) == (distances.index(min(distances)), min(distances))


@given(places, places)
def test_distance_m_is_symmetric_and_at_least_straight(a, b):
    """There and back are equal to the last bit, and no walk beats the straight line."""
    there = GRID.distance_m(a, b)
    assert there == GRID.distance_m(b, a)
    assert there >= FRAME.distance_m(a, b) - 0.05


@given(places, places, places)
def test_distance_m_satisfies_the_triangle_inequality(a, b, c):
    """A detour over a third place is never shorter."""
    assert GRID.distance_m(a, c) <= GRID.distance_m(a, b) + GRID.distance_m(b, c) + 1e-6


@given(st.lists(places, min_size=1, max_size=5))
def test_matrix_m_agrees_with_distance_m(points):
    """Every entry of the matrix is the distance of its pair, zero on the diagonal."""
    assert GRID.matrix_m(points) == [[GRID.distance_m(a, b) for b in points] for a in points]


@given(places, places)
def test_route_is_as_long_as_the_distance(a, b):
    """The legs of the route add up to the walking distance and join the two places."""
    route = GRID.route(a, b)
    assert route[0] == a
    assert route[-1] == b
    if a != b:
        legs_m = sum(FRAME.distance_m(p, q) for p, q in pairwise(route))
        assert legs_m == pytest.approx(GRID.distance_m(a, b), abs=1e-6)

"""Places, ways in, and the walks between them."""

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from simulators.ground import Ground
from simulators.places import ENTRY_KINDS, PLACE_KINDS, Places
from square.site import load_site
from square.walking import WalkingGraph
from tests.unit.simulators.wide_site import copies, shipped
from tests.unit.square.small_site import write_site


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground.of(shipped())


@pytest.fixture(scope="module")
def places(ground) -> Places:
    return Places.of(ground)


def test_every_zone_has_a_place_and_the_plan_adds_its_own(ground, places):
    """Each of the zones can be visited, the playground is a place, and there is a way in of each kind."""
    zones = set(places.anchor_zone[: places.n_places].tolist())
    assert zones == set(range(len(shipped().zones)))
    assert "play" in {PLACE_KINDS[k] for k in places.kind}
    assert {ENTRY_KINDS[k] for k in places.entry_kind} == set(ENTRY_KINDS)


def test_buses_arrive_at_the_terminal(ground, places):
    """The ways in of the terminal lie in its zone."""
    at = places.anchor_zone[places.n_places :][places.entry_kind == ENTRY_KINDS.index("terminal")]
    assert {shipped().zones[z].id for z in at} == {"zona-terminal"}


def test_people_at_a_place_stay_in_its_zone(ground, places):
    """All spots of a place lie in its zone and near it."""
    for place in range(places.n_places):
        spots = places.spots[place, : places.n_spots[place]]
        zones = set(ground.zone_of_point[spots].tolist())
        assert zones <= {int(places.anchor_zone[place])}
        assert np.hypot(*(ground.points_m[spots] - ground.points_m[spots[0]]).T).max() <= 12.01


def test_walks_are_the_shortest(ground, places):
    """Lengths between anchors agree with an independent search, both ways alike."""
    graph = nx.Graph()
    for (a, b), mm in zip(ground.paths.edges.tolist(), ground.paths.lengths_mm.tolist(), strict=True):
        graph.add_edge(a, b, weight=mm)
    anchors = np.arange(0, len(places.anchor_vertex), 7)
    for a in anchors:
        lengths = nx.single_source_dijkstra_path_length(graph, int(places.anchor_vertex[a]))
        expected = [lengths[int(v)] for v in places.anchor_vertex[anchors]]
        assert places.between_mm(np.full(len(anchors), a), anchors).tolist() == expected
        assert places.between_mm(anchors, np.full(len(anchors), a)).tolist() == expected


def test_who_walks_passes_the_vertices_between(ground, places):
    """On the way from A to B every vertex passed lies on a shortest walk, starts at A and ends at B, in order."""
    anchors = np.arange(len(places.anchor_vertex))
    a, b = anchors[:-5], anchors[5:]
    before_mm = np.zeros(len(a), dtype=int)
    for share in (0.0, 0.2, 0.5, 0.8, 1.0):
        vertex = places.on_the_way(a, b, np.full(len(a), share))
        from_a = places.walk_mm[places.offset[a] + places.local[vertex]]
        from_b = places.walk_mm[places.offset[b] + places.local[vertex]]
        assert (from_a + from_b == places.between_mm(a, b)).all()
        assert (from_a <= share * places.between_mm(a, b) + 1).all()
        assert (from_a >= before_mm).all()
        before_mm = from_a
    assert (places.on_the_way(a, b, np.zeros(len(a))) == places.anchor_vertex[a]).all()
    assert (places.on_the_way(a, b, np.ones(len(a))) == places.anchor_vertex[b]).all()


def test_squares_that_are_not_joined_are_quarters_of_their_own():
    """Three squares side by side: three times the places, and nobody walks from one to the next."""
    one, three = Places.of(Ground.of(shipped())), Places.of(Ground.of(copies(3)))
    assert three.quarters == 3
    assert len(three.entry_kind) == 3 * len(one.entry_kind)
    assert three.walk_mm.max() == pytest.approx(one.walk_mm.max(), abs=100)


def test_a_town_that_hangs_together_is_cut_into_quarters():
    """Joined squares are one graph of 1.1 km: it is cut where it is wider than a quarter, each part hangs together."""
    site = copies(3)
    nodes = site.walking.nodes
    lines = [(nodes[a], nodes[b]) for a, b, _ in site.walking.edges]
    east = max(nodes)
    joined = replace(site, walking=WalkingGraph([*lines, (min(nodes), east), (nodes[0], nodes[400])], site.frame))
    places = Places.of(Ground.of(joined))
    assert 2 <= places.quarters <= 8
    assert places.walk_mm.max() < 2**39  # every vertex of a quarter can be reached


def test_a_small_site_of_one_path_without_gates_works(tmp_path):
    """Two zones, one path, no gate: people come in at its ends."""
    site = load_site(write_site(tmp_path / "small"))
    places = Places.of(Ground.of(site))
    assert places.n_places >= 2
    assert len(places.entry_kind) == 2
    assert set(places.anchor_zone.tolist()) == {0, 1}

"""Places that visitors walk to, ways in, and how far it is between them along the paths.

Built once from a `Ground`. The paths fall into quarters: parts that hang together and are small enough to be walked
through. Within a quarter the way between any two anchors (a place or a way in) is known: the length of the shortest
walk from an anchor to every vertex, and the vertex before it on that walk.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from simulators.ground import Ground, nearest
from simulators.parameters import Parameter

Ints = npt.NDArray[np.int64]

PARAMETERS: Mapping[str, Parameter] = {
    "quarter_m": Parameter(600, "m", "assumed: nobody walks farther through the square than this"),
    "place_area_m2": Parameter(700, "m2", "assumed: a zone has one place to stay for so much of its area"),
    "places_most": Parameter(6, "1", "assumed: and no more than this many"),
    "place_reach_m": Parameter(12, "m", "assumed: people who stay at a place spread over this distance"),
}
FEATURE_KINDS: Mapping[str, str] = {"vendor_row": "food", "playground": "play"}
"""Roles of the plan that are a place of their own, and its kind."""
PLACE_KINDS = ("park", "floor", "path", "forecourt", "mosque", "food", "play", "street", "terminal")
ENTRY_KINDS = ("gate", "terminal", "street")
_SPOTS_MOST = 16
_FAR = 2**40


@dataclass(frozen=True)
class Places:
    """Where people of a square go.

    Parameters
    ----------
    kind, entry_kind
        Of each place: index into `PLACE_KINDS`; of each way in: index into `ENTRY_KINDS`.
    anchor_vertex, anchor_quarter, anchor_zone
        Of each anchor, places first, then ways in: vertex of the paths, quarter, index into ``site.zones``.
    spots, n_spots
        Spots of the ground around each place, (n_places, k) padded with its first, and how many they are.
    quarters
        How many there are.
    local
        Number of each vertex within its quarter.
    walk_mm, before
        Shortest walk [mm] from an anchor to a vertex, and the local vertex before it, at
        ``offset[anchor] + local[vertex]``.
    offset
        Where the vertices of an anchor start in these.
    vertex_of
        Vertex of a local number: at ``first_vertex[quarter] + number``.
    first_vertex
        Where the vertices of a quarter start in this.
    """

    kind: Ints
    entry_kind: Ints
    anchor_vertex: Ints
    anchor_quarter: Ints
    anchor_zone: Ints
    spots: Ints
    n_spots: Ints
    quarters: int
    local: Ints
    walk_mm: Ints
    before: Ints
    offset: Ints
    vertex_of: Ints
    first_vertex: Ints

    @property
    def n_places(self) -> int:
        """How many places there are; anchors from here on are ways in."""
        return len(self.kind)

    def between_mm(self, a: Ints, b: Ints) -> Ints:
        """Length of the walk between anchors of one quarter [mm]."""
        lengths_mm: Ints = self.walk_mm[self.offset[a] + self.local[self.anchor_vertex[b]]]
        return lengths_mm

    def on_the_way(self, a: Ints, b: Ints, share: npt.NDArray[np.float64]) -> Ints:
        """Vertex that somebody passes who has walked a share [0..1] of the way between anchors of one quarter."""
        at = self.offset[a] + self.local[self.anchor_vertex[b]]
        wanted_mm = (self.walk_mm[at] * share).astype(np.int64)
        walking = np.flatnonzero(self.walk_mm[at] > wanted_mm)
        while walking.size:  # back from the end, vertex by vertex
            at[walking] = self.offset[a[walking]] + self.before[at[walking]]
            walking = walking[self.walk_mm[at[walking]] > wanted_mm[walking]]
        passed: Ints = self.vertex_of[self.first_vertex[self.anchor_quarter[a]] + at - self.offset[a]]
        return passed

    @classmethod
    def of(cls, ground: Ground) -> "Places":
        """Find the places and ways in of a ground, and the walks between them; kept as long as the ground is."""
        if ground not in _KNOWN:
            _KNOWN[ground] = cls._find(ground)
        return _KNOWN[ground]

    @classmethod
    def _find(cls, ground: Ground) -> "Places":
        quarter = _quarters(ground)
        n_quarters = int(quarter.max(initial=-1)) + 1
        vertices = ground.paths.vertices_m
        by_quarter = np.argsort(quarter, kind="stable")
        sizes = np.bincount(quarter, minlength=n_quarters)
        first_vertex = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        local = np.empty(len(vertices), dtype=np.int64)
        local[by_quarter] = np.arange(len(vertices)) - first_vertex[quarter[by_quarter]]

        places = [*_in_zones(ground), *_of_features(ground)]
        place_vertex = _nearest_vertex(ground, [spot for _, _, spot in places])
        spots, n_spots = _spots(ground, places)
        entries = _entries(ground, quarter, np.unique(quarter[place_vertex]))
        vertex = np.concatenate([place_vertex, np.array([v for _, v in entries], dtype=np.int64)])
        walk_mm, before, offset = _walks(ground, quarter, local, np.split(by_quarter, first_vertex[1:]), vertex)
        zone = np.concatenate([np.array([z for _, z, _ in places]), ground.zone_of_point[vertex[len(places) :]]])
        return cls(
            kind=np.array([PLACE_KINDS.index(kind) for kind, _, _ in places], dtype=np.int64),
            entry_kind=np.array([ENTRY_KINDS.index(kind) for kind, _ in entries], dtype=np.int64),
            anchor_vertex=vertex,
            anchor_quarter=quarter[vertex],
            anchor_zone=zone.astype(np.int64),
            spots=spots,
            n_spots=n_spots,
            quarters=n_quarters,
            local=local,
            walk_mm=walk_mm,
            before=before,
            offset=offset,
            vertex_of=by_quarter,
            first_vertex=first_vertex,
        )


_KNOWN: WeakKeyDictionary[Ground, Places] = WeakKeyDictionary()
"""A contest makes many crowds on one ground, and the walks of a town take seconds."""
Place = tuple[str, int, int]
"""Kind, zone, spot of the ground in its middle."""


def _in_zones(ground: Ground) -> list[Place]:
    """Places spread over every zone, as far from each other as they can be."""
    found: list[Place] = []
    order = np.argsort(ground.zone_of_point, kind="stable")
    ends = np.cumsum(np.bincount(ground.zone_of_point, minlength=len(ground.zone_characters)))
    for zone, (kind, area_m2) in enumerate(zip(ground.zone_characters, ground.zone_area_m2.tolist(), strict=True)):
        spots = order[ends[zone - 1] if zone else 0 : ends[zone]]
        on_path = spots[spots < len(ground.paths.vertices_m)]
        candidates = on_path if on_path.size else spots
        most = int(min(max(1.0, area_m2 // PARAMETERS["place_area_m2"].value), PARAMETERS["places_most"].value))
        found += [(kind, zone, int(spot)) for spot in _spread(ground, candidates, most)]
    return found


def _spread(ground: Ground, spots: Ints, most: int) -> list[int]:
    """Choose spots, each the one farthest from those before; the first is nearest to the middle of all."""
    at = ground.points_m[spots]
    if not len(at):
        return []
    apart_mm = np.rint(np.hypot(*(at - at.mean(axis=0)).T) * 1000)
    chosen = [int(np.argmin(apart_mm))]
    apart_mm = np.full(len(at), np.inf)
    while len(chosen) < min(most, len(at)):
        apart_mm = np.minimum(apart_mm, np.rint(np.hypot(*(at - at[chosen[-1]]).T) * 1000))
        chosen.append(int(np.argmax(apart_mm)))
    return [int(spots[i]) for i in chosen]


def _of_features(ground: Ground) -> list[Place]:
    """Places that the plan draws: rows of vendors, a playground."""
    site, found = ground.site, []
    for feature in site.feature_collection()["features"]:
        kind = FEATURE_KINDS.get(feature["properties"]["role"])
        if kind is not None:
            middle = np.mean(list(_positions(feature["geometry"]["coordinates"])), axis=0)
            at = np.array([site.frame.to_m(*middle.tolist())])
            spot = int(nearest(at, ground.points_m, reach_m=50.0, most=1)[0][0, 0])
            if spot >= 0:
                found.append((kind, int(ground.zone_of_point[spot]), spot))
    return found


def _positions(coordinates: Any) -> Iterator[tuple[float, float]]:
    """Yield every position of a GeoJSON geometry of any depth."""
    if isinstance(coordinates[0], int | float):
        yield float(coordinates[0]), float(coordinates[1])
    else:
        for part in coordinates:
            yield from _positions(part)


def _spots(ground: Ground, places: Sequence[Place]) -> tuple[Ints, Ints]:
    """Spots around each place that lie in its zone, itself first."""
    middles = np.array([spot for _, _, spot in places], dtype=np.int64)
    zones = np.array([zone for _, zone, _ in places], dtype=np.int64)
    reach_m = PARAMETERS["place_reach_m"].value
    around = nearest(ground.points_m[middles], ground.points_m, reach_m=reach_m, most=_SPOTS_MOST)[0].astype(np.int64)
    fits = (around >= 0) & (ground.zone_of_point[around] == zones[:, None])
    fits[:, 0] = True  # a point is nearest to itself
    order = np.argsort(~fits, axis=1, kind="stable")
    n_spots = fits.sum(axis=1)
    spots = np.take_along_axis(around, order, axis=1)
    return np.where(np.arange(spots.shape[1]) < n_spots[:, None], spots, spots[:, :1]), n_spots


def _entries(ground: Ground, quarter: Ints, served: Ints) -> list[tuple[str, int]]:
    """Ways into the quarters that have places: gates, terminal, ends of streets; else the loose ends of paths."""
    site = ground.site
    found = [("gate", v) for v in _vertices_at(ground, [site.frame.to_m(*gate.lonlat) for gate in site.gates])]
    on_path = ground.zone_of_point[: len(quarter)]
    for zone, character in enumerate(ground.zone_characters):
        if character in ("terminal", "street"):
            found += [(character, v) for v in _spread(ground, np.flatnonzero(on_path == zone), 3)[1:]]
    degree = np.bincount(ground.paths.edges.ravel(), minlength=len(quarter))
    has_entry = {int(quarter[v]) for _, v in found}
    for lonely in served.tolist():
        if lonely not in has_entry:
            vertices = np.flatnonzero(quarter == lonely)
            loose = vertices[degree[vertices] <= 1]
            found += [("gate", int(v)) for v in (loose if loose.size else vertices[:1])]
    return [(kind, v) for kind, v in found if quarter[v] in served]


def _vertices_at(ground: Ground, at: Sequence[tuple[float, float]]) -> list[int]:
    points = np.array(at, dtype=float).reshape(-1, 2)
    which = nearest(points, ground.paths.vertices_m, reach_m=50.0, most=1)[0][:, 0]
    return [int(v) for v in which if v >= 0]


def _nearest_vertex(ground: Ground, spots: Sequence[int]) -> Ints:
    vertices = ground.paths.vertices_m
    found = np.array(spots, dtype=np.int64)
    beside = np.flatnonzero(found >= len(vertices))
    reach_m = 50.0
    while beside.size:
        which = nearest(ground.points_m[found[beside]], vertices, reach_m=reach_m, most=1)[0][:, 0]
        found[beside[which >= 0]] = which[which >= 0]
        beside = beside[which < 0]
        reach_m *= 4
    return found


def _quarters(ground: Ground) -> Ints:
    """Quarter of each vertex: what hangs together, cut where it is wider than ``quarter_m``."""
    paths = ground.paths
    parts = _parts(len(paths.vertices_m), paths.edges)
    low = np.full((len(parts), 2), np.inf)
    high = np.full((len(parts), 2), -np.inf)
    np.minimum.at(low, parts, paths.vertices_m)
    np.maximum.at(high, parts, paths.vertices_m)
    wide = np.maximum(np.ceil((high - low) / PARAMETERS["quarter_m"].value), 1.0)  # cells of a part, east and north
    share = (paths.vertices_m - low[parts]) / np.maximum(high - low, 1.0)[parts]
    cells = np.minimum(np.floor(share * wide[parts]), wide[parts] - 1.0)
    a, b = paths.edges.T
    return _parts(len(parts), paths.edges[np.all(cells[a] == cells[b], axis=1)])


def _parts(n_vertices: int, edges: Ints) -> Ints:
    """Return the part of a graph that each vertex belongs to, numbered in order of their first vertices."""
    root = list(range(n_vertices))

    def find(v: int) -> int:
        while root[v] != v:
            root[v] = root[root[v]]
            v = root[v]
        return v

    for a, b in edges.tolist():
        low, high = sorted((find(a), find(b)))
        root[high] = low
    return np.unique([find(v) for v in range(n_vertices)], return_inverse=True)[1].astype(np.int64)


def _walks(
    ground: Ground, quarter: Ints, local: Ints, members: Sequence[Ints], anchors: Ints
) -> tuple[Ints, Ints, Ints]:
    """Shortest walks from each anchor to the vertices of its quarter: lengths [mm], vertices before, offsets."""
    ways: list[list[tuple[int, int]]] = [[] for _ in range(len(quarter))]
    numbers = local.tolist()
    for (a, b), length_mm in zip(ground.paths.edges.tolist(), ground.paths.lengths_mm.tolist(), strict=True):
        if quarter[a] == quarter[b]:
            ways[a].append((numbers[b], length_mm))
            ways[b].append((numbers[a], length_mm))
    ways_of = {q: [ways[v] for v in members[q].tolist()] for q in set(quarter[anchors].tolist())}
    walks = [
        _walk(ways_of[q], start) for q, start in zip(quarter[anchors].tolist(), local[anchors].tolist(), strict=True)
    ]
    offset = np.concatenate([[0], np.cumsum([len(mm) for mm, _ in walks])[:-1]]).astype(np.int64)
    lengths_mm = np.concatenate([np.array(mm, dtype=np.int64) for mm, _ in walks])
    return lengths_mm, np.concatenate([np.array(v, dtype=np.int64) for _, v in walks]), offset


def _walk(ways: Sequence[Sequence[tuple[int, int]]], start: int) -> tuple[list[int], list[int]]:
    """Dijkstra's shortest walks from a vertex: lengths [mm] and the vertex before each on its walk."""
    n = len(ways)
    lengths_mm, before = [_FAR] * n, [start] * n
    lengths_mm[start] = 0
    heap = [start]  # length and vertex in one number: a tuple takes twice the time
    while heap:
        so_far_mm, v = divmod(heapq.heappop(heap), n)
        if so_far_mm > lengths_mm[v]:
            continue
        for w, length_mm in ways[v]:
            longer_mm = so_far_mm + length_mm
            if longer_mm < lengths_mm[w]:
                lengths_mm[w] = longer_mm
                before[w] = v
                heapq.heappush(heap, longer_mm * n + w)
    return lengths_mm, before

"""The ground of a square: spots where something may be dropped, which zone each belongs to, and the bins near it.

Built once from a plan. All lengths that decide something are whole millimetres, so that the nearest bin is the same bin
on every processor.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from simulators.parameters import Parameter
from square.geometry import LonLat, signed_area
from square.site import Bin, Site, Zone

Metres = npt.NDArray[np.float64]

PARAMETERS: Mapping[str, Parameter] = {
    "path_spacing_m": Parameter(6, "m", "assumed: spots along a path are about this far apart"),
    "zone_spacing_m": Parameter(8, "m", "assumed: spots inside a zone stand on a grid this wide"),
    "walk_to_bin_m": Parameter(60, "m", "assumed: farther than this a visitor leaves it on the ground"),
    "near_bins": Parameter(12, "1", "assumed: a visitor looks at no more bins than this many before giving up"),
}

# Words in a zone's id or name that tell what kind of place it is; the first kind that matches counts, else "park".
CHARACTER_WORDS: Mapping[str, tuple[str, ...]] = {
    "forecourt": ("payung", "umbrella", "forecourt", "serambi"),
    "mosque": ("masjid", "mosque", "makam", "tomb"),
    "terminal": ("terminal", "bus"),
    "food": ("kuliner", "culinary", "pkl", "vendor", "food"),
    "street": ("jalan", "jl", "street"),
    "floor": ("tugu", "monument", "plaza"),
    "path": ("granit", "granite", "gerbang", "gate", "path"),
}
CHARACTERS = (*CHARACTER_WORDS, "park")
_NONE = -1
_WORD = re.compile(r"[^\W_]+")


def character_of(zone: Zone) -> str:
    """Return the kind of place of a zone (one of `CHARACTERS`), judged by the words of its id and names."""
    words = {word for text in (zone.id, zone.name_id, zone.name_en) for word in _WORD.findall(text.lower())}
    return next((kind for kind, known in CHARACTER_WORDS.items() if words.intersection(known)), "park")


@dataclass(frozen=True, eq=False)
class Ground:
    """Geometry that a crowd and its waste need; equal only to itself, so that more can be kept about it.

    Parameters
    ----------
    site
        The plan.
    points_m
        Spots (n_points, 2), metres east and north of the centre; the vertices of `paths` come first.
    zone_of_point
        Index into ``site.zones`` (n_points,): the zone it lies in, else the nearest.
    bins
        Bins with a volume, in file order.
    near
        Bins in reach of a spot (n_points, k): index into `bins`, nearest first, padded with -1.
    near_mm
        How far they are (n_points, k) [mm]; the padding is beyond any reach.
    zone_characters
        Kind of place of each zone, see `character_of`.
    zone_area_m2
        Area of each zone without its holes [m2].
    paths
        The walking paths, cut so finely that every vertex is a spot.
    """

    site: Site
    points_m: Metres
    zone_of_point: npt.NDArray[np.int64]
    bins: tuple[Bin, ...]
    near: npt.NDArray[np.int32]
    near_mm: npt.NDArray[np.int32]
    zone_characters: tuple[str, ...]
    zone_area_m2: Metres
    paths: "Paths" = field(repr=False)

    @classmethod
    def of(cls, site: Site) -> "Ground":
        """Build the ground of a plan."""
        paths = Paths.of(site)
        rings = [[_metres(site, ring) for ring in zone.rings] for zone in site.zones]
        inside = [_grid_inside(zone_rings, PARAMETERS["zone_spacing_m"].value) for zone_rings in rings]
        gates = _metres(site, [gate.lonlat for gate in site.gates])
        points = _to_mm(np.concatenate([paths.vertices_m, *inside, gates])) / 1000.0
        zones = _zones_of(points, rings)
        bins = tuple(b for b in site.bins if b.volume_l > 0)
        near, near_mm = nearest(
            points,
            _metres(site, [b.lonlat for b in bins]),
            reach_m=PARAMETERS["walk_to_bin_m"].value,
            most=int(PARAMETERS["near_bins"].value),
        )
        areas = [_area_m2(zone_rings) for zone_rings in rings]
        characters = tuple(character_of(zone) for zone in site.zones)
        return cls(site, points, zones, bins, near, near_mm, characters, np.array(areas), paths)


@dataclass(frozen=True)
class Paths:
    """The paths of a plan as arrays.

    Parameters
    ----------
    vertices_m
        Vertices (n, 2), metres east and north.
    edges
        Vertex, vertex (n_edges, 2).
    lengths_mm
        Length of each edge [mm].
    """

    vertices_m: Metres
    edges: npt.NDArray[np.int64]
    lengths_mm: npt.NDArray[np.int64]

    @classmethod
    def of(cls, site: Site) -> "Paths":
        """Cut the paths of a plan into pieces of about ``path_spacing_m``."""
        vertices = [site.frame.to_m(*node) for node in site.walking.nodes]
        edges: list[tuple[int, int]] = []
        for a, b, length_m in site.walking.edges:
            pieces = max(1, round(length_m / PARAMETERS["path_spacing_m"].value))
            between = range(len(vertices), len(vertices) + pieces - 1)
            (ax, ay), (bx, by) = vertices[a], vertices[b]
            vertices += [(ax + (bx - ax) * i / pieces, ay + (by - ay) * i / pieces) for i in range(1, pieces)]
            edges += pairwise([a, *between, b])
        ends = np.array(edges, dtype=np.int64).reshape(-1, 2)
        at = np.array(vertices, dtype=float).reshape(-1, 2)
        return cls(at, ends, np.maximum(1, _to_mm(np.hypot(*(at[ends[:, 0]] - at[ends[:, 1]]).T))))


def nearest(
    points: Metres, targets: Metres, *, reach_m: float, most: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Targets within reach of each point, nearest first.

    Parameters
    ----------
    points, targets
        (n_points, 2) and (n_targets, 2) [m].
    reach_m
        Farther targets are left out [m, > 0].
    most
        How many targets of a point are kept [>= 1].

    Returns
    -------
    tuple
        Index of the targets and how far they are [mm], both (n_points, k) with k <= `most`; a missing one is -1 and
        beyond any reach. Of two targets equally far (to 1 mm), the first in order comes first.
    """
    reach_mm = round(reach_m * 1000)
    which = np.full((len(points), most), _NONE, dtype=np.int32)
    far_mm = np.full((len(points), most), np.iinfo(np.int32).max, dtype=np.int32)
    for rows, candidates in _neighbourhoods(points, targets, reach_m):
        apart = points[rows][:, None, :] - targets[candidates][None, :, :]
        apart_mm = np.minimum(_to_mm(np.hypot(apart[..., 0], apart[..., 1])), np.iinfo(np.int32).max)
        order = np.argsort(apart_mm, axis=1, kind="stable")[:, :most]
        sorted_mm = np.take_along_axis(apart_mm, order, axis=1)
        fits = sorted_mm <= reach_mm
        which[rows, : order.shape[1]] = np.where(fits, candidates[order], _NONE)
        far_mm[rows, : order.shape[1]] = np.where(fits, sorted_mm, np.iinfo(np.int32).max)
    used = max(1, int((which != _NONE).sum(axis=1).max(initial=0)))
    return which[:, :used], far_mm[:, :used]


def _neighbourhoods(
    points: Metres, targets: Metres, width_m: float
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Yield the points of each square cell with the targets in it and in the eight around it, both in order."""
    by_cell = _by_cell(targets, width_m)
    nothing = np.empty(0, dtype=np.int64)
    for (column, row), rows in _by_cell(points, width_m).items():
        around = [by_cell.get((column + x, row + y), nothing) for x in (-1, 0, 1) for y in (-1, 0, 1)]
        candidates = np.sort(np.concatenate(around))
        if candidates.size:
            yield rows, candidates


def _by_cell(points: Metres, width_m: float) -> dict[tuple[int, int], npt.NDArray[np.int64]]:
    cells = np.floor(points / width_m).astype(np.int64)
    if not len(cells):
        return {}
    order = np.lexsort((cells[:, 1], cells[:, 0]))
    ordered = cells[order]
    starts = np.flatnonzero(np.any(np.diff(ordered, axis=0, prepend=ordered[:1] - 1), axis=1))
    groups = np.split(order, starts[1:])
    return {(int(c), int(r)): np.sort(group) for (c, r), group in zip(ordered[starts], groups, strict=True)}


def _zones_of(points: Metres, rings: Sequence[Sequence[Metres]]) -> npt.NDArray[np.int64]:
    """Index of the first zone that contains each point, else of the zone of the nearest point that has one."""
    zones = np.full(len(points), _NONE, dtype=np.int64)
    eastward = np.argsort(points[:, 0], kind="stable")
    easts_m = points[eastward, 0]
    for index, zone_rings in enumerate(rings):
        low, high = zone_rings[0].min(axis=0), zone_rings[0].max(axis=0)
        between = eastward[np.searchsorted(easts_m, low[0]) : np.searchsorted(easts_m, high[0], side="right")]
        rows = between[zones[between] == _NONE]
        zones[rows[_inside(zone_rings, points[rows])]] = index
    lost = np.flatnonzero(zones == _NONE)
    homes = np.flatnonzero(zones != _NONE)
    reach_m = 4 * PARAMETERS["zone_spacing_m"].value
    while lost.size and homes.size:
        found = nearest(points[lost], points[homes], reach_m=reach_m, most=1)[0][:, 0]
        zones[lost[found != _NONE]] = zones[homes[found[found != _NONE]]]
        lost = lost[found == _NONE]
        reach_m *= 4
    return np.maximum(zones, 0)


def _grid_inside(rings: Sequence[Metres], spacing_m: float) -> Metres:
    """Points of a grid that lie in a polygon; its own middle when it is too small for the grid."""
    low, high = rings[0].min(axis=0), rings[0].max(axis=0)
    axes = [np.arange(a + min(spacing_m, b - a) / 2, b, spacing_m) for a, b in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    inside = grid[_inside(rings, grid)]
    return inside if len(inside) else rings[0][:-1].mean(axis=0, keepdims=True)


def _inside(rings: Sequence[Metres], points: Metres) -> npt.NDArray[np.bool_]:
    """Whether each point lies in a polygon, by the even-odd rule (holes are outside)."""
    x, y = points[:, 0], points[:, 1]
    inside = np.zeros(len(points), dtype=bool)
    for ring in rings:
        for (x1, y1), (x2, y2) in pairwise(ring.tolist()):
            if y1 != y2:
                inside ^= ((y1 > y) != (y2 > y)) & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def _area_m2(rings: Sequence[Metres]) -> float:
    """Area of a polygon: its outer ring without the holes."""
    outer, *holes = (abs(signed_area([(x, y) for x, y in ring.tolist()])) for ring in rings)
    return outer - sum(holes)


def _metres(site: Site, points: Sequence[LonLat]) -> Metres:
    return np.array([site.frame.to_m(*p) for p in points], dtype=float).reshape(-1, 2)


def _to_mm(metres: Metres) -> npt.NDArray[np.int64]:
    return np.rint(metres * 1000.0).astype(np.int64)

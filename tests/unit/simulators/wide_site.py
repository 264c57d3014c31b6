"""Squares for tests of the simulator: the shipped one, and copies of it side by side."""

from dataclasses import replace
from functools import cache

from square.geometry import LonLat
from square.site import Site, load_site
from square.walking import WalkingGraph

STEP_EAST_M = 400.0
"""The shipped square is narrower than this: copies do not touch."""


@cache
def shipped() -> Site:
    """Return the square that ships with Resik."""
    return load_site("alun-alun-pasuruan")


def copies(number: int) -> Site:
    """Return a site of so many shipped squares in a row, ids numbered, paths not joined."""
    site = shipped()
    shifts = [i * STEP_EAST_M / site.frame.m_per_deg_lon for i in range(number)]

    def moved(points: tuple[LonLat, ...], by: float) -> tuple[LonLat, ...]:
        return tuple((lon + by, lat) for lon, lat in points)

    lines = [
        moved((site.walking.nodes[a], site.walking.nodes[b]), by) for by in shifts for a, b, _ in site.walking.edges
    ]
    return replace(
        site,
        zones=tuple(
            replace(z, id=f"{z.id}-{i}", rings=tuple(moved(ring, by) for ring in z.rings))
            for i, by in enumerate(shifts)
            for z in site.zones
        ),
        bins=tuple(
            replace(b, id=f"{b.id}-{i}", zone=f"{b.zone}-{i}", lon=b.lon + by)
            for i, by in enumerate(shifts)
            for b in site.bins
        ),
        gates=tuple(replace(g, id=f"{g.id}-{i}", lon=g.lon + by) for i, by in enumerate(shifts) for g in site.gates),
        walking=WalkingGraph(lines, site.frame),
    )

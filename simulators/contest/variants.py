"""The same square with other crews or bins, and many squares side by side: what a sweep and a speed test compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from square.geometry import LonLat
from square.site import Crew, Site
from square.walking import WalkingGraph

TWIN_EAST_M: Final = 1.5
"""A bin that is added stands so far beside its twin [m]."""
STEP_M: Final = 450.0
"""Squares side by side are so far apart [m]; the shipped one is narrower."""


def with_crews(site: Site, number: int) -> Site:
    """Return the site with so many crews in all, spread over its shifts; odd ones go to the latest shift first.

    The first crews of each shift are those of the plan, so that a crew keeps its name and its temper.

    Raises
    ------
    ValueError
        Less than no crew.
    """
    if number < 0:
        raise ValueError("a square cannot have less than no crew")
    shifts = list(reversed(site.shifts))  # the evening is the busiest
    share = {shift.id: number // len(shifts) + (n < number % len(shifts)) for n, shift in enumerate(shifts)}
    crews: list[Crew] = []
    for shift in site.shifts:
        there = [crew for crew in site.crews if crew.shift == shift.id]
        extra = (Crew(f"{shift.id}-plus-{n}", f"+{n}", shift.id) for n in range(1, share[shift.id] + 1))
        crews += [*there, *extra][: share[shift.id]]
    return replace(site, crews=tuple(crews))


def with_bins(site: Site, number: int, by_use: Sequence[str]) -> Site:
    """Return the site with so many bins: the least used are taken away, or the most used get a twin beside them.

    Parameters
    ----------
    site
        The plan.
    number
        Bins [>= 1].
    by_use
        Bin ids, the most used first; all bins with a volume.

    Raises
    ------
    ValueError
        No bin would be left.
    """
    if number < 1:
        raise ValueError("a square needs at least one bin")
    kept = set(by_use[:number])
    bins = [one for one in site.bins if one.id in kept or one.volume_l <= 0]
    devices = [one for one in site.devices if one.kind != "bin" or one.asset is None or one.asset in kept]
    device_of = {one.asset: one for one in site.devices if one.status == "active" and one.asset is not None}
    step = TWIN_EAST_M / site.frame.m_per_deg_lon
    for n in range(number - len(by_use)):
        twin, again = by_use[n % len(by_use)], n // len(by_use) + 1
        bin_ = site.bin(twin)
        name = f"{twin}-plus-{again}"
        bins.append(replace(bin_, id=name, lon=bin_.lon + step * again))
        if twin in device_of:
            device = device_of[twin]
            devices.append(replace(device, id=f"{device.id}-plus-{again}", asset=name))
    return replace(site, bins=tuple(bins), devices=tuple(devices))


@dataclass(frozen=True)
class Wide:
    """Squares side by side: one site, the post of each crew, and where carts are unloaded."""

    site: Site
    homes: Mapping[str, LonLat]
    unload_places: tuple[LonLat, ...]


def side_by_side(site: Site, number: int) -> Wide:
    """Return copies of a square in rows and columns; ids carry the number of the copy, paths are not joined."""
    columns = max(1, round(number**0.5))
    frame = site.frame
    moves = [
        ((n % columns) * STEP_M / frame.m_per_deg_lon, (n // columns) * STEP_M / frame.m_per_deg_lat)
        for n in range(number)
    ]

    def moved(points: Sequence[LonLat], by: LonLat) -> tuple[LonLat, ...]:
        return tuple((lon + by[0], lat + by[1]) for lon, lat in points)

    ends = [(site.walking.nodes[a], site.walking.nodes[b]) for a, b, _ in site.walking.edges]
    copies = list(enumerate(moves))
    crews = tuple(replace(crew, id=f"{crew.id}-{n}") for n, _ in copies for crew in site.crews)
    depot, tps = site.depot.lonlat, site.tps.lonlat
    wide = replace(
        site,
        zones=tuple(
            replace(zone, id=f"{zone.id}-{n}", rings=tuple(moved(ring, by) for ring in zone.rings))
            for n, by in copies
            for zone in site.zones
        ),
        bins=tuple(
            replace(one, id=f"{one.id}-{n}", zone=f"{one.zone}-{n}", lon=one.lon + by[0], lat=one.lat + by[1])
            for n, by in copies
            for one in site.bins
        ),
        gates=tuple(
            replace(gate, id=f"{gate.id}-{n}", lon=gate.lon + by[0], lat=gate.lat + by[1])
            for n, by in copies
            for gate in site.gates
        ),
        air_stations=(),
        devices=tuple(
            replace(device, id=f"{device.id}-{n}", asset=f"{device.asset}-{n}")
            for n, _ in copies
            for device in site.devices
            if device.kind == "bin" and device.asset is not None
        ),
        crews=crews,
        walking=WalkingGraph((moved(line, by) for by in moves for line in ends), frame),
    )
    homes = {f"{crew.id}-{n}": moved((depot,), by)[0] for n, by in copies for crew in site.crews}
    return Wide(wide, homes, tuple(moved((tps,), by)[0] for by in moves))

"""A site for a fleet of real nodes: bins on a grid around the middle of the square, air stations among them."""

import json
import math
from pathlib import Path

from simulators.replay_map import SiteMap
from simulators.replay_site import CREW, feature, position, site_toml
from square.geometry import Frame
from square.plan_source import CREWS_FILE, DEVICES_FILE, PLAN_FILE, SITE_FILE

ORIGIN = (112.9067, -7.6414)
"""Longitude and latitude of the tugu of the shipped site [degrees]."""
SPACING_M = 8.0
MARGIN_M = 60.0
AIR_SHARE = 10
"""One air station for so many bins."""
_SOURCE = "made for a fleet of nodes"
_BIN = {"volume_l": 240, "waste_kind": "mixed", "empty_mm": 1000, "full_mm": 280}


def build_fleet_site(folder: Path, nodes: int, *, kinds: tuple[str, ...] = ("bin", "air"), interval_s: int) -> Path:
    """Write a site folder with `nodes` devices and return it.

    Parameters
    ----------
    folder
        Where to write; made when missing.
    nodes
        How many devices, each with an asset of its own.
    kinds
        ``bin``, ``air`` or both; with both every eleventh is an air station.
    interval_s
        Report interval [s].
    """
    folder.mkdir(parents=True, exist_ok=True)
    frame = Frame(*ORIGIN)
    columns = math.ceil(math.sqrt(nodes))
    half_m = columns * SPACING_M / 2
    reach_m = half_m + MARGIN_M
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]
    box = [[position(frame.to_lonlat(east * reach_m, north * reach_m)) for east, north in corners]]
    depot = position(frame.to_lonlat(0.0, -half_m - MARGIN_M / 2))
    names = ("Lapangan", "Square")
    features = [
        feature("zone", "zona-lapangan", names, shape="Polygon", coordinates=box, source=_SOURCE),
        feature("depot", "depot", ("Titik awal", "Start"), shape="Point", coordinates=depot, source=_SOURCE),
    ]
    devices = []
    for number in range(nodes):
        kind = _kind(number, kinds)
        east_m = (number % columns - (columns - 1) / 2) * SPACING_M
        north_m = (number // columns - (columns - 1) / 2) * SPACING_M
        place = position(frame.to_lonlat(east_m, north_m))
        asset = f"{kind}-{number + 1:04d}"
        device = f"rsk-{kind[0]}{number + 1:04d}"
        label = (
            (f"Tong {number + 1}", f"Bin {number + 1}")
            if kind == "bin"
            else (f"Udara {number + 1}", f"Air {number + 1}")
        )
        entry = feature(kind, asset, label, shape="Point", coordinates=place, source=_SOURCE)
        if kind == "bin":
            entry["properties"] |= _BIN
        path = feature(
            "path",
            f"jalur-{number + 1:04d}",
            (f"Jalur {number + 1}", f"Path {number + 1}"),
            shape="LineString",
            coordinates=[depot, place],
            source=_SOURCE,
        )
        features += [entry, path]
        devices.append(
            f'[[device]]\nid = "{device}"\nkind = "{kind}"\nasset = "{asset}"\nmodel = "resik-node"\n'
            f'interval_s = {interval_s}\nstatus = "active"\n'
        )
    site = SiteMap(
        id="alun-alun-armada",
        name_id="Alun-alun armada",
        name_en="Square of the fleet",
        timezone="Asia/Jakarta",
        source=_SOURCE,
        interval_s=interval_s,
    )
    (folder / SITE_FILE).write_text(site_toml(site, *ORIGIN, reach_m * 2), encoding="utf-8")
    plan = {"type": "FeatureCollection", "features": features}
    (folder / PLAN_FILE).write_text(json.dumps(plan, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / CREWS_FILE).write_text(CREW, encoding="utf-8")
    (folder / DEVICES_FILE).write_text("\n".join(devices), encoding="utf-8")
    return folder


def _kind(number: int, kinds: tuple[str, ...]) -> str:
    if len(kinds) == 1:
        return kinds[0]
    return "air" if number % (AIR_SHARE + 1) == AIR_SHARE else "bin"

"""A site folder for a replay: made from the places in the data, or an existing one with other devices."""

import json
import shutil
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulators.errors import MapError
from simulators.replay_map import MapDocument, SiteMap
from simulators.replay_rows import Asset, Recording
from square.errors import SiteError
from square.geometry import Frame
from square.plan_source import CREWS_FILE, DEVICES_FILE, PLAN_FILE, SITE_FILE
from square.site import load_site, resolve_site, shipped_site

_MARGIN_M = 200.0
_RADIUS_MAX_M = 20_000.0  # the site format's own limit
_RULES_FROM = "alun-alun-pasuruan"


def build_replay_site(doc: MapDocument, recording: Recording, folder: Path) -> Path:
    """Write the site folder of a replay.

    Parameters
    ----------
    doc
        A checked map.
    recording
        What was read with it.
    folder
        Where to write; made when missing, files in it are replaced.

    Returns
    -------
    Path
        The folder, checked: `square.site.load_site` loads it.

    Raises
    ------
    MapError
        The map has no place for a device, places are too far apart, or an asset is not known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if doc.map.site.folder is not None:
        _copy(doc, recording, folder)
    else:
        _make(doc, recording, folder)
    try:
        load_site(folder)
    except SiteError as error:
        remedy = "Correct [site] of the map, or name an existing site folder."
        raise MapError(doc.path, None, "site", f"the site is not sound: {error}", remedy) from error
    return folder


# -- an existing site ---------------------------------------------------------------------------


def _copy(doc: MapDocument, recording: Recording, folder: Path) -> None:
    site_map = doc.map.site
    assert site_map.folder is not None
    near_map = doc.path.parent / site_map.folder
    source = near_map if near_map.is_dir() else resolve_site(site_map.folder)
    try:
        site = load_site(source)
    except SiteError as error:
        doc.fail("site.folder", f"cannot be used: {error}", "Name a sound site folder or a shipped site.")
    for name in (SITE_FILE, PLAN_FILE, CREWS_FILE, DEVICES_FILE):
        shutil.copyfile(source / name, folder / name)
    if site_map.assets:
        unknown = sorted(set(site_map.assets.values()) - set(site.assets))
        if unknown:
            doc.fail("site.assets", f'"{unknown[0]}" is no bin or air station of {source}', "Use an id of its plan.")
        missing = sorted(set(recording.devices) - set(site_map.assets))
        if missing:
            doc.fail("site.assets", f'the device "{missing[0]}" has no asset', f'Add {missing[0]} = "<asset id>".')
        _write_devices(folder, {d: site_map.assets[d] for d in recording.devices}, doc.map.kind, site_map.interval_s)
        return
    known = {d.id for d in site.devices if d.status == "active"}
    if strangers := sorted(set(recording.devices) - known):
        what = f'the device "{strangers[0]}" is not in {source / DEVICES_FILE}'
        doc.fail("site.folder", what, "Add [site.assets] with an asset for each device.")


# -- a site from the data -----------------------------------------------------------------------


def _make(doc: MapDocument, recording: Recording, folder: Path) -> None:
    site_map = doc.map.site
    assets = _assets(doc, recording)
    lon, lat = (_middle(getattr(a, key) for a in assets) for key in ("lon", "lat"))
    frame = Frame(lon, lat)
    reach_m = max(frame.distance_m((lon, lat), (a.lon, a.lat)) for a in assets)
    if reach_m + 2 * _MARGIN_M > _RADIUS_MAX_M:
        far = max(assets, key=lambda a: frame.distance_m((lon, lat), (a.lon, a.lat)))
        what = f"{far.device} lies {reach_m / 1000:.0f} km from the middle of all devices"
        doc.fail("site", what, f"A site reaches {_RADIUS_MAX_M / 1000:.0f} km: replay one town at a time.")
    ids = {a.device: _asset_id(a.device, doc.map.kind) for a in assets}
    (folder / SITE_FILE).write_text(site_toml(site_map, lon, lat, reach_m + 2 * _MARGIN_M), encoding="utf-8")
    plan = {"type": "FeatureCollection", "features": _features(doc, assets, ids, frame)}
    (folder / PLAN_FILE).write_text(json.dumps(plan, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / CREWS_FILE).write_text(CREW, encoding="utf-8")
    _write_devices(folder, ids, doc.map.kind, site_map.interval_s)


def _assets(doc: MapDocument, recording: Recording) -> list[Asset]:
    places = {p.device: Asset(p.device, p.lon, p.lat, p.name or p.device) for p in doc.map.site.place}
    known = places or recording.assets
    for device in recording.devices:
        if device not in known:
            what, remedy = f'the device "{device}" has no place', f'Add [[site.place]] with device = "{device}".'
            doc.fail("site.place", what, remedy)
    return [known[device] for device in recording.devices]


def _middle(values: Iterable[float]) -> float:
    found = list(values)
    return round((min(found) + max(found)) / 2, 7)


def _asset_id(device: str, kind: str) -> str:
    """Return the id of the asset under a device: another name than the device's, as on a real site."""
    return f"{kind}-{device}"[:32].rstrip("-")


def _features(doc: MapDocument, assets: Sequence[Asset], ids: Mapping[str, str], frame: Frame) -> list[dict[str, Any]]:
    site_map = doc.map.site
    source = site_map.source
    depot = frame.to_lonlat(0.0, -_MARGIN_M / 2)
    points = [frame.to_m(a.lon, a.lat) for a in assets]
    west, east = min(p[0] for p in points) - _MARGIN_M, max(p[0] for p in points) + _MARGIN_M
    south, north = min(p[1] for p in points) - _MARGIN_M, max(p[1] for p in points) + _MARGIN_M
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    area = [[position(frame.to_lonlat(*c)) for c in corners]]
    boxed = "made for the replay: a box around all devices"
    bare = "made for the replay: the data has no crews and no paths"
    start = position(depot)
    features = [
        feature(
            "zone", "zona-data", (site_map.name_id, site_map.name_en), shape="Polygon", coordinates=area, source=boxed
        ),
        feature("depot", "depot", ("Titik awal", "Start"), shape="Point", coordinates=start, source=bare),
    ]
    for i, asset in enumerate(assets, start=1):
        line = [start, position((asset.lon, asset.lat))]
        names = (f"Jalur {i}", f"Path {i}")
        features.append(feature("path", f"jalur-{i:04d}", names, shape="LineString", coordinates=line, source=bare))
    for asset in assets:
        point = position((asset.lon, asset.lat))
        entry = feature(
            doc.map.kind,
            ids[asset.device],
            (asset.name, asset.name),
            shape="Point",
            coordinates=point,
            source=source,
        )
        if doc.map.kind == "bin":
            b = site_map.bin
            entry["properties"] |= {
                "volume_l": b.volume_l,
                "waste_kind": b.waste_kind,
                "empty_mm": b.empty_mm,
                "full_mm": b.full_mm,
                "source": f"{source}; volume and geometry {b.source}",
            }
        features.append(entry)
    return features


def position(lonlat: tuple[float, float]) -> list[float]:
    """Return a position as plans have it: 7 decimals, 1 cm."""
    return [round(lonlat[0], 7), round(lonlat[1], 7)]


def feature(
    role: str, feature_id: str, names: tuple[str | None, str | None], *, shape: str, coordinates: Any, source: str
) -> dict[str, Any]:
    """Return a feature of a plan with the properties that all have; 50 m accurate, as nothing was surveyed."""
    return {
        "type": "Feature",
        "properties": {
            "role": role,
            "id": feature_id,
            "name_id": names[0],
            "name_en": names[1],
            "accuracy_m": 50,
            "source": source,
        },
        "geometry": {"type": shape, "coordinates": coordinates},
    }


def site_toml(site: SiteMap, lon: float, lat: float, radius_m: float) -> str:
    """Return a site file with the rules of the shipped site, its own on top, and one shift all day."""
    rules = tomllib.loads((shipped_site(_RULES_FROM) / SITE_FILE).read_text(encoding="utf-8"))["rules"]
    rules |= {
        name: int(value) if isinstance(rules.get(name), int) and value == int(value) else value
        for name, value in site.rules.items()
    }
    return "\n".join(
        [
            "# Made by a program; written anew each time.",
            "schema = 1",
            f"id = {_text(site.id)}",
            f"name_id = {_text(site.name_id)}",
            f"name_en = {_text(site.name_en)}",
            f"timezone = {_text(site.timezone)}",
            f"source = {_text(site.source)}",
            "",
            "[frame]",
            f"origin_lon = {lon}",
            f"origin_lat = {lat}",
            f"radius_m = {max(500, round(radius_m))}",
            "",
            "[reporting]",
            f"bin_interval_s = {site.interval_s}",
            f"air_interval_s = {site.interval_s}",
            "",
            "[rules]",
            *(f"{name} = {value}" for name, value in rules.items()),
            "",
            "[[shift]]",
            'id = "harian"',
            'name_id = "Harian"',
            'name_en = "All day"',
            'start = "00:00"',
            'end = "24:00"',
            "",
        ]
    )


CREW = """\
# Made by a program: one crew at all hours, so that tasks have somebody to go to.

[[crew]]
id = "ulang-1"
name = "Ulang"
shift = "harian"
source = "made with the site"
"""
"""A crews file that fits `site_toml`."""


def _write_devices(folder: Path, assets: Mapping[str, str], kind: str, interval_s: int) -> None:
    entries = [
        f'[[device]]\nid = "{device}"\nkind = "{kind}"\nasset = "{asset}"\nmodel = "replay"\n'
        f'interval_s = {interval_s}\nstatus = "active"\n'
        for device, asset in assets.items()
    ]
    (folder / DEVICES_FILE).write_text("# Made for a replay.\n\n" + "\n".join(entries), encoding="utf-8")


def _text(value: str | None) -> str:
    """Return a TOML basic string; its escapes are those of JSON."""
    return json.dumps(value or "", ensure_ascii=False)

"""The plan of one square: zones, bins, air stations, paths, shifts, crews, devices and rules.

A site is ONE folder of four text files (docs/site-plan.md). The folder is the truth: a surveyed one replaces
the shipped one without touching code, and history stays as long as the asset ids stay.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from square.calendar import ServiceHours, Shift, ShiftPlan
from square.errors import SiteError
from square.geometry import Frame, LonLat
from square.plan_check import CheckedSite, read_site
from square.plan_features import Feature
from square.plan_schema import RULES_FIELDS, SITE_FIELDS
from square.plan_source import CREWS_FILE, DEVICES_FILE, PLAN_FILE, SITE_FILE
from square.walking import WalkingGraph


@dataclass(frozen=True, slots=True)
class Place:
    """A named point of the plan: depot, transfer point, gate.

    Parameters
    ----------
    id
        Stable id.
    role
        Role in the plan.
    name_id, name_en
        Name in Indonesian and in English.
    lon, lat
        Position [degrees, WGS 84].
    """

    id: str
    role: str
    name_id: str
    name_en: str
    lon: float
    lat: float

    @property
    def lonlat(self) -> LonLat:
        """Longitude, latitude [degrees]."""
        return self.lon, self.lat


@dataclass(frozen=True, slots=True)
class Bin:
    """A waste bin.

    Parameters
    ----------
    id
        Asset id.
    name_id, name_en
        Name in Indonesian and in English.
    lon, lat
        Position [degrees, WGS 84].
    zone
        Id of the zone it lies in.
    volume_l
        Volume up to the rim [l].
    waste_kind
        ``organic``, ``inorganic``, ``residual`` or ``mixed``.
    empty_mm, full_mm
        Distance from sensor to floor, and to the waste when full [mm]; ``empty_mm`` > ``full_mm``.
    hours
        When it may be emptied.
    """

    id: str
    name_id: str
    name_en: str
    lon: float
    lat: float
    zone: str
    volume_l: float
    waste_kind: str
    empty_mm: int
    full_mm: int
    hours: ServiceHours

    @property
    def lonlat(self) -> LonLat:
        """Longitude, latitude [degrees]."""
        return self.lon, self.lat


@dataclass(frozen=True, slots=True)
class AirStation:
    """An air quality station; fields as in `Bin`, ``height_m`` above ground [m] when known."""

    id: str
    name_id: str
    name_en: str
    lon: float
    lat: float
    zone: str
    height_m: float | None

    @property
    def lonlat(self) -> LonLat:
        """Longitude, latitude [degrees]."""
        return self.lon, self.lat


@dataclass(frozen=True, slots=True)
class Zone:
    """An area with its own cleanliness score.

    Parameters
    ----------
    id
        Stable id.
    name_id, name_en
        Name in Indonesian and in English.
    rings
        Outer ring, then holes; closed, longitude and latitude [degrees].
    hours
        When crews may work there; bins without hours of their own follow it.
    """

    id: str
    name_id: str
    name_en: str
    rings: tuple[tuple[LonLat, ...], ...]
    hours: ServiceHours


@dataclass(frozen=True, slots=True)
class Crew:
    """A crew: one officer with a cart.

    Parameters
    ----------
    id
        Stable id.
    name
        Name shown to the office.
    shift
        Id of its shift.
    """

    id: str
    name: str
    shift: str


@dataclass(frozen=True, slots=True)
class Device:
    """A device as devices.toml lists it.

    Parameters
    ----------
    id
        Device id: MQTT user name and topic level.
    kind
        ``bin`` or ``air``.
    asset
        Id of the bin or air station it sits on; None for a spare.
    model
        Make and model.
    interval_s
        Report interval [s].
    status
        ``active``, ``repair``, ``spare`` or ``retired``.
    foreign
        Identity that another maker gave it; None for a node of ours.
    codec
        How the payload of another maker is read; a name of :data:`square.makes.CODEC_KINDS`.
    """

    id: str
    kind: str
    asset: str | None
    model: str
    interval_s: int
    status: str
    foreign: str | None = None
    codec: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """Thresholds of the square; meaning, unit and range of each in `square.plan_schema.RULES_FIELDS`."""

    half_pct: float
    filling_pct: float
    full_pct: float
    overflow_pct: float
    full_clear_pct: float
    emptied_drop_pct: float
    soon_full_h: float
    silent_factor: float
    bad_air_pm25_ugm3: float
    bad_air_clear_pm25_ugm3: float
    verify_within_s: int
    walk_speed_mps: float
    empty_bin_s: int
    cart_volume_l: float

    def level_of(self, fill_pct: float | None) -> str:
        """Level of a bin: ``empty``, ``half``, ``filling``, ``full``, ``overflow``; ``unknown`` for None."""
        if fill_pct is None:
            return "unknown"
        if fill_pct >= self.overflow_pct:
            return "overflow"
        if fill_pct >= self.full_pct:
            return "full"
        if fill_pct >= self.filling_pct:
            return "filling"
        return "half" if fill_pct >= self.half_pct else "empty"


@dataclass(frozen=True)
class Site:
    """One square as its folder describes it.

    Parameters
    ----------
    id
        Site id: second level of every MQTT topic.
    name_id, name_en
        Name in Indonesian and in English.
    timezone
        IANA name.
    adm4
        Kemendagri code of the kelurahan; None abroad.
    frame
        Local metres around the centre.
    bin_interval_s, air_interval_s
        Default report intervals [s].
    rules
        Thresholds.
    shift_plan
        Shifts and who is on duty when.
    crews, zones, bins, air_stations, gates, devices
        In file order.
    depot, tps
        Where crews start; where carts are unloaded (the depot when the plan has none).
    walking
        Paths as a graph.
    """

    id: str
    name_id: str
    name_en: str
    timezone: str
    adm4: str | None
    frame: Frame
    bin_interval_s: int
    air_interval_s: int
    rules: Rules
    shift_plan: ShiftPlan
    crews: tuple[Crew, ...]
    zones: tuple[Zone, ...]
    bins: tuple[Bin, ...]
    air_stations: tuple[AirStation, ...]
    gates: tuple[Place, ...]
    depot: Place
    tps: Place
    devices: tuple[Device, ...]
    walking: WalkingGraph = field(compare=False, repr=False)
    _plan: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def zone_info(self) -> ZoneInfo:
        """Time zone of the square."""
        return self.shift_plan.zone

    @property
    def shifts(self) -> tuple[Shift, ...]:
        """Shifts in order of their start."""
        return self.shift_plan.shifts

    @property
    def centre(self) -> LonLat:
        """Longitude, latitude [degrees] of the origin of the frame."""
        return self.frame.origin_lon, self.frame.origin_lat

    @cached_property
    def assets(self) -> Mapping[str, Bin | AirStation]:
        """Bins and air stations by asset id."""
        return {**{b.id: b for b in self.bins}, **{a.id: a for a in self.air_stations}}

    def bin(self, asset_id: str) -> Bin:
        """Look up the bin with this id.

        Raises
        ------
        KeyError
            If no bin has it.
        """
        asset = self.assets[asset_id]
        if not isinstance(asset, Bin):
            raise KeyError(asset_id)
        return asset

    def crews_on_shift(self, now_s: float) -> tuple[Crew, ...]:
        """Crews on duty at an instant [unix seconds]."""
        on_duty = {shift.id for shift in self.shift_plan.on_shift(now_s)}
        return tuple(crew for crew in self.crews if crew.shift in on_duty)

    def feature_collection(self) -> dict[str, Any]:
        """Plan as GeoJSON for drawing: every feature as in the file, bins and stations with their ``zone``.

        Returns
        -------
        dict
            A fresh copy; the caller may change it.
        """
        features = copy.deepcopy(self._plan["features"])
        for feature in features:
            asset = self.assets.get(feature["properties"]["id"])
            if asset is not None:
                feature["properties"]["zone"] = asset.zone
        return {"type": "FeatureCollection", "features": features}


def load_site(folder: Path | str) -> Site:
    """Load a site folder.

    Parameters
    ----------
    folder
        Path of the folder, or the name of a site that ships with Resik ("alun-alun-pasuruan").

    Returns
    -------
    Site
        The checked plan.

    Raises
    ------
    SiteError
        If the folder has an error: the first one, with file, line and remedy. `square.plan_check.check_site`
        lists all of them.
    """
    path = resolve_site(folder)
    checked = read_site(path)
    if errors := checked.errors:
        first = errors[0]
        more = f" {len(errors) - 1} more: run resik site check {path}." if len(errors) > 1 else ""
        raise SiteError(path / first.file, first.line, first.what, first.remedy + more)
    return _build(checked)


def resolve_site(folder: Path | str) -> Path:
    """Folder of a site given by path or by the name of a shipped site; a path that exists comes first.

    Raises
    ------
    SiteError
        If it is neither.
    """
    path = Path(folder)
    return path if path.exists() else shipped_site(str(folder))


def shipped_sites() -> tuple[str, ...]:
    """Names of the sites that ship with Resik."""
    return tuple(
        sorted(entry.name for entry in resources.files("square").joinpath("sites").iterdir() if entry.is_dir())
    )


def shipped_site(name: str) -> Path:
    """Folder of a shipped site.

    Raises
    ------
    SiteError
        If no site of this name ships.
    """
    names = shipped_sites()
    if name not in names:
        remedy = f"Name an existing folder, or one of: {', '.join(names)}."
        raise SiteError(Path(name), None, "there is no such folder, and no site of this name ships with Resik", remedy)
    return Path(str(resources.files("square").joinpath("sites", name)))


def _build(checked: CheckedSite) -> Site:
    """Turn a folder without errors into a site."""
    data = checked.documents[SITE_FILE].data
    top = {f.name: data.get(f.name, f.default) for f in SITE_FIELDS}
    frame = Frame(float(data["frame"]["origin_lon"]), float(data["frame"]["origin_lat"]))
    by_role: dict[str, list[Feature]] = {}
    for feature in checked.plan.sound:
        by_role.setdefault(feature.role, []).append(feature)
    zones = tuple(_zone(f) for f in by_role.get("zone", ()))
    zone_by_id = {zone.id: zone for zone in zones}
    depot = _place(by_role["depot"][0])
    reporting = data["reporting"]
    interval_s = {"bin": reporting["bin_interval_s"], "air": reporting["air_interval_s"]}
    return Site(
        id=top["id"],
        name_id=top["name_id"],
        name_en=top["name_en"],
        timezone=top["timezone"],
        adm4=top["adm4"],
        frame=frame,
        bin_interval_s=interval_s["bin"],
        air_interval_s=interval_s["air"],
        rules=Rules(**{f.name: data["rules"][f.name] for f in RULES_FIELDS}),
        shift_plan=ShiftPlan(tuple(checked.shifts), ZoneInfo(top["timezone"]), top["handover_min"]),
        crews=tuple(Crew(t["id"], t["name"], t["shift"]) for t in checked.documents[CREWS_FILE].data["crew"]),
        zones=zones,
        bins=tuple(_bin(f, zone_by_id[checked.zone_of[f.id]]) for f in by_role.get("bin", ())),
        air_stations=tuple(_air_station(f, checked.zone_of[f.id]) for f in by_role.get("air", ())),
        gates=tuple(_place(f) for f in by_role.get("gate", ())),
        depot=depot,
        tps=_place(by_role["tps"][0]) if "tps" in by_role else depot,
        devices=tuple(_device(t, interval_s) for t in checked.documents[DEVICES_FILE].data["device"]),
        walking=WalkingGraph((f.line for f in by_role["path"]), frame),
        _plan=checked.documents[PLAN_FILE].data,
    )


def _place(feature: Feature) -> Place:
    p = feature.properties
    return Place(p["id"], p["role"], p["name_id"], p["name_en"], *feature.point)


def _zone(feature: Feature) -> Zone:
    p = feature.properties
    return Zone(p["id"], p["name_id"], p["name_en"], feature.rings, feature.hours(ServiceHours()))


def _bin(feature: Feature, zone: Zone) -> Bin:
    p = feature.properties
    lon, lat = feature.point
    return Bin(
        id=p["id"],
        name_id=p["name_id"],
        name_en=p["name_en"],
        lon=lon,
        lat=lat,
        zone=zone.id,
        volume_l=float(p["volume_l"]),
        waste_kind=p["waste_kind"],
        empty_mm=p["empty_mm"],
        full_mm=p["full_mm"],
        hours=feature.hours(zone.hours),
    )


def _air_station(feature: Feature, zone: str) -> AirStation:
    p = feature.properties
    return AirStation(p["id"], p["name_id"], p["name_en"], *feature.point, zone=zone, height_m=p.get("height_m"))


def _device(table: Mapping[str, Any], interval_s: Mapping[str, int]) -> Device:
    kind = table["kind"]
    return Device(
        id=table["id"],
        kind=kind,
        asset=table.get("asset"),
        model=table["model"],
        interval_s=table.get("interval_s", interval_s[kind]),
        status=table["status"],
        foreign=table.get("foreign"),
        codec=table.get("codec"),
    )

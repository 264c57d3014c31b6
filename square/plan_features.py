"""Checking the features of a plan, each by itself: GeoJSON shape, properties, coordinates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from typing import Any

from square.calendar import ServiceHours, Window
from square.geometry import Frame, LonLat, first_crossing, signed_area
from square.plan_schema import PROPERTY_FIELDS, ROLES, Role, check_table
from square.plan_source import Document, Finding, Key, Severity

_MIN_RING = 4
_MAX_LON, _MAX_LAT = 180.0, 90.0


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature that is sound in itself.

    Parameters
    ----------
    key
        Where it sits in the file.
    properties
        Its properties as written.
    rings
        Its positions: a Point is one ring of one position, a LineString one ring, a Polygon its rings.
    """

    key: Key
    properties: Mapping[str, Any]
    rings: tuple[tuple[LonLat, ...], ...]

    @property
    def role(self) -> str:
        """What it is."""
        return str(self.properties["role"])

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.properties["id"])

    @property
    def place(self) -> Key:
        """Where its coordinates sit in the file."""
        return (*self.key, "geometry", "coordinates")

    @property
    def point(self) -> LonLat:
        """Position of a Point."""
        return self.rings[0][0]

    @property
    def line(self) -> tuple[LonLat, ...]:
        """Positions of a LineString."""
        return self.rings[0]

    def hours(self, otherwise: ServiceHours) -> ServiceHours:
        """Build the service hours it gives, completed by those of its zone."""
        allowed, closed = self.properties.get("service_hours"), self.properties.get("closed_hours")
        return ServiceHours(
            otherwise.allowed if allowed is None else tuple(map(Window.parse, allowed)),
            otherwise.closed if closed is None else tuple(map(Window.parse, closed)),
        )


@dataclass
class PlanFeatures:
    """The features of a plan, and how far conclusions about them as a whole can go."""

    sound: list[Feature] = field(default_factory=list)
    """Features without an error of their own, in file order."""
    assets: dict[str, str] = field(default_factory=dict)
    """Role of each bin and air station by id, sound or not."""
    broken_roles: set[str | None] = field(default_factory=set)
    """Roles of the features with an error; None for one whose role is not known."""

    def of(self, *roles: str) -> list[Feature]:
        """List the sound features of some roles."""
        return [f for f in self.sound if f.role in roles]

    def all_sound(self, role: str) -> bool:
        """Whether what is missing from a role is really missing, not merely broken and reported as such."""
        return not self.broken_roles & {role, None}


def read_features(doc: Document, frame: Frame | None, radius_m: float, plan: PlanFeatures) -> Iterator[Finding]:
    """Check every feature and collect those that are sound.

    Parameters
    ----------
    doc
        The plan.
    frame
        Frame of the site, None when site.toml does not give a usable one.
    radius_m
        Largest distance from the origin [m].
    plan
        Filled with what the features are.
    """
    data = doc.data
    if not isinstance(data, dict) or data.get("type") != "FeatureCollection":
        yield doc.error(
            (), "the file is not a GeoJSON FeatureCollection", 'Start with {"type": "FeatureCollection", ...}.'
        )
        plan.broken_roles.add(None)
        return
    features = data.get("features")
    if not isinstance(features, list):
        plan.broken_roles.add(None)
        yield doc.error(("features",), '"features" is not a list', "Write the features as a JSON list.")
        return
    first: dict[str, int] = {}
    for i, raw in enumerate(features):
        key: Key = ("features", i)
        findings = list(_check_feature(doc, key, raw, frame, radius_m))
        yield from findings
        broken = any(f.severity is Severity.ERROR for f in findings)
        ident, role = _text(raw, "id"), _text(raw, "role")
        if broken:
            plan.broken_roles.add(role if role in ROLES else None)
        if ident is not None and role in ("bin", "air"):
            plan.assets.setdefault(ident, str(role))
        if ident is not None and ident in first:
            what = f'the id "{ident}" is already used in line {doc.line("features", first[ident])}'
            yield doc.error((*key, "properties", "id"), what, "Give each feature its own id.")
            continue
        if ident is not None:
            first[ident] = i
        if not broken:
            plan.sound.append(Feature(key, raw["properties"], _positions(raw["geometry"])))


def _text(raw: Any, name: str) -> str | None:
    properties = raw.get("properties") if isinstance(raw, dict) else None
    value = properties.get(name) if isinstance(properties, dict) else None
    return value if isinstance(value, str) else None


def _check_feature(doc: Document, key: Key, raw: Any, frame: Frame | None, radius_m: float) -> Iterator[Finding]:
    if not isinstance(raw, dict) or raw.get("type") != "Feature":
        yield doc.error(
            key, "this entry is not a GeoJSON Feature", 'Write {"type": "Feature", "properties": ..., "geometry": ...}.'
        )
        return
    properties, geometry = raw.get("properties"), raw.get("geometry")
    role: Role | None = None
    if isinstance(properties, dict):
        role = ROLES.get(str(properties.get("role")))
        yield from _check_properties(doc, (*key, "properties"), properties, role)
    else:
        yield doc.error(
            (*key, "properties"), "the feature has no properties", "Add properties with role, id and names."
        )
    if not isinstance(geometry, dict):
        yield doc.error((*key, "geometry"), "the feature has no geometry", "Add a geometry with type and coordinates.")
        return
    if role is not None and geometry.get("type") != role.geometry:
        what = f'a {role.name} has the geometry "{geometry.get("type")}"'
        split = " Convert multi-part shapes to single parts." if str(geometry.get("type")).startswith("Multi") else ""
        yield doc.error((*key, "geometry", "type"), what, f"Draw it as a {role.geometry}.{split}")
        return
    yield from _check_geometry(doc, (*key, "geometry", "coordinates"), geometry, frame, radius_m)


def _check_properties(doc: Document, key: Key, properties: Mapping[str, Any], role: Role | None) -> Iterator[Finding]:
    if role is None and isinstance(properties.get("role"), str):
        what = f'"{properties["role"]}" is not a role of this format'
        yield doc.error((*key, "role"), what, f"Use one of {', '.join(ROLES)}.")
        known = {f.name for f in PROPERTY_FIELDS}
        yield from check_table(doc, key, {k: v for k, v in properties.items() if k in known}, PROPERTY_FIELDS)
        return
    fields = (*PROPERTY_FIELDS, *(role.fields if role else ()))
    yield from check_table(doc, key, properties, fields, strict=False)
    empty_mm, full_mm = properties.get("empty_mm"), properties.get("full_mm")
    if isinstance(empty_mm, int) and isinstance(full_mm, int) and empty_mm <= full_mm:
        what = f"empty_mm ({empty_mm}) is not greater than full_mm ({full_mm})"
        yield doc.error(
            (*key, "empty_mm"), what, "The floor is farther from the sensor than the rim: exchange or correct them."
        )


def _check_geometry(
    doc: Document, key: Key, geometry: Mapping[str, Any], frame: Frame | None, radius_m: float
) -> Iterator[Finding]:
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    rings: list[tuple[Key, Any]]
    if kind == "Point":
        rings = [(key, [coordinates])]
    elif kind == "LineString":
        rings = [(key, coordinates)]
    elif kind == "Polygon" and isinstance(coordinates, list) and coordinates:
        rings = [((*key, i), ring) for i, ring in enumerate(coordinates)]
    else:
        yield doc.error(key, f'the coordinates do not fit the type "{kind}"', "Use a Point, LineString or Polygon.")
        return
    for ring_key, ring in rings:
        if not isinstance(ring, list):
            yield doc.error(ring_key, "the coordinates are not a list of positions", "Write [[lon, lat], ...].")
            continue
        faults = list(_check_positions(doc, ring_key, ring, frame, radius_m, nested=kind != "Point"))
        yield from faults
        if faults:
            continue
        if kind == "Polygon":
            yield from _check_ring(doc, ring_key, [(p[0], p[1]) for p in ring])
        elif kind == "LineString" and len({(p[0], p[1]) for p in ring}) < 2:  # noqa: PLR2004 - a line has two ends
            yield doc.error(
                ring_key, "the line has fewer than two different positions", "Draw it from one place to another."
            )


def _check_positions(
    doc: Document, key: Key, ring: Sequence[Any], frame: Frame | None, radius_m: float, *, nested: bool
) -> Iterator[Finding]:
    for i, position in enumerate(ring):
        at = (*key, i) if nested else key
        if not isinstance(position, list) or len(position) not in (2, 3) or not all(map(_is_number, position)):
            yield doc.error(at, "a position is not [longitude, latitude]", "Write two numbers, longitude first.")
            return
        if fault := _place_fault(position[0], position[1], frame, radius_m):
            # One per ring: a swapped file would otherwise say so for each vertex.
            yield doc.error(at, *fault)
            return


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _place_fault(lon: float, lat: float, frame: Frame | None, radius_m: float) -> tuple[str, str] | None:
    exchange = "Write longitude first, then latitude, as GeoJSON does."
    if abs(lat) > _MAX_LAT >= abs(lon) and abs(lat) <= _MAX_LON:
        return f"latitude and longitude are swapped: [{lon}, {lat}]", exchange
    if abs(lon) > _MAX_LON or abs(lat) > _MAX_LAT:
        return f"[{lon}, {lat}] is not on the earth", "Write degrees, WGS 84, not projected metres."
    if frame is None:
        return None
    centre = (frame.origin_lon, frame.origin_lat)
    away_m = frame.distance_m((lon, lat), centre)
    if away_m <= radius_m:
        return None
    if frame.distance_m((lat, lon), centre) <= radius_m:
        return f"latitude and longitude are swapped: [{lon}, {lat}]", exchange
    what = f"[{lon}, {lat}] is {away_m / 1000:.1f} km away from the centre of the square"
    return what, f"Correct it; nothing may lie farther than {radius_m / 1000:g} km (radius_m of site.toml)."


def _check_ring(doc: Document, key: Key, ring: Sequence[LonLat]) -> Iterator[Finding]:
    if len(ring) < _MIN_RING:
        yield doc.error(
            key, f"the ring has {len(ring)} positions", "A polygon needs three corners and the first one again."
        )
        return
    if ring[0] != ring[-1]:
        yield doc.error(key, "the polygon is not closed", "Repeat the first position at the end.")
        return
    for i, (a, b) in enumerate(pairwise(ring)):
        if a == b:
            yield doc.error((*key, i + 1), "two positions in a row are the same", "Remove one of them.")
            return
    if crossing := first_crossing(ring):
        i, j = crossing
        what = f"the outline crosses itself: side {i + 1} meets side {j + 1}"
        yield doc.error((*key, j), what, "Put the corners in order around the area.")
    elif signed_area(ring) == 0:
        yield doc.error(key, "the polygon has no area", "Draw it around an area.")


def _positions(geometry: Mapping[str, Any]) -> tuple[tuple[LonLat, ...], ...]:
    coordinates = geometry["coordinates"]
    rings = {"Point": [[coordinates]], "LineString": [coordinates], "Polygon": coordinates}[geometry["type"]]
    return tuple(tuple((float(p[0]), float(p[1])) for p in ring) for ring in rings)

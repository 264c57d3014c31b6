"""Checking a site folder: everything that is wrong, in one run, each with its line and remedy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from square.calendar import Shift, Window, clock_text, overlap, uncovered
from square.geometry import Frame, contains
from square.plan_features import Feature, read_features
from square.plan_schema import (
    CREW_FIELDS,
    DEVICE_FIELDS,
    FRAME_FIELDS,
    REPORTING_FIELDS,
    RULES_FIELDS,
    SHIFT_FIELDS,
    SITE_FIELDS,
    Field,
    check_table,
)
from square.plan_source import (
    CREWS_FILE,
    DEVICES_FILE,
    PLAN_FILE,
    SITE_FILE,
    Document,
    Finding,
    Severity,
    read_document,
)
from square.walking import WalkingGraph

REACH_M = 30.0
"""A bin farther than this from every path vertex counts as unreachable [m]."""
_RULE_ORDER = ("half_pct", "filling_pct", "full_pct", "overflow_pct")


@dataclass
class CheckedSite:
    """The files of a site folder and what was found in them.

    The lists hold the entries that are sound in themselves; they are complete when ``findings`` has no error.
    """

    documents: dict[str, Document] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    features: list[Feature] = field(default_factory=list)
    shifts: list[Shift] = field(default_factory=list)
    zone_of: dict[str, str] = field(default_factory=dict)
    """Zone id of each bin and air station."""

    @property
    def errors(self) -> list[Finding]:
        """Findings that keep the site from loading."""
        return [f for f in self.findings if f.severity is Severity.ERROR]


def check_site(folder: Path) -> list[Finding]:
    """List everything that is wrong in a site folder.

    Parameters
    ----------
    folder
        Folder with site.toml, plan.geojson, crews.toml and devices.toml.

    Returns
    -------
    list[Finding]
        In order of file and line; empty for a sound folder. The site loads when no finding is an error.
    """
    return read_site(folder).findings


def read_site(folder: Path) -> CheckedSite:
    """Read and check a site folder; never raises for what is in it."""
    checked = CheckedSite()
    if not folder.is_dir():
        what, remedy = f"{folder} is not a folder", "Name a folder with site.toml, or the name of a shipped site."
        checked.findings.append(Finding(SITE_FILE, 1, Severity.ERROR, what, remedy))
        return checked
    names = (SITE_FILE, PLAN_FILE, CREWS_FILE, DEVICES_FILE)
    for name in names:
        match read_document(folder, name):
            case Document() as doc:
                checked.documents[name] = doc
                checked.findings.extend(_repeated(doc))
            case Finding() as finding:
                checked.findings.append(finding)
    checked.findings.extend(_check(checked))
    checked.findings = sorted(set(checked.findings), key=lambda f: (names.index(f.file), f.line, f.what))
    return checked


def main_text(findings: Sequence[Finding], folder: Path) -> str:
    """Render findings for a terminal.

    Parameters
    ----------
    findings
        What `check_site` returned.
    folder
        The folder, as the person named it.

    Returns
    -------
    str
        One Indonesian and one English summary line, then two lines per finding; ends with a line break.
    """
    errors = sum(f.severity is Severity.ERROR for f in findings)
    warnings = len(findings) - errors
    if not findings:
        return f"Denah {folder} benar.\nThe site plan {folder} is sound.\n"
    verdict = ("tidak dapat dipakai", "cannot be used") if errors else ("dapat dipakai", "can be used")
    head = [
        f"Denah {folder} {verdict[0]}: {errors} kesalahan, {warnings} peringatan.",
        f"The site plan {folder} {verdict[1]}: {errors} error(s), {warnings} warning(s).",
        "",
    ]
    body = [f"{folder / f.file}:{f.line}: {f.severity}: {f.what}.\n    {f.remedy}" for f in findings]
    return "\n".join([*head, *body]) + "\n"


def _repeated(doc: Document) -> Iterator[Finding]:
    for key in doc.repeated:
        yield doc.error(key, f'"{key[-1]}" is given twice in the same object', "Keep one of the two.")


def _check(checked: CheckedSite) -> Iterator[Finding]:
    docs = checked.documents
    frame, radius_m = None, 0.0
    if SITE_FILE in docs:
        frame, radius_m = _frame_of(docs[SITE_FILE].data)
        yield from _check_settings(docs[SITE_FILE])
        yield from _check_shifts(docs[SITE_FILE], checked.shifts)
    if CREWS_FILE in docs:
        known = _shift_ids(docs.get(SITE_FILE))
        yield from _check_crews(docs[CREWS_FILE], known)
        yield from _shifts_without_crew(docs, known)
    if PLAN_FILE in docs:
        yield from read_features(docs[PLAN_FILE], frame, radius_m, checked.features)
        yield from _check_zones(docs[PLAN_FILE], checked)
        if frame is not None:
            yield from _check_reach(docs[PLAN_FILE], checked.features, frame)
    if DEVICES_FILE in docs:
        yield from _check_devices(docs[DEVICES_FILE], checked.features if PLAN_FILE in docs else None)
        if PLAN_FILE in docs:
            yield from _assets_without_device(docs, checked.features)


# --- site.toml ---------------------------------------------------------------------------------------------


def _frame_of(data: Mapping[str, Any]) -> tuple[Frame | None, float]:
    table = data.get("frame")
    if not isinstance(table, dict):
        return None, 0.0
    values = {f.name: table.get(f.name, f.default) for f in FRAME_FIELDS}
    if any(f.fault(values[f.name]) for f in FRAME_FIELDS):
        return None, 0.0
    return Frame(values["origin_lon"], values["origin_lat"]), float(values["radius_m"])


def _check_settings(doc: Document) -> Iterator[Finding]:
    tables: dict[str, Sequence[Field]] = {"frame": FRAME_FIELDS, "reporting": REPORTING_FIELDS, "rules": RULES_FIELDS}
    top = {name: value for name, value in doc.data.items() if name not in tables and name != "shift"}
    yield from check_table(doc, (), top, SITE_FIELDS)
    for name, fields in tables.items():
        table = doc.data.get(name)
        if isinstance(table, dict):
            yield from check_table(doc, (name,), table, fields)
        else:
            yield doc.error(
                (name,), f"the table [{name}] is missing", f"Add [{name}] with {', '.join(f.name for f in fields)}."
            )
    frame = doc.data.get("frame")
    if isinstance(frame, dict) and _looks_swapped(frame.get("origin_lon"), frame.get("origin_lat")):
        yield doc.error(("frame", "origin_lat"), "origin_lon and origin_lat are swapped", "Exchange the two values.")
    rules = doc.data.get("rules")
    if isinstance(rules, dict):
        yield from _check_rules(doc, rules)


def _looks_swapped(lon: Any, lat: Any) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (lon, lat))
    return numbers and abs(lat) > 90 >= abs(lon)  # noqa: PLR2004 - the largest latitude


def _check_rules(doc: Document, rules: Mapping[str, Any]) -> Iterator[Finding]:
    sound = {f.name: rules[f.name] for f in RULES_FIELDS if f.name in rules and f.fault(rules[f.name]) is None}
    pairs = [*pairwise(_RULE_ORDER)]
    pairs += [("full_clear_pct", "full_pct"), ("bad_air_clear_pm25_ugm3", "bad_air_pm25_ugm3")]
    for low, high in pairs:
        if low in sound and high in sound and sound[low] >= sound[high]:
            what = f"{low} is {sound[low]}, not below {high} ({sound[high]})"
            yield doc.error(("rules", low), what, f"Choose {low} smaller than {high}.")


def _tables(doc: Document, name: str) -> list[tuple[int, dict[str, Any]]]:
    found = doc.data.get(name)
    return [(i, t) for i, t in enumerate(found) if isinstance(t, dict)] if isinstance(found, list) else []


def _no_tables(doc: Document, name: str) -> Iterator[Finding]:
    if not _tables(doc, name):
        yield doc.error((name,), f"there is no [[{name}]] table", f"Add at least one [[{name}]].")
    for key in doc.data:
        if key != name:
            yield doc.error((key,), f'"{key}" is not a key of this format', f"Write [[{name}]] tables only.")


def _sound(table: Mapping[str, Any], fields: Sequence[Field]) -> bool:
    return all(
        field.fault(table[field.name]) is None if field.name in table else not field.required for field in fields
    )


def _check_ids(doc: Document, name: str) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for i, table in _tables(doc, name):
        ident = table.get("id")
        if not isinstance(ident, str):
            continue
        if ident in first:
            line = doc.line(name, first[ident])
            what = f'the id "{ident}" is already used in line {line}'
            yield doc.error((name, i, "id"), what, "Give each entry its own id.")
        first.setdefault(ident, i)


def _check_shifts(doc: Document, shifts: list[Shift]) -> Iterator[Finding]:
    if not _tables(doc, "shift"):
        yield doc.error(("shift",), "there is no [[shift]] table", "Add at least one [[shift]].")
    yield from _check_ids(doc, "shift")
    sound: list[tuple[int, Shift]] = []
    for i, table in _tables(doc, "shift"):
        yield from check_table(doc, ("shift", i), table, SHIFT_FIELDS)
        if not _sound(table, SHIFT_FIELDS):
            continue
        try:
            window = Window.parse(f"{table['start']}-{table['end']}")
        except ValueError as error:
            yield doc.error(("shift", i, "end"), f"the hours of the shift are wrong: {error}", "Correct start or end.")
            continue
        sound.append((i, Shift(table["id"], table["name_id"], table["name_en"], window)))
    shifts.extend(sorted((s for _, s in sound), key=lambda s: s.window.start_min))
    handover_min = doc.data.get("handover_min", 15)
    allowed_min = handover_min if isinstance(handover_min, int) else 0
    for at, (_, a) in enumerate(sound):
        for j, b in sound[at + 1 :]:
            if (shared_min := overlap(a.window, b.window)) > allowed_min:
                what = f'the shifts "{a.id}" and "{b.id}" overlap by {shared_min} min, more than handover_min'
                yield doc.error(("shift", j), what, "Correct start or end, or raise handover_min.")
    yield from _shift_gaps(doc, [s for _, s in sound])


def _shift_gaps(doc: Document, shifts: Sequence[Shift]) -> Iterator[Finding]:
    rest = doc.data.get("rest_hours", [])
    if not shifts or len(shifts) < len(_tables(doc, "shift")):
        return  # a broken shift is already reported; its gap would only repeat that
    if any(f.name == "rest_hours" and rest != [] and f.fault(rest) for f in SITE_FIELDS):
        return
    for gap in uncovered([*(s.window for s in shifts), *(Window.parse(text) for text in rest)]):
        what = f"nobody is on shift from {clock_text(gap.start_min)} to {clock_text(gap.end_min)}"
        yield doc.warning(("shift", 0), what, "Extend a shift, or list these hours in rest_hours.")


# --- crews.toml --------------------------------------------------------------------------------------------


def _shift_ids(doc: Document | None) -> set[str] | None:
    return None if doc is None else {t["id"] for _, t in _tables(doc, "shift") if isinstance(t.get("id"), str)}


def _check_crews(doc: Document, shift_ids: set[str] | None) -> Iterator[Finding]:
    yield from _no_tables(doc, "crew")
    yield from _check_ids(doc, "crew")
    for i, table in _tables(doc, "crew"):
        yield from check_table(doc, ("crew", i), table, CREW_FIELDS)
        shift = table.get("shift")
        if shift_ids is not None and isinstance(shift, str) and shift not in shift_ids:
            what = f'the crew "{table.get("id", i + 1)}" works on an unknown shift "{shift}"'
            yield doc.error(("crew", i, "shift"), what, f"Use one of {', '.join(sorted(shift_ids))}.")


def _shifts_without_crew(docs: Mapping[str, Document], shift_ids: set[str] | None) -> Iterator[Finding]:
    staffed = {t.get("shift") for _, t in _tables(docs[CREWS_FILE], "crew")}
    for i, table in _tables(docs[SITE_FILE], "shift") if shift_ids else []:
        if table.get("id") not in staffed:
            what = f'nobody works on the shift "{table.get("id")}"'
            yield docs[SITE_FILE].warning(
                ("shift", i), what, f"Add a crew for it in {CREWS_FILE}, or remove the shift."
            )


# --- plan.geojson: what features mean to each other --------------------------------------------------------


def _check_zones(doc: Document, checked: CheckedSite) -> Iterator[Finding]:
    zones = [f for f in checked.features if f.role == "zone"]
    for feature in checked.features:
        if feature.role not in ("bin", "air"):
            continue
        inside = [z.id for z in zones if contains(z.rings, feature.point)]
        if inside:
            checked.zone_of[feature.id] = inside[0]
        if len(inside) > 1:
            what = f'"{feature.id}" lies in {len(inside)} zones: {", ".join(inside)}'
            yield doc.warning(feature.key, what, f"It counts for {inside[0]}; let zones share borders only.")
        elif not inside:
            what = f'"{feature.id}" lies outside every zone'
            yield doc.error(feature.key, what, "Move it, or draw a zone around it.")


def _check_reach(doc: Document, features: Sequence[Feature], frame: Frame) -> Iterator[Finding]:
    depots = [f for f in features if f.role == "depot"]
    if not depots:
        yield doc.error((), "there is no feature with the role depot", "Add one Point where crews start.")
    graph = WalkingGraph((f.line for f in features if f.role == "path"), frame)
    if not graph.nodes:
        yield doc.error((), "there is no feature with the role path", "Draw the walking paths as LineStrings.")
        return
    parts = graph.components()
    if depots:
        start, _ = graph.nearest(*depots[0].point)
        main_part = next(part for part in parts if start in part)
    else:
        main_part = parts[0]
    for feature in features:
        if feature.role not in ("bin", "depot", "tps"):
            continue
        node, leg_m = graph.nearest(*feature.point)
        if leg_m > REACH_M:
            what = f'"{feature.id}" is {leg_m:.0f} m away from the nearest path vertex'
            yield doc.error(feature.key, what, f"Bring a path within {REACH_M:.0f} m, or move it.")
        elif node not in main_part:
            what = f'no path leads from the depot to "{feature.id}"'
            yield doc.error(feature.key, what, "Let the paths share a vertex where they meet.")
    yield from _islands(doc, features, graph, main_part)


def _islands(
    doc: Document, features: Sequence[Feature], graph: WalkingGraph, main_part: frozenset[int]
) -> Iterator[Finding]:
    for feature in features:
        if feature.role == "path" and graph.nearest(*feature.line[0])[0] not in main_part:
            what = f'the path "{feature.id}" is not joined to the path at the depot'
            yield doc.warning(
                feature.key, what, "Give it a vertex with exactly the coordinates of another path's vertex."
            )


# --- devices.toml ------------------------------------------------------------------------------------------


def _check_devices(doc: Document, features: Sequence[Feature] | None) -> Iterator[Finding]:
    yield from _no_tables(doc, "device")
    yield from _check_ids(doc, "device")
    assets = None if features is None else {f.id: f.role for f in features if f.role in ("bin", "air")}
    wearer: dict[str, int] = {}
    for i, table in _tables(doc, "device"):
        yield from check_table(doc, ("device", i), table, DEVICE_FIELDS)
        asset, status = table.get("asset"), table.get("status")
        if asset is None:
            if status in ("active", "repair"):
                what = f'the {status} device "{table.get("id", i + 1)}" has no asset'
                yield doc.error(("device", i), what, "Add asset, or set status to spare or retired.")
            continue
        if not isinstance(asset, str):
            continue
        if assets is not None and status != "retired":
            yield from _check_asset(doc, i, table, assets)
        if status == "active":
            if asset in wearer:
                what = f'the asset "{asset}" already has an active device in line {doc.line("device", wearer[asset])}'
                yield doc.error(("device", i, "asset"), what, "Retire one of the two devices.")
            wearer.setdefault(asset, i)


def _check_asset(doc: Document, i: int, table: Mapping[str, Any], assets: Mapping[str, str]) -> Iterator[Finding]:
    asset, kind = table["asset"], table.get("kind")
    if asset not in assets:
        what = f'the device "{table.get("id", i + 1)}" sits on an unknown asset "{asset}"'
        yield doc.error(("device", i, "asset"), what, f"Use the id of a bin or air station of {PLAN_FILE}.")
    elif kind in ("bin", "air") and assets[asset] != kind:
        what = f'a device of kind "{kind}" sits on "{asset}", which is a feature of role "{assets[asset]}"'
        yield doc.error(("device", i, "asset"), what, "Correct kind or asset.")


def _assets_without_device(docs: Mapping[str, Document], features: Sequence[Feature]) -> Iterator[Finding]:
    active = {t.get("asset") for _, t in _tables(docs[DEVICES_FILE], "device") if t.get("status") == "active"}
    for feature in features:
        if feature.role in ("bin", "air") and feature.id not in active:
            what = f'"{feature.id}" has no active device'
            yield docs[PLAN_FILE].warning(
                feature.key, what, f"Add one in {DEVICES_FILE}; until then its state is unknown."
            )

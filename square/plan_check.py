"""Checking a site folder: everything that is wrong, in one run, each with its line and remedy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from square.calendar import ServiceHours, Shift
from square.geometry import Frame, contains
from square.makes import CODEC_KINDS
from square.plan_features import PlanFeatures, read_features
from square.plan_schema import DEVICE_FIELDS, check_table
from square.plan_settings import (
    check_crews,
    check_list,
    check_settings,
    check_shifts,
    frame_of,
    shift_ids_of,
    shifts_without_crew,
    tables_of,
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
    verdict,
)
from square.walking import WalkingGraph

REACH_M = 30.0
"""A bin farther than this from every path vertex counts as unreachable [m]."""


@dataclass
class CheckedSite:
    """The files of a site folder and what was found in them.

    Conclusions about the plan as a whole (a bin outside every zone, an unknown asset) are drawn only where the
    features that they rest on are sound; otherwise one slip would be reported many times over.
    """

    documents: dict[str, Document] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    plan: PlanFeatures = field(default_factory=PlanFeatures)
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
    head = verdict(findings, f"Denah {folder}", f"The site plan {folder}")
    body = ["", *(f.told(folder / f.file) for f in findings)] if findings else []
    return "\n".join([*head, *body]) + "\n"


def _repeated(doc: Document) -> Iterator[Finding]:
    for key in doc.repeated:
        yield doc.error(key, f'"{key[-1]}" is given twice in the same object', "Keep one of the two.")


def _check(checked: CheckedSite) -> Iterator[Finding]:
    docs = checked.documents
    frame, radius_m = None, 0.0
    if SITE_FILE in docs:
        frame, radius_m = frame_of(docs[SITE_FILE].data)
        yield from check_settings(docs[SITE_FILE])
        yield from check_shifts(docs[SITE_FILE], checked.shifts)
    if CREWS_FILE in docs:
        known = shift_ids_of(docs.get(SITE_FILE))
        yield from check_crews(docs[CREWS_FILE], known)
        yield from shifts_without_crew(docs, known)
    if PLAN_FILE in docs:
        yield from read_features(docs[PLAN_FILE], frame, radius_m, checked.plan)
        yield from _check_zones(docs[PLAN_FILE], checked)
        if frame is not None:
            yield from _check_reach(docs[PLAN_FILE], checked.plan, frame)
    if DEVICES_FILE in docs:
        assets_known = PLAN_FILE in docs and None not in checked.plan.broken_roles
        yield from _check_devices(docs[DEVICES_FILE], checked.plan.assets if assets_known else None)
        if PLAN_FILE in docs:
            yield from _assets_without_device(docs, checked.plan)


# --- plan.geojson: what features mean to each other --------------------------------------------------------


def _check_zones(doc: Document, checked: CheckedSite) -> Iterator[Finding]:
    zones = checked.plan.of("zone")
    for feature in checked.plan.of("bin", "air"):
        inside = [z.id for z in zones if contains(z.rings, feature.point)]
        if inside:
            checked.zone_of[feature.id] = inside[0]
            zone = next(z for z in zones if z.id == inside[0])
            hours = feature.hours(zone.hours(ServiceHours()))
            if feature.role == "bin" and checked.shifts and not hours.meets(checked.shifts):
                what = f'"{feature.id}" can never be emptied: no shift is on duty while its hours are open'
                yield doc.warning(
                    feature.place, what, "Correct its service_hours or closed_hours, or those of its zone."
                )
        if len(inside) > 1:
            what = f'"{feature.id}" lies in {len(inside)} zones: {", ".join(inside)}'
            yield doc.warning(feature.place, what, f"It counts for {inside[0]}; let zones share borders only.")
        elif not inside and checked.plan.all_sound("zone"):
            what = f'"{feature.id}" lies outside every zone'
            yield doc.error(feature.place, what, "Move it, or draw a zone around it.")


def _check_reach(doc: Document, plan: PlanFeatures, frame: Frame) -> Iterator[Finding]:
    depots = plan.of("depot")
    if not depots and plan.all_sound("depot"):
        yield doc.error((), "there is no feature with the role depot", "Add one Point where crews start.")
    for extra in [*depots[1:], *plan.of("tps")[1:]]:
        what = f'"{extra.id}" is a second {extra.role}; only the first one of the file is used'
        yield doc.warning((*extra.key, "properties", "id"), what, "Keep one, or draw the other as a building.")
    if not plan.all_sound("path"):
        return
    graph = WalkingGraph((f.line for f in plan.of("path")), frame)
    if not graph.nodes:
        yield doc.error((), "there is no feature with the role path", "Draw the walking paths as LineStrings.")
        return
    parts = graph.components()
    if depots:
        start, _ = graph.nearest(*depots[0].point)
        main_part = next(part for part in parts if start in part)
    else:
        main_part = parts[0]
    for feature in plan.of("bin", "depot", "tps"):
        node, leg_m = graph.nearest(*feature.point)
        if leg_m > REACH_M:
            what = f'"{feature.id}" is {leg_m:.0f} m away from the nearest path vertex'
            yield doc.error(feature.place, what, f"Bring a path within {REACH_M:.0f} m, or move it.")
        elif node not in main_part:
            what = f'no path leads from the depot to "{feature.id}"'
            yield doc.error(feature.place, what, "Let the paths share a vertex where they meet.")
    yield from _islands(doc, plan, graph, main_part)


def _islands(doc: Document, plan: PlanFeatures, graph: WalkingGraph, main_part: frozenset[int]) -> Iterator[Finding]:
    for feature in plan.of("path"):
        if graph.nearest(*feature.line[0])[0] not in main_part:
            what = f'the path "{feature.id}" is not joined to the path at the depot'
            yield doc.warning(
                feature.place, what, "Give it a vertex with exactly the coordinates of another path's vertex."
            )


# --- devices.toml ------------------------------------------------------------------------------------------


def _check_devices(doc: Document, assets: Mapping[str, str] | None) -> Iterator[Finding]:
    yield from check_list(doc, "device")
    wearer: dict[str, int] = {}
    known_by: dict[str, int] = {}
    for i, table in tables_of(doc, "device"):
        yield from check_table(doc, ("device", i), table, DEVICE_FIELDS)
        yield from _check_make(doc, i, table, known_by)
        asset, status = table.get("asset"), table.get("status")
        if asset is None:
            if status in ("active", "repair"):
                what = f'the {status} device "{table.get("id", i + 1)}" has no asset'
                yield doc.error(("device", i, "id"), what, "Add asset, or set status to spare or retired.")
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


def _check_make(doc: Document, i: int, table: Mapping[str, Any], known_by: dict[str, int]) -> Iterator[Finding]:
    foreign, codec, kind = table.get("foreign"), table.get("codec"), table.get("kind")
    if (foreign is None) != (codec is None):
        there, missing = ("codec", "foreign") if foreign is None else ("foreign", "codec")
        what = f'the device "{table.get("id", i + 1)}" has {there} and no {missing}'
        yield doc.error(("device", i, there), what, f"Add {missing}: a sensor of another make needs both.")
    kinds = CODEC_KINDS.get(str(codec), ("bin", "air"))
    if kind in ("bin", "air") and kind not in kinds:
        what = f'the codec "{codec}" gives no values of a device of kind "{kind}"'
        yield doc.error(("device", i, "codec"), what, f"Correct codec or kind; this codec is for {kinds[0]}.")
    if not isinstance(foreign, str) or table.get("status") == "retired":
        return
    if foreign in known_by:
        what = f'the identity "{foreign}" already belongs to the device in line {doc.line("device", known_by[foreign])}'
        yield doc.error(("device", i, "foreign"), what, "Each sensor is listed once; retire the other entry.")
    known_by.setdefault(foreign, i)


def _check_asset(doc: Document, i: int, table: Mapping[str, Any], assets: Mapping[str, str]) -> Iterator[Finding]:
    asset, kind = table["asset"], table.get("kind")
    if asset not in assets:
        what = f'the device "{table.get("id", i + 1)}" sits on an unknown asset "{asset}"'
        yield doc.error(("device", i, "asset"), what, f"Use the id of a bin or air station of {PLAN_FILE}.")
    elif kind in ("bin", "air") and assets[asset] != kind:
        what = f'a device of kind "{kind}" sits on "{asset}", which is a feature of role "{assets[asset]}"'
        yield doc.error(("device", i, "asset"), what, "Correct kind or asset.")


def _assets_without_device(docs: Mapping[str, Document], plan: PlanFeatures) -> Iterator[Finding]:
    active = [t.get("asset") for _, t in tables_of(docs[DEVICES_FILE], "device") if t.get("status") == "active"]
    for feature in plan.of("bin", "air"):
        if feature.id not in active:
            what = f'"{feature.id}" has no active device'
            yield docs[PLAN_FILE].warning(
                (*feature.key, "properties", "id"), what, f"Add one in {DEVICES_FILE}; until then its state is unknown."
            )

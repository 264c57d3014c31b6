"""Checking site.toml and crews.toml: settings, rules, shifts and who works on them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from square.calendar import Shift, Window, clock_text, overlap, uncovered
from square.geometry import Frame
from square.plan_schema import (
    CREW_FIELDS,
    FRAME_FIELDS,
    REPORTING_FIELDS,
    RULES_FIELDS,
    SHIFT_FIELDS,
    SITE_FIELDS,
    Field,
    check_table,
)
from square.plan_source import CREWS_FILE, SITE_FILE, Document, Finding

_RULE_ORDER = ("half_pct", "filling_pct", "full_pct", "overflow_pct")
_MAX_LAT = 90.0


def frame_of(data: Mapping[str, Any]) -> tuple[Frame | None, float]:
    """Frame and radius [m] of site.toml; None when the table [frame] is not sound."""
    table = data.get("frame")
    if not isinstance(table, dict):
        return None, 0.0
    values = {f.name: table.get(f.name, f.default) for f in FRAME_FIELDS}
    if any(f.fault(values[f.name]) for f in FRAME_FIELDS):
        return None, 0.0
    return Frame(values["origin_lon"], values["origin_lat"]), float(values["radius_m"])


def check_settings(doc: Document) -> Iterator[Finding]:
    """Check site.toml but for its shifts."""
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
    return numbers and abs(lat) > _MAX_LAT >= abs(lon)


def _check_rules(doc: Document, rules: Mapping[str, Any]) -> Iterator[Finding]:
    sound = {f.name: rules[f.name] for f in RULES_FIELDS if f.name in rules and f.fault(rules[f.name]) is None}
    pairs = [*pairwise(_RULE_ORDER)]
    pairs += [("full_clear_pct", "full_pct"), ("bad_air_clear_pm25_ugm3", "bad_air_pm25_ugm3")]
    for low, high in pairs:
        if low in sound and high in sound and sound[low] >= sound[high]:
            what = f"{low} is {sound[low]}, not below {high} ({sound[high]})"
            yield doc.error(("rules", low), what, f"Choose {low} smaller than {high}.")


def tables_of(doc: Document, name: str) -> list[tuple[int, dict[str, Any]]]:
    """List the [[name]] tables of a file with their index."""
    found = doc.data.get(name)
    return [(i, t) for i, t in enumerate(found) if isinstance(t, dict)] if isinstance(found, list) else []


def check_list(doc: Document, name: str, *, alone: bool = True) -> Iterator[Finding]:
    """Check that a file has [[name]] tables with distinct ids and, when ``alone``, nothing else."""
    found = doc.data.get(name)
    if not tables_of(doc, name):
        yield doc.error((name,), f"there is no [[{name}]] table", f"Add at least one [[{name}]].")
    elif isinstance(found, list) and len(tables_of(doc, name)) < len(found):
        yield doc.error((name,), f"{name} has an entry that is not a table", f"Write every entry as [[{name}]].")
    for key in doc.data if alone else ():
        if key != name:
            yield doc.error((key,), f'"{key}" is not a key of this format', f"Write [[{name}]] tables only.")
    yield from _repeated_ids(doc, name)


def _sound(table: Mapping[str, Any], fields: Sequence[Field]) -> bool:
    return all(
        field.fault(table[field.name]) is None if field.name in table else not field.required for field in fields
    )


def _repeated_ids(doc: Document, name: str) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for i, table in tables_of(doc, name):
        ident = table.get("id")
        if not isinstance(ident, str):
            continue
        if ident in first:
            line = doc.line(name, first[ident])
            what = f'the id "{ident}" is already used in line {line}'
            yield doc.error((name, i, "id"), what, "Give each entry its own id.")
        first.setdefault(ident, i)


def check_shifts(doc: Document, shifts: list[Shift]) -> Iterator[Finding]:
    """Check the shifts of site.toml and collect the sound ones in order of their start."""
    yield from check_list(doc, "shift", alone=False)
    sound: list[tuple[int, Shift]] = []
    for i, table in tables_of(doc, "shift"):
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
                yield doc.error(("shift", j, "start"), what, "Correct start or end, or raise handover_min.")
    yield from _shift_gaps(doc, [s for _, s in sound])


def _shift_gaps(doc: Document, shifts: Sequence[Shift]) -> Iterator[Finding]:
    rest = doc.data.get("rest_hours", [])
    broken_rest = any(f.name == "rest_hours" and f.fault(rest) for f in SITE_FIELDS) and rest != []
    if not shifts or len(shifts) < len(tables_of(doc, "shift")) or broken_rest:
        return  # what is broken is already reported; its gap would only repeat that
    for gap in uncovered([*(s.window for s in shifts), *(Window.parse(text) for text in rest)]):
        what = f"nobody is on shift from {clock_text(gap.start_min)} to {clock_text(gap.end_min)}"
        yield doc.warning(("shift", 0, "id"), what, "Extend a shift, or list these hours in rest_hours.")


def shift_ids_of(doc: Document | None) -> set[str] | None:
    """Ids of the shifts of site.toml; None when it could not be read."""
    return None if doc is None else {t["id"] for _, t in tables_of(doc, "shift") if isinstance(t.get("id"), str)}


def check_crews(doc: Document, shift_ids: set[str] | None) -> Iterator[Finding]:
    """Check crews.toml; ``shift_ids`` is None when site.toml could not be read."""
    yield from check_list(doc, "crew")
    for i, table in tables_of(doc, "crew"):
        yield from check_table(doc, ("crew", i), table, CREW_FIELDS)
        shift = table.get("shift")
        if shift_ids is not None and isinstance(shift, str) and shift not in shift_ids:
            what = f'the crew "{table.get("id", i + 1)}" works on an unknown shift "{shift}"'
            yield doc.error(("crew", i, "shift"), what, f"Use one of {', '.join(sorted(shift_ids))}.")


def shifts_without_crew(docs: Mapping[str, Document], shift_ids: set[str] | None) -> Iterator[Finding]:
    """Name the shifts on which nobody works."""
    staffed = [t.get("shift") for _, t in tables_of(docs[CREWS_FILE], "crew")]
    for i, table in tables_of(docs[SITE_FILE], "shift") if shift_ids else []:
        if table.get("id") not in staffed:
            what = f'nobody works on the shift "{table.get("id")}"'
            yield docs[SITE_FILE].warning(
                ("shift", i, "id"), what, f"Add a crew for it in {CREWS_FILE}, or remove the shift."
            )

"""Checking a scenario: everything that is wrong, in one run, each with its line and remedy."""

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any
from zoneinfo import ZoneInfo

from simulators.faults import KINDS, MOMENTS, NAMED
from simulators.scenario_schema import LISTS, SCENARIO_FIELDS, SECTIONS, moment_s
from square.calendar import instant_s, parse_clock
from square.occasions import ENTERED
from square.plan_schema import Field, check_table
from square.plan_source import Document, Finding, Key
from square.site import Bin, Site

_SPANS = ("from", "at")


def values_of(table: Mapping[str, Any], fields: Sequence[Field]) -> dict[str, Any]:
    """Return the values of a sound table, absent ones by their defaults."""
    return {f.name: table.get(f.name, f.default) for f in fields}


def tables_at(data: Mapping[str, Any], path: tuple[str, ...]) -> list[tuple[Key, dict[str, Any]]]:
    """List the tables of a list such as ``[[visitors.group]]`` with where they sit; no table is left out silently."""
    found = _at(data, path)
    return [((*path, i), t) for i, t in enumerate(found) if isinstance(t, dict)] if isinstance(found, list) else []


def _at(data: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Return what stands where a list of tables belongs; an empty list where nothing does."""
    found: Any = data
    for name in path:
        found = found.get(name, []) if isinstance(found, dict) else []
    return found


def start_of(data: Mapping[str, Any], zone: ZoneInfo) -> float | None:
    """Return the moment at which a scenario starts [s since 1970 UTC]; None when the file does not say it soundly."""
    values = values_of(data, SCENARIO_FIELDS)
    if any(f.fault(values[f.name]) for f in SCENARIO_FIELDS if f.name in ("day", "start")):
        return None
    return instant_s(values["day"], parse_clock(values["start"]), zone)


class ScenarioCheck:
    """One file and the site that it plays on.

    Parameters
    ----------
    doc
        The file.
    site
        The site; None when it could not be loaded, and then nothing is said about names.
    zone
        Time zone of the square.
    """

    def __init__(self, doc: Document, site: Site | None, zone: ZoneInfo) -> None:
        self._doc = doc
        self._site = site
        self._zone = zone
        self._start_s = start_of(doc.data, zone)

    def findings(self) -> Iterator[Finding]:
        """Check the whole file."""
        data = self._doc.data
        lists = {path[0] for path in LISTS if len(path) == 1}
        top = {name: v for name, v in data.items() if name not in SECTIONS and name not in lists}
        known = (*SCENARIO_FIELDS, *(Field(name, "text", "", required=False) for name in (*SECTIONS, *lists)))
        yield from check_table(self._doc, (), top, known)
        for name, fields in SECTIONS.items():
            if name in data:
                yield from self._section(name, fields)
        for path in LISTS:
            yield from self.listed(path)

    def _section(self, name: str, fields: Sequence[Field]) -> Iterator[Finding]:
        table = self._doc.data[name]
        if not isinstance(table, dict):
            yield self._doc.error((name,), f'"{name}" is no table', f"Write it as [{name}].")
            return
        lists = [path[1] for path in LISTS if path[0] == name]
        known = (*fields, *(Field(inner, "text", "", required=False) for inner in lists))
        yield from check_table(self._doc, (name,), {k: v for k, v in table.items() if k not in lists}, known)

    def listed(self, path: tuple[str, ...]) -> Iterator[Finding]:
        """Check one list of tables."""
        written = ".".join(path)
        found = _at(self._doc.data, path)
        if not isinstance(found, list) or not all(isinstance(t, dict) for t in found):
            yield self._doc.error(path, f'"{written}" is no list of tables', f"Write each of them as [[{written}]].")
            return
        fields = LISTS[path]
        for key, table in tables_at(self._doc.data, path):
            yield from check_table(self._doc, key, table, fields)
            sound = {name: v for name, v in table.items() if any(f.name == name and not f.fault(v) for f in fields)}
            yield from self._moments(key, sound)
            if path == ("fault",):
                yield from self._fault(key, sound)
            elif path == ("mishaps", "planned"):
                yield from self._bin(key, sound)
            elif path == ("occasion",):
                yield from self._occasion(key, sound)

    def _moments(self, key: Key, table: Mapping[str, Any]) -> Iterator[Finding]:
        """Compare when something begins and ends with each other and with the scenario."""
        first = next((name for name in _SPANS if name in table), None)
        if first is None or self._start_s is None:
            return
        at_s = moment_s(table[first], self._start_s, self._start_s, self._zone)
        hours = self._doc.data.get("hours")
        is_known = isinstance(hours, int | float) and not isinstance(hours, bool) and hours > 0
        if at_s < self._start_s:
            yield self._doc.error(
                (*key, first), f"{first} lies before the start of the scenario", "Choose a later time."
            )
        elif is_known and at_s >= self._start_s + hours * 3600:
            what = f"{first} lies after the end of the scenario, so it never happens"
            yield self._doc.warning((*key, first), what, "Choose an earlier time, or raise hours.")
        if "until" in table and moment_s(table["until"], at_s, self._start_s, self._zone) <= at_s:
            yield self._doc.error((*key, "until"), f"until is not later than {first}", "Exchange them, or correct one.")
        if "until" in table and "for_min" in table:
            yield self._doc.error((*key, "for_min"), "for_min is given together with until", "Keep one of the two.")

    def _fault(self, key: Key, table: Mapping[str, Any]) -> Iterator[Finding]:
        target = table.get("target")
        if target is None:
            return
        name, _, pattern = target.partition(":")
        if name not in KINDS:
            what = f'"{name}" is nothing that can be struck'
            yield self._doc.error((*key, "target"), what, nearest(name, KINDS))
            return
        if (name in NAMED) != bool(pattern):
            if name in NAMED:
                what, remedy = f"target {target} names no {name}", f'Write "{name}:*" for all, or "{name}:<id>".'
            else:
                what, remedy = f"there is only one {name}", f'Write "{name}".'
            yield self._doc.error((*key, "target"), what, remedy)
        elif name in NAMED and self._site is not None:
            yield from self._names(key, name, pattern, self._site)
        if name not in NAMED and table.get("share", 1) != 1:
            yield self._doc.error((*key, "share"), f"there is only one {name}", "Remove share.")
        yield from self._kind(key, name, table)

    def _kind(self, key: Key, target: str, table: Mapping[str, Any]) -> Iterator[Finding]:
        kind = table.get("kind")
        if kind is None:
            return
        if kind not in KINDS[target]:
            article = "an" if target == "uplink" else "a"
            what = f'"{kind}" is no fault of {article} {target}'
            yield self._doc.error((*key, "kind"), what, nearest(kind, KINDS[target]))
            return
        if kind in MOMENTS:
            for name in ("until", "for_min"):
                if name in table:
                    yield self._doc.error((*key, name), f"{kind} is a moment and lasts no time", f"Remove {name}.")
        known = KINDS[target][kind]
        strength = table.get("strength")
        if strength is not None and not known.unit:
            yield self._doc.error((*key, "strength"), f"{kind} has no strength", "Remove strength.")
        elif strength is not None and not known.low <= strength <= known.high:
            remedy = f"Write a number from {known.low:g} to {known.high:g} ({known.unit})."
            yield self._doc.error((*key, "strength"), f"strength is {strength}", remedy)

    def _names(self, key: Key, kind: str, pattern: str, site: Site) -> Iterator[Finding]:
        ids = [d.id for d in site.devices] if kind == "node" else [c.id for c in site.crews]
        if not any(fnmatchcase(name, pattern) for name in ids):
            noun = "device" if kind == "node" else "crew"
            what = f'"{pattern}" matches no {noun} of the site {site.id}'
            yield self._doc.error((*key, "target"), what, nearest(pattern, ids))

    def _bin(self, key: Key, table: Mapping[str, Any]) -> Iterator[Finding]:
        named = table.get("bin")
        if named is not None and table.get("kind") == "burning":
            yield self._doc.error((*key, "bin"), "burning happens near the square, at no bin", "Remove bin.")
            return
        if named is None or self._site is None:
            return
        bins = [a.id for a in self._site.assets.values() if isinstance(a, Bin)]
        if named not in bins:
            what = f'"{named}" is no bin of the site {self._site.id}'
            yield self._doc.error((*key, "bin"), what, nearest(named, bins))

    def _occasion(self, key: Key, table: Mapping[str, Any]) -> Iterator[Finding]:
        name = table.get("name")
        if name is not None and name not in ENTERED:
            yield self._doc.error((*key, "name"), f'"{name}" is no occasion that is entered', nearest(name, ENTERED))


def nearest(name: str, known: Collection[str]) -> str:
    """Say which known name is meant, or which there are."""
    near = difflib.get_close_matches(name, list(known), n=1)
    if near:
        return f"Did you mean {near[0]}?"
    few = 20
    listed = ", ".join(sorted(known)[:few])
    return f"Use one of {listed}{', ...' if len(known) > few else ''}."

"""Scenarios: what a simulated square goes through, as one readable TOML file.

`check_scenario` lists everything that is wrong with a file, each fault with its line and remedy; `load_scenario` raises
for the first. The format is `simulators.scenario_schema`; how to write one is docs/scenarios/README.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib import resources
from math import inf
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from simulators.errors import ScenarioError
from simulators.faults import KINDS, MOMENTS, SQUARE_ZONE, Fault, FaultScript
from simulators.habits import Habits
from simulators.scenario_check import ScenarioCheck, start_of, tables_at, values_of
from simulators.scenario_schema import LISTS, SCENARIO_FIELDS, SECTIONS, moment_s
from simulators.scenario_sections import (
    CrowdSpell,
    Group,
    MishapRates,
    PlannedMishap,
    Quiet,
    Storm,
    Visits,
    WeatherOverrides,
)
from square.errors import SiteError
from square.plan_source import Document, Finding, Severity, read_document
from square.site import Site, load_site


@dataclass(frozen=True)
class Scenario:
    """What a square goes through.

    Attributes
    ----------
    id, name_id, name_en, about_id, about_en : str
        Name, titles, and what happens in a sentence or two.
    site : str
        A site folder, or the name of a shipped site: for `square.site.load_site`.
    start_s : float
        When it starts [s since 1970 UTC].
    hours : float
        How long it lasts [h].
    seed : int
        Of everything that is drawn.
    initial_fill_pct : tuple[float, float]
        Range of the first fill of the bins [%].
    visits, weather, mishaps : Visits, WeatherOverrides, MishapRates
        What is not as usual.
    crews : Habits
        How crews behave.
    faults : FaultScript
        What breaks.
    occasions : Mapping[date, tuple[str, ...]]
        Official dates, over the computed ones.
    """

    id: str
    name_id: str
    name_en: str
    about_id: str
    about_en: str
    site: str
    start_s: float
    hours: float
    seed: int = 1
    initial_fill_pct: tuple[float, float] = (5.0, 75.0)
    visits: Visits = field(default_factory=Visits)
    weather: WeatherOverrides = field(default_factory=WeatherOverrides)
    mishaps: MishapRates = field(default_factory=MishapRates)
    crews: Habits = field(default_factory=Habits)
    faults: FaultScript = field(default_factory=FaultScript)
    occasions: Mapping[date, tuple[str, ...]] = field(default_factory=dict)

    @property
    def end_s(self) -> float:
        """When it is over [s since 1970 UTC]."""
        return self.start_s + self.hours * 3600.0


def shipped_scenarios() -> tuple[str, ...]:
    """Names of the scenarios that ship with Resik."""
    folder = resources.files("simulators").joinpath("scenarios")
    return tuple(sorted(e.name.removesuffix(".toml") for e in folder.iterdir() if e.name.endswith(".toml")))


def resolve_scenario(name_or_path: Path | str) -> Path:
    """Return the file of a scenario given by path or by the name of a shipped one; a file that exists comes first.

    Raises
    ------
    ScenarioError
        It is neither.
    """
    path = Path(name_or_path)
    if _is(path.is_file):
        return path
    names = shipped_scenarios()
    if str(name_or_path) in names:
        return Path(str(resources.files("simulators").joinpath("scenarios", f"{name_or_path}.toml")))
    remedy = f"Name a scenario file, or one of: {', '.join(names)}."
    if _is(path.is_dir):
        raise ScenarioError(path, None, "this is a folder", remedy)
    raise ScenarioError(path, None, "there is no such file, and no scenario of this name ships with Resik", remedy)


def resolve_scenarios(name_or_path: Path | str) -> list[Path]:
    """Return the file of a scenario as `resolve_scenario` does, and of a folder all that it holds.

    Raises
    ------
    ScenarioError
        It is neither, or a folder without a scenario.
    """
    path = Path(name_or_path)
    if str(name_or_path) in shipped_scenarios() or not _is(path.is_dir):
        return [resolve_scenario(name_or_path)]
    if files := sorted(path.glob("*.toml")):
        return files
    raise ScenarioError(path, None, "no file in this folder ends with .toml", "Name a folder that holds some.")


def check_scenario(path: Path) -> list[Finding]:
    """List everything that is wrong with a scenario file, in order of the lines; empty for a sound one."""
    return _read(path)[1]


def load_scenario(name_or_path: Path | str) -> Scenario:
    """Load a scenario by path or by the name of a shipped one.

    Raises
    ------
    ScenarioError
        There is none, or its file has an error: the first one, with line and remedy. `check_scenario` lists all.
    """
    return load_scenario_and_site(name_or_path)[0]


def load_scenario_and_site(name_or_path: Path | str) -> tuple[Scenario, Site]:
    """Load a scenario as `load_scenario` does, with its site, against which it is checked in any case."""
    path = resolve_scenario(name_or_path)
    doc, findings, site = _read(path)
    _raise_first(path, findings, f"resik simulate scenarios check {path}")
    assert doc is not None
    assert site is not None
    return _Builder(doc.data, ZoneInfo(site.timezone)).scenario(_site_of(doc.data, path)), site


def faults_of(tables: Sequence[Mapping[str, Any]], start_s: float, zone: ZoneInfo = SQUARE_ZONE) -> FaultScript:
    """Build a fault script from tables alone; see `FaultScript.parse`."""
    doc = Document("[[fault]]", {"fault": list(tables)}, {})
    _raise_first(Path(doc.file), list(ScenarioCheck(doc, None, zone).listed(("fault",))), "")
    return _Builder(doc.data, zone, start_s).faults()


def _raise_first(path: Path, findings: Sequence[Finding], command: str) -> None:
    errors = [f for f in findings if f.severity is Severity.ERROR]
    if errors:
        more = f" {len(errors) - 1} more: run {command}." if len(errors) > 1 and command else ""
        line = errors[0].line if command else None
        raise ScenarioError(path, line, errors[0].what, errors[0].remedy + more)


def _read(path: Path) -> tuple[Document | None, list[Finding], Site | None]:
    doc = read_document(path.parent, path.name)
    if isinstance(doc, Finding):
        return None, [doc], None
    findings: list[Finding] = []
    site: Site | None = None
    try:
        site = load_site(_site_of(doc.data, path))
    except (SiteError, OSError) as error:
        what = f"the site cannot be loaded: {error}".rstrip(".")
        findings.append(doc.error(("site",), what, "Name a sound site."))
    findings += ScenarioCheck(doc, site, SQUARE_ZONE if site is None else ZoneInfo(site.timezone)).findings()
    return doc, sorted(findings, key=lambda f: f.line), site


def _site_of(data: Mapping[str, Any], path: Path) -> str:
    """Return the site of a file; a folder is counted from the file's own."""
    default = next(f.default for f in SCENARIO_FIELDS if f.name == "site")
    written = data.get("site", default)
    if not isinstance(written, str) or not written.strip():
        return str(default)  # reported as a fault of the key
    beside = path.parent / written
    return str(beside) if _is(beside.is_dir) else written


def _is(look: Callable[[], bool]) -> bool:
    """Whether a path is there; a name that no file system takes (too long, say) is nowhere."""
    try:
        return look()
    except OSError:
        return False


class _Builder:
    """Turns the tables of a sound file into what they stand for."""

    def __init__(self, data: Mapping[str, Any], zone: ZoneInfo, start_s: float | None = None) -> None:
        self._data = data
        self._zone = zone
        found = start_of(data, zone) if start_s is None else start_s
        assert found is not None
        self._start_s = found

    def scenario(self, site: str) -> Scenario:
        top = values_of(self._data, SCENARIO_FIELDS)
        low, high = top["initial_fill_pct"]
        return Scenario(
            **{name: top[name] for name in ("id", "name_id", "name_en", "about_id", "about_en", "seed")},
            site=site,
            start_s=self._start_s,
            hours=float(top["hours"]),
            initial_fill_pct=(float(low), float(high)),
            visits=Visits(
                **self._section("visitors"),
                groups=tuple(
                    Group(self._s(t["at"]), t["buses"], float(t["people_per_bus"]))
                    for t in self._tables("visitors", "group")
                ),
                crowds=tuple(
                    CrowdSpell(*self._span(t), t["people"], t["purpose"]) for t in self._tables("visitors", "crowd")
                ),
                quiet=tuple(Quiet(*self._span(t), float(t["factor"])) for t in self._tables("visitors", "quiet")),
            ),
            weather=WeatherOverrides(
                **self._section("weather"),
                storms=tuple(
                    Storm(*self._span(t), float(t["rain_mmph"]), float(t["wind_mps"]))
                    for t in self._tables("weather", "storm")
                ),
            ),
            mishaps=MishapRates(
                **self._section("mishaps"),
                planned=tuple(
                    PlannedMishap(self._s(t["at"]), t["kind"], t["bin"] or "")
                    for t in self._tables("mishaps", "planned")
                ),
            ),
            crews=Habits(**self._section("crews")),
            faults=self.faults(),
            occasions=self._occasions(),
        )

    def faults(self) -> FaultScript:
        return FaultScript(self._fault(table) for table in self._tables("fault"))

    def _fault(self, table: Mapping[str, Any]) -> Fault:
        at_s = self._s(table["at"])
        kind = KINDS[table["target"].partition(":")[0]][table["kind"]]
        if table["kind"] in MOMENTS:
            until_s = at_s
        elif table["until"] is not None:
            until_s = moment_s(table["until"], at_s, self._start_s, self._zone)
        else:
            until_s = at_s + table["for_min"] * 60.0 if table["for_min"] is not None else inf
        strength = kind.default if table["strength"] is None else float(table["strength"])
        return Fault(at_s, until_s, table["target"], table["kind"], strength, float(table["share"]))

    def _occasions(self) -> dict[date, tuple[str, ...]]:
        found: dict[date, tuple[str, ...]] = {}
        for table in self._tables("occasion"):
            found[table["day"]] = (*found.get(table["day"], ()), table["name"])
        return found

    def _section(self, name: str) -> dict[str, Any]:
        values = values_of(self._data.get(name, {}), SECTIONS[name])
        return {k: v if isinstance(v, bool) else float(v) for k, v in values.items()}

    def _tables(self, *path: str) -> list[dict[str, Any]]:
        return [values_of(table, LISTS[path]) for _, table in tables_at(self._data, path)]

    def _s(self, moment: Any) -> float:
        return moment_s(moment, self._start_s, self._start_s, self._zone)

    def _span(self, table: Mapping[str, Any]) -> tuple[float, float]:
        from_s = self._s(table["from"])
        return from_s, moment_s(table["until"], from_s, self._start_s, self._zone)

"""``resik simulate scenarios``: what a simulated square can go through, and the check of scenario files."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from resik.complaints import plainly

if TYPE_CHECKING:
    from datetime import datetime

    from simulators.faults import Fault
    from simulators.scenario import Scenario
    from square.plan_source import Finding
    from square.site import Site

GOLDEN = Path("tests/unit/simulators/golden")


@click.group("scenarios")
def command() -> None:
    """Scenarios: days and nights that a simulated square goes through."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@plainly
def list_scenarios(*, as_json: bool) -> None:
    """List the scenarios that ship with Resik."""
    from simulators.scenario import load_scenario, shipped_scenarios

    found = [load_scenario(name) for name in shipped_scenarios()]
    if as_json:
        keys = ("id", "name_id", "name_en", "about_id", "about_en", "start_s", "hours", "seed", "site")
        click.echo(json.dumps([{key: getattr(s, key) for key in keys} for s in found], ensure_ascii=False))
        return
    width = max(len(s.id) for s in found)
    for s in found:
        click.echo(f"{s.id:<{width}}  {s.name_id} / {s.name_en}")
        click.echo(f"{'':<{width}}  {s.about_id}")
        click.echo(f"{'':<{width}}  {s.about_en}")


@command.command("show")
@click.argument("scenario")
@plainly
def show(scenario: str) -> None:
    """Show what happens in SCENARIO (a file, or the name of a shipped one), in order of time."""
    from simulators.scenario import load_scenario_and_site

    click.echo(shown(*load_scenario_and_site(scenario)))


@command.command("check")
@click.argument("paths", nargs=-1)
@plainly
def check(paths: Sequence[str]) -> None:
    """Check scenario files, and those in folders (without PATHS: all that ship): each fault with line and remedy.

    Exit code 0: all can be used, 1: one cannot.
    """
    from simulators.scenario import check_scenario, resolve_scenarios, shipped_scenarios
    from square.plan_source import Severity

    files = [file for path in paths or shipped_scenarios() for file in resolve_scenarios(path)]
    unusable = 0
    for file in files:
        findings = check_scenario(file)
        click.echo(findings_text(findings, file))
        unusable += any(f.severity is Severity.ERROR for f in findings)
    if len(files) > 1:
        click.echo(f"{len(files)} skenario diperiksa, {unusable} tidak dapat dipakai.")
        click.echo(f"{len(files)} scenarios checked, {unusable} cannot be used.")
    sys.exit(unusable > 0)


@command.command("golden")
@click.option("--write", is_flag=True, help="Write the figures anew instead of comparing.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=GOLDEN, show_default=True, help="Where the figures are kept."
)
@plainly
def golden(*, write: bool, folder: Path) -> None:
    """Compare what short runs of all shipped scenarios come to with the figures that are kept.

    Exit code 0: nothing moved, 1: something did.
    """
    from simulators.contest.golden import check_golden, write_golden

    if write:
        changed = write_golden(folder)
        click.echo("\n".join(f"{path}" for path in changed) or "tidak ada yang berubah / nothing changed")
        return
    differences = check_golden(folder)
    click.echo("\n".join(differences) or "sama / nothing moved")
    sys.exit(bool(differences))


def findings_text(findings: Sequence["Finding"], file: Path) -> str:
    """Render what the check of one file found."""
    from square.plan_source import verdict

    head = verdict(findings, f"Skenario {file}", f"The scenario {file}")
    return "\n".join([*head, *(f.told(file) for f in findings)])


def shown(scenario: "Scenario", site: "Site") -> str:
    """Describe a scenario for a terminal: titles, frame, and what is ordered in order of time."""
    from datetime import datetime

    zone = site.zone_info
    start, end = (datetime.fromtimestamp(s, zone) for s in (scenario.start_s, scenario.end_s))
    frame = f"{start:%Y-%m-%d %H:%M} + {scenario.hours:g} h = {end:%Y-%m-%d %H:%M}, {zone.key}"
    low, high = scenario.initial_fill_pct
    lines = [
        f"{scenario.id}: {scenario.name_id} / {scenario.name_en}",
        scenario.about_id,
        scenario.about_en,
        "",
        f"{frame}; site {scenario.site}; seed {scenario.seed}; bins {low:g} to {high:g} % at first",
    ]
    for name, section in (
        ("visitors", scenario.visits),
        ("weather", scenario.weather),
        ("mishaps", scenario.mishaps),
        ("crews", scenario.crews),
    ):
        if changed := _changed(section):
            lines.append(f"{name}: {changed}")
    lines += [f"{_clock(at_s, start)}  {what}" for at_s, what in sorted(_ordered(scenario), key=lambda one: one[0])]
    return "\n".join(lines)


def _changed(section: Any) -> str:
    """Return what a section has other than usual, without its lists."""
    usual = type(section)()
    names = [name for name in type(section).__dataclass_fields__ if not isinstance(getattr(usual, name), tuple)]
    return ", ".join(
        f"{name} = {getattr(section, name):g}" for name in names if getattr(section, name) != getattr(usual, name)
    )


def _ordered(scenario: "Scenario") -> list[tuple[float, str]]:
    visits = scenario.visits
    found = [(g.at_s, f"{g.buses} buses with {g.buses * g.people_per_bus:.0f} people") for g in visits.groups]
    found += [
        (c.from_s, f"{c.people} more {c.purpose} in {(c.until_s - c.from_s) / 60:.0f} min") for c in visits.crowds
    ]
    found += [
        (q.from_s, f"only {q.factor:.0%} of the visitors for {(q.until_s - q.from_s) / 60:.0f} min")
        for q in visits.quiet
    ]
    found += [
        (s.from_s, f"storm of {s.rain_mmph:g} mm/h and {s.wind_mps:g} m/s for {(s.until_s - s.from_s) / 60:.0f} min")
        for s in scenario.weather.storms
    ]
    found += [(m.at_s, f"{m.kind} {m.bin_id or 'somewhere'}") for m in scenario.mishaps.planned]
    return found + [(f.at_s, _fault_text(f)) for f in scenario.faults.faults]


def _fault_text(fault: "Fault") -> str:
    from simulators.faults import KINDS, MOMENTS

    known = KINDS[fault.target_kind][fault.kind]
    share = "" if fault.share >= 1 else f", {fault.share:.0%} of them"
    strength = f" {fault.strength:g} {known.unit}" if known.unit else ""
    for_min = (fault.until_s - fault.at_s) / 60
    lasts = "" if fault.kind in MOMENTS else f" for {for_min:.0f} min" if for_min < float("inf") else " for good"
    return f"{fault.target}{share}: {fault.kind}{strength}{lasts} ({known.about})"


def _clock(at_s: float, start: "datetime") -> str:
    from datetime import datetime

    at = datetime.fromtimestamp(at_s, start.tzinfo)
    days = (at.date() - start.date()).days
    return f"{at:%H:%M}" if days == 0 else f"{at:%H:%M} +{days} d"

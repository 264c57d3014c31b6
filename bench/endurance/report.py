"""The report of a campaign: one line of totals, and its part of docs/endurance.md."""

import os
import platform
import re
import sqlite3
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.endurance.campaign import CHECKS, Outcome
from bench.endurance.parts import NotHere, program

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
_PROBLEM_CHARACTERS = 300


def _version(command: list[str], pattern: str) -> str:
    try:
        words = [program(command[0]), *command[1:]]
        said = subprocess.run(words, check=False, capture_output=True, text=True, timeout=10)
    except (NotHere, OSError, subprocess.TimeoutExpired):
        return "not here"
    found = re.search(pattern, said.stdout + said.stderr)
    return found[1] if found is not None else "unknown"


def versions() -> dict[str, str]:
    """Return what ran."""
    root = Path(__file__).parents[2]
    return {
        "commit": _version(["git", "-C", str(root), "rev-parse", "--short", "HEAD"], r"^(\w+)"),
        "mosquitto": _version(["mosquitto", "-h"], r"version (\S+)"),
        "InfluxDB": _version(["influxd", "version"], r"InfluxDB v?(\S+)"),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "OpenSSL": ssl.OPENSSL_VERSION.split()[1],
        "msgspec": msgspec.__version__,
        "kernel": platform.release(),
    }


def totals(outcomes: Sequence[Outcome], *, seed: int, seconds: float) -> dict[str, float | bool | str | None]:
    """Return the sums of a run; what was planted on purpose is left out of readings, losses and duplicates."""
    honest = [outcome.facts.verdict for outcome in outcomes if not outcome.check.is_planted]
    states = [outcome.state for outcome in outcomes]
    planted = [outcome.state == "passed" for outcome in outcomes if outcome.check.is_planted]
    return {
        "campaign": "endurance",
        "checks": len(outcomes),
        "passed": states.count("passed"),
        "failed": states.count("failed"),
        "not_run": states.count("not run"),
        "readings_made": sum(verdict.made for verdict in honest),
        "stored": sum(verdict.stored for verdict in honest),
        "dead_lettered": sum(verdict.dead for verdict in honest),
        "lost": sum(verdict.lost for verdict in honest),
        "duplicated": sum(verdict.duplicated for verdict in honest),
        "faults": sum(outcome.facts.faults for outcome in outcomes),
        "planted_seen": all(planted) if planted else None,
        "seed": seed,
        "seconds": round(seconds, 1),
    }


def _row(outcome: Outcome) -> str:
    found = outcome.facts.verdict
    planted = " planted" if outcome.check.is_planted else ""
    cells = (
        outcome.check.key,
        outcome.check.title,
        outcome.state if outcome.state == "passed" else f"**{outcome.state}**",
        f"{outcome.facts.faults:,}",
        f"{found.made:,}",
        f"{found.stored:,}",
        f"{found.dead:,}",
        f"{found.lost:,}{planted}",
        f"{found.duplicated:,}{planted}",
        f"{outcome.seconds:.0f} s",
    )
    return f"| {' | '.join(cells)} |"


def table(outcomes: Sequence[Outcome], *, seed: int, seconds: float, is_short: bool, used: Mapping[str, str]) -> str:
    """Return what a run found, as Markdown; `used` names the versions that ran."""
    sums = totals(outcomes, seed=seed, seconds=seconds)
    size = "a tenth of the full size" if is_short else "full size"
    part = f", {len(outcomes)} of {len(CHECKS)} checks" if len(outcomes) < len(CHECKS) else ""
    named = ", ".join(f"{name} {version}" for name, version in used.items())
    when = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    judged = f"{sums['passed']} of {sums['checks']} checks passed, {sums['failed']} failed, {sums['not_run']} not run"
    readings = (
        f"{sums['readings_made']:,} readings made, {sums['stored']:,} stored, {sums['dead_lettered']:,} dead letters"
    )
    lines = [
        f"Run on {when}, {size}{part}, {os.cpu_count()} cores, {seconds / 60:.1f} minutes, seed {seed}: {named}.",
        "",
        f"**{judged}. {readings}; {sums['lost']} lost, {sums['duplicated']} stored twice.**",
        "",
        "| check | what is done | result | faults | made | stored | dead | lost | twice | time |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *map(_row, outcomes),
        "",
        "### What each check found",
        "",
    ]
    for outcome in outcomes:
        lines += [f"**{outcome.check.key}: {outcome.check.title}**", ""]
        lines += [f"* {note}." for note in outcome.facts.notes]
        for problem in outcome.facts.problems:
            lines.append(f"* Not as it must be: {' '.join(problem.split())[:_PROBLEM_CHARACTERS]}.")
        if outcome.reason:
            lines.append(f"* Not run: {outcome.reason}.")
        lines.append("")
    return "\n".join(lines).rstrip()


def page_with(text: str, found: str) -> str:
    """Return a page with what was found between its marks.

    Raises
    ------
    SystemExit
        If the page has no marks.
    """
    if BEGIN not in text or END not in text:
        raise SystemExit(f"the page has no {BEGIN} and {END}")
    pattern = f"{re.escape(BEGIN)}.*{re.escape(END)}"
    return re.sub(pattern, lambda _: f"{BEGIN}\n{found}\n{END}", text, flags=re.DOTALL)

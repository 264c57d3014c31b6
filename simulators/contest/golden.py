"""Golden figures: what a short run of each shipped scenario comes to, kept to the last digit that counts.

A change of the world, the sensors, the crews or the threshold policy shows here first. Figures that were meant to move
are written anew with `resik simulate scenarios golden --write`, and the difference is read before it is committed.
"""

import json
from pathlib import Path
from typing import Any, Final

from simulators.contest.loop import Loop
from simulators.contest.stage import Stage
from simulators.contest.threshold import Threshold
from simulators.scenario import load_scenario, shipped_scenarios

MINUTES: Final = 360
DIGITS: Final = 6


def golden_of(name: str) -> dict[str, Any]:
    """Play the first hours of a shipped scenario and return what they came to."""
    scenario = load_scenario(name)
    loop = Loop(Stage.of(scenario), Threshold(), seed=scenario.seed, minutes=min(MINUTES, round(scenario.hours * 60)))
    outcome = loop.run()
    return {
        "scenario": name,
        "seed": scenario.seed,
        "minutes": round((loop.now_ms - loop.stage.start_ms) / 60_000),
        "figures": {figure: round(value, DIGITS) for figure, value in outcome.figures.items()},
        "totals_mg": loop.model.totals._asdict(),
        "readings": {
            "made": outcome.readings,
            "heard": outcome.heard,
            "waiting": outcome.waiting,
            "lost": outcome.lost,
            "refused": outcome.refused,
            "late": outcome.late,
        },
        "fill_pct_sum": round(float(loop.model.fill_pct.sum()), DIGITS),
    }


def golden_text(name: str) -> str:
    """Return the golden file of a scenario."""
    return json.dumps(golden_of(name), indent=2) + "\n"


def write_golden(folder: Path) -> list[Path]:
    """Write the golden files of all shipped scenarios and return those that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed: list[Path] = []
    for name in shipped_scenarios():
        path, text = folder / f"{name}.json", golden_text(name)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def check_golden(folder: Path) -> list[str]:
    """Return in words what differs from the golden files; empty when nothing does."""
    found: list[str] = []
    for name in shipped_scenarios():
        path = folder / f"{name}.json"
        if not path.exists():
            found.append(f"{name}: {path} is missing; write it with --write")
            continue
        wanted, now = json.loads(path.read_text(encoding="utf-8")), golden_of(name)
        found += [f"{name}: {what}" for what in differences(wanted, now)]
    return found


def differences(wanted: Any, now: Any, at: str = "") -> list[str]:
    """Return where two JSON values differ, as "key: was 1, is 2"."""
    if isinstance(wanted, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*wanted, *now])
        return [
            line for key in keys for line in differences(wanted.get(key), now.get(key), f"{at}.{key}" if at else key)
        ]
    return [] if wanted == now else [f"{at}: was {wanted}, is {now}"]

"""Stages for tests of the contest: the shipped square with chosen crowd, crews and faults."""

from dataclasses import fields, replace
from functools import cache

from simulators.contest.bound import Bound, bound
from simulators.contest.stage import Stage
from simulators.faults import Fault, FaultScript
from simulators.habits import Habits
from simulators.scenario import load_scenario
from simulators.scenario_sections import MishapRates, Visits

NINE_S = 1_795_485_600.0
"""2026-11-24 09:00 at the square, a Tuesday."""
CALM = MishapRates(**{one.name: 0.0 for one in fields(MishapRates) if one.name != "planned"})


@cache
def stage(
    *,
    factor: float = 1.0,
    fill: tuple[float, float] = (20.0, 80.0),
    start_s: float = NINE_S,
    habits: Habits | None = None,
    faults: tuple[Fault, ...] = (),
    is_calm: bool = True,
) -> Stage:
    """Return a stage; `is_calm`: nothing happens but visitors, weather and crews."""
    quiet = load_scenario("quiet-tuesday")
    return Stage.of(
        replace(
            quiet,
            start_s=start_s,
            initial_fill_pct=fill,
            visits=Visits(per_day_factor=factor),
            crews=habits or Habits(),
            faults=FaultScript(faults),
            mishaps=CALM if is_calm else quiet.mishaps,
        )
    )


@cache
def bound_of(played: Stage, seed: int, minutes: int) -> Bound:
    """Return the bound of a run."""
    return bound(played.world(seed), played.square, played.start_ms, minutes)

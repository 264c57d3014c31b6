"""A contest: policies on the same square, seed by seed, and what can be said of their difference.

Every seed is one independent pair of runs: the same demand, weather, mishaps, sensors and crews for each policy. So the
difference of two policies is taken seed by seed, and its interval is much narrower than those of the policies.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from simulators.contest.bound import Bound, bound
from simulators.contest.intervals import Interval, interval
from simulators.contest.loop import Loop
from simulators.contest.measures import FIGURES
from simulators.contest.policy import policy_maker
from simulators.contest.stage import Stage
from simulators.contest.truth import LogWriter

DAY_MIN: Final = 1440
BOUND_FIGURES: Final = ("overflow_bin_minutes", "litter_hours", "emptyings")


@dataclass(frozen=True)
class SeedResult:
    """All policies on one seed.

    Attributes
    ----------
    seed : int
        Of the world.
    figures : dict[str, dict[str, float]]
        Figures by policy.
    bound : dict[str, float]
        What nobody can undercut.
    generated_mg : int
        Waste of the run.
    """

    seed: int
    figures: dict[str, dict[str, float]]
    bound: dict[str, float]
    generated_mg: int


@dataclass(frozen=True)
class Grade:
    """The contest's result.

    Attributes
    ----------
    scenario : str
        Its id.
    days : float
        Length of each run [days].
    seeds : tuple[int, ...]
        Which worlds.
    policies : dict[str, dict[str, Interval]]
        Figures by policy.
    differences : dict[str, dict[str, Interval]]
        Each policy but the first, minus the first, seed by seed.
    bound : dict[str, Interval]
        What no policy can undercut; its emptyings are those that no overflow at all would need.
    unserved : list[str]
        Why something cannot be done by anybody: in words.
    results : list[SeedResult]
        All runs.
    """

    scenario: str
    days: float
    seeds: tuple[int, ...]
    policies: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    bound: dict[str, Interval]
    unserved: list[str]
    results: list[SeedResult] = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return it as the command prints it."""
        return {
            "scenario": self.scenario,
            "days": self.days,
            "seeds": list(self.seeds),
            "policies": as_dicts(self.policies),
            "differences": as_dicts(self.differences),
            "bound": {name: one.as_dict() for name, one in self.bound.items()},
            "unserved": self.unserved,
        }


def as_dicts(table: Mapping[str, Mapping[str, Interval]]) -> dict[str, dict[str, dict[str, float]]]:
    """Return a table of figures as JSON has it."""
    return {name: {figure: one.as_dict() for figure, one in row.items()} for name, row in table.items()}


def play_seed(stage: Stage, policies: Sequence[str], *, seed: int, days: float, logs: Path | None = None) -> SeedResult:
    """Let every policy live through the same world.

    Raises
    ------
    AssertionError
        The policies did not meet the same demand: a fault of the simulator.
    """
    minutes = round(days * DAY_MIN)
    best = least(stage, seed, minutes)
    figures: dict[str, dict[str, float]] = {}
    generated: set[int] = set()
    for name in policies:
        policy = policy_maker(name)()
        recorder = None if logs is None else LogWriter.for_run(logs, stage, name, seed)
        try:
            loop = Loop(stage, policy, seed=seed, minutes=minutes, foresight=best.foresight, recorder=recorder)
            outcome = loop.run()
        finally:
            if recorder is not None:
                recorder.close()
        figures[name] = outcome.figures
        generated.add(outcome.generated_mg)
    assert len(generated) <= 1, f"demand of seed {seed} differs between policies: {generated}"
    lowest = {figure: float(getattr(best, figure)) for figure in BOUND_FIGURES}
    return SeedResult(seed, figures, lowest, generated.pop() if generated else 0)


def least(stage: Stage, seed: int, minutes: int) -> Bound:
    """Return the bound and the foresight of a seed."""
    return bound(stage.world(seed), stage.square, stage.start_ms, minutes)


def play(
    stage: Stage,
    policies: Sequence[str],
    *,
    seeds: Sequence[int],
    days: float,
    jobs: int = 1,
    logs: Path | None = None,
    done: Callable[[], None] = lambda: None,
) -> Grade:
    """Play a contest.

    Parameters
    ----------
    stage
        The square.
    policies
        Names; the first is the one that the others are compared with.
    seeds
        Worlds.
    days
        Length of a run [days].
    jobs
        Processes; with more than one, policies must be built-in or of an installed package.
    logs
        Folder for truth and belief of every run.
    done
        Called after each seed.
    """
    for name in policies:
        policy_maker(name)
    arguments = {"days": days, "logs": logs}
    results: list[SeedResult] = []
    for result in spread(play_seed, [(stage, tuple(policies), seed) for seed in seeds], arguments, jobs=jobs):
        results.append(result)
        done()
    results.sort(key=lambda one: one.seed)
    return summary(stage, policies, days, results)


def spread(
    work: Callable[..., Any],
    items: Sequence[tuple[Stage, tuple[str, ...], int]],
    keywords: Mapping[str, Any],
    *,
    jobs: int,
) -> Iterator[Any]:
    """Yield ``work(stage, policies, seed=seed, **keywords)`` of each item, as it is done, in so many processes."""
    if jobs <= 1:
        for stage, names, seed in items:
            yield work(stage, names, seed=seed, **keywords)
        return
    with ProcessPoolExecutor(max_workers=jobs, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(work, stage, names, seed=seed, **keywords) for stage, names, seed in items]
        for future in as_completed(futures):
            yield future.result()


def means(policies: Sequence[str], results: Sequence[SeedResult]) -> dict[str, dict[str, Interval]]:
    """Return each figure of each policy over all seeds."""
    return {
        name: {figure: interval([one.figures[name][figure] for one in results]) for figure in FIGURES}
        for name in policies
    }


def bound_means(results: Sequence[SeedResult]) -> dict[str, Interval]:
    """Return what nobody can undercut, over all seeds."""
    return {figure: interval([one.bound[figure] for one in results]) for figure in BOUND_FIGURES}


def summary(stage: Stage, policies: Sequence[str], days: float, results: Sequence[SeedResult]) -> Grade:
    """Put the results of all seeds together."""
    first = policies[0]
    differences = {
        name: {
            figure: interval(
                [one.figures[name][figure] - one.figures[first][figure] for one in results], is_count=False
            )
            for figure in FIGURES
        }
        for name in policies[1:]
    }
    return Grade(
        scenario=stage.scenario.id,
        days=days,
        seeds=tuple(one.seed for one in results),
        policies=means(policies, results),
        differences=differences,
        bound=bound_means(results),
        unserved=[*unserved(stage), *overload(stage, days, results)],
        results=list(results),
    )


def unserved(stage: Stage) -> list[str]:
    """Say what nobody can do on this square, whatever is decided: bins that no shift can reach, or no crew at all."""
    plan = stage.square.plan
    staffed = {crew.shift for crew in plan.crews}
    shifts = [shift for shift in plan.shift_plan.shifts if shift.id in staffed]
    if not shifts:
        return ["there is no crew: nothing is ever emptied"]
    found = [f"shift {shift.id} has no crew" for shift in plan.shift_plan.shifts if shift.id not in staffed]
    for asset_id, volume_l in stage.square.volumes_l.items():
        hours = stage.square.asset(asset_id).hours
        if hours is not None and not hours.meets(shifts):
            found.append(f"{asset_id} is never open while a crew is there")
        if volume_l > stage.square.cart_l:
            found.append(f"{asset_id} holds more ({volume_l:g} l) than a cart ({stage.square.cart_l:g} l)")
    return found


def overload(stage: Stage, days: float, results: Sequence[SeedResult]) -> list[str]:
    """Say on how many seeds more comes than the crews could carry away, if they never walked and never swept."""
    plan = stage.square.plan
    minutes = range(round(days * DAY_MIN))
    on_shift = {
        shift.id: sum(plan.is_on_shift(shift.id, stage.start_ms + 60_000 * m) for m in minutes)
        for shift in plan.shift_plan.shifts
    }
    most = math.floor(sum(60.0 * on_shift[crew.shift] for crew in plan.crews) / stage.square.empty_s)
    needed = [one.bound["emptyings"] for one in results]
    over = [one for one in needed if one > most]
    if not over:
        return []
    words = (
        f"on {len(over)} of {len(needed)} seeds more comes than these crews can take out: at least {min(over):.0f} "
        f"emptyings are needed so that nothing overflows, and there is time for at most {most} without any walking"
    )
    return [words]

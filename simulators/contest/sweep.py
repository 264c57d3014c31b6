"""How many crews, how many bins: the same contest on a square with more or fewer of them.

A grid of squares is played, every cell on the same seeds. The answer is the smallest number of crews (for each number
of bins) that keeps a figure at or below an aim; the aim is the office's to set, not ours.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from simulators.contest.errors import SweepError
from simulators.contest.grade import DAY_MIN, SeedResult, as_dicts, bound_means, least, means, play_seed, spread
from simulators.contest.intervals import Interval
from simulators.contest.measures import FIGURES
from simulators.contest.policy import policy_maker
from simulators.contest.stage import Stage
from simulators.contest.variants import with_bins, with_crews
from simulators.scenario import Scenario

MOST_VALUES: Final = 9
"""A range without a step is cut into at most so many values, its ends among them."""
AIM_SHARE: Final = 0.01
"""Assumed aim where none is given: bins overflow at most this share of the time."""
_KNOWN: Final = ("crews", "bins")
_TERM: Final = re.compile(r"(\w+)=(\d+)(?:\.\.(\d+)(?:\.\.(\d+))?)?")


def parse_plan(text: str) -> dict[str, list[int]]:
    """Read "crews=6..14 bins=40..70" (or "crews=6..14..2", or "crews=8").

    Raises
    ------
    SweepError
        It is written otherwise.

    Examples
    --------
    >>> parse_plan("crews=6..8 bins=40..50..5")
    {'crews': [6, 7, 8], 'bins': [40, 45, 50]}
    """
    found: dict[str, list[int]] = {}
    for term in text.replace(",", " ").split():
        match = _TERM.fullmatch(term)
        if match is None or match[1] not in _KNOWN:
            raise SweepError(f'the plan has "{term}": write a range like crews=6..14, bins=40..70 or crews=6..14..2')
        name, low, high, step = match[1], int(match[2]), int(match[3] or match[2]), match[4]
        if name in found:
            raise SweepError(f"{name} stands twice in the plan: give it one range")
        if low < 1 or high < low or step == "0":
            raise SweepError(f"the plan has {term}: write the smaller number first; all must be at least 1")
        if step is not None:
            found[name] = list(range(low, high + 1, int(step)))
        else:
            count = min(MOST_VALUES, high - low + 1)
            found[name] = [round(value) for value in np.linspace(low, high, count).tolist()]
    if not found:
        raise SweepError("the plan is empty: write for example crews=6..14")
    return found


@dataclass(frozen=True)
class Cell:
    """One square of the grid: how many crews and bins, figures by policy, and the bound."""

    crews: int
    bins: int
    policies: dict[str, dict[str, Interval]]
    bound: dict[str, Interval]


@dataclass(frozen=True)
class Sweep:
    """Result of a sweep.

    Attributes
    ----------
    scenario, days, seeds
        What was played.
    figure, aim
        What must be kept at or below what, for a whole run.
    cells : list[Cell]
        The grid.
    answers : list[dict]
        For each policy and number of bins the smallest number of crews that keeps the aim; None when none does.
    """

    scenario: str
    days: float
    seeds: tuple[int, ...]
    figure: str
    aim: float
    cells: list[Cell] = field(repr=False)
    answers: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as the command prints it."""
        return {
            "scenario": self.scenario,
            "days": self.days,
            "seeds": list(self.seeds),
            "figure": self.figure,
            "aim": self.aim,
            "answers": self.answers,
            "cells": [
                {
                    "crews": cell.crews,
                    "bins": cell.bins,
                    "policies": as_dicts(cell.policies),
                    "bound": {name: one.as_dict() for name, one in cell.bound.items()},
                }
                for cell in self.cells
            ],
        }


def play_sweep(
    scenario: Scenario,
    policies: Sequence[str],
    plan: Mapping[str, Sequence[int]],
    *,
    seeds: Sequence[int],
    days: float,
    figure: str = "overflow_bin_minutes",
    aim: float | None = None,
    jobs: int = 1,
    done: Callable[[], None] = lambda: None,
) -> Sweep:
    """Play every cell of a grid.

    Parameters
    ----------
    scenario
        What the square goes through.
    policies
        Names.
    plan
        Values of "crews" and "bins"; what is left out stays as the site has it.
    seeds, days, jobs, done
        As of `grade.play`; `done` is called after each seed of each cell.
    figure, aim
        What the answer is judged by; without an aim, bins may overflow 1 % of the time.
    """
    if figure not in FIGURES:
        raise SweepError(f'there is no figure "{figure}": choose among {", ".join(FIGURES)}')
    for name in policies:
        policy_maker(name)
    base = Stage.of(scenario)
    bins_there = len(base.square.volumes_l)
    numbers = [(c, b) for b in plan.get("bins", [bins_there]) for c in plan.get("crews", [len(base.site.crews)])]
    by_use = bins_by_use(base, seeds[0], days) if "bins" in plan else list(base.square.volumes_l)
    stages = {
        (crews, bins): Stage.of(scenario, with_crews(with_bins(base.site, bins, by_use), crews))
        for crews, bins in numbers
    }
    items = [(stage, tuple(policies), seed) for stage in stages.values() for seed in seeds]
    results: dict[tuple[int, int], list[SeedResult]] = {number: [] for number in numbers}
    for result in spread(_play_cell, items, {"days": days}, jobs=jobs):
        number, played = result
        results[number].append(played)
        done()
    cells = [_cell(number, policies, results[number]) for number in numbers]
    if aim is None:
        aim = AIM_SHARE * days * DAY_MIN * bins_there if figure == "overflow_bin_minutes" else 0.0
    return Sweep(scenario.id, days, tuple(seeds), figure, aim, cells, _answers(cells, policies, figure, aim))


def _play_cell(stage: Stage, policies: Sequence[str], *, seed: int, days: float) -> tuple[tuple[int, int], SeedResult]:
    number = (len(stage.site.crews), len(stage.square.volumes_l))
    return number, play_seed(stage, policies, seed=seed, days=days)


def bins_by_use(stage: Stage, seed: int, days: float) -> list[str]:
    """Return bins by what is brought to them when none is ever full, the most first."""
    foresight = least(stage, seed, round(days * DAY_MIN)).foresight
    use = {
        asset_id: float(foresight.inflow_pct[-1, column]) * stage.square.volumes_l[asset_id]
        for column, asset_id in enumerate(foresight.assets)
    }
    return sorted(use, key=lambda asset_id: (-round(use[asset_id], 3), asset_id))


def _cell(number: tuple[int, int], policies: Sequence[str], results: Sequence[SeedResult]) -> Cell:
    ordered = sorted(results, key=lambda one: one.seed)
    return Cell(
        crews=number[0],
        bins=number[1],
        policies=means(policies, ordered),
        bound=bound_means(ordered),
    )


def _answers(cells: Sequence[Cell], policies: Sequence[str], figure: str, aim: float) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for bins in dict.fromkeys(cell.bins for cell in cells):
        for name in policies:
            fitting = [c.crews for c in cells if c.bins == bins and c.policies[name][figure].mean <= aim]
            found.append({"policy": name, "bins": bins, "crews": min(fitting, default=None)})
    return found

"""What the simulated square costs: processor time of a day, by size and by part.

    python -m bench.simulator [--copies 209] [--hours 24] [--policies threshold,fixed,predictive]

The shipped square, and so many of it side by side (209 have 10,032 bins). Measured are the crowd alone (every item that
every visitor drops), the model alone (the same items, already drawn), the readings of all bins in it, and a whole
contest in closed loop for each policy: crowd, model, sensors, office and crews. What becomes of the shipped square that
nobody tends for three days stands at the end. Times are of the processor, so that
what else runs on the machine matters little; the limits are those of the design.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from simulators.contest.loop import Loop
from simulators.contest.policy import policy_maker
from simulators.contest.stage import Stage
from simulators.contest.variants import Wide, side_by_side
from simulators.ground import Ground
from simulators.mishaps import Mishaps
from simulators.model import SLOW_MIN, SquareModel
from simulators.scenario import load_scenario
from simulators.scenario_sections import Visits
from simulators.visitors import Crowd, Drops
from simulators.weather import Weather
from simulators.world import World
from square.occasions import Occasions
from square.site import Site, load_site

START_S = 1_795_500_000.0
"""2026-11-24 13:00 at the square, a Tuesday."""
LIMITS_S = {
    "model, 48 bins": 0.4,
    "model, 10,000 bins": 25.0,
    "crowd, 48 bins": 0.15,
    "crowd, 10,000 bins": 25.0,
    "closed loop, 48 bins": 2.0,
    "closed loop, 10,000 bins": 120.0,
}


class Drawn:
    """A crowd whose items are drawn already."""

    def __init__(self, crowd: Crowd, hours: float) -> None:
        first = int(START_S // 60)
        # the model looks back, too: who was there decides what is pressed down
        self._drops = {m: crowd.drops(m) for m in range(first - SLOW_MIN, first + round(hours * 60) + 1)}
        self.items = sum(len(drops.point) for drops in self._drops.values())

    def drops(self, minute_index: int) -> Drops:
        """Return what is dropped in a minute."""
        return self._drops[minute_index]


def took_s(work: Callable[[], object]) -> float:
    """Return the processor time of some work [s]."""
    began_s = time.process_time()
    work()
    return time.process_time() - began_s


def measure(site: Site, hours: float, visits_factor: float) -> dict[str, float]:
    """Measure one site."""
    found: dict[str, float] = {"bins": float(len(site.bins))}
    grounds: list[Ground] = []
    found["ground"] = took_s(lambda: grounds.append(Ground.of(site)))
    ground = grounds[0]
    weather = Weather(1, zone=site.zone_info)
    crowd = Crowd(ground, seed=1, occasions=Occasions(), visits=Visits(visits_factor), rain_mmph=weather.rain_mmph)
    drawn: list[Drawn] = []
    found["crowd"] = took_s(lambda: drawn.append(Drawn(crowd, hours)))
    found["items"] = float(drawn[0].items)
    model = SquareModel(
        ground,
        cast("Crowd", drawn[0]),
        weather,
        Mishaps(seed=1, zone=site.zone_info),
        seed=1,
        start_s=START_S,
        initial_fill_pct=(5.0, 75.0),
    )
    found["model"] = took_s(lambda: model.advance(START_S + hours * 3600))
    found["truths of all bins, once"] = took_s(model.bin_truths)
    found["air at 100 places"] = took_s(lambda: [model.air_truth(*site.centre, model.at_s) for _ in range(100)])
    found["snapshot"] = took_s(lambda: json.dumps(model.snapshot()))
    totals = model.totals
    assert totals.generated_mg == sum(totals[1:])
    found["overflow bin-hours"] = float(np.sum(model.overflow_s)) / 3600.0
    return found


def closed_loop(wide: Wide, hours: float, visits_factor: float, policies: Sequence[str]) -> dict[str, float]:
    """Measure a contest of one site, policy by policy, everything that is prepared for it included."""
    scenario = replace(load_scenario("quiet-tuesday"), start_s=START_S, visits=Visits(visits_factor))
    stages: list[Stage] = []
    found = {
        "stage": took_s(
            lambda: stages.append(Stage.of(scenario, wide.site, homes=wide.homes, unload_places=wide.unload_places))
        )
    }
    for name in policies:
        loops: list[Loop] = []

        def play(name: str = name, loops: list[Loop] = loops) -> None:
            loops.append(Loop(stages[0], policy_maker(name)(), seed=1, minutes=round(hours * 60)))
            loops[0].run()

        found[f"closed loop, {name}"] = took_s(play)
        found[f"  emptyings, {name}"] = loops[0].outcome().figures["emptyings"]
    return found


def untended(site: Site, days: int) -> list[tuple[int, int]]:
    """Return full bins and dirty zones after each day from an empty Tuesday noon on, when nobody empties or sweeps."""
    start_s = START_S - 3600.0
    world = World(site, seed=1, start_s=start_s, initial_fill_pct=(0.0, 0.0))
    found = []
    for day in range(1, days + 1):
        world.advance(start_s + day * 86_400.0)
        model = world.model
        full = int((model.fill_pct >= site.rules.full_pct).sum())
        found.append((full, int((model.litter_l > model.dirty_l).sum())))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--copies", type=int, default=209)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--policies", default="threshold", help="names, separated by commas")
    arguments = parser.parse_args()
    site = load_site("alun-alun-pasuruan")
    results = {}
    for copies in (1, arguments.copies):
        name = "one square" if copies == 1 else f"{copies} squares"
        wide = side_by_side(site, copies)
        results[name] = measure(wide.site, arguments.hours, float(copies))
        results[name] |= closed_loop(wide, arguments.hours, float(copies), arguments.policies.split(","))
        print(f"{name}, {arguments.hours:g} h")
        for what, value in results[name].items():
            print(f"  {what:28} {value:,.4g}")
    left_alone = untended(site, 3)
    print(f"left alone for days: {', '.join(f'{full} full bins, {dirty} dirty zones' for full, dirty in left_alone)}")
    print(json.dumps({"left_alone": left_alone, "hours": arguments.hours, "limits_s": LIMITS_S, "cpu_s": results}))


if __name__ == "__main__":
    main()

"""How wrong honest sensors are about a truth that is known, and what a reading costs.

    python -m bench.sensing [quiet-tuesday haul ...] [--hours 24]

Every 10 minutes all bin sensors of a scenario measure; then each bin above 90 % of true fill is emptied. Printed are
the share of readings without a distance, and of the others how many points of fill they are above the truth: mean,
standard deviation, and what nineteen in twenty stay within. Faults of the scenario count. Times are of the processor.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from simulators.contest.stage import Stage
from simulators.scenario import load_scenario
from simulators.sensing import BinSensors
from square.geometry import fill_pct_of

Reals = npt.NDArray[np.float64]

EVERY_MIN = 10
EMPTIED_PCT = 90.0
BANDS_PCT = ((0, 25), (25, 50), (50, 75), (75, 120))
MANY = 1_000


@dataclass
class Seen:
    """What sensors said, beside the truth.

    Attributes
    ----------
    states : Counter[str]
        Readings by state; "none" for those never made.
    true_pct, error_pct : list[float]
        True fill of readings with a distance, and how far above it they read [percentage points].
    """

    states: Counter[str] = field(default_factory=Counter)
    true_pct: list[float] = field(default_factory=list)
    error_pct: list[float] = field(default_factory=list)

    def within(self, low_pct: float, high_pct: float) -> Reals:
        """Return the errors of readings whose true fill lies in a band."""
        true, error = np.array(self.true_pct), np.array(self.error_pct)
        found: Reals = error[(true >= low_pct) & (true < high_pct)]
        return found


def watch(name: str, hours: float) -> Seen:
    """Let the sensors of a scenario measure for some hours."""
    scenario = load_scenario(name)
    stage = Stage.of(scenario)
    model, sensors = stage.world(scenario.seed), stage.sensors(scenario.seed)
    bins, everyone, seen = stage.ground.bins, np.arange(len(sensors.names)), Seen()
    for minute in range(0, round(min(hours, scenario.hours) * 60), EVERY_MIN):
        at_s = scenario.start_s + minute * 60
        model.advance(at_s)
        truths = model.bin_truths()
        for which, reading in zip(sensors.bin_of.tolist(), sensors.sense(everyone, truths, at_s), strict=True):
            seen.states[str(reading["state"]) if reading else "none"] += 1
            if reading and "distance_mm" in reading:
                true_pct = float(truths.fill_pct[which])
                seen.true_pct.append(true_pct)
                seen.error_pct.append(fill_pct_of(bins[which], int(reading["distance_mm"])) - true_pct)
        for which in np.flatnonzero(truths.fill_pct > EMPTIED_PCT):
            model.empty(bins[which].id)
    return seen


def report(name: str, seen: Seen) -> str:
    """Render what was seen."""
    total = seen.states.total()
    shares = ", ".join(f"{state} {100 * count / total:.1f} %" for state, count in seen.states.most_common())
    lines = [
        f"{name}: {total} readings; {shares}",
        f"{'true fill':>12} {'readings':>9} {'bias':>6} {'sd':>6} {'95 %':>6}",
    ]
    for low, high in ((0, 120), *BANDS_PCT):
        error = seen.within(low, high)
        if error.size:
            spread = (error.mean(), error.std(), np.percentile(np.abs(error), 95))
            lines.append(f"{low:>5} to {high:>3} {error.size:>9}" + "".join(f" {x:>6.1f}" for x in spread))
    return "\n".join(lines)


def cost_us(sensors: BinSensors, stage: Stage) -> tuple[float, float]:
    """Return the processor time of a reading among many, and of one alone [us]."""
    model = stage.world(1)
    truths, start_s = model.bin_truths(), stage.scenario.start_s
    found = []
    for which, times in ((np.arange(MANY) % len(sensors.names), 30), (np.array([0]), 3_000)):
        began_s = time.process_time()
        for i in range(times):
            sensors.sense(which, truths, start_s + i)
        found.append((time.process_time() - began_s) / times / which.size * 1e6)
    return found[0], found[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description="How wrong simulated sensors are, and what a reading costs.")
    parser.add_argument("scenarios", nargs="*", default=["quiet-tuesday", "haul"])
    parser.add_argument("--hours", type=float, default=24.0)
    given = parser.parse_args(arguments)
    for name in given.scenarios:
        print(report(name, watch(name, given.hours)))
    stage = Stage.of(load_scenario("quiet-tuesday"))
    many_us, alone_us = cost_us(stage.sensors(1), stage)
    print(f"a reading among {MANY}: {many_us:.1f} us, alone: {alone_us:.0f} us")


if __name__ == "__main__":
    main()

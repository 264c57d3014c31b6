"""How far the fill cycles of the simulated bins are from bins that were measured: Wyndham and Edinburgh.

Wyndham: 31 street bins, one level a day for two years, emptied when they report 80 % or more. Edinburgh: 334 litter
bins, every emptying of six weeks with its moment and level. Neither is Pasuruan, and neither tells who was sent when.
So everything is divided by its mean, and the simulated square is emptied by the plain rules below. Each distance stands
beside those of an exponential and of a uniform distribution of the same mean, and of one half of the real bins from the
other half: what no model can be expected to undercut. Nothing was fitted to these data.

* ``daily``: looked at every midnight in steps of 20 %, emptied at 08:00 when it showed 80 % or more (Wyndham's rule).
* ``rounds``: every bin every second day, the middle of Edinburgh's intervals; half of the bins each day, 06:00 on.
* ``mixed``: looked at every morning; emptied from 64 % on (Edinburgh's alarm at 80 % of its scale), and on its round.

Run: ``python -m bench.fill_cycles [--data FOLDER] [--days 90] [--seed 1]``. Prints a table and one line of JSON. Takes
about a minute of processor time.
"""

import argparse
import csv
import gzip
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simulators.ground import Ground
from simulators.model import SquareModel
from square.calendar import instant_s
from square.site import Site, load_site

Reals = npt.NDArray[np.float64]

SITE = "alun-alun-pasuruan"
START = date(2027, 1, 4)
WYNDHAM = Path("wyndham_fill") / "wyndham_fill_daily.csv.gz"
EDINBURGH = Path("edinburgh_collections") / "collections.csv.gz"
TENTHS_PER_STEP = 2
EMPTIED_TENTHS = 8
FALL_TENTHS = 6
"""A fall of so much from one day to the next is an emptying; a busy bin shows 20 % again the day after."""
ALARM_PCT = 80.0
"""Edinburgh's 100 % is a bin that is 80 % full."""
STUCK_DAYS = 60
FEW_CYCLES = 5
LEAST_DAYS = 40
_DAY_S = 86_400


@dataclass
class Cycles:
    """Fill cycles of bins.

    Attributes
    ----------
    intervals : dict
        Time between two emptyings of each bin, in one unit.
    levels : list
        Level at each emptying, in one unit.
    rises : list
        Rises from one day to the next that were not zero, in one unit.
    still : float
        Share of days without a change [0..1].
    """

    intervals: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    levels: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    rises: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    still: float = 0.0

    def half(self, which: int) -> "Cycles":
        """Return every second bin."""
        names = set(sorted({*self.intervals, *self.levels, *self.rises})[which::2])
        chosen = ({n: v for n, v in part.items() if n in names} for part in (self.intervals, self.levels, self.rises))
        return Cycles(*chosen, self.still)


def every(part: Mapping[str, Sequence[float]]) -> Reals:
    """All values of all bins."""
    return np.array([value for bin_values in part.values() for value in bin_values], dtype=np.float64)


def pooled(part: Mapping[str, Sequence[float]]) -> Reals:
    """All values of all bins over their mean."""
    values = every(part)
    return values / values.mean()


def within(part: Mapping[str, Sequence[float]]) -> Reals:
    """Values of each bin over the mean of that bin; bins with few are left out."""
    rows = [np.array(values) / np.mean(values) for values in part.values() if len(values) >= FEW_CYCLES]
    return np.concatenate(rows)


def ks(a: Reals, b: Reals) -> float:
    """Kolmogorov-Smirnov distance: largest gap between two cumulative distributions [0..1]."""
    at = np.concatenate((a, b))
    below = [np.searchsorted(np.sort(sample), at, side="right") / sample.size for sample in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def wasserstein(a: Reals, b: Reals) -> float:
    """Wasserstein distance of two samples [means]: how far the average value would have to move."""
    return float(np.abs(np.quantile(a, _LEVELS) - np.quantile(b, _LEVELS)).mean())


_LEVELS = (np.arange(2000) + 0.5) / 2000
EXPONENTIAL: Reals = -np.log1p(-_LEVELS)
UNIFORM: Reals = 2.0 * _LEVELS


def read_wyndham(path: Path) -> Cycles:
    """Read the daily levels; runs of a stuck sensor and gaps in the days are cut out."""
    levels: dict[str, dict[date, int]] = defaultdict(dict)
    with gzip.open(path, "rt", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            levels[row["serialNumber"]][date.fromisoformat(row["timestamp"])] = int(row["latestFullness"])
    return of_daily({name: _unstuck(sorted(days.items())) for name, days in levels.items()})


def _unstuck(days: Sequence[tuple[date, int]]) -> list[tuple[date, int]]:
    kept: list[tuple[date, int]] = []
    run: list[tuple[date, int]] = []
    for day in (*days, (date.max, -1)):
        if run and run[-1][1] != day[1]:
            kept += run if len(run) < STUCK_DAYS else []
            run = []
        run.append(day)
    return kept


def of_daily(levels: Mapping[str, Sequence[tuple[date, int]]]) -> Cycles:
    """Find cycles in daily levels [tenths]: an emptying is a fall of `FALL_TENTHS` from one day to the next.

    An interval counts only when every day of it was reported.
    """
    cycles = Cycles()
    still = changes = 0
    for name, days in levels.items():
        since: date | None = None
        for (before, level), (day, then) in pairwise(days):
            if (day - before).days != 1:
                since = None
                continue
            changes += 1
            still += then == level
            if then > level:
                cycles.rises[name].append(then - level)
            elif level - then >= FALL_TENTHS:
                cycles.levels[name].append(level)
                if since is not None:
                    cycles.intervals[name].append((day - since).days)
                since = day
    cycles.still = still / changes
    return cycles


def read_edinburgh(path: Path) -> Cycles:
    """Read the emptyings: hours between those of a site, and physical levels [%]."""
    emptied: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            at_s = datetime.fromisoformat(row["collected_at_europe_london"] + "+01:00").timestamp()
            emptied[row["Site"]].append((at_s, float(row["fill_before_pct"]) * ALARM_PCT / 100.0))
    return of_emptyings(emptied)


def of_emptyings(emptied: Mapping[str, Iterable[tuple[float, float]]]) -> Cycles:
    """Find cycles in emptyings: moment [s] and level of each."""
    cycles = Cycles()
    for name, events in emptied.items():
        ordered = sorted(events)
        cycles.levels[name] = [level for _, level in ordered]
        cycles.intervals[name] = [(b - a) / 3600.0 for (a, _), (b, _) in pairwise(ordered)]
    return cycles


class Square:
    """The simulated square under a plain rule.

    Parameters
    ----------
    site
        Its plan.
    days, seed
        How long, and of which chance.
    """

    def __init__(self, site: Site, days: int, seed: int) -> None:
        self._days, self._zone = days, site.zone_info
        self.model = SquareModel.of(Ground.of(site), seed=seed, start_s=self._at(0, 0.0))
        self.emptied: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def _at(self, day: int, hour: float) -> float:
        return instant_s(date.fromordinal(START.toordinal() + day), round(hour * 60), self._zone)

    def _empty(self, bins: Iterable[str]) -> None:
        for name in bins:
            self.emptied[name].append((self.model.at_s, self.model.fill_of(name)))
            self.model.empty(name)

    def daily(self) -> Cycles:
        """Look every midnight and empty at 08:00 what showed 80 % or more."""
        seen: dict[str, list[tuple[date, int]]] = defaultdict(list)
        for day in range(self._days):
            self.model.advance(self._at(day, 0.0))
            steps = np.minimum(self.model.fill_pct // (10 * TENTHS_PER_STEP), 10 // TENTHS_PER_STEP).astype(int)
            tenths = dict(zip(self.model.bins, (steps * TENTHS_PER_STEP).tolist(), strict=True))
            for name, level in tenths.items():
                seen[name].append((date.fromordinal(START.toordinal() + day), level))
            self.model.advance(self._at(day, 8.0))
            self._empty(name for name, level in tenths.items() if level >= EMPTIED_TENTHS)
        return of_daily(seen)

    def rounds(self) -> Cycles:
        """Empty every bin every second day, six minutes after the one before."""
        for day in range(self._days):
            for i, name in enumerate(self.model.bins[day % 2 :: 2]):
                self.model.advance(self._at(day, 6.0 + i / 10.0))
                self._empty([name])
        return of_emptyings(self.emptied)

    def mixed(self) -> Cycles:
        """Empty what is at 64 % or more every morning, and what has its round anyhow: every fourth day."""
        for day in range(self._days):
            for i, name in enumerate(self.model.bins):
                self.model.advance(self._at(day, 6.0 + i / 10.0))
                if self.model.fill_of(name) >= ALARM_PCT * ALARM_PCT / 100.0 or (day + i) % 4 == 0:
                    self._empty([name])
        return of_emptyings(self.emptied)


Part = Callable[[Cycles], Reals]
PARTS: Mapping[str, Part] = {
    "interval": lambda cycles: pooled(cycles.intervals),
    "interval within a bin": lambda cycles: within(cycles.intervals),
    "level at emptying": lambda cycles: pooled(cycles.levels),
    "daily rise": lambda cycles: pooled(cycles.rises),
    "daily rise within a bin": lambda cycles: within(cycles.rises),
}


STEPPED = frozenset({"level at emptying", "daily rise", "daily rise within a bin"})
"""Values in steps: over two different means their steps never meet, and KS would only count that."""

Distances = dict[str, dict[str, tuple[float | None, float]]]


def compare(real: Cycles, simulated: Mapping[str, Cycles], parts: Iterable[str]) -> Distances:
    """Return for each part and candidate the two distances from the real bins: KS and Wasserstein [means]."""
    found: Distances = {}
    for part in parts:
        of = PARTS[part]
        truth = of(real)
        candidates = {rule: of(cycles) for rule, cycles in simulated.items()}
        candidates |= {"exponential": EXPONENTIAL, "uniform": UNIFORM}
        pairs = {name: (sample, truth) for name, sample in candidates.items()}
        pairs["real halves"] = of(real.half(0)), of(real.half(1))
        found[part] = {
            name: (None if part in STEPPED else round(ks(*pair), 3), round(wasserstein(*pair), 3))
            for name, pair in pairs.items()
        }
    return found


def _text(ks_distance: float | None, moved: float) -> str:
    return f"{'   -' if ks_distance is None else f'{ks_distance:.2f}'} {moved:.2f}"


def facts(cycles: Cycles) -> dict[str, float]:
    """Return means and spreads, undivided."""
    intervals, levels = every(cycles.intervals), every(cycles.levels)
    return {
        "emptyings": float(levels.size),
        "mean interval": round(float(intervals.mean()), 2),
        "spread of intervals": round(float(intervals.std() / intervals.mean()), 3),
        "mean level": round(float(levels.mean()), 2),
        "days without a change": round(cycles.still, 3),
    }


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = Path(os.environ.get("RESIK_REFERENCE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of the reference data")
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.days < LEAST_DAYS:
        parser.error(f"--days {arguments.days}: fewer than {LEAST_DAYS} days have too few cycles")
    site = load_site(SITE)
    rules: Mapping[str, Callable[[Square], Cycles]] = {
        "daily": Square.daily,
        "rounds": Square.rounds,
        "mixed": Square.mixed,
    }
    simulated = {name: rule(Square(site, arguments.days, arguments.seed)) for name, rule in rules.items()}
    wyndham, edinburgh = read_wyndham(arguments.data / WYNDHAM), read_edinburgh(arguments.data / EDINBURGH)
    found = {
        "Wyndham": compare(wyndham, {"daily": simulated["daily"]}, PARTS),
        "Edinburgh": compare(
            edinburgh,
            {name: simulated[name] for name in ("rounds", "mixed")},
            ("interval", "interval within a bin", "level at emptying"),
        ),
    }
    everyone = {"Wyndham": wyndham, "Edinburgh": edinburgh, **simulated}
    print("Distances from the real bins, values over their mean: Kolmogorov-Smirnov, Wasserstein [means]")
    for city, parts in found.items():
        for part, candidates in parts.items():
            cells = "  ".join(f"{name} {_text(*pair)}" for name, pair in candidates.items())
            print(f"{city:9} {part:24} {cells}")
    for name, cycles in everyone.items():
        print(f"{name:9} {facts(cycles)}")
    print(json.dumps({"distances": found, "facts": {name: facts(cycles) for name, cycles in everyone.items()}}))


if __name__ == "__main__":
    main()

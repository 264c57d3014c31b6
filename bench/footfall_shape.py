"""How far the simulated visitors are from people who were counted: Melbourne, 2015 and 2016, an event park.

Melbourne is not Pasuruan: no prayers, no Ramadan, no Jumat Legi. What can be compared is shape, so everything is
divided by its mean: the hours of a weekday, a Saturday, a Sunday; the weekend against the week; how much days differ;
how far the busiest hour stands out. Beside each distance stand those of a flat day, of the three other places from
the park, and of the park's one year from its other: what no model can undercut. Nothing was fitted to these data.

Run: ``python -m bench.footfall_shape [--data FOLDER] [--year 2027] [--seed 1]``. Prints tables and one line of JSON.
Takes about 10 s of processor time.
"""

import argparse
import csv
import gzip
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simulators.ground import Ground
from simulators.scenario_sections import PURPOSES, Visits
from simulators.visitors import Crowd
from simulators.weather import Weather
from square.occasions import Occasions
from square.site import Site, load_site

Reals = npt.NDArray[np.float64]

SITE = "alun-alun-pasuruan"
PARK = "Birrarung Marr"
FILE = Path("footfall_melbourne") / "pedestrian_2015_2016.csv.gz"
DAY_KINDS = ("weekday", "Saturday", "Sunday")
STROLLERS = ("families", "exercise", "food", "passers-by")
HOURS = 24
_SATURDAY, _SUNDAY = 5, 6


@dataclass(frozen=True)
class Counts:
    """People counted in hours of local time.

    Parameters
    ----------
    days
        Date of each row (n,).
    people
        People in each hour (n, 24); NaN where nobody counted.
    """

    days: tuple[date, ...]
    people: Reals

    @classmethod
    def of(cls, hours: Mapping[tuple[date, int], float]) -> "Counts":
        """Arrange counts by day and hour."""
        days = tuple(sorted({day for day, _ in hours}))
        row = {day: i for i, day in enumerate(days)}
        people = np.full((len(days), HOURS), np.nan)
        for (day, hour), count in hours.items():
            people[row[day], hour] = count
        return cls(days, people)

    def of_kind(self, kind: str) -> "Counts":
        """Days of one of `DAY_KINDS`."""
        return self._where([day_kind(day) == kind for day in self.days])

    def of_year(self, year: int) -> "Counts":
        """Days of a year."""
        return self._where([day.year == year for day in self.days])

    def _where(self, keep: Sequence[bool]) -> "Counts":
        return Counts(
            tuple(d for d, k in zip(self.days, keep, strict=True) if k), self.people[np.array(keep, dtype=bool)]
        )

    def shape(self, kind: str) -> Reals:
        """Share of each hour in the mean day of a kind, (24,)."""
        hours = np.nanmean(self.of_kind(kind).people, axis=0)
        return np.asarray(hours / hours.sum(), dtype=np.float64)

    def week_ratio(self) -> float:
        """Mean hour of a weekday over the mean hour of a weekend."""
        weekend = np.concatenate([self.of_kind(kind).people for kind in DAY_KINDS[1:]])
        return float(np.nanmean(self.of_kind("weekday").people) / np.nanmean(weekend))

    def day_totals(self) -> Reals:
        """Totals of the days that were counted whole, over their mean."""
        totals = self.people[~np.isnan(self.people).any(axis=1)].sum(axis=1)
        return np.asarray(totals / totals.mean(), dtype=np.float64)

    def peak(self) -> float:
        """Largest hour over the mean hour."""
        return float(np.nanmax(self.people) / np.nanmean(self.people))


def day_kind(day: date) -> str:
    """One of `DAY_KINDS`."""
    return {_SATURDAY: "Saturday", _SUNDAY: "Sunday"}.get(day.weekday(), "weekday")


def total_variation(p: Reals, q: Reals) -> float:
    """Share of people who would have to come in another hour [0..1]."""
    return float(np.abs(p - q).sum() / 2.0)


def hours_apart(p: Reals, q: Reals) -> float:
    """Wasserstein distance around the clock [h]: how far the average visitor would have to move."""
    behind = np.cumsum(p - q)
    return float(np.abs(behind - np.median(behind)).sum())


def totals_apart(a: Reals, b: Reals) -> float:
    """Wasserstein distance of two samples [their unit]."""
    levels = (np.arange(1000) + 0.5) / 1000
    return float(np.abs(np.quantile(a, levels) - np.quantile(b, levels)).mean())


def read_melbourne(path: Path) -> dict[str, Counts]:
    """Read the counts of each place."""
    places: dict[str, dict[tuple[date, int], float]] = {}
    with gzip.open(path, "rt", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            key = date.fromisoformat(row["Date"]), int(row["Time"])
            places.setdefault(row["Sensor"], {})[key] = float(row["Count"])
    return {name: Counts.of(hours) for name, hours in places.items()}


def simulate(site: Site, year: int, seed: int) -> Counts:
    """Let a year of visitors arrive, rain included."""
    weather = Weather(seed, zone=site.zone_info)
    crowd = Crowd(Ground.of(site), seed=seed, occasions=Occasions(), visits=Visits(), rain_mmph=weather.rain_mmph)
    return Counts.of({
        (at.date(), at.hour): crowd.arrivals(int(at.timestamp() // 3600)) for at in _hours_of(site, year)
    })  # fmt: skip


def expected_strollers(site: Site, year: int) -> Counts:
    """Return the arrivals expected of those who come for no prayer and by no bus, in a year without rain."""
    crowd = Crowd(Ground.of(site), seed=0, occasions=Occasions(), visits=Visits(), rain_mmph=lambda _at_s: 0.0)
    which = [PURPOSES.index(name) for name in STROLLERS]
    return Counts.of({
        (at.date(), at.hour): float(crowd.visitors_per_h(at.timestamp() + 1800.0)[which].sum())
        for at in _hours_of(site, year)
    })  # fmt: skip


def _hours_of(site: Site, year: int) -> list[datetime]:
    first = datetime(year, 1, 1, tzinfo=site.zone_info)
    days = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    return [first + timedelta(hours=h) for h in range(days * HOURS)]


def compare(places: Mapping[str, Counts], simulated: Counts, strollers: Counts) -> dict[str, dict[str, float]]:
    """Distances of each candidate from the event park.

    Returns
    -------
    dict
        For each candidate: total variation and hours apart for each kind of day, ratio of week to weekend, distance of
        the day totals, peak.
    """
    park = places[PARK]
    others = {name: counts for name, counts in places.items() if name != PARK}
    years = sorted({day.year for day in park.days if len(park.of_year(day.year).days) > HOURS})
    flat = Counts(park.days, np.ones_like(park.people))
    candidates = {"simulator": simulated, "simulator, strollers": strollers, "flat day": flat, **others}
    found = {name: _distances(counts, park) for name, counts in candidates.items()}
    found[f"the park itself, {years[0]} from {years[1]}"] = _distances(park.of_year(years[0]), park.of_year(years[1]))
    return found


def _distances(counts: Counts, park: Counts) -> dict[str, float]:
    shapes = {kind: (counts.shape(kind), park.shape(kind)) for kind in DAY_KINDS}
    return {
        **{f"tv_{kind}": total_variation(*pair) for kind, pair in shapes.items()},
        **{f"hours_{kind}": hours_apart(*pair) for kind, pair in shapes.items()},
        "week_ratio": counts.week_ratio(),
        "days_apart": totals_apart(counts.day_totals(), park.day_totals()),
        "peak": counts.peak(),
    }


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    default = Path(os.environ.get("RESIK_REFERENCE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of the reference data")
    parser.add_argument("--year", type=int, default=2027)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    site = load_site(SITE)
    places = read_melbourne(arguments.data / FILE)
    found = compare(places, simulate(site, arguments.year, arguments.seed), expected_strollers(site, arguments.year))
    print(f"Distance from {PARK}: total variation of the hours [share] and around the clock [h], by kind of day;")
    print(f"weekday over weekend (the park: {places[PARK].week_ratio():.2f}); day totals over their mean, Wasserstein;")
    print(f"largest hour over mean hour (the park: {places[PARK].peak():.1f})\n")
    print(
        "| compared | weekday | Saturday | Sunday | week / weekend | days apart | peak |\n|---|---|---|---|---|---|---|"
    )
    for name, d in found.items():
        cells = [f"{d[f'tv_{kind}']:.2f}, {d[f'hours_{kind}']:.1f} h" for kind in DAY_KINDS]
        print(f"| {name} | {' | '.join(cells)} | {d['week_ratio']:.2f} | {d['days_apart']:.2f} | {d['peak']:.1f} |")
    print("\n" + json.dumps({"bench": "footfall_shape", "year": arguments.year, "seed": arguments.seed, "from": found}))


if __name__ == "__main__":
    main()

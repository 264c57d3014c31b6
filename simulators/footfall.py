"""Visitors of the square and the waste they leave: a small model that knows its own truth.

Pure: no I/O, no wall clock; the random generator is an argument. Waste is counted in whole millilitres, so that what
was generated equals what lies in bins, on the ground and in the cart *exactly*, whatever the length of the run.

The model is a stand-in for figures that nobody has published (visitors per hour, waste per visitor, use of each bin).
Every number is in `PARAMETERS` or in the tables under it with its source or the word "assumed"; results that rest on
them are results about the model, not about Pasuruan.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from simulators.parameters import Parameter

WIB_OFFSET_S = 7 * 3600  # Asia/Jakarta has no daylight time; the pure model needs no zone database
DAY_S = 86_400
TICK_S = 60  # the model moves in whole ticks, so that the result does not depend on how calls are cut


PARAMETERS: Mapping[str, Parameter] = {
    "visitors_per_day": Parameter(
        3_800,
        "visitors/day",
        "city figure, January to 24 November 2023 (detik 2023-11-24); assumed to cross the square",
    ),
    "waste_per_visitor_l": Parameter(0.6, "l", "assumed, plausible 0.2 to 1.5: a cup, a bottle or a food wrap, loose"),
    "waste_shape": Parameter(1.5, "1", "assumed shape of the gamma distribution of waste per visitor"),
    "walk_to_bin_m": Parameter(60, "m", "assumed: farther than this a visitor leaves it on the ground"),
    "heap_pct": Parameter(112, "%", "assumed: visitors pile waste up to this share of the brim volume"),
    "thursday_evening": Parameter(260, "visitors/h", "assumed size; malam Jumat crowd, 18:00-23:00"),
    "friday_noon": Parameter(420, "visitors/h", "assumed size; Friday prayer, 11:00-13:00"),
    "sunday_morning": Parameter(300, "visitors/h", "assumed size; exercise and market, 05:30-09:00"),
    "prayer_peak": Parameter(160, "visitors/h", "assumed height of a peak at each of the five prayers"),
    "prayer_width_min": Parameter(18, "min", "assumed standard deviation of a prayer peak"),
    "vendor_extra": Parameter(0.5, "1", "assumed rise of base visitors at food places while vendors sell, 15:00-23:00"),
}

# Share of a day's base visitors in each local hour, 0..23 [relative]. Assumed; busiest morning and late afternoon.
HOUR_SHAPE: tuple[float, ...] = (
    0.6, 0.3, 0.2, 0.4, 1.6, 3.4, 4.8, 5.2, 4.8, 4.2, 3.8, 3.6,
    3.4, 3.2, 3.6, 5.0, 7.2, 8.2, 7.8, 7.4, 6.6, 5.2, 3.4, 1.6,
)  # fmt: skip
# Monday..Sunday [relative]. Assumed; Friday noon, Thursday evening and Sunday morning come on top.
WEEKDAY_SHAPE: tuple[float, ...] = (0.85, 0.85, 0.9, 0.95, 1.05, 1.2, 1.4)
# Middle of the year's range of the computed prayer times at the square [local h]: subuh, zuhur, asar, magrib, isya.
PRAYER_HOURS: tuple[float, ...] = (4.0, 11.48, 14.68, 17.63, 18.85)
# How visitors spread over the kinds of place [relative per zone]. Assumed.
Weights = Mapping[str, float]
BASE_WEIGHT: Weights = {"park": 1.0, "floor": 0.8, "path": 0.9, "forecourt": 1.6, "food": 2.2, "street": 1.1}
PILGRIM_WEIGHT: Weights = {"park": 0.5, "floor": 0.6, "path": 0.8, "forecourt": 3.5, "food": 1.2, "street": 0.8}
MORNING_WEIGHT: Weights = {"park": 1.5, "floor": 1.0, "path": 1.4, "forecourt": 0.5, "food": 1.4, "street": 0.9}


def default_parameters() -> dict[str, float]:
    """Return the values of `PARAMETERS` by name."""
    return {name: parameter.value for name, parameter in PARAMETERS.items()}


@dataclass(frozen=True)
class BinSpec:
    """A bin of the model: place in local metres (x east, y north) and brim volume [l, > 0]."""

    asset_id: str
    x_m: float
    y_m: float
    capacity_l: float


@dataclass(frozen=True)
class ZoneSpec:
    """A part of the square where visitors are: its kind (a key of `BASE_WEIGHT`) and bounding box in local metres."""

    zone_id: str
    character: str
    x_min_m: float
    y_min_m: float
    x_max_m: float
    y_max_m: float


@dataclass(frozen=True)
class Totals:
    """Where the waste is [ml]. ``generated_ml == in_bins_ml + on_ground_ml + collected_ml`` always."""

    generated_ml: int
    in_bins_ml: int
    on_ground_ml: int
    collected_ml: int


class Footfall:
    """Rate of arriving visitors by zone and time.

    Parameters
    ----------
    zones
        Parts of the square; an unknown `character` is treated as "park".
    parameters
        Values by name, see `PARAMETERS`.
    """

    def __init__(self, zones: Sequence[ZoneSpec], parameters: Mapping[str, float] | None = None) -> None:
        self.zones = tuple(zones)
        self._p = dict(default_parameters() if parameters is None else parameters)
        self._base = self._shares(BASE_WEIGHT)
        self._pilgrim = self._shares(PILGRIM_WEIGHT)
        self._morning = self._shares(MORNING_WEIGHT)
        self._food = np.array([1.0 if z.character == "food" else 0.0 for z in self.zones])

    def _shares(self, weights: Mapping[str, float]) -> npt.NDArray[np.float64]:
        raw = np.array([weights.get(z.character, weights["park"]) for z in self.zones], dtype=float)
        return raw / raw.sum() if raw.size else raw

    def visitors_per_h(self, at_s: float) -> npt.NDArray[np.float64]:
        """Return expected arrivals per zone [visitors/h] at a moment [s since 1970 UTC]."""
        local_s = at_s + WIB_OFFSET_S
        weekday = (int(local_s // DAY_S) + 3) % 7  # 1970-01-01 was a Thursday; Monday = 0
        hour = (local_s % DAY_S) / 3600.0
        p = self._p
        base = p["visitors_per_day"] * HOUR_SHAPE[int(hour)] / sum(HOUR_SHAPE) * WEEKDAY_SHAPE[weekday]
        rate = base * self._base
        if 15.0 <= hour < 23.0:  # noqa: PLR2004 - vendors' hours, Instruksi Wali Kota 1738/2022
            rate = rate * (1.0 + p["vendor_extra"] * self._food)
        pilgrims = 0.0
        if weekday == 3 and 18.0 <= hour < 23.0:  # noqa: PLR2004 - Thursday evening is malam Jumat
            pilgrims += p["thursday_evening"]
        if weekday == 4 and 11.0 <= hour < 13.0:  # noqa: PLR2004 - Friday noon
            pilgrims += p["friday_noon"]
        for at_h in PRAYER_HOURS:
            pilgrims += p["prayer_peak"] * float(np.exp(-0.5 * ((hour - at_h) * 60.0 / p["prayer_width_min"]) ** 2))
        rate = rate + pilgrims * self._pilgrim
        if weekday == 6 and 5.5 <= hour < 9.0:  # noqa: PLR2004 - Sunday morning
            rate = rate + p["sunday_morning"] * self._morning
        return rate


@dataclass
class _State:
    at_s: float
    fill_ml: npt.NDArray[np.int64]
    ground_ml: npt.NDArray[np.int64]
    generated_ml: int = 0
    collected_ml: int = 0
    started_ml: int = 0
    emptied: int = field(default=0)


class SquareModel:
    """The true state of the square: how much waste is in each bin and on the ground of each zone.

    Parameters
    ----------
    bins, zones
        What the square has. Order matters: the same order, seed and calls give the same result.
    rng
        Source of all randomness of the model.
    start_s
        Moment of the first state [s since 1970 UTC].
    initial_fill_pct
        Range [% of the brim volume] from which the first fill of each bin is drawn.
    """

    def __init__(
        self,
        bins: Sequence[BinSpec],
        zones: Sequence[ZoneSpec],
        rng: np.random.Generator,
        *,
        start_s: float,
        initial_fill_pct: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self._p = default_parameters()
        self.footfall = Footfall(zones)
        self._bins = tuple(bins)
        self._index = {spec.asset_id: i for i, spec in enumerate(self._bins)}
        self._xy = np.array([(b.x_m, b.y_m) for b in self._bins], dtype=float).reshape(-1, 2)
        self._brim_ml = np.array([round(b.capacity_l * 1000) for b in self._bins], dtype=np.int64)
        self._heap_ml = (self._brim_ml * self._p["heap_pct"] / 100.0).astype(np.int64)
        self._rng = rng
        low, high = initial_fill_pct
        share = rng.uniform(low, high, len(self._bins)) / 100.0
        fill_ml = (self._brim_ml * share).astype(np.int64)
        self._s = _State(start_s, fill_ml, np.zeros(len(zones), dtype=np.int64), started_ml=int(fill_ml.sum()))

    @property
    def at_s(self) -> float:
        """Moment up to which the model was advanced [s since 1970 UTC]."""
        return self._s.at_s

    @property
    def totals(self) -> Totals:
        """Where the waste is; the first fill counts as generated."""
        s = self._s
        return Totals(
            generated_ml=s.started_ml + s.generated_ml,
            in_bins_ml=int(s.fill_ml.sum()),
            on_ground_ml=int(s.ground_ml.sum()),
            collected_ml=s.collected_ml,
        )

    def fill_pct(self, asset_id: str) -> float:
        """Return the true fill of a bin [% of the brim volume, 0..heap_pct].

        Raises
        ------
        KeyError
            The bin is not part of the model.
        """
        i = self._index[asset_id]
        return float(self._s.fill_ml[i]) * 100.0 / float(self._brim_ml[i])

    def advance(self, to_s: float) -> int:
        """Let time pass up to `to_s` in whole ticks; a moment in the past changes nothing.

        Returns
        -------
        int
            Visitors who came.
        """
        visitors = 0
        while self._s.at_s + TICK_S <= to_s:
            visitors += self._tick()
        return visitors

    def rebase(self, at_s: float) -> None:
        """Move the model to another moment without letting time pass (the clock was set)."""
        self._s.at_s = at_s

    def _tick(self) -> int:
        s = self._s
        expected = self.footfall.visitors_per_h(s.at_s) * (TICK_S / 3600.0)
        counts = self._rng.poisson(expected)
        shape = self._p["waste_shape"]
        for z, count in enumerate(counts):
            if count:
                items_ml = np.rint(self._rng.gamma(shape, self._p["waste_per_visitor_l"] * 1000.0 / shape, count))
                zone = self.footfall.zones[z]
                where = np.column_stack(
                    (
                        self._rng.uniform(zone.x_min_m, zone.x_max_m, count),
                        self._rng.uniform(zone.y_min_m, zone.y_max_m, count),
                    )
                )
                self._drop(z, where, items_ml.astype(np.int64))
        s.at_s += TICK_S
        return int(counts.sum())

    def _drop(self, zone: int, where: npt.NDArray[np.float64], items_ml: npt.NDArray[np.int64]) -> None:
        """Each visitor takes the item to the nearest bin that is not full and near enough, else leaves it."""
        s = self._s
        s.generated_ml += int(items_ml.sum())
        if not len(self._bins):
            s.ground_ml[zone] += int(items_ml.sum())
            return
        distance = np.hypot(*(where[:, None, :] - self._xy[None, :, :]).transpose(2, 0, 1))
        distance[distance > self._p["walk_to_bin_m"]] = np.inf
        for row, item in zip(distance, items_ml, strict=True):
            reach = np.where(s.fill_ml < self._heap_ml, row, np.inf)
            nearest = int(np.argmin(reach))
            room = int(self._heap_ml[nearest] - s.fill_ml[nearest]) if np.isfinite(reach[nearest]) else 0
            into_bin = min(int(item), room)
            s.fill_ml[nearest] += into_bin
            s.ground_ml[zone] += int(item) - into_bin  # what no longer fits lies beside the bin

    def empty(self, asset_id: str) -> float:
        """Empty a bin completely and return what was in it [l].

        Raises
        ------
        KeyError
            The bin is not part of the model.
        """
        i = self._index[asset_id]
        taken = int(self._s.fill_ml[i])
        self._s.fill_ml[i] = 0
        self._s.collected_ml += taken
        self._s.emptied += 1
        return taken / 1000.0

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state, random source included, as JSON-able values."""
        s = self._s
        return {
            "at_s": s.at_s,
            "fill_ml": {b.asset_id: int(ml) for b, ml in zip(self._bins, s.fill_ml, strict=True)},
            "ground_ml": {z.zone_id: int(ml) for z, ml in zip(self.footfall.zones, s.ground_ml, strict=True)},
            "generated_ml": s.generated_ml,
            "collected_ml": s.collected_ml,
            "started_ml": s.started_ml,
            "emptied": s.emptied,
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take over a state of `snapshot`; bins and zones that are new since then keep their first state.

        Raises
        ------
        KeyError, TypeError, ValueError
            The snapshot has not the shape that `snapshot` writes.
        """
        s = self._s
        fill_ml = _merged(s.fill_ml, [b.asset_id for b in self._bins], snapshot["fill_ml"])
        ground_ml = _merged(s.ground_ml, [z.zone_id for z in self.footfall.zones], snapshot["ground_ml"])
        collected_ml = int(snapshot["collected_ml"])
        generated_ml = int(snapshot["generated_ml"])
        self._rng.bit_generator.state = snapshot["rng"]
        # A site file may have gained or lost bins since: what is there now must still add up.
        started_ml = int(fill_ml.sum()) + int(ground_ml.sum()) + collected_ml - generated_ml
        self._s = _State(
            float(snapshot["at_s"]),
            fill_ml,
            ground_ml,
            generated_ml,
            collected_ml,
            started_ml,
            int(snapshot["emptied"]),
        )


def _merged(current: npt.NDArray[np.int64], names: Iterable[str], saved: Mapping[str, int]) -> npt.NDArray[np.int64]:
    return np.array([int(saved.get(name, now)) for name, now in zip(names, current, strict=True)], dtype=np.int64)

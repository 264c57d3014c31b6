"""The state of the waste of a square: whole numbers in arrays, and their JSON. Pure.

Everything that decides what happens next is an integer, so that a state that was saved and read is the same state.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from simulators.heap import RATIO_UNIT
from simulators.waste import KINDS, Ints

NEVER = -1


class Totals(NamedTuple):
    """Where the waste is [mg].

    ``generated_mg == in_bins_mg + on_ground_mg + collected_mg + scavenged_mg + burned_mg + blown_away_mg``, always.
    """

    generated_mg: int
    in_bins_mg: int
    on_ground_mg: int
    collected_mg: int
    scavenged_mg: int
    burned_mg: int
    blown_away_mg: int


class Smoke(NamedTuple):
    """An open fire near the square: until when [minute since 1970], where [m east and north], what it takes [g/h]."""

    until_min: int
    x_m: int
    y_m: int
    g_per_h: int


@dataclass
class State:
    """What the model knows; arrays over bins, over bins and kinds, or over zones.

    Attributes
    ----------
    at_s : float
        Moment [s since 1970 UTC].
    mass_mg, beside_mg : NDArray
        Waste in each bin and beside it (n_bins, n_kinds) [mg].
    ratio_ppb : NDArray
        Settled against loose volume (n_bins,) [billionths].
    water_mg : NDArray
        Rain in each bin (n_bins,) [mg]; it is no waste.
    ripe_mg_min : NDArray
        Mass times age of what rots (n_bins,) [mg min].
    stolen_min, sensor_stolen_min, moved_min, tipped_min, lid_min, fire_min : NDArray
        Until which minute since 1970 it is so (n_bins,); `NEVER` when it is not.
    full_since_min : NDArray
        Since which minute it is full (n_bins,); `NEVER` when it is not.
    overflow_s : NDArray
        Time at the rim or above it (n_bins,) [s].
    ground_mg : NDArray
        Litter that lies beside no bin (n_zones, n_kinds) [mg].
    dirty_s : NDArray
        Time with more litter than a zone should have (n_zones,) [s].
    smokes : list[Smoke]
        Open fires near by.
    started_mg, dropped_mg, collected_mg, scavenged_mg, burned_mg, blown_away_mg : int
        Waste that was there at the beginning, and what became of the rest since [mg].
    """

    at_s: float
    mass_mg: Ints
    beside_mg: Ints
    ratio_ppb: Ints
    water_mg: Ints
    ripe_mg_min: Ints
    stolen_min: Ints
    sensor_stolen_min: Ints
    moved_min: Ints
    tipped_min: Ints
    lid_min: Ints
    fire_min: Ints
    full_since_min: Ints
    overflow_s: Ints
    ground_mg: Ints
    dirty_s: Ints
    smokes: list[Smoke] = field(default_factory=list)
    started_mg: int = 0
    dropped_mg: int = 0
    collected_mg: int = 0
    scavenged_mg: int = 0
    burned_mg: int = 0
    blown_away_mg: int = 0

    @classmethod
    def clean(cls, at_s: float, n_bins: int, n_zones: int) -> "State":
        """Return a square without waste."""
        arrays: dict[str, Any] = {}
        for name, (over, start) in _ARRAYS.items():
            rows = n_zones if over == "zones" else n_bins
            shape = (rows, len(KINDS)) if name.endswith("_mg") and name != "water_mg" else (rows,)
            arrays[name] = np.full(shape, start, dtype=np.int64)
        return cls(at_s=at_s, **arrays)

    @property
    def totals(self) -> Totals:
        """Where the waste is; what was there at the beginning counts as generated."""
        return Totals(
            generated_mg=self.started_mg + self.dropped_mg,
            in_bins_mg=int(self.mass_mg.sum()),
            on_ground_mg=int(self.ground_mg.sum()) + int(self.beside_mg.sum()),
            collected_mg=self.collected_mg,
            scavenged_mg=self.scavenged_mg,
            burned_mg=self.burned_mg,
            blown_away_mg=self.blown_away_mg,
        )

    def rebase(self, at_s: float) -> None:
        """Move to another moment without letting time pass: what has a minute of its own moves along."""
        later_min = round((at_s - self.at_s) / 60.0)
        for name in _BINS_NEVER:
            minutes = getattr(self, name)
            minutes[minutes != NEVER] += later_min
        self.smokes[:] = [smoke._replace(until_min=smoke.until_min + later_min) for smoke in self.smokes]
        self.at_s = at_s

    def snapshot(self, bins: Sequence[str], zones: Sequence[str]) -> dict[str, Any]:
        """Return the state as JSON-able values, with the ids of bins and zones."""
        saved: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS}
        saved |= {name: getattr(self, name).tolist() for name in _ARRAYS}
        return saved | {
            "bins": list(bins),
            "zones": list(zones),
            "kinds": [kind.name for kind in KINDS],
            "smokes": [list(smoke) for smoke in self.smokes],
        }

    @classmethod
    def restored(
        cls, snapshot: Mapping[str, Any], bins: Sequence[str], zones: Sequence[str], fresh: "State"
    ) -> "State":
        """Return the state of a snapshot; bins and zones that are new since then are as in `fresh`.

        Raises
        ------
        KeyError, TypeError, ValueError
            The snapshot has not the shape that `snapshot` writes.
        """
        if list(snapshot["kinds"]) != [kind.name for kind in KINDS]:
            raise ValueError("it counts other kinds of waste")
        if any(len(set(snapshot[over])) != len(snapshot[over]) for over in ("bins", "zones")):
            raise ValueError("an id stands twice")
        here = {"bins": list(bins), "zones": list(zones)}
        arrays: dict[str, Any] = {}
        for name, (over, _) in _ARRAYS.items():
            now = getattr(fresh, name)
            saved = dict(zip(snapshot[over], snapshot[name], strict=True))
            merged = [saved.get(asset, old) for asset, old in zip(here[over], now.tolist(), strict=True)]
            arrays[name] = _whole(merged).reshape(now.shape)
        numbers: dict[str, Any] = {name: int(_whole(snapshot[name])) for name in _NUMBERS if name != "at_s"}
        smokes = [Smoke(*_whole(smoke).tolist()) for smoke in snapshot["smokes"]]
        at_s = float(snapshot["at_s"])
        if not math.isfinite(at_s) or any(arrays[name].min(initial=0) < 0 for name in _NOT_NEGATIVE):
            raise ValueError("its time or its masses are none")
        ratio = arrays["ratio_ppb"]
        if ratio.min(initial=1) < 1 or ratio.max(initial=1) > RATIO_UNIT:
            raise ValueError("a heap is higher than its waste is, or has no height")
        state = cls(at_s=at_s, **arrays, smokes=smokes, **numbers)
        # A site file may have gained or lost bins since: what is there now must still add up.
        totals = state.totals
        state.started_mg += sum(totals[1:]) - totals.generated_mg
        return state


def _whole(numbers: Any) -> Ints:
    """Return whole numbers as an array.

    Raises
    ------
    ValueError
        They are too large, no numbers, or not whole.
    """
    try:
        array = np.array(numbers, dtype=np.int64)
    except OverflowError as error:
        raise ValueError(str(error)) from error
    if not np.array_equal(array, np.array(numbers)):
        raise ValueError("a number is not whole")
    return array


_BINS_NEVER = ("stolen_min", "sensor_stolen_min", "moved_min", "tipped_min", "lid_min", "fire_min", "full_since_min")
_BINS_ZERO = ("mass_mg", "beside_mg", "water_mg", "ripe_mg_min", "overflow_s")
_ZONES_ZERO = ("ground_mg", "dirty_s")
_NOT_NEGATIVE = (*_BINS_ZERO, "ratio_ppb", *_ZONES_ZERO)
_ARRAYS: dict[str, tuple[str, int]] = (
    dict.fromkeys(_BINS_ZERO, ("bins", 0))
    | {"ratio_ppb": ("bins", RATIO_UNIT)}
    | dict.fromkeys(_BINS_NEVER, ("bins", NEVER))
    | dict.fromkeys(_ZONES_ZERO, ("zones", 0))
)
"""Every array: what it runs over, and its value when there is nothing."""
_NUMBERS = tuple(one.name for one in fields(State) if one.name not in _ARRAYS and one.name != "smokes")

"""What a run has cost: figures of one policy on one seed, by the true state of the square and the work of its crews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from simulators.contest.hands import Labour
from simulators.contest.hands import value as hand_value
from simulators.parameters import Parameter

PARAMETERS: Mapping[str, Parameter] = {
    "complaint_share": Parameter(
        0.0002,
        "1/person/min",
        "assumed: of people near an overflowing bin or in a dirty zone, who complain each minute",
    ),
    "look_s": Parameter(300, "s", "chosen: people near are counted this often"),
}

Floats = npt.NDArray[np.float64]

FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "overflow_bin_minutes": ("min", "minutes that bins were at or over the brim, summed over bins"),
    "litter_hours": ("h", "hours that zones were dirtier than allowed, summed over zones"),
    "crew_minutes": ("min", "minutes of walking, emptying, sweeping and unloading"),
    "distance_m": ("m", "walked by crews"),
    "wasted_visits": ("", "bins that a crew came to and found less than half full"),
    "lateness_p90_s": ("s", "90 % of full bins were emptied within this time; open ones count until the end"),
    "complaints": ("", "expected number, from people near overflowing bins and in dirty zones"),
    "emptyings": ("", "bins taken out"),
    "litres_per_emptying": ("l", "settled waste in a bin when it was taken out"),
    "litter_l": ("l", "waste on the ground, average over the time"),
    "swept": ("", "zones swept"),
    "full_missed": ("", "bins that were full at the end and not emptied"),
}
"""Figure -> unit and meaning. The first six are named by the contest's agreement and never change."""


@dataclass
class Measures:
    """Counts while a run goes on.

    Attributes
    ----------
    wait_s : list[float]
        Time [s] from truly full to emptied, one for each time a bin was full.
    wasted : int
        Visits to bins that were not half full.
    taken_l : float
        Settled litres out of bins.
    complaints : float
        Expected number so far.
    litter_sum_l, looks : float, int
        For the average of what lies on the ground.
    """

    wait_s: list[float] = field(default_factory=list)
    emptied: int = 0
    wasted: int = 0
    taken_l: float = 0.0
    complaints: float = 0.0
    litter_sum_l: float = 0.0
    looks: int = 0

    def emptying(self, fill_pct: float, full_since_s: float, at_s: float, took_l: float) -> None:
        """Count a bin that a crew takes out; `full_since_s` is nan for a bin that was not full."""
        self.emptied += 1
        self.taken_l += took_l
        self.wasted += fill_pct < hand_value("early_pct")
        if not np.isnan(full_since_s):
            self.wait_s.append(max(0.0, at_s - full_since_s))

    def look(self, present: npt.NDArray[np.int64], is_bad: npt.NDArray[np.bool_], litter_l: float) -> None:
        """Count people in zones in a bad state for the time until the next look."""
        minutes = PARAMETERS["look_s"].value / 60.0
        self.complaints += float(present[is_bad].sum()) * minutes * PARAMETERS["complaint_share"].value
        self.litter_sum_l += litter_l
        self.looks += 1

    def figures(
        self,
        *,
        overflow_s: Floats,
        dirty_zone_s: Floats,
        full_since_s: Floats,
        end_s: float,
        labour: Sequence[Labour],
    ) -> dict[str, float]:
        """Return the figures of a run that is over, by the names of `FIGURES`."""
        still_open = [end_s - float(since) for since in full_since_s[~np.isnan(full_since_s)]]
        waits = [*self.wait_s, *still_open]
        found = {
            "overflow_bin_minutes": float(overflow_s.sum()) / 60.0,
            "litter_hours": float(dirty_zone_s.sum()) / 3600.0,
            "crew_minutes": sum(one.work_ms for one in labour) / 60_000.0,
            "distance_m": sum(one.distance_m for one in labour),
            "wasted_visits": float(self.wasted),
            "lateness_p90_s": float(np.quantile(waits, 0.9)) if waits else 0.0,
            "complaints": self.complaints,
            "emptyings": float(self.emptied),
            "litres_per_emptying": self.taken_l / self.emptied if self.emptied else 0.0,
            "litter_l": self.litter_sum_l / self.looks if self.looks else 0.0,
            "swept": float(sum(one.swept for one in labour)),
            "full_missed": float(len(still_open)),
        }
        assert list(found) == list(FIGURES)
        return found

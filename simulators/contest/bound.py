"""What nobody can do better: the square with crews without number, and the demand that such a run lays open.

In every minute in which work is allowed, every bin is taken out and every zone is swept, at once and for nothing. What
overflows all the same overflows under every policy, because a bin that was emptier stays emptier: visitors go to the
nearest bin that is not full. (Mishaps that look for a bin with something to burn, and hands that press what overflows,
can break this for single bins, not for a square.) The same run tells how much comes to each bin in each minute: the
foresight of the oracle.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from simulators.contest.hands import value as hand_value
from simulators.contest.square_view import SquareView
from simulators.contest.windows import Bools, Windows
from simulators.parameters import Parameter

PARAMETERS: Mapping[str, Parameter] = {
    "least_ratio": Parameter(0.5, "1", "assumed: waste in a bin is never pressed below this share of its loose volume"),
}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Foresight:
    """What comes to each bin.

    Attributes
    ----------
    start_ms : int
        Beginning of minute 0 [ms].
    assets : tuple[str, ...]
        Bins in the order of the columns.
    inflow_pct : NDArray
        Loose waste brought to each bin from the beginning to the end of each minute (minutes, n_bins) [% of the brim].
    """

    start_ms: int
    assets: tuple[str, ...]
    inflow_pct: npt.NDArray[np.float32] = field(repr=False)

    def full_minute(self, column: int, minute: int, missing_pct: float) -> int:
        """Return the minute in which a bin has got `missing_pct` more than in `minute`; beyond the end if never."""
        line = self.inflow_pct[:, column]
        minute = min(minute, len(line) - 1)
        return int(np.searchsorted(line, line[minute] + np.float32(missing_pct)))


@dataclass(frozen=True)
class Bound:
    """Figures that no policy can undercut on this demand.

    Attributes
    ----------
    overflow_bin_minutes, litter_hours : float
        As the figures of the same name.
    emptyings : float
        So many are needed at least if no bin shall overflow, however much the waste settles.
    foresight : Foresight
        Demand by bin and minute.
    """

    overflow_bin_minutes: float
    litter_hours: float
    emptyings: float
    foresight: Foresight


def bound(model: Any, square: SquareView, start_ms: int, minutes: int) -> Bound:
    """Run a fresh model with crews without number.

    Parameters
    ----------
    model : SquareModel
        At `start_ms`; it is used up.
    square
        Hours and shifts.
    start_ms, minutes
        The stretch.
    """
    assets = list(square.volumes_l)
    windows = Windows(square, start_ms, minutes + 1, with_handover=True)
    open_bins = windows.matrix(assets)
    # Crews who come in minute n work on the square at its end: it counts when work is allowed at either end.
    open_bins = open_bins[:-1] | open_bins[1:]
    may_sweep = _lasting(windows.staffed, math.ceil(hand_value("sweep_max_s") / 60.0) + 1)
    zones = list(square.zones)
    inflow = np.empty((minutes, len(assets)), dtype=np.float32)
    so_far = np.zeros(len(assets))
    first: Floats = np.array(model.fill_pct, dtype=float)
    before = first.copy()
    for minute in range(minutes):
        at_s = start_ms / 1000 + 60.0 * (minute + 1)
        model.advance(at_s)
        now = np.array(model.fill_pct, dtype=float)
        so_far += np.maximum(0.0, now - before)
        inflow[minute] = so_far
        for column in np.flatnonzero(open_bins[minute] & (now > 0.0)):
            model.empty(assets[column])
        if may_sweep[minute]:
            for index in np.flatnonzero(model.litter_l > 0.0):
                model.sweep(zones[index])
        before = np.array(model.fill_pct, dtype=float)
    return Bound(
        overflow_bin_minutes=float(model.overflow_s.sum()) / 60.0,
        litter_hours=float(model.dirty_zone_s.sum()) / 3600.0,
        emptyings=float(np.floor((first + so_far * PARAMETERS["least_ratio"].value) / 100.0).sum()),
        foresight=Foresight(start_ms, tuple(assets), inflow),
    )


def _lasting(flags: Bools, minutes: int) -> Bools:
    """Let every True last so many minutes longer: a zone that somebody began to sweep is swept to the end."""
    lasting = flags.copy()
    for later in range(1, minutes + 1):
        lasting[later:] |= flags[:-later]
    return lasting

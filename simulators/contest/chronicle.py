"""A truth log read as lines over time: the fill of each bin at any moment, and the stretches in which it was full."""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from simulators.contest.truth import Emptied, TruthLog

Floats = npt.NDArray[np.float64]
FULL: Final = 2
"""Index of the threshold of "full" among half, filling, full, overflow."""


class Episode(NamedTuple):
    """A stretch of time [ms]; `is_open` when it lasts until the end of the log."""

    from_ms: int
    until_ms: int
    is_open: bool


@dataclass(frozen=True)
class Line:
    """The true fill of one bin: straight between knots, down at once when it is taken out.

    Attributes
    ----------
    at_ms, fill_pct : NDArray
        Knots in order; two at one moment where it was emptied.
    emptied : list[Emptied]
        In order.
    full : list[Episode]
        Stretches at `full_pct` or above.
    """

    at_ms: Floats
    fill_pct: Floats
    emptied: list[Emptied]
    full: list[Episode]

    def at(self, moments_ms: Floats) -> Floats:
        """Return the fill at moments [%]."""
        found: Floats = np.interp(moments_ms, self.at_ms, self.fill_pct)
        return found

    def next_full_ms(self, now_ms: int) -> int | None:
        """Return when the bin is full next; None when it is emptied before that, or the log ends."""
        emptied_ms = next((one.at_ms for one in self.emptied if one.at_ms > now_ms), None)
        for episode in self.full:
            if episode.from_ms >= now_ms:
                return episode.from_ms if emptied_ms is None or episode.from_ms <= emptied_ms else None
        return None


def lines_of(truth: TruthLog) -> list[Line]:
    """Return the line of every bin of a log, in the order of its head."""
    head = truth.head
    fills = sorted(truth.fills, key=lambda one: one.at_ms)
    moments = [one.at_ms for one in fills]
    table = np.array([one.fill_pct for one in fills], dtype=float).reshape(len(fills), len(head.assets))
    emptied: dict[str, list[Emptied]] = {asset_id: [] for asset_id in head.assets}
    for one in sorted(truth.emptied, key=lambda one: one.at_ms):
        if one.asset in emptied:
            emptied[one.asset].append(one)
    found: list[Line] = []
    for column, asset_id in enumerate(head.assets):
        knots = [(at_ms, 1, fill) for at_ms, fill in zip(moments, table[:, column].tolist(), strict=True)]
        for one in emptied[asset_id]:
            knots += [(one.at_ms, 0, one.before_pct), (one.at_ms, 0, 0.0)]
        knots.sort(key=lambda knot: knot[:2])
        at_ms = np.array([knot[0] for knot in knots], dtype=float)
        fill_pct = np.array([knot[2] for knot in knots], dtype=float)
        found.append(Line(at_ms, fill_pct, emptied[asset_id], _full(at_ms, fill_pct, head.thresholds_pct[FULL])))
    return found


def _full(at_ms: Floats, fill_pct: Floats, full_pct: float) -> list[Episode]:
    found: list[Episode] = []
    since_ms: float | None = None
    for n, (now_ms, fill) in enumerate(zip(at_ms.tolist(), fill_pct.tolist(), strict=True)):
        if since_ms is None and fill >= full_pct:
            since_ms = now_ms if n == 0 else _crossing(at_ms, fill_pct, n, full_pct)
        elif since_ms is not None and fill < full_pct:
            found.append(Episode(round(since_ms), round(_crossing(at_ms, fill_pct, n, full_pct)), is_open=False))
            since_ms = None
    if since_ms is not None:
        found.append(Episode(round(since_ms), round(float(at_ms[-1])), is_open=True))
    return found


def _crossing(at_ms: Floats, fill_pct: Floats, n: int, level: float) -> float:
    """Return when the straight piece that ends at knot `n` passes a level."""
    a, b = float(fill_pct[n - 1]), float(fill_pct[n])
    share = 0.0 if a == b else (level - a) / (b - a)
    return float(at_ms[n - 1] + share * (at_ms[n] - at_ms[n - 1]))

"""Visitors of a square, and what they drop where.

Pure: a function of seed and time.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulators.chance import steady, stream
from simulators.ground import Ground
from simulators.scenario_sections import PURPOSES, Visits
from simulators.waste import KINDS, item_masses_mg
from square.occasions import Occasions

_PER_H = 160.0


class Drops(NamedTuple):
    """What is dropped in a minute, in the order in which it is dropped.

    Attributes
    ----------
    point
        Spot of the ground (n,).
    kind
        Index into `waste.KINDS` (n,).
    mass_mg
        Mass (n,) [mg, > 0].
    """

    point: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int8]
    mass_mg: npt.NDArray[np.int64]


class Crowd:
    """The people of a square."""

    def __init__(
        self,
        ground: Ground,
        *,
        seed: int,
        occasions: Occasions,
        visits: Visits,
        rain_mmph: Callable[[float], float],
    ) -> None:
        self._ground = ground
        self._seed = seed
        self._visits = visits
        self._occasions = occasions
        self._rain_mmph = rain_mmph

    def visitors_per_h(self, at_s: float) -> npt.NDArray[np.float64]:
        """Return the expected arrivals (n_purposes,) [visitors/h] at a moment."""
        factor = self._visits.per_day_factor * np.exp(-self._rain_mmph(at_s) / 4.0)
        return np.full(len(PURPOSES), _PER_H / len(PURPOSES) * factor)

    def arrivals(self, hour_index: int) -> int:
        """Return how many arrive in an hour, counted from 1970."""
        expected = steady(float(self.visitors_per_h(hour_index * 3600.0).sum()))
        return int(stream(self._seed, "arrivals", hour_index).poisson(expected))

    def drops(self, minute_index: int) -> Drops:
        """Return what is dropped in a minute, counted from 1970."""
        rng = stream(self._seed, "drops", minute_index)
        count = int(rng.poisson(steady(float(self.visitors_per_h(minute_index * 60.0).sum()) / 60.0)))
        kinds = rng.integers(0, len(KINDS), count).astype(np.int8)
        points = rng.integers(0, len(self._ground.points_m), count).astype(np.int32)
        return Drops(points, kinds, item_masses_mg(rng, kinds))

    def present(self, at_s: float) -> npt.NDArray[np.int64]:
        """Return the people in each zone at a moment (n_zones,)."""
        zones = len(self._ground.site.zones)
        expected = steady(float(self.visitors_per_h(at_s).sum()) * 0.7 / max(zones, 1))
        return stream(self._seed, "present", int(at_s // 60)).poisson(expected, zones)

"""What stalls throw away: scraps while they sell, and what is left when they close. Pure.

Stalls stand at the food places of a square. Their waste goes where that of visitors goes: into the bins near by.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulators.chance import steady
from simulators.choice import Choice
from simulators.parameters import Parameter
from simulators.places import PLACE_KINDS, Places
from simulators.waste import KINDS, item_masses_mg

Ints = npt.NDArray[np.int64]

PARAMETERS: Mapping[str, Parameter] = {
    "stalls_per_place": Parameter(2, "1", "assumed: stalls at each place to eat"),
}
# What a stall throws away [relative]. Assumed; leaves are coconuts and banana leaves.
MIX: Mapping[str, float] = {"food": 40, "leaves": 12, "wrap": 20, "cup": 10, "residual": 18}


class Litter(NamedTuple):
    """What is dropped in an hour, in order of time.

    Attributes
    ----------
    second
        Seconds after its beginning (n,).
    point, kind, mass_mg
        Spot of the ground, index into `waste.KINDS`, mass [mg] (n,).
    """

    second: Ints
    point: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int8]
    mass_mg: Ints


class Stalls:
    """The stalls of a square.

    Parameters
    ----------
    places
        Where they can stand.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._at = np.flatnonzero(places.kind == PLACE_KINDS.index("food"))
        self._kind = Choice([np.arange(len(KINDS))], [np.array([MIX.get(kind.name, 0.0) for kind in KINDS])])

    def draw(self, rng: np.random.Generator, per_minute: npt.NDArray[np.float64]) -> Litter:
        """Draw what all stalls throw away in an hour.

        Parameters
        ----------
        rng
            Stream of the hour.
        per_minute
            Items expected of one stall in each minute (60,).
        """
        stalls = self._at.size * PARAMETERS["stalls_per_place"].value
        n = int(rng.poisson(steady(stalls * float(per_minute.sum()))))
        first = np.zeros(n, dtype=np.int64)
        minute = Choice([np.arange(per_minute.size)], [per_minute]).pick(first, rng.random(n))
        second = np.sort(minute * 60 + rng.integers(0, 60, n))
        place = self._at[rng.integers(0, max(self._at.size, 1), n)]
        spot = (rng.random(n) * self._places.n_spots[place]).astype(np.int64)
        kind = self._kind.pick(first, rng.random(n)).astype(np.int8)
        return Litter(second, self._places.spots[place, spot].astype(np.int32), kind, item_masses_mg(rng, kind))

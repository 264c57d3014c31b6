"""How crews behave: they obey, refuse, are late, lie, break down, and lose the network. Pure.

What a crew does about one order is a function of the seed, the crew and the number of the order alone: the same crews
for every policy that sends them, nothing to save, and no answer depends on what was asked before.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from simulators.chance import stream
from simulators.parameters import Parameter

PARAMETERS: Mapping[str, Parameter] = {
    "accept_median_s": Parameter(45, "s", "assumed median time until a crew sees and accepts a task"),
    "accept_spread": Parameter(0.5, "1", "assumed sigma of the lognormal accept time"),
    "late_median_s": Parameter(900, "s", "assumed median time until a crew that is late accepts a task"),
    "breakdown_median_s": Parameter(1800, "s", "assumed median time that a crew stands still with a broken cart"),
    "offline_median_s": Parameter(600, "s", "assumed median time that a crew is without network"),
    "trouble_spread": Parameter(0.6, "1", "assumed sigma of the lognormal times of being late, broken down or offline"),
    "walk_spread": Parameter(0.15, "1", "assumed sigma of the lognormal factor on a crew's walking time"),
    "empty_spread": Parameter(0.25, "1", "assumed sigma of the lognormal time to empty a bin"),
}


@dataclass(frozen=True)
class Habits:
    """What share of orders goes which way; the defaults are crews that always do as they are told.

    Attributes
    ----------
    refuse_share : float
        Orders that a crew lets lie [0..1].
    late_share : float
        Orders that it accepts long after it saw them [0..1].
    lie_share : float
        Orders that it claims done without having emptied or swept [0..1].
    breakdown_share : float
        Orders on whose way something breaks, so that it stands still for a while [0..1].
    offline_share : float
        Orders whose claim reaches the office late, for want of network [0..1].
    accept_median_s, late_median_s, breakdown_median_s, offline_median_s : float
        Median times [s]; see `PARAMETERS`.
    walk_factor : float
        Walking time of these crews against that of the plan [> 0].
    """

    refuse_share: float = 0.0
    late_share: float = 0.0
    lie_share: float = 0.0
    breakdown_share: float = 0.0
    offline_share: float = 0.0
    accept_median_s: float = PARAMETERS["accept_median_s"].value
    late_median_s: float = PARAMETERS["late_median_s"].value
    breakdown_median_s: float = PARAMETERS["breakdown_median_s"].value
    offline_median_s: float = PARAMETERS["offline_median_s"].value
    walk_factor: float = 1.0

    def __post_init__(self) -> None:
        """See that shares are shares and times are times.

        Raises
        ------
        ValueError
            Naming the first that is not.
        """
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name.endswith("_share") and not 0.0 <= value <= 1.0:
                raise ValueError(f"{one.name} must lie between 0 and 1, not {value:g}")
            if not one.name.endswith("_share") and not (0.0 < value < math.inf):
                raise ValueError(f"{one.name} must be above 0, not {value:g}")


class Answer(NamedTuple):
    """What a crew does about one order.

    Attributes
    ----------
    refuses : bool
        It lets the order lie; nothing else counts then.
    accept_after_s : float
        Time until it accepts [s, >= 0].
    lies : bool
        It claims the work done and has not touched the bin.
    breaks_down_s : float
        How long it stands still on the way [s]; 0 for not at all.
    offline_s : float
        How much later than the work the office hears of it [s].
    empty_factor, walk_factor : float
        Factors on the times of emptying and walking [> 0].
    """

    refuses: bool
    accept_after_s: float
    lies: bool
    breaks_down_s: float
    offline_s: float
    empty_factor: float
    walk_factor: float


class Temper:
    """The mood of one crew, order by order.

    Parameters
    ----------
    habits
        What share of orders goes which way.
    seed
        Of the square.
    crew_id
        Whose mood it is; crews are independent of each other.
    """

    def __init__(self, habits: Habits, seed: int, crew_id: str) -> None:
        self._habits = habits
        self._seed = seed
        self._stream = f"temper {crew_id}"

    def answer(self, ordinal: int) -> Answer:
        """Return what the crew does about its order number `ordinal` [>= 0]; the same whenever it is asked."""
        habits = self._habits
        random = stream(self._seed, self._stream, ordinal)
        # All are drawn in any case: a share that is changed alters what it governs and nothing else.
        chances = random.random(5)
        normals = random.standard_normal(6)
        spread, trouble = PARAMETERS["accept_spread"].value, PARAMETERS["trouble_spread"].value

        def trouble_s(share: float, chance: float, median_s: float, normal: float) -> float:
            return median_s * _lognormal(trouble, normal) if chance < share else 0.0

        late_s = trouble_s(habits.late_share, chances[1], habits.late_median_s, normals[1])
        return Answer(
            refuses=bool(chances[0] < habits.refuse_share),
            accept_after_s=late_s or habits.accept_median_s * _lognormal(spread, normals[0]),
            lies=bool(chances[2] < habits.lie_share),
            breaks_down_s=trouble_s(habits.breakdown_share, chances[3], habits.breakdown_median_s, normals[2]),
            offline_s=trouble_s(habits.offline_share, chances[4], habits.offline_median_s, normals[3]),
            empty_factor=_lognormal(PARAMETERS["empty_spread"].value, normals[4]),
            walk_factor=habits.walk_factor * _lognormal(PARAMETERS["walk_spread"].value, normals[5]),
        )


def _lognormal(sigma: float, normal: float) -> float:
    """Return a factor with median 1, without the last bits, in which machines differ."""
    return float(np.round(math.exp(sigma * normal), 9))

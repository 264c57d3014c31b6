"""What happens to bins that nobody planned: waste pickers, thieves, bins moved, tipped or set on fire. Pure in time.

Each hour draws each kind from a stream of its own. A mishap names no bin unless a scenario does: it carries a number
from which the model picks one, so that what happens does not depend on what was emptied before.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from simulators import chance
from simulators.parameters import Parameter
from simulators.scenario_sections import MISHAPS, MishapRates
from square.calendar import local_time

PARAMETERS: Mapping[str, Parameter] = {
    "bins_searched": Parameter(9, "bins", "assumed: bins that a waste picker searches on one visit"),
    "stolen_h": Parameter(20, "h", "assumed: time until a stolen bin or sensor is replaced"),
    "moved_h": Parameter(6, "h", "assumed: time until somebody puts a moved bin back"),
    "tipped_h": Parameter(1.5, "h", "assumed: time until somebody stands a tipped bin up; an emptying does it at once"),
    "lid_open_h": Parameter(4, "h", "assumed: time until somebody closes a lid; an emptying does it at once"),
    "fire_min": Parameter(25, "min", "assumed: time that a fire in a bin burns, unless rain or a crew puts it out"),
    "fire_share": Parameter(0.09, "1/min", "assumed: share of what can burn that burns in a minute"),
    "burning_h": Parameter(1.5, "h", "assumed: time that open burning near the square lasts"),
    "burning_distance_m": Parameter(180, "m", "assumed: distance of open burning from the middle of the square"),
    "burning_aside_deg": Parameter(15, "degree", "assumed: an ordered fire lies this near to straight up the wind"),
    "burning_kg_per_h": Parameter(15, "kg/h", "assumed: leaves and household waste that an open fire takes"),
}

HOUR_S = 3600
# When each kind happens [relative to the mean of the day]; assumed.
_NIGHT, _DAY = (22, 5), (6, 20)
_SHAPES: Mapping[str, tuple[tuple[int, int], float]] = {
    "scavenged": ((4, 11), 2.4),
    "bin-theft": (_NIGHT, 3.0),
    "sensor-theft": (_NIGHT, 2.5),
    "moved": (_DAY, 1.5),
    "tipped": ((17, 2), 2.2),
    "lid-open": (_DAY, 1.6),
    "fire": ((17, 2), 2.2),
    "burning": ((15, 19), 4.5),
}
_RATE_OF: Mapping[str, str] = {
    "scavenged": "scavengers_per_day",
    "bin-theft": "bin_thefts_per_day",
    "sensor-theft": "sensor_thefts_per_day",
    "moved": "moved_per_day",
    "tipped": "tipped_per_day",
    "lid-open": "lids_left_open_per_day",
    "fire": "bin_fires_per_day",
    "burning": "burnings_per_day",
}
_KEPT_BLOCKS = 48


class Mishap(NamedTuple):
    """One mishap.

    Attributes
    ----------
    at_s : float
        When [s since 1970 UTC].
    kind : str
        One of `MISHAPS`.
    bin_id : str
        Asset id, or empty: `chooses` decides.
    chooses : float
        A number [0..1) from which the model picks a bin, or the direction of a fire near by.
    is_planned : bool
        Whether a scenario ordered it: an ordered fire near by lies up the wind.
    """

    at_s: float
    kind: str
    bin_id: str
    chooses: float
    is_planned: bool = False


def hour_factor(kind: str, local_hour: int) -> float:
    """Return how often a kind happens in an hour of the local day [0..23], against its mean over the day."""
    (begin, end), factor = _SHAPES[kind]
    hours = (end - begin) % 24
    inside = (local_hour - begin) % 24 < hours
    return factor if inside else (24.0 - hours * factor) / (24.0 - hours)


class Mishaps:
    """The mishaps of one square.

    Parameters
    ----------
    rates
        How many of each kind a day, and what a scenario orders.
    seed
        The same seed gives the same mishaps.
    zone
        Time zone of the square.
    """

    def __init__(self, rates: MishapRates | None = None, *, seed: int, zone: ZoneInfo) -> None:
        self._seed = seed
        self._zone = zone
        rates = MishapRates() if rates is None else rates
        self._per_h = {kind: float(getattr(rates, _RATE_OF[kind])) / 24.0 for kind in MISHAPS}
        self._hour = lru_cache(_KEPT_BLOCKS)(self._drawn)
        self._planned: dict[int, list[Mishap]] = defaultdict(list)
        for i, one in enumerate(rates.planned):
            chooses = float(chance.stream(seed, "planned mishap", i).uniform())
            self._planned[int(one.at_s // HOUR_S)].append(
                Mishap(one.at_s, one.kind, one.bin_id, chooses, is_planned=True)
            )

    def between(self, from_s: float, until_s: float) -> tuple[Mishap, ...]:
        """Return what happens from `from_s` (inside) to `until_s` (outside), in order of time."""
        first, last = int(from_s // HOUR_S), int(until_s // HOUR_S)
        hours = [mishap for hour in range(first, last + 1) for mishap in self._hour(hour)]
        return tuple(mishap for mishap in hours if from_s <= mishap.at_s < until_s)

    def _drawn(self, hour: int) -> tuple[Mishap, ...]:
        local_hour = local_time(hour * HOUR_S, self._zone).hour
        drawn = list(self._planned.get(hour, ()))
        for kind in MISHAPS:
            rng = chance.stream(self._seed, f"mishap {kind}", hour)
            rate = self._per_h[kind] * hour_factor(kind, local_hour)
            moments = rng.uniform(size=(int(rng.poisson(chance.steady(rate))), 2))
            drawn += [Mishap(hour * HOUR_S + float(at) * HOUR_S, kind, "", float(which)) for at, which in moments]
        return tuple(sorted(drawn))

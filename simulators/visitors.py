"""Visitors of a square: how many come, where they are, and what they and the stalls drop where.

Pure: all answers are functions of seed and time, whatever was asked before. An hour's visitors draw from a stream of
their own (`simulators.chance`), so every policy meets the same demand, nothing of it must be saved, and a restart
goes on as if nothing had been. The last hours are kept, because what they do reaches into the hours after them.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from simulators.chance import stream
from simulators.demand import HOUR_MIN, SLOT_MIN, Demand
from simulators.ground import Ground
from simulators.itineraries import STAY_MAX_H, Itineraries, Trips
from simulators.itineraries import value as itinerary_value
from simulators.places import Places
from simulators.scenario_sections import Visits
from simulators.stalls import Litter, Stalls
from square.occasions import Occasions

_T = TypeVar("_T")
_HOUR_S = 3600
_SLOTS_PER_H = HOUR_MIN // SLOT_MIN


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


class _Hour(NamedTuple):
    """Everything dropped in an hour, and where the drops of each minute start."""

    drops: Drops
    starts: list[int]


class Crowd:
    """The people of a square.

    Parameters
    ----------
    ground
        The square.
    seed
        Seed of the world.
    occasions
        The calendar.
    visits
        What a scenario changes.
    rain_mmph
        Rain at a moment [s since 1970 UTC] -> [mm/h]; MUST be a pure function.
    """

    def __init__(
        self,
        ground: Ground,
        *,
        seed: int,
        occasions: Occasions,
        visits: Visits,
        rain_mmph: Callable[[float], float],
    ) -> None:
        self._seed = seed
        self._n_zones = len(ground.zone_characters)
        self._demand = Demand(ground.site, occasions, visits, rain_mmph)
        self._itineraries = Itineraries(Places.of(ground))
        self._stalls = Stalls(Places.of(ground))
        self._trips: dict[int, Trips] = {}
        self._hours: dict[int, _Hour] = {}
        self._present: dict[int, npt.NDArray[np.int64]] = {}

    def visitors_per_h(self, at_s: float) -> npt.NDArray[np.float64]:
        """Return the expected arrivals at a moment, announced groups excepted.

        Returns
        -------
        NDArray
            (n_purposes,) [visitors/h], in the order of `simulators.scenario_sections.PURPOSES`.
        """
        hour, within_s = divmod(int(at_s // 1), _HOUR_S)
        per_hour: npt.NDArray[np.float64] = self._demand.per_minute(hour)[:, within_s // 60] * HOUR_MIN
        return per_hour

    def arrivals(self, hour_index: int) -> int:
        """Return how many people arrive in an hour, counted from 1970."""
        return int(self._trips_of(hour_index).people.sum())

    def drops(self, minute_index: int) -> Drops:
        """Return what is dropped in a minute, counted from 1970."""
        hour_index, minute = divmod(minute_index, HOUR_MIN)
        hour = _kept(self._hours, hour_index, self._hour)
        start, end = hour.starts[minute], hour.starts[minute + 1]
        point, kind, mass_mg = hour.drops
        return Drops(point[start:end], kind[start:end], mass_mg[start:end])

    def present(self, at_s: float) -> npt.NDArray[np.int64]:
        """Return the people in each zone (n_zones,) at the beginning of the minute of a moment."""
        hour_index, minute = divmod(int(at_s // 60), HOUR_MIN)
        present: npt.NDArray[np.int64] = _kept(self._present, hour_index, self._presence)[minute].copy()
        return present

    def _trips_of(self, hour_index: int) -> Trips:
        return _kept(self._trips, hour_index, self._drawn)

    def _drawn(self, hour_index: int) -> Trips:
        rng = stream(self._seed, "visitors", hour_index)
        return self._itineraries.draw(rng, self._demand.hour(hour_index), self._wet_from_s(hour_index))

    def _wet_from_s(self, hour_index: int) -> npt.NDArray[np.int64]:
        """When rain begins that makes people leave, from an hour's beginning until all its visitors are gone."""
        first = hour_index * _SLOTS_PER_H
        slots = range(first, first + (STAY_MAX_H + 1) * _SLOTS_PER_H)
        leaves_mmph = itinerary_value("rain_leaves_mmph")
        wet = np.array([self._demand.rain_mmph(slot) >= leaves_mmph for slot in slots])
        begins = wet & ~np.concatenate([[False], wet[:-1]])  # who comes in the rain does not mind it
        return np.flatnonzero(begins) * (SLOT_MIN * 60)

    def _hour(self, hour_index: int) -> _Hour:
        parts: list[Litter] = []
        for back in range(STAY_MAX_H, -1, -1):
            trips = self._trips_of(hour_index - back)
            at = slice(*np.searchsorted(trips.drop_s, [back * _HOUR_S, (back + 1) * _HOUR_S]))
            second = trips.drop_s[at] - back * _HOUR_S
            parts.append(Litter(second, trips.drop_point[at], trips.drop_kind[at], trips.drop_mass_mg[at]))
        parts.append(self._stalls.draw(stream(self._seed, "stalls", hour_index), self._demand.stall_items(hour_index)))
        second, *dropped = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(second, kind="stable")
        starts = np.searchsorted(second[order], np.arange(0, _HOUR_S + 1, 60)).tolist()
        return _Hour(Drops(*(column[order] for column in dropped)), starts)

    def _presence(self, hour_index: int) -> npt.NDArray[np.int64]:
        """People in each zone at each minute of an hour, (60, n_zones)."""
        changes = np.zeros((HOUR_MIN + 1) * self._n_zones, dtype=np.int64)
        for back in range(STAY_MAX_H, -1, -1):
            trips = self._trips_of(hour_index - back)
            minutes = np.clip(-((back * _HOUR_S - trips.changes_s) // 60), 0, HOUR_MIN)
            people = np.repeat(trips.people[:, None], trips.zones.shape[1], axis=1).ravel()
            for at, sign in ((minutes[:, :-1], 1), (minutes[:, 1:], -1)):
                cells = (at * self._n_zones + trips.zones).ravel()
                counts = np.bincount(cells, weights=people, minlength=changes.size)
                changes += sign * np.rint(counts).astype(np.int64)
        return np.cumsum(changes.reshape(HOUR_MIN + 1, self._n_zones), axis=0)[:-1]


def _kept(memory: dict[int, _T], hour_index: int, make: Callable[[int], _T]) -> _T:
    """Return what is remembered of an hour, else make it and forget what lies farther away than anybody will ask."""
    found = memory.get(hour_index)
    if found is None:
        found = make(hour_index)
        for old in [hour for hour in memory if abs(hour - hour_index) > STAY_MAX_H]:
            del memory[old]
        memory[hour_index] = found
    return found

"""Itineraries: who comes in which party, where they go, how long they stay, what they drop on the way.

Pure: a function of a random stream and of the hour's demand. A party (a family, the people of a bus) enters, walks
along the paths to one to four places by its purpose, stays at each and leaves; rain that surprises it cuts the visit
short. What its people drop falls at the places or on the way between them. All times are whole seconds, all ways
whole millimetres. The tables under `PARAMETERS` belong to them and are all assumed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulators.chance import RATE_DECIMALS
from simulators.choice import Choice
from simulators.demand import Arrivals
from simulators.parameters import Parameter
from simulators.places import ENTRY_KINDS, PLACE_KINDS, Places
from simulators.scenario_sections import PURPOSES
from simulators.waste import KIND_INDEX, KINDS, item_masses_mg

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

# Purpose: people in a party, stay at a place [min], items that one person drops. Assumed.
_HABITS: Mapping[str, tuple[float, float, float]] = {
    "pilgrims": (2.0, 22.0, 1.4),
    "groups": (62.0, 28.0, 2.2),
    "families": (3.6, 26.0, 2.2),
    "exercise": (1.6, 18.0, 1.1),
    "food": (2.4, 35.0, 2.5),
    "takjil": (1.8, 12.0, 2.0),
    "passers-by": (1.3, 3.0, 0.5),
}
# Purpose: shares of parties that visit 1, 2, 3, 4 places. Assumed.
STOP_SHARES: Mapping[str, tuple[float, float, float, float]] = {
    "pilgrims": (0.35, 0.40, 0.20, 0.05),
    "groups": (0.00, 0.25, 0.50, 0.25),
    "families": (0.20, 0.40, 0.30, 0.10),
    "exercise": (0.30, 0.40, 0.20, 0.10),
    "food": (0.60, 0.30, 0.10, 0.00),
    "takjil": (0.55, 0.35, 0.10, 0.00),
    "passers-by": (0.85, 0.15, 0.00, 0.00),
}
# Purpose: pull of each kind of place [relative], shared by the places of the kind. Assumed.
PULL: Mapping[str, Mapping[str, float]] = {
    "pilgrims": {"mosque": 5, "forecourt": 3, "food": 1.5, "floor": 0.4, "park": 0.6, "path": 0.5, "street": 0.4},
    "groups": {"mosque": 5, "forecourt": 3, "food": 2, "terminal": 2, "floor": 0.8, "park": 0.8, "path": 0.5},
    "families": {"park": 4, "play": 2.5, "food": 3, "floor": 1.5, "forecourt": 1.5, "path": 1, "street": 0.8},
    "exercise": {"park": 4, "path": 4, "floor": 1.5, "food": 1, "street": 0.5},
    "food": {"food": 7, "street": 2, "park": 1.2, "terminal": 0.6, "forecourt": 0.6},
    "takjil": {"food": 5, "street": 3, "forecourt": 1.5, "mosque": 1, "park": 0.5},
    "passers-by": {"path": 3, "street": 3, "floor": 1, "park": 1, "food": 0.8, "forecourt": 0.8, "terminal": 0.5},
}
# Purpose: ways in and out, by kind (gate, terminal, street) [relative]. Assumed.
WAYS_IN: Mapping[str, tuple[float, float, float]] = {
    "pilgrims": (3, 3, 2),
    "groups": (0, 1, 0),
    "families": (5, 1, 3),
    "exercise": (5, 0.5, 3),
    "food": (3, 1, 5),
    "takjil": (3, 1, 5),
    "passers-by": (4, 1.5, 4),
}
# Purpose: what is dropped [relative]. Assumed.
MIX: Mapping[str, Mapping[str, float]] = {
    "pilgrims": {"bottle": 32, "can": 2, "cup": 22, "wrap": 20, "rice-wrap": 10, "food": 4, "residual": 10},
    "groups": {"bottle": 30, "can": 2, "cup": 18, "wrap": 20, "rice-wrap": 18, "food": 5, "residual": 7},
    "families": {
        "bottle": 22, "can": 3, "cup": 28, "wrap": 28, "rice-wrap": 5, "food": 6, "leaves": 1, "residual": 7,
    },
    "exercise": {"bottle": 50, "can": 2, "cup": 18, "wrap": 16, "rice-wrap": 2, "food": 4, "residual": 8},
    "food": {"bottle": 14, "can": 2, "cup": 24, "wrap": 26, "rice-wrap": 12, "food": 14, "leaves": 3, "residual": 5},
    "takjil": {"bottle": 6, "cup": 40, "wrap": 34, "rice-wrap": 6, "food": 8, "leaves": 2, "residual": 4},
    "passers-by": {"bottle": 28, "can": 4, "cup": 24, "wrap": 28, "food": 2, "residual": 14},
}  # fmt: skip

PARAMETERS: Mapping[str, Parameter] = {
    **{
        f"{purpose.replace('-', '_')}_{name}": Parameter(habit[column], unit, f"assumed {text}")
        for purpose, habit in _HABITS.items()
        for name, column, unit, text in (
            ("party", 0, "people", "mean size of a party"),
            ("stay_min", 1, "min", "mean stay at a place"),
            ("items", 2, "1", "mean number of items that one person drops, at most 4"),
        )
    },
    "groups_party": Parameter(_HABITS["groups"][0], "people", "a group of 250 people in 4 buses (ramapati 2023-01-26)"),
    "walk_mmps": Parameter(1_100, "mm/s", "assumed mean walking speed of visitors"),
    "walk_spread_mmps": Parameter(150, "mm/s", "assumed standard deviation of it, between parties"),
    "dropped_walking": Parameter(0.25, "1", "assumed share of items dropped between two places"),
    "other_way_out": Parameter(0.3, "1", "assumed share of parties that choose their way out anew"),
    "rain_leaves_mmph": Parameter(2, "mm/h", "assumed: rain that makes people leave"),
    "rain_leaves_share": Parameter(0.7, "1", "assumed share of them who do"),
    "rain_leaves_min": Parameter(5, "min", "assumed mean time until they are gone"),
}
STAY_MAX_H = 6
"""Nobody stays longer: what an hour's visitors do is over after so many hours more."""
STOPS = 4
ITEMS_MAX = 4
_WALK_MMPS = (500.0, 1_800.0)
_STAY_SHAPE = 2.0
_GROUPS, _PILGRIMS = PURPOSES.index("groups"), PURPOSES.index("pilgrims")


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


@dataclass(frozen=True)
class Trips:
    """What the visitors of one hour do; times in seconds after its beginning.

    Attributes
    ----------
    people : NDArray
        People of each party (n,).
    zones : NDArray
        Zones it is in, one after the other (n, 6).
    changes_s : NDArray
        When it enters the first, goes from each to the next, and is gone (n, 7).
    drop_s, drop_point, drop_kind, drop_mass_mg : NDArray
        What they drop, in order of time (m,).
    """

    people: Ints
    zones: Ints
    changes_s: Ints
    drop_s: Ints
    drop_point: npt.NDArray[np.int32]
    drop_kind: npt.NDArray[np.int8]
    drop_mass_mg: Ints


@dataclass(frozen=True)
class _Parties:
    purpose: Ints
    people: Ints
    start_s: Ints


@dataclass(frozen=True)
class _Ways:
    """Anchors (n, 6) and when each is reached and left (n, 6) [s]; `stops` of the four in the middle are real."""

    anchors: Ints
    reached_s: Ints
    left_s: Ints
    stops: Ints


class Itineraries:
    """Draws the trips of an hour.

    Parameters
    ----------
    places
        Where people can go.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        quarters = range(places.quarters)
        at = [np.flatnonzero(places.anchor_quarter == q) for q in quarters]
        stays = [anchors[anchors < places.n_places] for anchors in at]
        served = [q for q in quarters if stays[q].size]
        self._quarter = Choice([np.array(served)], [np.array([float(stays[q].size) for q in served])])
        pull, ways = _pulls(places, stays), _ways_in(places)
        rows = [(p, q) for p in range(len(PURPOSES)) for q in served]
        self._row_of_quarter = np.full(places.quarters, -1)
        self._row_of_quarter[served] = np.arange(len(served))
        self._n_rows = len(served)
        self._stop = Choice([stays[q] for _, q in rows], [pull[p, stays[q]] for p, q in rows])
        doors = [anchors[anchors >= places.n_places] for anchors in at]
        self._door = Choice([doors[q] for _, q in rows], [ways[p, doors[q] - places.n_places] for p, q in rows])
        kinds = np.arange(len(KINDS))
        mixes = [np.array([MIX[p].get(kind.name, 0.0) for kind in KINDS]) for p in PURPOSES]
        self._kind = Choice([kinds] * len(PURPOSES), mixes)
        self._stop_shares = np.cumsum([STOP_SHARES[p] for p in PURPOSES], axis=1)[:, : STOPS - 1]
        self._party = _of_purposes("party")
        self._stay_s = 60.0 * _of_purposes("stay_min")
        self._items = _of_purposes("items")

    def draw(self, rng: np.random.Generator, arrivals: Arrivals, wet_from_s: Ints) -> Trips:
        """Draw the trips of those who arrive in an hour.

        Parameters
        ----------
        rng
            Stream of the hour.
        arrivals
            Who is expected.
        wet_from_s
            Beginnings of rain that makes people leave, in order [s after the beginning of the hour].

        Returns
        -------
        Trips
            All that they do and drop.
        """
        parties = self._parties(rng, arrivals)
        ways = self._ways(rng, parties, arrivals.pilgrims_stay)
        gone_s = _gone_s(rng, parties, ways, wet_from_s)
        drops = self._drops(rng, parties, ways, arrivals.meals, gone_s)
        middle_s = (ways.left_s[:, :-1] + ways.reached_s[:, 1:]) // 2  # half way is where one zone ends for us
        changes_s = np.concatenate([parties.start_s[:, None], middle_s, gone_s[:, None]], axis=1)
        return Trips(
            parties.people, self._places.anchor_zone[ways.anchors], np.minimum(changes_s, gone_s[:, None]), *drops
        )

    def _parties(self, rng: np.random.Generator, arrivals: Arrivals) -> _Parties:
        per_minute = arrivals.per_minute
        expected = per_minute.sum(axis=1)
        counts = rng.poisson(np.round(expected / self._party, RATE_DECIMALS))
        purpose = np.repeat(np.arange(len(PURPOSES)), counts)
        minutes = np.arange(per_minute.shape[1])
        when = Choice([minutes] * len(PURPOSES), list(per_minute))
        start_s = when.pick(purpose, rng.random(purpose.size)) * 60 + rng.integers(0, 60, purpose.size)
        people = 1 + rng.poisson(self._party[purpose] - 1.0)
        for group in arrivals.groups:
            bus = rng.poisson(group.people_per_bus, group.buses)
            people = np.concatenate([people, bus])
            purpose = np.concatenate([purpose, np.full(group.buses, _GROUPS)])
            start_s = np.concatenate([start_s, np.full(group.buses, int(group.at_s % 3600))])
        return _Parties(purpose, people, start_s)

    def _ways(self, rng: np.random.Generator, parties: _Parties, pilgrims_stay: float) -> _Ways:
        n, purpose, places = parties.purpose.size, parties.purpose, self._places
        quarter = self._quarter.pick(np.zeros(n, dtype=np.int64), rng.random(n))
        row = purpose * self._n_rows + self._row_of_quarter[quarter]
        door = self._door.pick(row, rng.random(n))
        out = np.where(rng.random(n) < value("other_way_out"), self._door.pick(row, rng.random(n)), door)
        stops = 1 + (rng.random(n)[:, None] >= self._stop_shares[purpose]).sum(axis=1)
        real = np.arange(STOPS) < stops[:, None]
        picked = self._stop.pick(np.repeat(row[:, None], STOPS, axis=1), rng.random((n, STOPS)))
        away_mm = np.where(
            real, places.between_mm(np.repeat(door[:, None], STOPS, axis=1), picked), np.iinfo(np.int64).max
        )
        stop = np.take_along_axis(picked, np.argsort(away_mm, axis=1, kind="stable"), axis=1)  # the nearest first
        stop = np.where(real, stop, stop[np.arange(n), stops - 1][:, None])
        anchors = np.concatenate([door[:, None], stop, out[:, None]], axis=1)
        mmps = np.clip(np.rint(rng.normal(value("walk_mmps"), value("walk_spread_mmps"), n)), *_WALK_MMPS).astype(
            np.int64
        )
        walk_s = places.between_mm(anchors[:, :-1], anchors[:, 1:]) // mmps[:, None]
        stay_s = np.zeros((n, STOPS + 2), dtype=np.int64)
        mean_s = self._stay_s[purpose] * np.where(purpose == _PILGRIMS, pilgrims_stay, 1.0)
        drawn_s = rng.standard_gamma(_STAY_SHAPE, (n, STOPS)) / _STAY_SHAPE * mean_s[:, None]
        stay_s[:, 1:-1] = np.where(real, drawn_s.astype(np.int64), 0)
        reached_s = np.empty((n, STOPS + 2), dtype=np.int64)
        reached_s[:, 0] = parties.start_s
        for leg in range(STOPS + 1):
            reached_s[:, leg + 1] = reached_s[:, leg] + stay_s[:, leg] + walk_s[:, leg]
        return _Ways(anchors, reached_s, reached_s + stay_s, stops)

    def _drops(
        self, rng: np.random.Generator, parties: _Parties, ways: _Ways, meals: float, gone_s: Ints
    ) -> tuple[Ints, npt.NDArray[np.int32], npt.NDArray[np.int8], Ints]:
        """Draw what is dropped: seconds, spots, kinds, masses; in order of time."""
        places = self._places
        person = np.repeat(np.arange(parties.purpose.size), parties.people)
        items = np.minimum(rng.poisson(self._items[parties.purpose[person]]), ITEMS_MAX)
        who = np.repeat(person, items)
        kind = self._kind.pick(parties.purpose[who], rng.random(who.size))
        if meals > 0.0:
            eaten = np.where(parties.purpose == _PILGRIMS, rng.binomial(parties.people, min(meals, 1.0)), 0)
            who = np.concatenate([who, np.repeat(np.arange(eaten.size), eaten)])
            kind = np.concatenate([kind, np.full(who.size - kind.size, KIND_INDEX["rice-wrap"])])
        mass_mg = item_masses_mg(rng, kind.astype(np.int8))
        walking = rng.random(who.size) < value("dropped_walking")
        where, share, spot = rng.random((3, who.size))
        stops = ways.stops[who]
        leg = (where * (stops + 1)).astype(np.int64)
        leg = np.where(leg < stops, leg, STOPS)  # the last leg leads out
        at = np.where(walking, leg, 1 + (where * stops).astype(np.int64))
        begun_s = np.where(walking, ways.left_s[who, at], ways.reached_s[who, at])
        ended_s = np.where(walking, ways.reached_s[who, np.minimum(at + 1, STOPS + 1)], ways.left_s[who, at])
        drop_s = begun_s + (share * (ended_s - begun_s)).astype(np.int64)
        kept = np.flatnonzero(drop_s <= gone_s[who])
        kept = kept[np.argsort(drop_s[kept], kind="stable")]
        who, at, walking = who[kept], at[kept], walking[kept]
        point = np.empty(kept.size, dtype=np.int32)
        on_foot, staying = np.flatnonzero(walking), np.flatnonzero(~walking)
        a, b = ways.anchors[who[on_foot], at[on_foot]], ways.anchors[who[on_foot], at[on_foot] + 1]
        point[on_foot] = places.on_the_way(a, b, share[kept[on_foot]])
        place = ways.anchors[who[staying], at[staying]]
        point[staying] = places.spots[place, (spot[kept[staying]] * places.n_spots[place]).astype(np.int64)]
        return drop_s[kept], point, kind[kept].astype(np.int8), mass_mg[kept]


def _gone_s(rng: np.random.Generator, parties: _Parties, ways: _Ways, wet_from_s: Ints) -> Ints:
    """When each party is gone: at the end of its way, after the longest stay, or chased off by later rain."""
    n = parties.purpose.size
    minds_rain = rng.random(n) < value("rain_leaves_share")
    shelter_s = (rng.standard_exponential(n) * value("rain_leaves_min") * 60.0).astype(np.int64)
    gone_s = np.minimum(ways.reached_s[:, -1], parties.start_s + STAY_MAX_H * 3600)
    if wet_from_s.size:
        next_wet = np.searchsorted(wet_from_s, parties.start_s, side="right")
        wet_s = np.append(wet_from_s, np.iinfo(np.int32).max)[next_wet]
        gone_s = np.where(minds_rain, np.minimum(gone_s, wet_s + shelter_s), gone_s)
    return gone_s


def _of_purposes(name: str) -> Reals:
    return np.array([value(f"{purpose.replace('-', '_')}_{name}") for purpose in PURPOSES])


def _pulls(places: Places, stays: Sequence[Ints]) -> Reals:
    """Pull of each place on each purpose, (n_purposes, n_places): the places of a kind in a quarter share theirs."""
    pull = np.array([[PULL[p].get(kind, 0.0) for kind in PLACE_KINDS] for p in PURPOSES])
    alike = np.ones(places.n_places)
    for anchors in stays:
        kinds = places.kind[anchors]
        alike[anchors] = np.bincount(kinds, minlength=len(PLACE_KINDS))[kinds]
    return np.asarray(pull[:, places.kind] / alike, dtype=np.float64)


def _ways_in(places: Places) -> Reals:
    """Weight of each way in for each purpose, (n_purposes, n_entries)."""
    alike = np.bincount(places.entry_kind, minlength=len(ENTRY_KINDS))
    weights = np.array([WAYS_IN[p] for p in PURPOSES]) / np.maximum(alike, 1)
    return np.asarray(weights[:, places.entry_kind], dtype=np.float64)

"""Itineraries: ways, stays, drops, rain."""

import itertools
from typing import Any

import numpy as np
import pytest

from simulators.chance import stream
from simulators.demand import Arrivals
from simulators.ground import Ground
from simulators.itineraries import MIX, PULL, STAY_MAX_H, STOP_SHARES, WAYS_IN, Itineraries, Trips, value
from simulators.places import ENTRY_KINDS, PLACE_KINDS, Places
from simulators.scenario_sections import PURPOSES, Group
from simulators.waste import KIND_INDEX, KINDS
from square.site import load_site
from tests.unit.simulators.wide_site import shipped
from tests.unit.square.small_site import write_site

DRY = np.empty(0, dtype=np.int64)


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground.of(shipped())


@pytest.fixture(scope="module")
def itineraries(ground) -> Itineraries:
    return Itineraries(Places.of(ground))


def expected(**people: float) -> np.ndarray:
    """Return the expected people of an hour, evenly over its minutes."""
    table = np.zeros((len(PURPOSES), 60))
    for purpose, number in people.items():
        table[PURPOSES.index(purpose.replace("_", "-"))] = number / 60.0
    return table


def draw(
    itineraries: Itineraries, seed: int = 1, *, wet=DRY, more: dict[str, Any] | None = None, **people: float
) -> Trips:
    return itineraries.draw(stream(seed, "test"), Arrivals(expected(**people), **(more or {})), wet)


def test_tables_speak_of_known_things():
    """Every purpose has a row in each table; places, ways in and kinds of waste are known; shares are shares."""
    assert set(PULL) == set(WAYS_IN) == set(MIX) == set(STOP_SHARES) == set(PURPOSES)
    assert set(itertools.chain(*PULL.values())) <= set(PLACE_KINDS)
    assert {len(row) for row in WAYS_IN.values()} == {len(ENTRY_KINDS)}
    assert set(itertools.chain(*MIX.values())) <= {kind.name for kind in KINDS}
    assert [sum(row) for row in STOP_SHARES.values()] == pytest.approx([1.0] * len(PURPOSES))


@pytest.mark.parametrize("purpose", PURPOSES)
def test_as_many_come_as_expected(itineraries, purpose):
    """The people drawn have the expected mean, also where they come in parties and buses (within 4 standard errors)."""
    name = purpose.replace("-", "_")
    drawn = [draw(itineraries, seed, **{name: 300.0}).people.sum() for seed in range(40)]
    # parties of mean m and variance m - 1: a sum over Poisson(300 / m) of them has the variance 300 (m + 1 - 1 / m)
    party = value(f"{name}_party")
    error = np.sqrt(300.0 * (party + 1.0 - 1.0 / party) / len(drawn))
    assert abs(np.mean(drawn) - 300.0) < 4.0 * error


@pytest.mark.parametrize("purpose", PURPOSES)
def test_people_drop_what_their_purpose_says(itineraries, purpose):
    """Items per person and their mix are those of the tables (within sampling error and the cap of 4 items)."""
    name = purpose.replace("-", "_")
    trips = draw(itineraries, **{name: 20_000.0})
    assert trips.drop_kind.size / trips.people.sum() == pytest.approx(value(f"{name}_items"), rel=0.12)
    shares = np.bincount(trips.drop_kind, minlength=len(KINDS)) / trips.drop_kind.size
    mix = np.array([MIX[purpose].get(kind.name, 0.0) for kind in KINDS])
    assert shares == pytest.approx(mix / mix.sum(), abs=0.02)


def test_order_and_bounds_of_what_is_drawn(itineraries, ground):
    """Times are in order, nobody stays too long, each drop has a spot of the ground and a mass."""
    trips = draw(itineraries, families=3000.0, pilgrims=3000.0, groups=2000.0, food=1000.0)
    assert (np.diff(trips.changes_s, axis=1) >= 0).all()
    assert (trips.changes_s[:, 0] >= 0).all()
    assert (trips.changes_s[:, 0] < 3600).all()
    assert (trips.changes_s[:, -1] - trips.changes_s[:, 0] <= STAY_MAX_H * 3600).all()
    assert (np.diff(trips.drop_s) >= 0).all()
    assert trips.drop_s[-1] <= trips.changes_s[:, -1].max()
    assert trips.drop_point.min() >= 0
    assert trips.drop_point.max() < len(ground.points_m)
    assert trips.drop_mass_mg.min() >= 1


def test_walking_takes_the_time_of_the_way(itineraries, ground):
    """Passers-by at 1.1 m/s: from the way in to a place and out again takes as long as paths of a square are."""
    trips = draw(itineraries, passers_by=3000.0)
    away_s = trips.changes_s[:, -1] - trips.changes_s[:, 0]
    # nearly nobody crosses a square of 300 m in less than half a minute, and some walk for minutes
    assert np.quantile(away_s, 0.05) > 30
    assert 200 < np.median(away_s) < 900


def test_who_goes_through_walks_at_a_walking_speed(tmp_path):
    """On one straight path without any stay, from one end to the other: its length at 1.1 m/s, come at any second."""
    ground = Ground.of(load_site(write_site(tmp_path / "small")))
    more = {"pilgrims_stay": 0.0}
    trips = Itineraries(Places.of(ground)).draw(stream(1, "test"), Arrivals(expected(pilgrims=6000.0), **more), DRY)
    through = trips.zones[:, 0] != trips.zones[:, -1]
    took_s = trips.changes_s[through, -1] - trips.changes_s[through, 0]
    length_m = ground.paths.lengths_mm.sum() / 1000
    assert through.sum() > 200
    assert np.median(took_s) == pytest.approx(length_m / 1.1, rel=0.05)
    assert np.bincount(trips.changes_s[:, 0] % 60, minlength=60).min() > 0


def test_bus_groups_start_at_the_terminal_and_stay_together(itineraries):
    """Announced buses bring their people at their moment, as one party each, through the terminal."""
    group = Group(at_s=1_795_500_000.0 // 3600 * 3600 + 600.0, buses=4)
    trips = draw(itineraries, more={"groups": (group,)})
    assert len(trips.people) == 4
    assert trips.people.sum() == pytest.approx(4 * 62, abs=60)
    assert (trips.changes_s[:, 0] == 600).all()
    zones = [zone.id for zone in shipped().zones]
    assert {zones[z] for z in trips.zones[:, 0]} == {"zona-terminal"}


def test_purposes_go_to_different_places(itineraries):
    """Pilgrims are found at the mosque and its forecourt, those who exercise in the park and on its paths."""
    zones = [zone.id for zone in shipped().zones]
    holy = [zones.index("zona-payung"), zones.index("zona-masjid-makam")]

    def share(**people: float) -> float:
        return float(np.isin(draw(itineraries, **people).zones[:, 1:-1], holy).mean())

    assert share(pilgrims=2000.0) > 0.5
    assert share(exercise=2000.0) < 0.1


def test_the_nearest_place_is_visited_first(itineraries):
    """Of the first two places, the first is mostly nearer to the way in, as the crow flies."""
    trips = draw(itineraries, families=6000.0)
    site = shipped()
    centres = np.array([np.mean([site.frame.to_m(*p) for p in z.rings[0][:-1]], axis=0) for z in site.zones])
    door, first, second = (centres[trips.zones[:, column]] for column in range(3))
    differ = trips.zones[:, 1] != trips.zones[:, 2]
    nearer = np.hypot(*(first - door).T) <= np.hypot(*(second - door).T)
    assert differ.sum() > 500
    assert nearer[differ].mean() > 0.7


def test_some_leave_by_another_way(itineraries):
    """Most go out where they came in; of the others, who choose anew, most find another one."""
    zones = draw(itineraries, families=6000.0).zones
    other = (zones[:, 0] != zones[:, -1]).mean()
    assert 0.5 * value("other_way_out") < other < value("other_way_out")


def test_most_is_dropped_where_people_stay(itineraries, ground):
    """What is dropped while walking lies along the paths, away from every place: less than a quarter of all."""
    trips = draw(itineraries, families=6000.0)
    places = Places.of(ground)
    at_places = np.isin(trips.drop_point, places.spots)
    assert 0.3 * value("dropped_walking") < 1.0 - at_places.mean() < value("dropped_walking")


def test_haul_meals_become_wrappers(itineraries):
    """Each pilgrim gets a wrapped meal with the given share, on top of what they drop anyway."""
    plain, fed = draw(itineraries, pilgrims=20_000.0), draw(itineraries, pilgrims=20_000.0, more={"meals": 0.83})
    wrap = KIND_INDEX["rice-wrap"]
    more = (fed.drop_kind == wrap).sum() - (plain.drop_kind == wrap).sum()
    assert more / fed.people.sum() == pytest.approx(0.83, abs=0.02)


def test_pilgrims_of_the_haul_stay_longer(itineraries):
    """Three times the stay for pilgrims; families are as quick as ever."""
    long = {"pilgrims_stay": 3.0}

    def away_s(trips: Trips) -> float:
        return float((trips.changes_s[:, -1] - trips.changes_s[:, 0]).mean())

    pilgrims = [away_s(draw(itineraries, pilgrims=4000.0, more=more)) for more in ({}, long)]
    assert 2.0 < pilgrims[1] / pilgrims[0] < 3.0  # the walks stay as long as they are
    families = [away_s(draw(itineraries, families=4000.0, more=more)) for more in ({}, long)]
    assert families[0] == families[1]


def test_rain_sends_people_home_early(itineraries):
    """Rain that begins half an hour in: those who came before leave sooner and drop less, those who come after stay."""
    wet = np.array([1800])
    dry, rainy = draw(itineraries, families=4000.0), draw(itineraries, families=4000.0, wet=wet)
    assert (dry.changes_s[:, 0] == rainy.changes_s[:, 0]).all()
    early, late = dry.changes_s[:, 0] < 1800, dry.changes_s[:, 0] >= 1800
    assert (rainy.changes_s[late] == dry.changes_s[late]).all()
    assert (rainy.changes_s[:, -1] <= dry.changes_s[:, -1]).all()
    shorter = rainy.changes_s[early, -1] < dry.changes_s[early, -1]
    assert 0.4 < shorter.mean() < value("rain_leaves_share")
    assert rainy.drop_kind.size < dry.drop_kind.size


def test_an_empty_hour_is_legal(itineraries):
    """Nobody comes: arrays of length zero, no error."""
    trips = draw(itineraries)
    assert (trips.people.size, trips.drop_s.size, trips.zones.shape) == (0, 0, (0, 6))

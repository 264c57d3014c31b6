"""The crowd: pure in seed and time, consistent, fast."""

import subprocess
import sys
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from simulators.chance import stream
from simulators.demand import Demand
from simulators.ground import Ground
from simulators.itineraries import Itineraries
from simulators.places import Places
from simulators.scenario_sections import PURPOSES, CrowdSpell, Quiet, Visits
from simulators.stalls import Stalls
from simulators.visitors import Crowd, Drops
from square.occasions import Occasions
from tests.unit.simulators.wide_site import copies, shipped

HOUR = int(datetime(2026, 11, 24, 17, tzinfo=ZoneInfo("Asia/Jakarta")).timestamp() // 3600)


@pytest.fixture(scope="module")
def ground() -> Ground:
    return Ground.of(shipped())


def crowd(ground: Ground, seed: int = 1, rain=lambda _at_s: 0.0, **visits) -> Crowd:
    return Crowd(ground, seed=seed, occasions=Occasions(), visits=Visits(**visits), rain_mmph=rain)


def as_lists(drops: Drops) -> list[list[int]]:
    return [column.tolist() for column in drops]


def test_the_order_of_questions_does_not_matter(ground):
    """A minute's drops are the same when asked first, last, twice, or after a jump of days."""
    forward, backward = crowd(ground), crowd(ground)
    minutes = [HOUR * 60 + m for m in range(0, 600, 37)]
    straight = [as_lists(forward.drops(m)) for m in minutes]
    backward.drops(minutes[0] + 5 * 1440)
    reverse = [as_lists(backward.drops(m)) for m in reversed(minutes)]
    assert straight == reverse[::-1]
    assert as_lists(forward.drops(minutes[3])) == straight[3]
    assert (forward.present(HOUR * 3600.0) == backward.present(HOUR * 3600.0)).all()


def test_another_seed_is_another_crowd(ground):
    """Seeds differ in what is dropped, not in what is expected."""
    a, b = crowd(ground, 1), crowd(ground, 2)
    assert as_lists(a.drops(HOUR * 60)) != as_lists(b.drops(HOUR * 60))
    assert (a.visitors_per_h(HOUR * 3600.0) == b.visitors_per_h(HOUR * 3600.0)).all()


def test_nothing_is_dropped_twice_or_lost_between_hours(ground):
    """All that an hour's visitors drop, over the hours until they are gone, is their trips' whole waste."""
    # only this hour has visitors
    alone = crowd(
        ground,
        quiet=(Quiet(0.0, HOUR * 3600.0), Quiet((HOUR + 1) * 3600.0, 4e9)),
        per_day_factor=20.0,
    )
    items = [len(alone.drops(minute).point) for minute in range((HOUR - 1) * 60, (HOUR + 8) * 60)]
    assert sum(items[:60]) == 0
    assert sum(items[-60:]) == 0
    assert alone.arrivals(HOUR) > 3000
    assert sum(items) == pytest.approx(1.9 * alone.arrivals(HOUR), rel=0.2)


def test_a_minute_has_what_its_visitors_do(ground):
    """Drops and people of two busy hours, until the last has gone: minute by minute those of the itineraries."""
    visits = Visits(20.0, quiet=(Quiet(0.0, HOUR * 3600.0), Quiet((HOUR + 2) * 3600.0, 4e9)))
    square = Crowd(ground, seed=1, occasions=Occasions(), visits=visits, rain_mmph=lambda _at_s: 0.0)
    demand = Demand(ground.site, Occasions(), visits, lambda _at_s: 0.0)
    dry, itineraries, stalls = np.empty(0, dtype=np.int64), Itineraries(Places.of(ground)), Stalls(Places.of(ground))
    hours = range(HOUR, HOUR + 2)
    trips = [itineraries.draw(stream(1, "visitors", hour), demand.hour(hour), dry) for hour in hours]
    litter = [stalls.draw(stream(1, "stalls", hour), demand.stall_items(hour)) for hour in hours]
    begins = [*(t.drop_s for t in trips), *(x.second for x in litter)]
    second = np.concatenate([seconds + 3600 * (i % 2) for i, seconds in enumerate(begins)])
    mass = np.concatenate([*(t.drop_mass_mg for t in trips), *(x.mass_mg for x in litter)])
    order = np.argsort(second, kind="stable")
    came_s = np.concatenate([t.changes_s[:, 0] + 3600 * i for i, t in enumerate(trips)])
    gone_s = np.concatenate([t.changes_s[:, -1] + 3600 * i for i, t in enumerate(trips)])
    people = np.concatenate([t.people for t in trips])
    assert gone_s.max() > 3 * 3600
    for minute in range(8 * 60):
        expected = mass[order[second[order] // 60 == minute]]
        assert square.drops(HOUR * 60 + minute).mass_mg.tolist() == expected.tolist()
        there = people[(came_s <= 60 * minute) & (gone_s > 60 * minute)].sum()
        assert square.present(HOUR * 3600.0 + 60.0 * minute).sum() == there


def test_who_comes_in_the_rain_does_not_mind_it(ground):
    """Of two showers that began before people came, the longer one chases away nobody more than the shorter one."""
    came_s = HOUR * 3600.0 + 1200.0

    def present(until_min: float) -> list[int]:
        wet = (HOUR * 3600.0 + 600.0, HOUR * 3600.0 + until_min * 60.0)
        square = crowd(
            ground,
            rain=lambda at_s: 4.0 if wet[0] <= at_s < wet[1] else 0.0,
            quiet=(Quiet(0.0, 4e9),),
            crowds=(CrowdSpell(came_s, came_s + 60.0, 5000, "families"),),
        )
        return [int(square.present(came_s + 60.0 * minute).sum()) for minute in range(90)]

    assert present(80.0) == present(30.0)
    assert max(present(30.0)) > 500


def test_people_present_are_those_who_came_and_did_not_leave(ground):
    """Nobody is anywhere before the first arrival; all are gone in the end; between, they are as many as came."""
    start_s = HOUR * 3600.0
    square = crowd(ground, quiet=(Quiet(0.0, 4e9),), crowds=(CrowdSpell(start_s, start_s + 60.0, 5000, "food"),))
    assert square.present(start_s - 60.0).sum() == 0
    came = square.arrivals(HOUR)
    assert came == pytest.approx(5000, rel=0.1)
    inside = [int(square.present(start_s + 60.0 * minute).sum()) for minute in range(8 * 60)]
    assert inside[1] == came  # all came in the first minute, and even passing through takes longer
    assert sorted(inside[1:], reverse=True) == inside[1:]
    assert inside[-1] == 0
    assert square.present(start_s + 600.0).shape == (len(shipped().zones),)


def test_expected_and_drawn_agree(ground):
    """Arrivals of 40 seeds have the expected mean of the hour (within 4 standard errors of buses and families)."""
    one = crowd(ground)
    expected = np.mean([one.visitors_per_h(HOUR * 3600.0 + 60.0 * m).sum() for m in range(60)])
    drawn = [crowd(ground, seed).arrivals(HOUR) for seed in range(40)]
    assert np.mean(drawn) == pytest.approx(expected, abs=4.0 * np.std(drawn) / np.sqrt(len(drawn)))
    assert one.visitors_per_h(HOUR * 3600.0).shape == (len(PURPOSES),)


def test_rain_thins_the_crowd(ground):
    """An hour of heavy rain: fewer arrive in it, fewer are there in its end than on a dry day."""
    rainy = crowd(ground, rain=lambda at_s: 15.0 if at_s // 3600 == HOUR else 0.0, per_day_factor=5.0)
    dry = crowd(ground, per_day_factor=5.0)
    assert rainy.arrivals(HOUR) < 0.4 * dry.arrivals(HOUR)
    end_s = HOUR * 3600.0 + 3540.0
    assert rainy.present(end_s).sum() < 0.5 * dry.present(end_s).sum()


def test_the_arithmetic_of_another_processor_gives_the_same_day(ground):
    """Without the vector units that numpy chooses by processor, every drop is the same."""
    program = (
        "import hashlib, numpy as np\n"
        "from simulators.ground import Ground\n"
        "from tests.unit.simulators.test_visitors import HOUR, crowd\n"
        "from tests.unit.simulators.wide_site import shipped\n"
        "one, digest = crowd(Ground.of(shipped())), hashlib.sha256()\n"
        "for minute in range(HOUR * 60, HOUR * 60 + 300):\n"
        "    [digest.update(np.ascontiguousarray(column).tobytes()) for column in one.drops(minute)]\n"
        "print(digest.hexdigest())"
    )
    from numpy._core._multiarray_umath import __cpu_dispatch__ as units

    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"NPY_DISABLE_CPU_FEATURES": disabled, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for disabled in ("", " ".join(units))
    }
    assert len(hashes) == 1


def test_a_town_is_drawn_in_time():
    """20 squares with 80,000 visitors a day: less than 2.5 s of processor time, a tenth of the town of 10,000 bins."""
    town = Ground.of(copies(20))
    began_s = time.process_time()
    square = crowd(town, per_day_factor=26.4)  # a quiet Tuesday has 3,032
    first = int(datetime.fromisoformat("2026-11-24T00:00+07:00").timestamp() // 3600)
    items = sum(len(square.drops(minute).point) for minute in range(first * 60, (first + 24) * 60))
    assert time.process_time() - began_s < 2.5
    assert sum(square.arrivals(first + hour) for hour in range(24)) == pytest.approx(80_000, rel=0.05)
    assert items > 100_000


@pytest.mark.parametrize(("day", "least", "limit_s"), [("2026-11-24", 2_500, 0.15), ("2027-08-12", 90_000, 1.5)])
def test_a_day_is_drawn_in_time(ground, day, least, limit_s):
    """An ordinary day takes less than 0.15 s of processor time, the haul with 90,000 people less than 1.5 s."""
    square = crowd(ground)
    first = int(datetime.fromisoformat(f"{day}T00:00+07:00").timestamp() // 3600)
    began_s = time.process_time()
    items = sum(len(square.drops(minute).point) for minute in range(first * 60, (first + 24) * 60))
    took_s = time.process_time() - began_s
    assert sum(square.arrivals(first + hour) for hour in range(24)) > least
    assert items > least
    assert took_s < limit_s

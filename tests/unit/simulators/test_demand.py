"""Expected visitors: totals, the calendar, the prayers, what a scenario and the rain change."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from simulators.demand import HOURS, PARAMETERS, PRAYERS, WEEKDAYS, Demand, value
from simulators.scenario_sections import PURPOSES, CrowdSpell, Group, Quiet, Visits
from square.occasions import Occasions
from square.prayer import prayer_times
from tests.unit.simulators.wide_site import shipped

WIB = ZoneInfo("Asia/Jakarta")
PILGRIMS, FAMILIES, EXERCISE = (PURPOSES.index(name) for name in ("pilgrims", "families", "exercise"))
TUESDAY = "2026-11-24"


def demand(visits: Visits | None = None, rain=lambda _at_s: 0.0, official=None) -> Demand:
    return Demand(shipped(), Occasions(official), visits or Visits(), rain)


def abroad(zone: str, **where: float) -> Demand:
    """Return the demand of the shipped square in another time zone, and maybe at another longitude or latitude."""
    site = shipped()
    frame = replace(site.frame, **where)
    moved = replace(site, frame=frame, shift_plan=replace(site.shift_plan, zone=ZoneInfo(zone)))
    return Demand(moved, Occasions(), Visits(), lambda _at_s: 0.0)


def hour_of(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=WIB).timestamp() // 3600)


def day(text: str, source: Demand | None = None) -> np.ndarray:
    """People of each purpose in each local minute of a day (n_purposes, 1440)."""
    source = source or demand()
    first = hour_of(f"{text}T00:00")
    return np.concatenate([source.per_minute(first + h) for h in range(24)], axis=1)


def hours(text: str, begin: str, end: str, purpose: int | None = None, source: Demand | None = None) -> float:
    """People between two times of a day."""
    a, b = (int(t[:2]) * 60 + int(t[3:]) for t in (begin, end))
    table = day(text, source)
    return float((table if purpose is None else table[[purpose]])[:, a:b].sum())


def test_an_ordinary_week_has_the_published_number_of_visitors():
    """Seven days without what the calendar adds (malam Jumat, Friday prayer) come to 7 times the city figure."""
    week = [date(2026, 11, 23) + timedelta(days=i) for i in range(8)]
    total = sum(day(str(d)).sum() for d in week[:7])
    extra = PARAMETERS["malam_jumat_people"].value + PARAMETERS["friday_prayer_people"].value
    assert total - extra == pytest.approx(7 * value("visitors_per_day"), rel=1e-3)


def test_shares_of_purposes_add_up_and_tables_are_complete():
    """All of a day's visitors have a purpose, and each table has a row for each of them."""
    assert sum(p.value for name, p in PARAMETERS.items() if name.endswith("_share")) == pytest.approx(1.0)
    assert set(HOURS) == set(WEEKDAYS) == set(PURPOSES)
    assert {len(row) for row in HOURS.values()} == {24}
    assert {len(row) for row in WEEKDAYS.values()} == {7}


@pytest.mark.parametrize("prayer", range(5))
@pytest.mark.parametrize("when", ["2026-11-24", "2027-07-06"])
def test_pilgrims_come_to_the_prayers_of_that_day(prayer, when):
    """More pilgrims come just before each prayer, at that day's own time, than half an hour earlier."""
    times = prayer_times(date.fromisoformat(when), -7.6414, 112.9067, WIB)
    at = times.five[prayer]
    pilgrims = day(when)[PILGRIMS]
    assert pilgrims[at - 18 : at + 2].mean() > 1.2 * pilgrims[at - 52 : at - 40].mean()
    assert len(PRAYERS) == 5


@pytest.mark.parametrize(
    ("busy", "quiet", "between", "purpose", "factor"),
    [
        ("2026-11-26", "2026-11-25", ("18:00", "23:00"), PILGRIMS, 3.0),  # malam Jumat against Wednesday evening
        ("2026-11-19", "2026-11-26", ("18:00", "23:00"), PILGRIMS, 3.0),  # Jumat Legi against an ordinary malam Jumat
        ("2026-11-27", "2026-11-25", ("10:45", "11:30"), PILGRIMS, 4.0),  # Friday prayer
        ("2026-11-29", "2026-11-28", ("05:00", "08:00"), EXERCISE, 2.0),  # Sunday morning against Saturday
        ("2026-11-28", "2026-11-24", ("16:00", "20:00"), FAMILIES, 2.0),  # weekend evening
        ("2027-08-12", "2026-11-26", ("05:00", "10:00"), PILGRIMS, 100.0),  # the haul
        ("2027-08-11", "2026-11-25", ("16:00", "22:00"), PILGRIMS, 15.0),  # the day before it
        ("2027-03-01", "2026-11-23", ("16:00", "17:30"), PURPOSES.index("takjil"), 1e9),  # Ramadan
        ("2027-03-01", "2026-11-23", ("18:20", "19:10"), PILGRIMS, 1.5),  # tarawih
        ("2027-03-09", "2026-11-24", ("19:00", "23:00"), FAMILIES, 10.0),  # takbiran
        ("2027-03-10", "2026-11-25", ("00:00", "01:30"), FAMILIES, 10.0),  # takbiran after midnight
        ("2027-03-10", "2026-11-25", ("05:30", "07:00"), PILGRIMS, 20.0),  # prayer of Idul Fitri
        ("2027-05-17", "2026-11-23", ("05:30", "07:00"), PILGRIMS, 20.0),  # Idul Adha
        ("2027-08-14", "2026-11-28", ("18:30", "23:00"), PILGRIMS, 3.0),  # night of the Maulid, the evening before it
        ("2027-06-05", "2026-11-28", ("18:30", "23:00"), PILGRIMS, 3.0),  # night of 1 Muharram
        ("2026-11-20", "2026-11-19", ("00:00", "01:00"), PILGRIMS, 10.0),  # the night of Jumat Legi after midnight
    ],
)
def test_busy_times_are_busier(busy, quiet, between, purpose, factor):
    """Each occasion of the calendar raises the arrivals that it concerns, at its time."""
    assert hours(busy, *between, purpose) > factor * hours(quiet, *between, purpose)


def test_vendors_draw_people_from_the_minute_they_sell():
    """Food has a step where the vendors' hours begin and end, and the day's total stays."""
    food = day(TUESDAY)[PURPOSES.index("food")]
    for begin, step in ((15 * 60, 1.0 + value("vendors_extra")), (23 * 60, 1.0 / (1.0 + value("vendors_extra")))):
        assert food[begin] / food[begin - 1] == pytest.approx(step, rel=0.02)
    week = WEEKDAYS["food"]
    assert food.sum() == pytest.approx(value("visitors_per_day") * value("food_share") * week[1] * 7 / sum(week))


def test_ramadan_is_quiet_by_day():
    """A Monday in Ramadan against one outside: fewer families before the afternoon, as many passers-by."""
    assert hours("2027-03-01", "08:00", "15:00", FAMILIES) < 0.5 * hours("2026-11-23", "08:00", "15:00", FAMILIES)
    passers_by = PURPOSES.index("passers-by")
    assert day("2027-03-01")[passers_by].sum() == pytest.approx(day("2026-11-23")[passers_by].sum())


def test_overlapping_occasions_add():
    """Jumat Legi inside Ramadan (2027-03-04) has the crowd of the one and the takjil of the other."""
    plain = hours("2026-11-19", "19:30", "23:00", PILGRIMS)
    assert hours("2027-03-04", "19:30", "23:00", PILGRIMS) > 0.95 * plain
    assert hours("2027-03-04", "15:30", "18:00", PURPOSES.index("takjil")) == pytest.approx(
        value("takjil_people"), rel=0.02
    )


def test_an_official_date_moves_the_crowd():
    """A haul announced for another day is crowded then, and the computed day is ordinary."""
    moved = demand(official={date(2027, 8, 14): ["haul"]})
    assert day("2027-08-14", moved).sum() > value("haul_people")
    assert day("2027-08-12", moved).sum() < 10_000
    haul, ordinary = (moved.hour(hour_of(f"2027-08-{d}T07:00")) for d in (14, 12))
    assert (haul.meals, haul.pilgrims_stay) == (value("haul_meals"), value("haul_stay"))
    assert (ordinary.meals, ordinary.pilgrims_stay) == (0.0, 1.0)


def test_a_scenario_adds_scales_and_thins_out():
    """A crowd brings just its people, a factor scales ordinary days, a quiet time leaves its share."""
    noon_s = hour_of(f"{TUESDAY}T12:00") * 3600.0
    ordinary = day(TUESDAY)
    crowd = Visits(crowds=(CrowdSpell(noon_s + 90.0, noon_s + 7290.0, 500, "exercise"),))
    added = day(TUESDAY, demand(crowd)) - ordinary
    assert added.sum() == pytest.approx(500)
    assert added[EXERCISE, 12 * 60 : 14 * 60 + 2].sum() == pytest.approx(500)
    assert day(TUESDAY, demand(Visits(per_day_factor=2.5))) == pytest.approx(2.5 * ordinary)
    quiet = day(TUESDAY, demand(Visits(quiet=(Quiet(noon_s, noon_s + 3600.0, 0.25),))))
    assert quiet[:, 12 * 60 : 13 * 60] == pytest.approx(0.25 * ordinary[:, 12 * 60 : 13 * 60])
    assert quiet.sum() + 0.75 * ordinary[:, 12 * 60 : 13 * 60].sum() == pytest.approx(ordinary.sum())


def test_announced_groups_stand_in_their_hour():
    """A group is found in the hour of its arrival and in no other."""
    noon = hour_of(f"{TUESDAY}T12:00")
    group = Group(noon * 3600.0 + 3599.0, 4)
    source = demand(Visits(groups=(group,)))
    assert [len(source.hour(noon + h).groups) for h in (-1, 0, 1)] == [0, 1, 0]


def test_rain_keeps_people_away_but_not_all():
    """In heavy rain a small share comes; in drizzle most come; the dry hours are as ever."""
    noon = hour_of(f"{TUESDAY}T12:00")

    def at(mmph: float) -> float:
        source = demand(rain=lambda at_s: mmph if at_s // 3600 == noon else 0.0)
        assert source.per_minute(noon + 1).sum() == demand().per_minute(noon + 1).sum()
        return float(source.per_minute(noon).sum() / demand().per_minute(noon).sum())

    assert at(50.0) == pytest.approx(value("rain_undeterred"), abs=1e-6)
    assert 0.8 < at(0.3) < 1.0
    assert at(0.0) == 1.0


def test_the_square_of_a_zone_with_half_hours():
    """In Kolkata the hour of the clock is not that of UTC: every local minute of a day appears once."""
    source = abroad("Asia/Kolkata")
    first = int(datetime(2026, 11, 23, 18, 30, tzinfo=ZoneInfo("UTC")).timestamp() // 3600)  # half past midnight there
    tables = np.concatenate([source.per_minute(first + h) for h in range(25)], axis=1)[:, 30 : 30 + 1440]
    assert tables.sum() == pytest.approx(day(TUESDAY).sum(), rel=1e-3)


@pytest.mark.parametrize(
    ("zone", "where"),
    [
        ("Asia/Shanghai", {"origin_lon": 75.9, "origin_lat": 39.5}),  # isya after midnight by the clock
        ("Pacific/Apia", {"origin_lon": -171.8, "origin_lat": -13.8}),
        ("Asia/Jakarta", {}),
    ],
)
def test_who_prays_at_night_comes_through_midnight(zone, where):
    """A prayer near midnight has its bell on both sides of it, and the arrivals of the day stay."""
    source = abroad(zone, **where)
    first = int(datetime(2026, 6, 21, tzinfo=ZoneInfo(zone)).timestamp() // 3600)
    table = np.concatenate([source.per_minute(first + h) for h in range(24)], axis=1)
    assert table.sum() == pytest.approx(day("2026-06-21").sum(), rel=1e-6)
    pilgrims = table[PILGRIMS]
    assert pilgrims[-1] == pytest.approx(pilgrims[0], rel=0.1)


@pytest.mark.parametrize("when", ["2027-03-28", "2027-10-31"])
def test_a_day_on_which_the_clock_is_set(when):
    """In Berlin a day has 23 or 25 hours: what the clock leaves out nobody visits, what it repeats is visited twice."""
    source = abroad("Europe/Berlin", origin_lon=13.4, origin_lat=52.5)
    zone = ZoneInfo("Europe/Berlin")
    midnights = [
        datetime.combine(date.fromisoformat(when) + timedelta(days=d), datetime.min.time(), zone) for d in (0, 1)
    ]
    first, last = (int(at.timestamp() // 3600) for at in midnights)
    hours_of_day = [source.per_minute(hour).sum() for hour in range(first, last)]
    plain = [source.per_minute(hour).sum() for hour in range(first + 7 * 24 + 1, first + 8 * 24 + 1)]
    assert len(hours_of_day) == (23 if "03" in when[5:7] else 25)
    assert sum(hours_of_day) == pytest.approx(sum(plain), rel=0.03)

"""Prayer times against the examples of the domain notes, and what must hold anywhere."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from square.calendar import clock_text
from square.prayer import PrayerTimes, prayer_times

WIB = ZoneInfo("Asia/Jakarta")
FIELDS = ("subuh", "terbit", "zuhur", "asar", "magrib", "isya")


def at_the_square(text: str) -> PrayerTimes:
    return prayer_times(date.fromisoformat(text), -7.6419, 112.9067, WIB)


def shown(times: PrayerTimes) -> list[str]:
    return [clock_text(getattr(times, name)) for name in FIELDS]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-11-24", "03:37 04:57 11:16 14:40 17:32 18:47"),
        ("2027-03-10", "04:17 05:31 11:40 14:48 17:46 18:55"),
    ],
)
def test_examples_of_the_square(day, expected):
    """The two days that the notes compute, to the minute."""
    assert shown(at_the_square(day)) == expected.split()


def test_range_over_a_year():
    """Earliest and latest of each time in 2027, as the notes give them."""
    year = [shown(at_the_square(str(date.fromordinal(date(2027, 1, 1).toordinal() + i)))) for i in range(365)]
    ranges = " | ".join(f"{min(column)}-{max(column)}" for column in zip(*year, strict=True))
    assert ranges == "03:37-04:22 | 04:57-05:40 | 11:13-11:44 | 14:18-15:04 | 17:19-17:56 | 18:32-19:10"


@given(st.dates(date(2020, 1, 1), date(2049, 12, 31)), st.floats(-45, 45), st.floats(-180, 179))
def test_order_holds_wherever_the_sun_sets(day, lat_deg, lon_deg):
    """Subuh, terbit, zuhur, asar, magrib, isya in this order, at any longitude in its own zone."""
    hours = round(lon_deg / 15)
    # Etc/GMT counts the other way round
    times = prayer_times(day, lat_deg, lon_deg, ZoneInfo(f"Etc/GMT{-hours:+d}"))
    values = [getattr(times, name) for name in FIELDS]
    assert values == sorted(values)
    assert abs(times.zuhur - 720) < 60  # half an hour of zone, a quarter of equation of time, caution
    assert times.five == tuple(v for name, v in zip(FIELDS, values, strict=True) if name != "terbit")


@pytest.mark.parametrize(
    ("zone", "lat_deg", "lon_deg"),
    [("Pacific/Apia", -13.83, -171.77), ("Pacific/Tongatapu", -21.14, -175.2), ("Pacific/Kiritimati", 1.87, -157.4)],
)
def test_places_across_the_date_line_have_their_day(zone, lat_deg, lon_deg):
    """Clocks a day ahead of the longitude: noon is at noon, and the times are those of the western neighbour's sun."""
    times = prayer_times(date(2026, 6, 21), lat_deg, lon_deg, ZoneInfo(zone))
    assert abs(times.zuhur - 720) < 60
    turned = prayer_times(date(2026, 6, 21), lat_deg, lon_deg + 360.0, ZoneInfo(zone))
    assert times == turned


def test_a_summer_night_without_darkness_still_has_times():
    """At 60 degrees north in June the sun never goes 18 degrees down: subuh and isya fall on its lowest point."""
    times = prayer_times(date(2027, 6, 21), 60.0, 25.0, ZoneInfo("Europe/Helsinki"))
    assert times.isya - times.zuhur == pytest.approx(720, abs=3)
    assert times.zuhur - times.subuh == pytest.approx(720, abs=3)
    assert times.terbit < times.zuhur < times.asar < times.magrib

"""Shifts, service hours and the Javanese week."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from square.calendar import (
    PASARAN,
    ServiceHours,
    Shift,
    ShiftPlan,
    Window,
    clock_text,
    instant_s,
    is_jumat_legi,
    local_time,
    next_jumat_legi,
    overlap,
    parse_clock,
    pasaran,
    pasaran_index,
    uncovered,
)

WIB = ZoneInfo("Asia/Jakarta")
BERLIN = ZoneInfo("Europe/Berlin")
PLAN = ShiftPlan(
    (
        Shift("pagi", "Pagi", "Morning", Window.parse("04:30-11:30")),
        Shift("siang", "Siang", "Afternoon", Window.parse("11:30-18:00")),
        Shift("malam", "Malam", "Evening", Window.parse("18:00-24:00")),
    ),
    WIB,
)
JUMAT_LEGI = """
2023-01-20 2026-11-20 2026-12-25 2027-01-29 2027-03-05 2027-04-09 2027-05-14 2027-06-18 2027-07-23 2027-08-27
2027-10-01 2027-11-05 2027-12-10 2028-01-14 2028-02-18 2028-03-24 2028-04-28 2028-06-02 2028-07-07 2028-08-11
2028-09-15 2028-10-20 2028-11-24 2028-12-29
""".split()  # noqa: SIM905 - dates read better as a block

instants = st.floats(0, 4e9)
clocks = st.integers(0, 1439)
windows = st.builds(
    lambda start, length, day: Window(start, (start + length - 1) % 1440 + 1, day),
    clocks,
    st.integers(1, 1439),
    st.none() | st.integers(0, 6),
)


def wib(text):
    return datetime.fromisoformat(text).replace(tzinfo=WIB).timestamp()


@pytest.mark.parametrize("text", ["24:01", "4:30", "12:60", "noon", "-1:00", "", "24:00:00"])
def test_parse_clock_refuses(text):
    """Times that no clock shows are refused."""
    with pytest.raises(ValueError, match="not a time"):
        parse_clock(text)


@given(st.integers(0, 1440))
def test_parse_clock_inverts_clock_text(minute):
    """Minute to text and back is the identity, midnight at the end of the day included."""
    assert parse_clock(clock_text(minute)) == minute


@given(windows)
def test_window_text_round_trip(window):
    """A window written as text reads back as itself."""
    assert Window.parse(str(window)) == window


@pytest.mark.parametrize(
    "text", ["05:00", "05:00 - 06:00", "24:00-05:00", "07:00-07:00", "fry 05:00-06:00", "25:00-26:00"]
)
def test_window_parse_refuses(text):
    """Broken, impossible and empty windows are refused."""
    with pytest.raises(ValueError, match='"'):
        Window.parse(text)


@given(windows, instants)
def test_window_across_midnight_is_the_complement(window, now_s):
    """A daily window and the window from its end to its start never hold at once and leave no gap."""
    daily = Window(window.start_min, window.end_min)
    other = Window(daily.end_min % 1440, daily.start_min or 1440)
    local = local_time(now_s, WIB)
    assert daily.contains(local) != other.contains(local)


def test_window_on_a_weekday_runs_into_the_next_day():
    """The window thu 22:00-04:00 holds Friday 03:59 and not Thursday 03:59 or Friday 22:00."""
    window = Window.parse("thu 22:00-04:00")
    assert window.contains(datetime(2026, 11, 20, 3, 59, tzinfo=WIB))  # a Friday
    assert not window.contains(datetime(2026, 11, 20, 4, 0, tzinfo=WIB))
    assert not window.contains(datetime(2026, 11, 19, 3, 59, tzinfo=WIB))
    assert not window.contains(datetime(2026, 11, 20, 22, 0, tzinfo=WIB))


def test_service_hours_friday_prayer():
    """Closed on Friday 11:00-13:00: open Thursday noon, shut Friday noon, open again at 13:00."""
    hours = ServiceHours(closed=(Window.parse("fri 11:00-13:00"),))
    assert hours.is_allowed(wib("2026-11-19T12:00"), WIB)
    assert not hours.is_allowed(wib("2026-11-20T12:00"), WIB)
    assert hours.next_allowed(wib("2026-11-20T12:00"), WIB) == wib("2026-11-20T13:00")


def test_service_hours_next_day():
    """After the last window of the day the next chance is the first one of the next day."""
    hours = ServiceHours((Window.parse("05:00-07:00"), Window.parse("14:00-14:30")))
    assert hours.next_allowed(wib("2026-11-20T14:30"), WIB) == wib("2026-11-21T05:00")
    assert hours.next_allowed(wib("2026-11-20T04:59:59"), WIB) == wib("2026-11-20T05:00")


def test_service_hours_once_a_week():
    """A weekly window is found up to seven days ahead."""
    hours = ServiceHours((Window.parse("sun 05:00-06:00"),))
    assert hours.next_allowed(wib("2026-11-22T06:00"), WIB) == wib("2026-11-29T05:00")


def test_service_hours_never():
    """Hours that are always closed give None instead of searching on."""
    assert ServiceHours(closed=(Window.parse("00:00-24:00"),)).next_allowed(wib("2026-11-20T12:00"), WIB) is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(windows, min_size=1, max_size=2), st.lists(windows, max_size=2), st.lists(windows, min_size=1, max_size=2)
)
def test_meets_agrees_with_every_minute_of_a_week(allowed, closed, shift_windows):
    """The few instants that are looked at decide as all 10,080 minutes of the week do."""
    hours = ServiceHours(tuple(allowed), tuple(closed))
    shifts = [Shift("s", "S", "S", Window(w.start_min, w.end_min)) for w in shift_windows]
    monday = datetime(2024, 1, 1)  # noqa: DTZ001 - a wall clock
    week = (monday + timedelta(minutes=m) for m in range(7 * 1440))
    assert hours.meets(shifts) == any(hours.is_open(at) and any(s.window.contains(at) for s in shifts) for at in week)


@given(
    st.lists(windows, min_size=1, max_size=3), st.lists(windows, max_size=3), instants, st.sampled_from([WIB, BERLIN])
)
def test_next_allowed_is_the_earliest(allowed, closed, now_s, zone):
    """The answer is allowed and not in the past, and nothing before it is allowed (probed each 15 minutes)."""
    hours = ServiceHours(tuple(allowed), tuple(closed))
    found = hours.next_allowed(now_s, zone)
    end_s = now_s + 7 * 86400 if found is None else found
    if found is not None:
        assert found >= now_s
        assert hours.is_allowed(found, zone)
    probe_s = now_s
    while probe_s < end_s:
        assert not hours.is_allowed(probe_s, zone)
        probe_s += 900


def test_on_shift_at_the_borders():
    """A shift holds from its start to just before its end; from 00:00 to 04:30 nobody is on duty."""
    names = {
        "2026-11-24T04:29:59": [],
        "2026-11-24T04:30": ["pagi"],
        "2026-11-24T11:29:59": ["pagi"],
        "2026-11-24T11:30": ["siang"],
        "2026-11-24T23:59:59": ["malam"],
        "2026-11-25T00:00": [],
    }
    assert {at: [s.id for s in PLAN.on_shift(wib(at))] for at in names} == names


def test_on_shift_uses_the_zone_of_the_square():
    """22:00 UTC is 05:00 WIB of the next day: the morning shift."""
    assert [s.id for s in PLAN.on_shift(datetime(2026, 11, 23, 22, tzinfo=UTC).timestamp())] == ["pagi"]


def test_next_start():
    """At night the morning shift is next; at its very start the one after it is."""
    shift, at_s = PLAN.next_start(wib("2026-11-24T23:50"))
    assert (shift.id, at_s) == ("pagi", wib("2026-11-25T04:30"))
    shift, at_s = PLAN.next_start(wib("2026-11-25T04:30"))
    assert (shift.id, at_s) == ("siang", wib("2026-11-25T11:30"))
    assert ShiftPlan((), WIB).next_start(0) is None


def test_end_s_of_a_shift_across_midnight():
    """A shift 22:00-06:00 ends the next morning before midnight, the same morning after it."""
    night = Shift("malam", "Malam", "Night", Window.parse("22:00-06:00"))
    plan = ShiftPlan((night,), WIB)
    assert plan.end_s(night, wib("2026-11-24T23:00")) == wib("2026-11-25T06:00")
    assert plan.end_s(night, wib("2026-11-25T05:00")) == wib("2026-11-25T06:00")
    assert plan.end_s(night, wib("2026-11-25T07:00")) is None


def test_is_handover_in_the_last_minutes():
    """The handover is the last 15 minutes of a shift, and never when nobody is on duty."""
    assert not PLAN.is_handover(wib("2026-11-24T11:14:59"))
    assert PLAN.is_handover(wib("2026-11-24T11:15"))
    assert not PLAN.is_handover(wib("2026-11-24T11:30"))
    assert PLAN.is_handover(wib("2026-11-24T23:50"))
    assert not PLAN.is_handover(wib("2026-11-25T01:00"))


@given(instants)
def test_shift_end_and_next_start_enclose_now(now_s):
    """Whoever is on duty ends after now, and the next start is strictly after now within a day."""
    for shift in PLAN.on_shift(now_s):
        assert now_s < PLAN.end_s(shift, now_s) <= now_s + 86400
    _, start_s = PLAN.next_start(now_s)
    assert now_s < start_s <= now_s + 86400


def test_uncovered_is_the_rest_of_the_night():
    """The three shifts leave exactly 00:00-04:30."""
    assert [str(w) for w in uncovered([s.window for s in PLAN.shifts])] == ["00:00-04:30"]


@given(windows, windows)
def test_overlap_is_symmetric_and_bounded(a, b):
    """Shared minutes do not depend on the order and never exceed the shorter window."""
    assert overlap(a, b) == overlap(b, a) <= min(a.length_min, b.length_min)


def test_instant_s_end_of_day():
    """Minute 1440 is midnight of the next day."""
    assert instant_s(date(2026, 11, 24), 1440, WIB) == wib("2026-11-25T00:00")


@pytest.mark.parametrize("text", JUMAT_LEGI)
def test_is_jumat_legi_on_listed_fridays(text):
    """Every listed date is a Friday, Legi and Jumat Legi."""
    day = date.fromisoformat(text)
    assert day.isoweekday() == 5
    assert pasaran(day) == "Legi"
    assert is_jumat_legi(day)


def test_jumat_legi_808_cycles_after_independence():
    """2023-01-20 is 28,280 = 808 x 35 days after 1945-08-17."""
    assert date(2023, 1, 20) - date(1945, 8, 17) == timedelta(days=808 * 35)


@given(st.dates())
def test_jumat_legi_is_friday_and_legi(day):
    """Jumat Legi is exactly the coincidence of Friday and Legi, for all dates, those before 1945 included."""
    assert is_jumat_legi(day) == (day.isoweekday() == 5 and pasaran(day) == "Legi")


@given(st.dates(max_value=date(9990, 1, 1)))
def test_next_jumat_legi_within_35_days(day):
    """The next one is not before the day and less than 35 days ahead."""
    found = next_jumat_legi(day)
    assert is_jumat_legi(found)
    assert timedelta(0) <= found - day < timedelta(days=35)


def test_pasaran_order():
    """The five days follow one another from Legi on 1945-08-17."""
    days = [date(1945, 8, 17) + timedelta(days=i) for i in range(5)]
    assert [pasaran(d) for d in days] == list(PASARAN)
    assert [pasaran_index(d) for d in days] == [0, 1, 2, 3, 4]

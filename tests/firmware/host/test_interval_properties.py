"""Bounds and orders of the interval."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from firmware.core import interval

seconds = st.integers(10, 86400)
minutes = st.integers(0, 1439)
configs = st.builds(
    SimpleNamespace,
    interval_s=seconds,
    fast_interval_s=seconds,
    night_interval_s=seconds,
    night_from_min=minutes,
    night_to_min=minutes,
    low_mv=st.integers(3400, 3700),
    critical_mv=st.integers(3000, 3400),
    send_every=st.integers(1, 48),
    fast_rise_pct_h=st.integers(1, 100),
    near_full_mm=st.integers(0, 2000),
)
readings = st.lists(
    st.tuples(st.integers(0, 100000), st.none() | st.integers(250, 4500), st.none() | st.integers(250, 4500)),
    max_size=12,
)


def history_of(some: list[tuple[int, int | None, int | None]]) -> tuple[int, ...]:
    history: tuple[int, ...] = ()
    for now_s, distance_mm, suspect_mm in sorted(some, key=lambda item: item[0]):
        reading = {} if distance_mm is None else {"distance_mm": distance_mm}
        history = interval.remember(history, now_s, reading, suspect_mm)
    return history


@given(readings)
def test_history_is_small_and_in_order(some: list[tuple[int, int | None, int | None]]) -> None:
    """At most ten u32, times rising: it fits into the memory that survives sleep."""
    history = history_of(some)
    assert len(history) <= 10
    assert len(history) % 2 == 0
    assert all(0 <= value < 2**32 for value in history)
    times = history[2::2]
    assert list(times) == sorted(times)


@given(configs, minutes | st.none(), st.none() | st.integers(2500, 4300), readings)
def test_interval_is_bounded(config, now_min, battery_mv, some) -> None:
    """Never faster than the fast interval, never slower than a day or what is configured."""
    chosen_s = interval.next_interval_s(config, now_min, battery_mv, history_of(some))
    assert min(config.fast_interval_s, config.interval_s) <= chosen_s <= 86400


@given(configs, minutes | st.none(), readings)
def test_a_weaker_cell_never_hurries(config, now_min, some) -> None:
    """As the voltage falls the interval never shrinks, whatever else is so."""
    history = history_of(some)
    waits = [interval.next_interval_s(config, now_min, mv, history) for mv in range(4300, 2900, -50)]
    assert waits == sorted(waits)


@given(configs, st.integers(3701, 4300), readings)
def test_a_quiet_night_is_never_faster_than_the_day(config, battery_mv, some) -> None:
    """Without hurry the night waits at least as long as the day."""
    history = history_of(some)
    by_day = interval.next_interval_s(config, None, battery_mv, history)
    for minute in (0, 300, 720, 1439):
        by_clock = interval.next_interval_s(config, minute, battery_mv, history)
        night = interval.is_night(minute, config.night_from_min, config.night_to_min)
        assert by_clock >= by_day if night else by_clock == by_day


@given(minutes, minutes)
def test_night_has_its_length(start: int, end: int) -> None:
    """The minutes of the night are as many as lie between its edges."""
    assert sum(interval.is_night(minute, start, end) for minute in range(1440)) == (end - start) % 1440


@given(configs, st.integers(1, 100), readings, st.sampled_from(["ok", "tilted"]))
def test_no_reading_waits_longer_than_configured(config, since_sent, some, last) -> None:
    """From the send_every-th reading on it is always due, and a change always is."""
    due = interval.due_to_send(config, since_sent, {"state": "ok"}, last, history_of(some))
    if since_sent >= config.send_every or last != "ok":
        assert due


PLAIN = SimpleNamespace(
    interval_s=600, fast_interval_s=120, night_interval_s=1800, night_from_min=1380, night_to_min=270, low_mv=3500,
    critical_mv=3300, send_every=1, fast_rise_pct_h=20, near_full_mm=350,
)  # fmt: skip


def fill(rise_mm_h: int, noise: list[int], start_min: int) -> tuple[int, int]:
    """Let a bin fill from 980 mm; return how late [s] nearly full was read, and how many readings that took."""
    history: tuple[int, ...] = ()
    now_s = count = 0
    full_s = (980 - 350) * 3600 // rise_mm_h
    while True:
        distance_mm = 980 - rise_mm_h * now_s // 3600 + noise[count % len(noise)]
        history = interval.remember(history, now_s, {"distance_mm": max(250, distance_mm)})
        count += 1
        if now_s >= full_s:
            return now_s - full_s, count
        now_s += interval.next_interval_s(PLAIN, (start_min + now_s // 60) % 1440, 3900, history)


@given(st.integers(400, 3000), st.lists(st.integers(-10, 10), min_size=1, max_size=20), st.booleans())
def test_a_bin_that_fills_fast_is_seen_in_time(rise_mm_h, noise, by_night) -> None:
    """From 400 mm an hour on, with 10 mm of noise, nearly full is read within two minutes once the rise was noticed.

    Noticing takes one interval: ten minutes by day, half an hour by night.
    """
    late_s, _ = fill(rise_mm_h, noise, 0 if by_night else 720)
    first_s = 1800 if by_night else 600
    full_s = (980 - 350) * 3600 // rise_mm_h
    assert late_s <= (120 if full_s > first_s else first_s)


@given(st.integers(5, 100), minutes)
def test_a_bin_that_fills_slowly_costs_no_hurry(rise_mm_h, start_min) -> None:
    """Below a tenth of a metre an hour the node keeps its intervals: at most one reading in ten minutes."""
    late_s, count = fill(rise_mm_h, [0], start_min)
    full_s = (980 - 350) * 3600 // rise_mm_h
    assert late_s <= 1800
    assert count <= full_s // 600 + 2

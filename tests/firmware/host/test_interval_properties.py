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

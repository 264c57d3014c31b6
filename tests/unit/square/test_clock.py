"""Square time: shared between processes, never seen half-written."""

import multiprocessing
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from square.clock import ClockDriver, FixedClock, SharedClock, WallClock, now_ms, open_clock, utc
from square.errors import SettingsError


def test_shared_clock_runs_at_the_speed_it_was_given(tmp_path):
    """At x3600 half a wall second is half an hour of square time."""
    driver = ClockDriver(tmp_path / "clock.bin")
    driver.set(1_000_000.0, 3600.0)
    clock = SharedClock(tmp_path / "clock.bin")
    started = clock.now_s()
    time.sleep(0.5)
    assert 1700 <= clock.now_s() - started <= 4000
    assert clock.speed() == 3600.0


def test_a_step_of_the_wall_clock_moves_nothing(tmp_path, monkeypatch):
    """A correction of the machine's time must not move a square that runs at x3600."""
    driver = ClockDriver(tmp_path / "clock.bin")
    driver.set(1_000_000.0, 3600.0)
    clock = SharedClock(tmp_path / "clock.bin")
    real_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + 3_600_000_000_000)
    monkeypatch.setattr(time, "time", lambda: real_ns() / 1e9 + 3600)
    assert clock.now_s() < 1_000_000.0 + 3600 * 10
    assert abs(driver.now_s() - clock.now_s()) < 3600


def test_paused_clock_stands(tmp_path):
    """At speed 0 the time is exactly what was set."""
    driver = ClockDriver(tmp_path / "clock.bin")
    driver.set(1_564_643_460.0, 0.0)
    clock = open_clock(tmp_path / "clock.bin")
    time.sleep(0.02)
    assert clock.now_s() == 1_564_643_460.0
    assert now_ms(clock) == 1_564_643_460_000


def test_new_driver_knows_where_the_last_one_stopped(tmp_path):
    """A restart can go on from the last square time that was set."""
    driver = ClockDriver(tmp_path / "clock.bin")
    assert driver.resumed_s is None
    driver.set(123_456.0, 30.0)
    driver.close()
    assert ClockDriver(tmp_path / "clock.bin").resumed_s == 123_456.0


def test_missing_and_unset_clock_files_are_explained(tmp_path):
    """A clock that nobody drives is an error that says what to do."""
    with pytest.raises(SettingsError, match=r"resik up"):
        SharedClock(tmp_path / "none.bin")
    ClockDriver(tmp_path / "unset.bin")
    with pytest.raises(SettingsError, match=r"never set"):
        SharedClock(tmp_path / "unset.bin")


def test_backwards_is_refused(tmp_path):
    """A negative speed is a bug of the caller."""
    with pytest.raises(ValueError, match="backwards"):
        ClockDriver(tmp_path / "clock.bin").set(0.0, -1.0)


def _drive(path, stop):
    driver = ClockDriver(path)
    step = 0
    while not stop.is_set():
        step += 1
        driver.set(step * 1000.0, 0.0 if step % 2 else 500.0)


def test_readers_never_see_half_a_change(tmp_path):
    """While another process re-anchors without pause, odd steps always show speed 0 and a whole thousand."""
    path = tmp_path / "clock.bin"
    ClockDriver(path).set(1000.0, 0.0)
    clock = SharedClock(path)
    stop = multiprocessing.Event()
    process = multiprocessing.Process(target=_drive, args=(path, stop))
    process.start()
    try:
        seen = set()
        deadline = time.monotonic() + 20
        while len(seen) <= 100 and time.monotonic() < deadline:
            (
                version,
                _wall,
                square_ns,
                speed,
            ) = clock._read()
            seen.add(version)
            step = square_ns // 1_000_000_000_000
            assert square_ns == step * 1_000_000_000_000
            assert speed == (0.0 if step % 2 else 500.0)
    finally:
        stop.set()
        process.join(5)
    assert len(seen) > 100


@given(st.floats(0, 4e9))
def test_utc_is_aware_and_inverts(now_s):
    """Instants carry their zone and go back to the same second."""
    instant = utc(now_s)
    assert instant.tzinfo is not None
    assert abs(instant.timestamp() - now_s) < 1e-3


def test_wall_and_fixed_clocks():
    """The wall clock is the machine's; the fixed clock moves when told."""
    assert abs(WallClock().now_s() - time.time()) < 1
    assert WallClock().speed() == 1.0
    clock = FixedClock(10.0)
    clock.advance(5)
    assert clock.now_s() == 15.0
    clock.set(3.0)
    assert (clock.now_s(), clock.speed()) == (3.0, 0.0)

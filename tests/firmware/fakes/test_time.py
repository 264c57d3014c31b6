"""Virtual time: clocks, ticks and sleeps of a node."""

import itertools
import time
from pathlib import Path

import pytest

from tests.firmware.node import rig

SET_CLOCK = "machine.RTC().datetime((2026, 11, 19, 3, 5, 0, 0, 0))"


@pytest.mark.parametrize(("epoch", "first"), [(2000, 0), (1970, 946_684_800)])
def test_a_clock_begins_in_2000_and_counts_whole_seconds(tmp_path: Path, epoch: int, first: int) -> None:
    """After power-on it is 2000-01-01 whatever the world's time; `time()` is an int in the epoch of the port."""
    main = """\
import time
t = time.time()
print(type(t) is int, t, time.gmtime(t)[:3], len(time.gmtime()))
"""
    boot = rig.script(tmp_path / "n", main, epoch=epoch).boot()
    assert boot.lines == (f"True {first} (2000, 1, 1) 8",)


@pytest.mark.parametrize("epoch", [2000, 1970])
def test_a_set_clock_shows_the_time_of_the_world(tmp_path: Path, epoch: int) -> None:
    """Setting the RTC to a UTC date makes `gmtime` show it, and `mktime` is the inverse of `gmtime`."""
    main = f"""\
import machine, time
{SET_CLOCK}
t = time.time()
print(time.gmtime(t)[:6], time.mktime(time.gmtime(t)) - t)
"""
    assert rig.script(tmp_path / "n", main, epoch=epoch).boot().lines == ("(2026, 11, 19, 5, 0, 0) 0",)


def test_the_clock_runs_through_sleep_and_is_lost_without_power(tmp_path: Path) -> None:
    """A set clock is right after deep sleep, wrong by the drift of the sleep, and back in 2000 after a power cut."""
    main = f"""\
import machine, time
if machine.reset_cause() == 1:
    {SET_CLOCK}
print(time.gmtime()[:5])
machine.deepsleep(3600000)
"""
    node = rig.script(tmp_path / "n", main, drift_ppm=50_000)
    assert node.boot().lines == ("(2026, 11, 19, 5, 0)",)
    assert node.boot().lines == ("(2026, 11, 19, 6, 3)",)  # 3,600 s * 5 % = 180 s ahead
    (tmp_path / "n/flash/main.py").write_text("import time\nprint(time.gmtime()[:5])")
    node.power_cut()
    assert node.boot().lines == ("(2000, 1, 1, 0, 0)",)


def test_sleeping_costs_nothing_and_passes_time(tmp_path: Path) -> None:
    """Sleeps of seconds, milliseconds and microseconds move ticks and clock by their length, and no wall time."""
    main = """\
import time
a, u, t = time.ticks_ms(), time.ticks_us(), time.time()
time.sleep(3600)
time.sleep_ms(2000)
time.sleep_us(3000000)
print(time.ticks_diff(time.ticks_ms(), a) // 1000, time.time() - t)
"""
    boot = rig.run(tmp_path / "n", main)
    assert boot.lines == ("3605 3605",)
    assert boot.real_s < 2


def test_ticks_wrap_at_two_to_the_thirty(tmp_path: Path) -> None:
    """Ticks go from 2^30 - 1 to 0, a plain difference is wrong there, and ticks_diff is right."""
    main = """\
import time
a = time.ticks_ms()
time.sleep_ms(1000)
b = time.ticks_ms()
print(a > 2**30 - 600, b < 1000, b - a < 0, 990 < time.ticks_diff(b, a) < 1100, time.ticks_add(2**30 - 1, 2))
"""
    boot = rig.run(tmp_path / "n", main, ticks_ms=2**30 - 500)
    assert boot.lines == ("True True True True 1",)


def test_a_day_of_asyncio_takes_less_than_a_second(tmp_path: Path) -> None:
    """24 virtual hours of a program that wakes 144 times are over in less than a wall second."""
    main = """\
import asyncio, time
async def day():
    for _ in range(144):
        await asyncio.sleep(600)
async def beat():
    while True:
        await asyncio.sleep_ms(60000)
async def main():
    t = time.time()
    asyncio.create_task(beat())
    await day()
    print(time.time() - t)
asyncio.run(main())
"""
    boot = rig.run(tmp_path / "n", main)
    assert boot.lines == ("86400",)
    assert boot.real_s < 1


def test_asyncio_keeps_the_order_of_timers(tmp_path: Path) -> None:
    """Tasks with different waits run in the order of their virtual times, and a timeout cancels the slower one."""
    main = """\
import asyncio
async def say(ms):
    await asyncio.sleep_ms(ms)
    print(ms)
async def main():
    await asyncio.gather(say(30000), say(10), say(5000))
    try:
        await asyncio.wait_for(say(900000), 600)
    except asyncio.TimeoutError:
        print('late')
asyncio.run(main())
"""
    assert rig.run(tmp_path / "n", main).lines == ("10", "5000", "30000", "late")


def test_virtual_time_goes_on_by_the_deep_sleep(tmp_path: Path) -> None:
    """A day of ten-minute sleeps is 144 boots, each begins where the last sleep ended."""
    node = rig.script(tmp_path / "n", "import machine\nmachine.deepsleep(600000)")
    begun = time.monotonic()
    boots = list(node.boots_until(node.unix_ms + 86_400_000))
    assert len(boots) == 144
    assert all(b.began_ms - a.ended_ms == 600_300 for a, b in itertools.pairwise(boots))
    assert time.monotonic() - begun < 30

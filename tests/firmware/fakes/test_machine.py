"""Resets, sleep, watchdog, memory, pins and buses of a node."""

from pathlib import Path
from typing import Any

import pytest

from tests.firmware.node import rig

DOG = """\
import machine, time, asyncio
d = machine.WDT(timeout=30000)
"""


def test_rtc_memory_takes_2048_bytes_and_dies_with_the_power(tmp_path: Path) -> None:
    """2,049 bytes are a ValueError; 2,048 survive deep sleep, and nothing is there after a power cut."""
    main = """\
import machine
r = machine.RTC()
print(len(r.memory()))
try:
    r.memory(bytes(2049))
except ValueError:
    print('too long')
r.memory(bytes(2048))
machine.deepsleep(1000)
"""
    node = rig.script(tmp_path / "n", main)
    assert node.boot().lines == ("0", "too long")
    assert node.boot().lines == ("2048", "too long")
    node.power_cut()
    assert node.boot().lines == ("0", "too long")


def test_a_watchdog_bites_in_virtual_time(tmp_path: Path) -> None:
    """A program that sleeps past the timeout is reset at the timeout; the next boot knows why."""
    main = (
        DOG
        + """\
print(machine.reset_cause())
time.sleep(20)
d.feed()
time.sleep(29)
print('fed')
time.sleep(31)
print('never')
"""
    )
    node = rig.script(tmp_path / "n", main)
    boot = node.boot()
    assert (boot.outcome, boot.lines, boot.watchdog_ms, boot.fed) == ("reset", ("1", "fed"), 30_000, 1)
    assert 50_000 <= boot.ended_ms - boot.began_ms < 51_000
    assert node.boot().lines[0] == "3"


def test_a_watchdog_cannot_be_stopped(tmp_path: Path) -> None:
    """There is no way to stop it, forgetting it does not help, and it bites a waiting asyncio program and a prompt."""
    stuck = """\
print(hasattr(d, 'deinit'))
del d
asyncio.run(asyncio.Event().wait())
"""
    assert rig.run(tmp_path / "a", DOG + "asyncio.run(asyncio.sleep(3600))").cause == rig.WATCHDOG
    boot = rig.run(tmp_path / "b", DOG + "raise ValueError('to the prompt')")
    assert (boot.outcome, boot.cause) == ("reset", rig.WATCHDOG)
    assert "ValueError: to the prompt" in boot.text
    boot = rig.run(tmp_path / "c", DOG + stuck, limit_s=5)
    assert (boot.lines, boot.cause) == (("False",), rig.WATCHDOG)


def test_a_hang_is_bitten_or_lasts_for_ever(tmp_path: Path) -> None:
    """A loop that looks at nothing is a watchdog reset where a watchdog runs, and hangs where none does."""
    boot = rig.run(tmp_path / "a", DOG + "while True:\n    pass", limit_s=0.5)
    assert (boot.outcome, boot.cause) == ("reset", rig.WATCHDOG)
    assert boot.ended_ms - boot.began_ms == 30_000
    assert rig.run(tmp_path / "b", "while True:\n    pass", limit_s=0.5).outcome == "running"


def test_without_a_watchdog_a_crash_is_the_end(tmp_path: Path) -> None:
    """An exception in main.py leaves a node at its prompt: no reset, no next boot."""
    node = rig.script(tmp_path / "n", "1 / 0")
    assert [boot.outcome for boot in node.boots_until(node.unix_ms + 86_400_000)] == ["crash"]


def test_deep_sleep_never_returns(tmp_path: Path) -> None:
    """Nothing runs after deepsleep: no handler, no `finally`; pins that wake are told."""
    main = """\
import machine, esp32
esp32.wake_on_ext0(machine.Pin(27), False)
esp32.wake_on_ext1([machine.Pin(25), machine.Pin(33)], True)
try:
    machine.deepsleep(600000)
except BaseException:
    print('handler')
finally:
    open('/after', 'w').close()
    print('after')
"""
    node = rig.script(tmp_path / "n", main)
    boot = node.boot()
    assert (boot.outcome, boot.sleep_ms, boot.lines) == ("sleep", 600_000, ())
    assert boot.wake_pins == ((27, 0), (25, 1), (33, 1))
    assert not (tmp_path / "n/flash/after").exists()


@pytest.mark.parametrize(
    ("end", "cause", "wake"),
    [("machine.reset()", 2, 0), ("sys.exit()", 5, 0), ("machine.deepsleep(1)", 4, 4), ("time.sleep(99)", 3, 0)],
)
def test_the_next_boot_knows_how_the_last_one_ended(tmp_path: Path, end: str, cause: int, wake: int) -> None:
    """Reset, soft reset, deep sleep and watchdog give their own reset cause, and only sleep a wake reason."""
    main = DOG + f"import sys\nprint(machine.reset_cause(), machine.wake_reason())\n{end}"
    node = rig.script(tmp_path / "n", main)
    assert node.boot().lines == ("1 0",)
    assert node.boot().lines == (f"{cause} {wake}",)


def test_a_pin_wakes_before_the_timer(tmp_path: Path) -> None:
    """A node woken by a pin says so, and the time is that of the wake; a pin that was not named cannot wake."""
    main = """\
import machine, esp32
print(machine.wake_reason())
esp32.wake_on_ext0(machine.Pin(27), False)
esp32.wake_on_ext1([machine.Pin(25)], True)
machine.deepsleep(600000)
"""
    node = rig.script(tmp_path / "n", main)
    first = node.boot()
    node.woken(27, first, after_ms=5_000)
    second = node.boot()
    assert (second.lines, second.began_ms - first.ended_ms) == (("2",), 5_300)
    node.woken(25, second, after_ms=5_000)
    assert node.boot().lines == ("3",)
    with pytest.raises(ValueError, match="pin 4 does not wake"):
        node.woken(4, second, after_ms=1)


def test_only_high_pins_are_inputs_and_only_rtc_pins_wake(tmp_path: Path) -> None:
    """GPIO 34 to 39 refuse to be outputs, pin 20 does not exist, and pin 5 cannot wake the chip."""
    main = """\
import machine, esp32
P = machine.Pin
for what in (lambda: P(34, P.OUT), lambda: P(20), lambda: esp32.wake_on_ext0(P(5), 1), lambda: machine.ADC(P(5))):
    try:
        what()
        print('taken')
    except ValueError as e:
        print(e)
"""
    assert rig.run(tmp_path / "n", main).lines == ("pin can only be input", "invalid pin", "invalid pin", "invalid pin")


def test_adc2_is_the_radios_while_wifi_is_on(tmp_path: Path) -> None:
    """A pin of ADC2 raises while Wi-Fi is active and works again after; a pin of ADC1 always works."""
    main = """\
import machine, network
a = machine.ADC(machine.Pin(25), atten=machine.ADC.ATTN_11DB)
b = machine.ADC(machine.Pin(34), atten=machine.ADC.ATTN_11DB)
w = network.WLAN(network.STA_IF)
def look():
    try:
        return a.read_uv(), b.read_uv() // 1000
    except OSError as e:
        return e.errno
print(look())
w.active(True)
print(look(), b.read_uv() // 1000)
w.active(False)
print(look())
"""
    config = {"parts": {"battery": {"pin": 34, "ratio_milli": 2000}}}
    node = rig.script(tmp_path / "n", main, config=config)
    node.folder.set_world(battery_mv=3800)
    assert node.boot().lines == ("(0, 1900)", "-263 1900", "(0, 1900)")


def test_parts_stand_where_the_configuration_says(tmp_path: Path) -> None:
    """Each part answers on its own pin or bus and nowhere else; what it senses is the world's value of that moment."""
    parts: dict[str, Any] = {
        "i2c0": {"scl": 22, "sda": 21, "khz": 100},
        "climate": {"type": "sht31", "bus": "i2c0", "addr": 69},
        "tilt": {"type": "switch", "pin": 27, "active": 0},
        "distance": {"type": "hc-sr04", "trig": 5, "echo": 18, "blind_mm": 20, "max_mm": 4000},
    }
    main = """\
import machine, time
P = machine.Pin
i = machine.I2C(0, scl=P(22), sda=P(21), freq=100000)
print(i.scan())
try:
    i.writeto(68, b'\\x24\\x00')
except OSError as e:
    print(e.errno)
print(P(27, P.IN, P.PULL_UP)(), P(26, P.IN, P.PULL_UP)(), P(26, P.IN)())
def ping():
    return machine.time_pulse_us(P(18, P.IN), 1, 40000)
print(ping())
t = P(5, P.OUT, value=0)
t(1); time.sleep_us(20); t(0)
print(5500 < ping() < 6200, ping())
"""
    node = rig.script(tmp_path / "n", main, config={"parts": parts})
    node.folder.set_world(distance_mm=1000, temp_c=20, tilt_deg=90)
    assert node.boot().lines == ("[69]", "19", "0 1 0", "-2", "True -2")
    node.folder.set_world(tilt_deg=0)
    assert node.boot().lines[2] == "1 1 0"


def test_sensors_without_supply_are_not_there(tmp_path: Path) -> None:
    """Behind a supply switch sensors answer only while it is on; contacts and the battery need none."""
    parts: dict[str, Any] = {
        "i2c0": {"scl": 22, "sda": 21, "khz": 100},
        "uart1": {"tx": 17, "rx": 16, "baud": 9600},
        "power": {"pin": 32, "settle_ms": 100},
        "climate": {"type": "sht31", "bus": "i2c0", "addr": 68},
        "pm": {"type": "pms5003", "bus": "uart1", "warm_s": 30},
        "temp": {"type": "ds18b20", "pin": 4},
        "distance": {"type": "hc-sr04", "trig": 5, "echo": 18, "blind_mm": 20, "max_mm": 4000},
        "water": {"type": "contact", "pin": 26, "active": 0},
        "battery": {"pin": 34, "ratio_milli": 2000},
    }
    main = """\
import machine, onewire, time
P = machine.Pin
i = machine.I2C(0, scl=P(22), sda=P(21))
u = machine.UART(1, baudrate=9600, tx=17, rx=16)
w = onewire.OneWire(P(4))
t = P(5, P.OUT, value=0)
a = machine.ADC(P(34), atten=3)
def look():
    time.sleep(5)
    t(1)
    time.sleep_us(20)
    t(0)
    echo = machine.time_pulse_us(P(18, P.IN), 1, 40000) > 0
    heard = u.any() > 0
    u.read()
    print(i.scan(), heard, w.reset(), echo, P(26, P.IN)(), a.read_uv() > 0)
s = P(32, P.OUT, value=0)
for level in (0, 1, 0, 1):
    s(level)
    look()
"""
    node = rig.script(tmp_path / "n", main, config={"parts": parts})
    node.folder.set_world(distance_mm=1000, temp_c=20, battery_mv=3800)
    off, on = "[] False False False 1 True", "[68] True True True 1 True"
    assert node.boot().lines == (off, on, off, on)


def test_a_world_that_changes_is_seen_by_a_node_that_runs(tmp_path: Path) -> None:
    """A pin shows a new world within a virtual second, without a boot between."""
    main = """\
import machine, time
p = machine.Pin(26, machine.Pin.IN)
before = p()
print('look')
for _ in range(2000):
    time.sleep(1)
    if p() != before:
        print('seen')
        break
"""
    node = rig.script(tmp_path / "n", main, config={"parts": {"water": {"type": "contact", "pin": 26, "active": 0}}})
    node.folder.set_world(water=False)

    def change(line: str) -> bool:
        if line == "look":
            node.folder.set_world(water=True)
        return False

    assert node.boot(kill_when=change).lines == ("look", "seen")


def test_a_node_has_the_heap_of_a_node(tmp_path: Path) -> None:
    """The fakes take nothing from the firmware: 96 KiB minus asyncio are there, and no more."""
    main = """\
import gc
gc.collect()
print(gc.mem_free())
kept = []
try:
    while True:
        kept.append(bytearray(1024))
except MemoryError:
    n = len(kept)
    kept = None
    print(n)
"""
    free, blocks = map(int, rig.run(tmp_path / "n", main).lines)
    assert 80_000 < free < 96 * 1024
    assert 75 < blocks < 96


def test_the_file_system_is_the_nodes_own(tmp_path: Path) -> None:
    """The root is the node's flash, paths and imports start there, and neither fakes nor environment shine through."""
    main = """\
import sys, os
print(sorted(n for n in os.listdir('/') if n != 'host'), os.getcwd(), sys.path)
import part
print(part.__file__)
try:
    import wiring
except ImportError:
    print('hidden')
"""
    node = rig.script(tmp_path / "n", main)
    node.folder.write("part.py", "")
    listing = "['config.json', 'main.py', 'part.py'] / ['', '.frozen', '/lib']"
    assert node.boot().lines == (listing, "part.py", "hidden")

"""The board of the firmware on the faked chip."""

from pathlib import Path
from typing import Any

import pytest

from simulators.real_node import RealNode
from tests.firmware.micropython import ROOT
from tests.firmware.node import rig

BOARD = """\
import asyncio, machine, time
from firmware.hal import WifiError
from firmware.hal.esp32 import Board
"""


def board(folder: Path, main: str, parts: dict[str, Any] | None = None, **how: Any) -> RealNode:
    """Return a node that has the HAL and runs `main`."""
    parts = parts or {}
    node = rig.script(folder, f"{BOARD}b = Board({parts!r})\n{main}", config={"parts": parts}, **how)
    for name in ("__init__", "hal/__init__", "hal/esp32", "hal/pins", "hal/partition"):
        node.folder.write(f"firmware/{name}.py", (ROOT / "firmware" / f"{name}.py").read_bytes())
    return node


@pytest.mark.parametrize("epoch", [2000, 1970])
def test_the_clock_counts_from_1970_on_every_port(tmp_path: Path, epoch: int) -> None:
    """Whatever the port's epoch, unix_s is 946684800 after power-on and what was set later on, to the second."""
    main = "print(b.unix_s())\nb.set_unix_s(1795064400)\nprint(b.unix_s())\ntime.sleep(90000)\nprint(b.unix_s())"
    assert board(tmp_path / "n", main, epoch=epoch).boot().lines == ("946684800", "1795064400", "1795154400")


def test_causes_and_wakes_have_names(tmp_path: Path) -> None:
    """Power-on, deep sleep by timer and by pin, hard reset, soft reset and watchdog are told apart."""
    main = """\
print(b.reset_cause(), b.wake_reason())
n = len(b.rtc_read())
b.rtc_write(bytes(n + 1))
if n == 2:
    b.reset()
if n == 3:
    raise SystemExit
if n == 4:
    b.watchdog(30)
    time.sleep(40)
b.deep_sleep(60000, [(27, 0)])
"""
    node = board(tmp_path / "n", main, {"tilt": {"type": "switch", "pin": 27, "active": 0}})
    boots = [node.boot()]
    node.woken(27, boots[0], after_ms=10)
    boots += [node.boot() for _ in range(5)]
    assert [boot.lines[0] for boot in boots] == [
        "power-on None",
        "deep-sleep pin",
        "deep-sleep timer",
        "hard None",
        "soft None",
        "watchdog None",
    ]


def test_a_pin_that_stands_at_its_wake_level_does_not_wake(tmp_path: Path) -> None:
    """A bin that lies on its side is no reason to wake at once and for ever: only the other pin stays armed."""
    parts = {"tilt": {"type": "switch", "pin": 27, "active": 0}, "lid": {"type": "switch", "pin": 25, "active": 1}}
    node = board(tmp_path / "n", "b.deep_sleep(60000, [(27, 0), (25, 1)])", parts)
    assert node.boot().wake_pins == ((27, 0), (25, 1))
    node.folder.set_world(tilt_deg=90)
    assert node.boot().wake_pins == ((25, 1),)


JOIN = """\
steps = []
async def join(timeout_s):
    t = time.ticks_ms()
    try:
        await b.wifi.connect('alun-alun', 'psk', timeout_s, lambda: steps.append(1))
        print('joined', b.wifi.rssi_dbm(), b.wifi.is_up(), len(steps))
        b.wifi.stop()
        print(b.wifi.rssi_dbm(), b.wifi.is_up())
    except WifiError as e:
        print(e.why, time.ticks_diff(time.ticks_ms(), t) // 1000, machine.wifi_on)
asyncio.run(join(15))
"""


@pytest.mark.parametrize(
    ("wifi", "lines"),
    [
        ({"rssi_dbm": -71}, ("joined -71 True 2", "None False")),
        ({"state": "no-ap"}, ("no-ap 1 False",)),
        ({"state": "wrong-password"}, ("wrong-password 1 False",)),
        ({"state": "deaf"}, ("timeout 15 False",)),
        ({"connect_ms": 20_000}, ("timeout 15 False",)),
    ],
)
def test_joining_ends_with_a_signal_or_a_reason(tmp_path: Path, wifi: dict[str, Any], lines: tuple[str, ...]) -> None:
    """Joined within the deadline, or a reason and the radio off; progress is told with the radio on and at the end."""
    node = board(tmp_path / "n", JOIN)
    node.folder.set_net(wifi=wifi)
    assert node.boot().lines == lines


def test_nvs_has_defaults_and_keeps_what_was_committed(tmp_path: Path) -> None:
    """A missing key is its default; an integer comes back after a power cut when it was committed."""
    main = """\
n = b.nvs
print(n.get('ver'), n.get('ver', 7))
n.set('ver', 10400)
n.commit()
n.set('lost', 1)
"""
    node = board(tmp_path / "n", main)
    assert node.boot().lines == ("None 7",)
    node.power_cut()
    assert node.boot().lines == ("10400 10400",)
    assert "lost" not in node.folder.nvs()


def test_nvs_keeps_every_u32_of_the_wire(tmp_path: Path) -> None:
    """Numbers of commands and versions go to 2^32 - 1, the integers of NVS only to 2^31 - 1."""
    main = """\
for number in (0, 2147483647, 2147483648, 4294967295):
    b.nvs.set('cmd', number)
    b.nvs.commit()
    print(b.nvs.get('cmd'))
"""
    assert board(tmp_path / "n", main).boot().lines == ("0", "2147483647", "2147483648", "4294967295")


def test_a_firmware_image_goes_to_the_other_slot(tmp_path: Path) -> None:
    """Blocks are written and read back, a short last one is padded with 0xFF, and the image runs after the reset."""
    main = """\
p = b.partition()
print(p.size, p.block_bytes, p.mark_valid())
if b.reset_cause() == 'power-on':
    try:
        p.activate()
    except OSError:
        print('no image')
    p.write_block(0, b'\\xe9' * 4096)
    p.write_block(1, b'\\x01' * 10)
    d = bytearray(4096)
    p.read_block(1, d)
    print(d[9], d[10], d[4095])
    p.activate()
    b.reset()
"""
    node = board(tmp_path / "n", main)
    assert node.boot().lines == ("1572864 4096 True", "no image", "1 255 255")
    assert node.boot().lines == ("1572864 4096 True",)
    assert node.folder.firmware_slots() == {"running": 1, "boot": 1, "states": ["valid", "valid"]}


def test_a_build_without_rollback_says_so(tmp_path: Path) -> None:
    """Marking the image is False, not an error, where the firmware was built without rollback."""
    node = board(tmp_path / "n", "print(b.partition().mark_valid())")
    (node.folder.path / "ota.json").write_text('{"running": 0, "boot": 0, "states": ["valid", "x"], "rollback": false}')
    assert node.boot().lines == ("False",)


def test_buses_pins_and_chance(tmp_path: Path) -> None:
    """A bus is one object and leads to its parts, input-only pins have no pull, chance differs, memory is told."""
    parts: dict[str, Any] = {
        "i2c0": {"scl": 22, "sda": 21, "khz": 100},
        "uart1": {"tx": 17, "rx": 16, "baud": 9600},
        "climate": {"type": "sht31", "bus": "i2c0", "addr": 68},
        "pm": {"type": "pms5003", "bus": "uart1", "set": 32, "warm_s": 30},
        "battery": {"pin": 34, "ratio_milli": 2000},
        "led": {"pin": 2},
    }
    main = """\
p = b.pins()
print(p.i2c('i2c0') is p.i2c('i2c0'), p.i2c('i2c0').scan())
u = b.pins().uart('uart1')
time.sleep(5)
print(u.any() > 0, u.read(2))
print(b.pins().pin_in(34, 'up')(), b.pins().pin_in(33, 'up')(), b.pins().adc(34).read_uv() // 1000)
print(b.random_u32() != b.random_u32(), b.heap_free() < 96 * 1024)
b.led(True)
print(machine.Pin(2)())
print(b.pins().onewire(13).reset(), b.pins().pulse_us(b.pins().pin_in(12), 1, 1000))
"""
    node = board(tmp_path / "n", main, parts)
    node.folder.set_world(battery_mv=3700)
    lines = node.boot().lines
    assert lines == ("True [68]", "True b'BM'", "0 1 1850", "True True", "1", "False -2")

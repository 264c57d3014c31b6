"""`python -m firmware.check`: parts pin by pin, energy, and the command as other programs call it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from firmware import check, wire
from firmware.core import energy

ROOT = Path(__file__).resolve().parents[3]

PARTS = {
    "distance": {"type": "jsn-sr04t", "trig": 5, "echo": 18},
    "temp": {"type": "ds18b20", "pin": 4},
    "tilt": {"type": "lis3dh", "bus": "i2c0", "int": 27},
    "water": {"type": "contact", "pin": 26},
    "lid": {"type": "switch", "pin": 25},
    "heat": {"type": "switch", "pin": 33},
    "battery": {"pin": 34},
    "led": {"pin": 2},
    "power": {"pin": 32},
    "i2c0": {"scl": 22, "sda": 21},
}
AIR_PARTS = {
    "pm": {"type": "pms5003", "bus": "uart1", "set": 4},
    "climate": {"type": "bme280", "bus": "i2c0"},
    "voc": {"type": "sgp40", "bus": "i2c0"},
    "nh3": {"type": "adc", "pin": 35},
    "h2s": {"type": "adc", "pin": 36},
    "i2c0": {"scl": 22, "sda": 21},
    "uart1": {"tx": 17, "rx": 16},
}
GOOD = {
    "v": 1,
    "site": "alun-alun",
    "device": "rsk-b001",
    "kind": "bin",
    "wifi_ssid": "square",
    "wifi_psk": "12345678",
    "broker_host": "broker.example",
    "parts": PARTS,
}


def test_both_kinds_are_accepted() -> None:
    """Every part of a whole bin and a whole air node is fine, for its own kind only."""
    assert check.check(GOOD) == []
    assert check.check(GOOD | {"kind": "air", "parts": AIR_PARTS}) == []
    faults = check.check(GOOD | {"parts": AIR_PARTS})
    assert [fault.split(":")[0] for fault in faults] == [
        f"parts.{name}" for name in ("climate", "h2s", "nh3", "pm", "voc")
    ]


@pytest.mark.parametrize(
    ("name", "part", "key"),
    [
        ("pm", {"type": "sps30", "bus": "i2c0"}, "parts.pm"),
        ("distance", {"type": "laser"}, "parts.distance"),
        ("distance", 5, "parts.distance"),
        ("distance", {"type": "hc-sr04", "trig": wire.U32_MAX, "echo": 18}, "parts.distance.trig"),
        ("distance", {"type": "hc-sr04", "trig": 5}, "parts.distance.echo"),
        ("distance", {"type": "hc-sr04", "trig": 34, "echo": 18}, "parts.distance.trig"),
        ("distance", {"type": "hc-sr04", "trig": 6, "echo": 18}, "parts.distance.trig"),
        ("distance", {"type": "hc-sr04", "trig": 40, "echo": 18}, "parts.distance.trig"),
        ("distance", {"type": "hc-sr04", "trig": 5, "echo": "18"}, "parts.distance.echo"),
        ("distance", {"type": "hc-sr04", "trig": 5, "echo": 18, "max": 5}, "parts.distance.max"),
        ("distance", {"type": "hc-sr04", "trig": 5, "echo": 18, "blind_mm": 5}, "parts.distance.blind_mm"),
        ("distance", {"type": "vl53l1x", "bus": "i2c1"}, "parts.distance.bus"),
        ("distance", {"type": "vl53l1x", "bus": "i2c0", "addr": 24}, "parts.tilt.addr"),
        ("water", {"type": "contact", "pin": 18}, "parts.water.pin"),
        ("water", {"type": "contact", "pin": 23}, "parts.water.pin"),
        ("lid", {"type": "switch", "pin": 25, "active": 2}, "parts.lid.active"),
        ("battery", {"pin": 14}, "parts.battery.pin"),
        ("battery", {"pin": 34, "type": "x"}, "parts.battery.type"),
        ("power", {"pin": 34}, "parts.power.pin"),
        ("power", {"pin": 32, "settle_ms": 2001}, "parts.power.settle_ms"),
        ("i2c0", {"scl": 22}, "parts.i2c0.sda"),
        ("bin/lid/switch", {"pin": 23}, "parts.bin/lid/switch"),
    ],
)
def test_parts_are_checked_pin_by_pin(name: str, part: object, key: str) -> None:
    """Unknown parts, types and fields, missing and impossible pins, missing buses: each is named with a remedy."""
    faults = check.check(GOOD | {"parts": PARTS | {name: part}})
    keys = [fault.split(": ")[0] for fault in faults]
    assert key in keys
    assert all(", " in fault for fault in faults)


def test_a_pin_is_used_once() -> None:
    """Two parts on one pin: the second names the first."""
    assert check.check(GOOD | {"parts": PARTS | {"led": {"pin": 5}}}) == [
        "parts.led.pin: pin 5 is taken by parts.distance.trig, take another"
    ]


@pytest.mark.parametrize("made", [[], None, {}, {"kind": "bin", "parts": 5}, {"kind": [], "parts": {}}])
def test_nonsense_is_faults_not_a_crash(made: object) -> None:
    """Whatever the file holds, the answer is a list of faults."""
    assert check.check(made)


def run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "firmware.check", str(path), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_answers_in_json(tmp_path: Path) -> None:
    """A sound file: no errors, exit 0, and the figures of the energy model with every input by name."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(GOOD))
    result = run(path, "--json", "--wakes-per-day", "48")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    spent = found["energy"]
    assert found["errors"] == []
    assert spent["wakes"] == 48
    assert spent["total"] == spent["radio"] + spent["measure"] + spent["fan"] + spent["sleep"]
    assert spent["sleep"] == 100 * 24
    assert spent["days"] > 100
    assert spent["inputs"]["wake_s"] == energy.WAKE_S
    assert (spent["inputs"]["active_ma"], spent["inputs"]["warm_s"]) == (120, 0)


def test_the_command_refuses(tmp_path: Path) -> None:
    """Faults, broken JSON, a missing file: exit 1 and no figures; wrong arguments: exit 2."""
    path = tmp_path / "config.json"
    for text in (json.dumps(GOOD | {"interval_s": 5}), "{", ""):
        path.write_text(text)
        result = run(path, "--json")
        assert result.returncode == 1
        found = json.loads(result.stdout)
        assert len(found["errors"]) == 1
        assert found["energy"] is None
    assert "config: " in run(tmp_path / "nothing.json").stdout
    assert run(path, "--what").returncode == 2


def test_an_air_node_pays_for_its_fan() -> None:
    """The figures of an air node name the warm-up and spend most on the fan."""
    spent = check.figures(GOOD | {"kind": "air", "parts": AIR_PARTS})
    assert spent["inputs"]["warm_s"] == 30
    assert spent["fan"] > spent["sleep"]

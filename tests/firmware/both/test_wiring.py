"""The parts of a board: types, pins and buses."""

from firmware import wire  # the largest source: compiled while the heap is whole
from firmware.core import wiring

PARTS = {
    "distance": {"type": "jsn-sr04t", "trig": 5, "echo": 18},
    "temp": {"type": "ds18b20", "pin": 4},
    "tilt": {"type": "lis3dh", "bus": "i2c0", "int": 27},
    "water": {"type": "contact", "pin": 26},
    "lid": {"type": "switch", "pin": 25},
    "heat": {"type": "switch", "pin": 33},
    "battery": {"pin": 34},
    "led": {"pin": 2},
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


def faults_with(name, part):
    parts = dict(PARTS)
    parts[name] = part
    faults = []
    wiring.check("bin", parts, faults)
    return faults


def test_both_kinds_are_accepted():
    """Every part of a whole bin and a whole air node is fine, for its own kind only."""
    faults = []
    wiring.check("bin", PARTS, faults)
    wiring.check("air", AIR_PARTS, faults)
    assert faults == []
    wiring.check("bin", AIR_PARTS, faults)
    names = [fault[6 : fault.find(":")] for fault in faults]
    assert names == ["climate", "h2s", "nh3", "pm", "voc"]


def test_parts_are_checked_pin_by_pin():
    """Unknown parts, types and fields, missing and impossible pins, missing buses: each is named."""
    for name, part, key in (
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
        ("i2c0", {"scl": 22}, "parts.i2c0.sda"),
        ("bin/lid/switch", {"pin": 23}, "parts.bin/lid/switch"),
    ):
        faults = faults_with(name, part)
        assert key in [fault.split(": ")[0] for fault in faults], (name, part, faults)


def test_a_pin_is_used_once():
    """Two parts on one pin: the second names the first."""
    faults = faults_with("led", {"pin": 5})
    assert faults == ["parts.led.pin: pin 5 is taken by parts.distance.trig, take another"]

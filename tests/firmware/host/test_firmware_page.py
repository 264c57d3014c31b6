"""docs/firmware.md says what the code does."""

import re
from pathlib import Path

from firmware import health
from firmware.core import config

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "firmware.md").read_text(encoding="utf-8")
MINIMAL = {
    "site": "alun-alun", "device": "rsk-b001", "kind": "bin", "wifi_ssid": "a", "wifi_psk": "", "broker_host": "b",
}  # fmt: skip


def rows() -> dict[str, tuple[str, str]]:
    """Return default and rest of the row of each key in the table of the configuration."""
    found = {}
    for keys, default, rest in re.findall(r"^\| (`[a-z_`, ]+`) \| ([^|]+) \| (.*) \|$", TEXT, re.MULTILINE):
        names = re.findall(r"`([a-z_]+)`", keys)
        values = default.split(", ") if len(names) > 1 and default != "-" else [default] * len(names)
        found |= {name: (value, rest) for name, value in zip(names, values, strict=True)}
    return found


def test_every_key_of_the_configuration_has_its_row_with_its_default():
    """The table names each key that a node knows, and the default that it takes."""
    whole = config.complete(dict(MINIMAL))
    described = rows()
    assert set(whole) <= set(described)
    for key, value in whole.items():
        if key in MINIMAL or key == "parts":
            continue
        shown = described[key][0]
        assert shown == ("true" if value is True else str(value) or "empty"), key


def test_the_table_marks_what_can_be_set_from_afar():
    """Remote is exactly what a node takes from the office, and trial what decides over reaching it."""
    described = rows()
    for key in config.complete(dict(MINIMAL)):
        if key in described:
            assert ("*remote" in described[key][1]) == (key in config.settable()), key
            assert ("trial*" in described[key][1]) == (key in config.settable("*")), key


def test_every_fault_bit_is_explained():
    """Bit and value of the table are those of the code, all of them."""
    bits = {1 << int(bit): int(value) for bit, value in re.findall(r"^\| (\d) \| (\d+) \| ", TEXT, re.MULTILINE)}
    in_code = [
        health.NO_ACK, health.SENSOR, health.NO_CLOCK, health.DROPPED, health.TLS, health.BATTERY, health.CONFIG,
    ]  # fmt: skip
    assert sorted(bits) == sorted(bits.values()) == in_code

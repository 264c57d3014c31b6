"""docs/hardware.md says what the code writes and what the sums are."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from firmware import wire
from firmware.core import bins, energy
from resik.node_config import PARTS

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "hardware.md").read_text(encoding="utf-8")
LIMIT_RP = 500_000
SENSOR_PINS = {"trig", "echo", "pin", "int", "set", "scl", "sda", "tx", "rx"}


def section(start: str, end: str) -> str:
    """Return the text between two headings, the first occurrence of `start` on."""
    begin = TEXT.index(start)
    return TEXT[begin : TEXT.index(end, begin + len(start))]


def prices(text: str) -> tuple[list[int], int]:
    found = [int(n.replace(",", "")) for n in re.findall(r"^\| [^*\n]*\| ([\d,]{5,}) \|$", text, re.MULTILINE)]
    total = re.search(r"\*\*sum\*\* \| \| \*\*([\d,]+)\*\*", text)
    assert total
    return found, int(total[1].replace(",", ""))


def test_the_bill_of_a_bin_node_adds_up_below_the_limit():
    """The prices make the sum, and a tenth more is still below half a million rupiah."""
    found, total = prices(section("### Bin node", "### Air node"))
    assert len(found) == 13
    assert sum(found) == total
    assert total * 11 // 10 < LIMIT_RP
    assert f"{total * 11 // 10:,}" in TEXT


def test_the_bill_of_an_air_node_adds_up():
    """The prices make the sum."""
    found, total = prices(section("### Air node", "## Wiring"))
    assert sum(found) == total


@pytest.mark.parametrize(("kind", "heading", "end"), [
    ("bin", "![Wiring of a bin node]", "### Air node"), ("air", "![Wiring of an air node]", "## What the battery"),
])  # fmt: skip
def test_the_wiring_tables_have_the_pins_that_provisioning_writes(kind, heading, end):
    """For each part the pins of the table and of the drawing are exactly those of its configuration."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| GPIO(\d+) \|", section(heading, end), re.MULTILINE)
    drawing = (Path(__file__).resolve().parents[3] / "docs" / "img" / f"wiring-{kind}.svg").read_text(encoding="utf-8")
    for name, entries in PARTS[kind].items():
        wanted = {value for entry in entries.values() for key, value in entry.items() if key in SENSOR_PINS}
        listed = {int(pin) for names, pin in rows if f"`{name}`" in names}
        if name in {"led", "power"} and kind == "air":
            continue  # one row, in the table of the bin node
        assert listed == wanted, name
        assert all(f"GPIO{pin}" in drawing for pin in wanted if name != "led"), name


def test_the_access_rules_are_those_of_the_grammar():
    """The two patterns of the page cover every topic of a node, each way, and no other's."""
    for way, kinds, topic in (("write", wire.UP_KINDS, wire.topic_up), ("read", wire.DOWN_KINDS, wire.topic_down)):
        found = re.search(rf"`pattern {way} (\S+)`", TEXT)
        assert found
        own = re.escape(found[1]).replace("%u", "rsk-b049").replace(r"\+", "[^/]+")
        assert all(re.fullmatch(own, topic("square", "rsk-b049", kind)) for kind in kinds)
        assert not any(re.fullmatch(own, topic("square", "rsk-b048", kind)) for kind in kinds)


def test_every_state_and_quality_is_explained():
    """Each state of the wire and each quality has its row, and the limits are those of the code."""
    for state in wire.STATES:
        assert f"| `{state}` |" in TEXT
    for quality in range(5):
        assert re.search(rf"^\| {quality} \| ", TEXT, re.MULTILINE)
    assert f"more than {bins.TILTED_DEG} degrees" in TEXT
    assert f"more than {bins.SUDDEN_MM} mm within an hour to less than {bins.SUDDEN_NEAR_MM} mm above" in TEXT


@pytest.mark.parametrize(("changes", "row"), [
    ({}, "| 122 | 34.9 | 63 |"),
    ({"send_every": 3}, "| 122 | 18.7 | 110 |"),
    ({"interval_s": 1800}, "| 48 | 15.2 | 132 |"),
    ({"interval_s": 1800, "send_every": 2}, "| 48 | 10.4 | 179 |"),
    ({"battery_mah": 6000}, "| 122 | 34.9 | 117 |"),
    ({"sleep_ua": 5000}, "| 122 | 152.5 | 15 |"),
])  # fmt: skip
def test_the_battery_table_is_what_the_model_says(changes, row):
    """Each row of the table is computed again."""
    config = SimpleNamespace(**{
        "interval_s": 600, "night_interval_s": 1800, "night_from_min": 1380, "night_to_min": 270, "send_every": 1,
        "sleep": "deep", "battery_mah": 3000, "active_ma": 120, "sleep_ua": 100, "parts": {},
    } | changes)  # fmt: skip
    budget = energy.budget(config)
    assert f"| {budget['wakes']} | {budget['total'] / 1000:.1f} | {energy.expected_days(config)} |" == row
    assert row in TEXT

"""The bench of growth: its readings are distinct, its tables say what was measured, its plan follows from it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from bench import scale, scale_plan

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def figures(devices: int, factor: float = 1.0) -> dict[str, Any]:
    """Make what a measurement of so many devices returns."""
    parts = dict.fromkeys(scale.OURS, 10.0 * factor)
    return {
        "devices": devices,
        **dict.fromkeys(("start_s", "per_s", "judged_per_s", "p50_ms", "p99_ms", "others_pct"), 1.0),
        **dict.fromkeys(("state_ms", "state_cpu_ms", "state_kib"), 5.0 * factor),
        "cpu_us": {**parts, "mosquitto": 1.0, "influxd": 1.0},
        "idle_ms_per_s": parts,
        "rss_mib": dict.fromkeys(scale.OURS, 1024.0),
    }


MEASURED = {"by_devices": [figures(10), figures(1000)], "bytes_per_reading": 50.0, "bytes_per_device_hour": 100.0}


@pytest.mark.parametrize(("devices", "messages"), [(10, 500), (700, 2_000)])
def test_no_two_readings_are_one_point_and_none_is_of_the_future(devices: int, messages: int) -> None:
    """Each has an identity and, with its asset, a point time of its own."""
    fleet = scale.Fleet("alun-alun-armada", devices, messages)
    assert len({fleet.identity(number) for number in range(messages)}) == messages
    packet = fleet.packet(messages - 1)
    body = packet[packet.index(b"/up/bin") + len("/up/bin") + 2 :]
    (reading,) = json.loads(body)["r"]
    assert reading["seq"] == fleet.identity(messages - 1)[2]
    assert time.time() - 60 < reading["ts"] <= time.time()


def test_the_table_has_a_column_for_each_number_and_says_what_more_devices_cost() -> None:
    """Twice as much at 3,000 as at 1,000: half of it for each 1,000 more."""
    lines = scale.table([figures(1000), figures(3000, 2.0)]).splitlines()
    assert lines[0] == "| | 1,000 | 3,000 | + 1,000 devices |"
    assert "| CPU us/message, gateway | 10.0 | 20.0 | +5.0 |" in lines
    assert "| RSS MiB, alerts | 1,024.0 | 1,024.0 | +0.0 |" in lines


def test_the_plan_is_arithmetic() -> None:
    """By hand: 1,000 devices every ten minutes, 90 days of 50 bytes, five years of 100 bytes an hour, 3 GiB each."""
    found = {one.what: one for one in scale_plan.arithmetic(MEASURED)}
    assert (found["readings a day"].one, found["readings a day"].all) == ("144,000", "144,000,000")
    assert found["disk, readings"].one == "0.65 GB"
    assert found["disk, hourly and daily"].one == "4.4 GB"
    assert found["memory of these"].one == "6 GiB"
    # 6.67/s x 20 us and 30 ms/s standing still, half filled
    assert found["cores of ingest, alerts, dashboard"].one == "0.06"
    # 6,000 GiB on machines of 32 GiB, and the servers
    assert found["machines"].all == "200"


def test_the_page_keeps_its_words_and_gets_new_figures(tmp_path: Path) -> None:
    """Only what stands between the marks is replaced, each time."""
    page = tmp_path / "scale.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    for measured in ("figures of old", "figures of today"):
        scale.write(page, measured, MEASURED)
    text = page.read_text(encoding="utf-8")
    assert "figures of old" not in text
    assert text.count("figures of today") == 1
    assert text.count("| 144,000 |") == 1

    def words(page: Path) -> list[str]:
        parts = page.read_text(encoding="utf-8").split("<!-- ")
        return [part for part in parts if "begin -->" not in part]

    assert words(page) == words(PAGE)

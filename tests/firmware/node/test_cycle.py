"""Whole rounds of a node: real firmware, real MicroPython, the heap of a node, a real broker."""

from pathlib import Path

import pytest

from tests.firmware.node import rig
from tests.services import Server

pytestmark = pytest.mark.service

HOUR_MS = 3_600_000


@pytest.mark.parametrize("kind", ["bin", "air"])
def test_a_round_of_each_kind(tmp_path: Path, broker: Server, gateway: rig.Gateway, kind: str) -> None:
    """Three wakes in 96 KB of heap: each reading arrives once, is acked, and the node sleeps for the rest of 10 min."""
    device = f"rsk-{kind}-one"
    node = rig.node(tmp_path / "node", rig.config(device, kind), port=broker.port)
    boots = [node.boot() for _ in range(3)]
    assert [boot.outcome for boot in boots] == ["sleep"] * 3, node.folder.serial.read_text()
    seqs = [seq for name, _boot, seq in gateway.identities() if name == device]
    assert seqs == [1, 2, 3]
    for boot in boots:
        assert abs(boot.ended_ms - boot.began_ms + (boot.sleep_ms or 0) - 600_000) < 1500
    reading = gateway.readings[-1][2]
    assert (reading["state"], reading["quality"]) == ("ok", 4)
    if kind == "bin":
        assert abs(reading["distance_mm"] - 900) <= 9
    else:
        assert reading["pm1_ngm3"] <= reading["pm25_ngm3"] <= reading["pm10_ngm3"]


def test_the_status_tells_how_the_node_is(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """Version, reset, heap, battery, days left, signal and queue are in the first status, and every field is valid."""
    node = rig.node(tmp_path / "node", rig.config("rsk-health"), port=broker.port)
    node.boot()
    status = next(found for name, found in gateway.statuses if name == "rsk-health")
    assert status["fw"] == "1.0.0"
    assert (status["reset"], status["class"], status["ota"], status["crashes"]) == ("power-on", "bin", "idle", 0)
    assert (status["battery_mv"], status["rssi_dbm"], status["queue"], status["dropped"]) == (3900, -67, 1, 0)
    assert 0 < status["days_left"] < 100
    assert 5_000 < status["heap_free"] < 98_304
    # a clock that was never set is a fault, until a connection was made with it
    assert status["faults"] == 4
    node.boot()
    gateway.until(lambda g: sum(name == "rsk-health" for name, _ in g.statuses) == 2, "the second status")
    assert gateway.statuses[-1][1]["faults"] == 0


@pytest.mark.parametrize("sleep", ["deep", "awake"])
def test_a_day_of_readings(tmp_path: Path, broker: Server, gateway: rig.Gateway, sleep: str) -> None:
    """24 virtual hours in either mode: every reading is acked, in order, numbered without a gap, under one boot."""
    device = f"rsk-day-{sleep}"
    node = rig.node(tmp_path / "node", rig.config(device, sleep=sleep), port=broker.port)
    # day: every 10 min from 04:30 to 23:00, every 30 min at night: 111 + 11
    outcomes = {boot.outcome for boot in node.boots_until(node.unix_ms + 24 * HOUR_MS)}
    assert outcomes == {"sleep"}
    found = [(boot, seq) for name, boot, seq in gateway.identities() if name == device]
    assert len({boot for boot, _ in found}) == 1
    assert [seq for _, seq in found] == list(range(1, len(found) + 1))
    assert 118 <= len(found) <= 125
    assert gateway.statuses[-1][1]["queue"] == 1, "only the reading of that round waited"


def test_an_alarm_wakes_the_node_and_goes_out_at_once(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """A tilted bin wakes the node; the reading says so within seconds, also when it sends every sixth only."""
    node = rig.node(tmp_path / "node", rig.config("rsk-tilt", send_every=6), port=broker.port)
    first = node.boot()
    quiet = node.boot()
    assert [seq for name, _, seq in gateway.identities() if name == "rsk-tilt"] == [1]
    assert quiet.wake_pins == ((27, 0), (26, 0))
    assert first.sleep_ms is not None
    node.folder.set_world(tilt_deg=90)
    node.woken(27, quiet, after_ms=1000)
    alarm = node.boot()
    assert alarm.ended_ms - quiet.ended_ms < 10_000
    states = {
        seq: reading["state"] for name, _, reading in gateway.readings if name == "rsk-tilt" for seq in [reading["seq"]]
    }
    assert states == {1: "ok", 2: "ok", 3: "tilted"}
    assert alarm.wake_pins == ((26, 0),), "what is alarmed already must not end every sleep at once"


def test_a_rattling_contact_empties_no_battery(tmp_path: Path, broker: Server, gateway: rig.Gateway) -> None:
    """A tilt switch that closes a second after each sleep began: after the first it wakes the node once a round."""
    node = rig.node(tmp_path / "node", rig.config("rsk-rattle"), port=broker.port)
    sent = []
    for _ in range(24):
        boot = node.boot()
        sent.append(boot.ended_ms)
        if boot.wake_pins:
            node.woken(27, boot, after_ms=1000)
    hours = (sent[-1] - sent[0]) / HOUR_MS
    assert 1.4 < hours < 1.8, "5 alarms, then a wake by the timer and one by the pin in each 10 minutes"


@pytest.mark.parametrize(("epoch", "ticks_ms"), [(1970, 0), (2000, (1 << 30) - 900)])
def test_epochs_and_ticks(tmp_path: Path, broker: Server, gateway: rig.Gateway, epoch: int, ticks_ms: int) -> None:
    """A port that counts from 1970, and ticks that wrap in the middle of a round, change nothing."""
    device = f"rsk-epoch-{epoch}"
    node = rig.node(tmp_path / "node", rig.config(device), port=broker.port, epoch=epoch)
    for _ in range(3):
        boot = node.boot(ticks_ms=ticks_ms)
        assert boot.outcome == "sleep"
        assert boot.sleep_ms is not None
        assert 590_000 < boot.sleep_ms < 600_000
    readings = [reading for name, _, reading in gateway.readings if name == device]
    assert [reading["seq"] for reading in readings] == [1, 2, 3]
    for reading in readings[1:]:
        assert abs(reading["ts"] - (rig.NOON_S + (reading["seq"] - 1) * 600)) <= 3

"""Rows of sensors of other makes: placed by the registry, read by the codec that it names."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import wire
from ingest.decode import Batch, decode_batch
from ingest.readings import Reading
from square.quantities import FLAG_ANCHORED
from square.registry import Registry
from square.site import Device
from tests.unit.ingest.batches import BOOT, NOW_MS, NOW_S, SITE, batch, registry
from tests.unit.ingest.makers.vectors import AIRGRADIENT_AFTER_BOOT, AIRGRADIENT_CURRENT

EUI = "70b3d57ed0001234"
SERIAL = "84fce612f5b8"


def mixed() -> Registry:
    """Return the small site with three sensors of other makes in the place of its own."""
    own = registry()
    devices = [
        Device("tong-7", "bin", "bin-001", "Dragino LDDS75", 600, "active", EUI, "dragino-ldds75"),
        Device("udara-1", "air", "air-001", "AirGradient", 300, "active", SERIAL, "airgradient"),
        Device("tong-8", "bin", "bin-002", "eigenbau", 600, "active", "dev-8", "senml"),
        Device("tong-9", "bin", "bin-003", "Dragino LDDS75", 600, "spare", "70b3d57ed0009999", "dragino-ldds75"),
    ]
    assets = {placement.asset.id: placement.asset for placement in own.placements()}
    return Registry(SITE, devices, assets)


def uplink(row_id: int = 1, *, foreign: str = EUI, at_s: int = NOW_S, **changes: Any) -> dict[str, Any]:
    """One row as a gateway makes it of a message of another make."""
    made = {
        "id": row_id,
        "device": f"@{foreign}",
        "kind": "uplink",
        "boot": BOOT,
        "seq": at_s,
        "ts_ms": wire.point_ms(at_s, BOOT, at_s),
        "arrived_ms": NOW_MS + 1_000,
        "time": "device",
    }
    frame = changes.pop("frame", "0e1c0b0500")
    made["uplink"] = {"port": 2, "data": base64.b64encode(bytes.fromhex(frame)).decode(), "rssi_dbm": -97, "fcnt": 4}
    return made | changes


def decode(*rows: dict[str, Any]) -> Batch:
    return decode_batch(batch(list(rows)), mixed())


def reading(row: dict[str, Any]) -> Reading:
    found = decode(row)
    assert not found.dead
    ((_, made),) = found.readings
    return made


def letter(row: dict[str, Any]) -> tuple[str, str]:
    """Return device and code of the row that was refused."""
    found = decode(row)
    ((row_id, *_),) = [(dead.row_id,) for dead in found.dead]
    assert row_id == row["id"]
    return found.dead[0].device, found.dead[0].code


def test_a_frame_becomes_a_reading_of_the_registered_device() -> None:
    """0x0B05 = 2,821 mm, 0x0E1C = 3,612 mV; asset, zone and fill level are the registry's."""
    made = reading(uplink())
    assert (made.device, made.asset, made.zone, made.kind) == ("tong-7", "bin-001", "zona-utara", "bin")
    assert (made.boot, made.seq, made.ts_ms) == (BOOT, NOW_S, wire.point_ms(NOW_S, BOOT, NOW_S))
    assert made.values == {"distance_mm": 2821.0, "battery_mv": 3612.0, "rssi_dbm": -97.0, "fill_pct": 0.0}
    assert made.state == "ok"


def test_a_document_becomes_a_reading_and_an_arrival_is_marked_as_such() -> None:
    """AirGradient has no clock: its time is the gateway's, and the flag says so."""
    row = uplink(foreign=SERIAL, time="anchor", uplink={"doc": json.loads(AIRGRADIENT_CURRENT)})
    made = reading(row)
    assert (made.device, made.kind) == ("udara-1", "air")
    assert (made.values["pm25_ugm3"], made.values["temp_c"], made.values["rssi_dbm"]) == (34.0, 23.1, -52.0)
    assert made.flags & FLAG_ANCHORED


def test_what_a_kind_of_device_does_not_measure_is_left_out() -> None:
    """A bin sensor that also sends particles gives its distance; nothing is refused for it."""
    doc = [{"bn": "dev-8:", "n": "distance", "u": "m", "v": 0.5}, {"n": "pm10", "u": "ug/m3", "v": 20}]
    made = reading(uplink(foreign="dev-8", uplink={"doc": doc}))
    assert made.values.keys() == {"distance_mm", "fill_pct"}


def test_a_failed_sensor_is_a_reading_without_a_distance() -> None:
    """The state is news for the map; no level is made of it."""
    made = reading(uplink(frame="0e1c000000"))
    assert made.state == "sensor-fault"
    assert not made.values.keys() & {"distance_mm", "fill_pct"}


@pytest.mark.parametrize(
    ("row", "battery_mv"),
    [
        (uplink(foreign=SERIAL, uplink={"doc": json.loads(AIRGRADIENT_AFTER_BOOT)}), None),
        (uplink(uplink={"port": 0, "data": "", "rssi_dbm": -59}), None),
    ],
)
def test_a_message_without_a_measurement_is_a_sign_of_life(row: dict[str, Any], battery_mv: int | None) -> None:
    """Right after its boot, or a frame with nothing in it: acknowledged, no point, the device is known to live."""
    found = decode(row)
    assert not found.dead
    assert not found.readings
    ((row_id, status),) = found.statuses
    assert (row_id, status.kind, status.rssi_dbm, status.battery_mv) == (1, "status", -59, battery_mv)
    assert status.device in {"tong-7", "udara-1"}


@pytest.mark.parametrize(
    ("row", "device", "code"),
    [
        (uplink(foreign="70b3d57ed000ffff"), "@70b3d57ed000ffff", "unknown-device"),
        (uplink(foreign="70b3d57ed0009999"), "@70b3d57ed0009999", "unknown-device"),  # a spare
        (uplink(device=EUI), "", "unknown-device"),  # the mark is missing
        (uplink(device="@../../etc"), "", "unknown-device"),
        (uplink(uplink={"port": 5, "data": "Jw=="}), "tong-7", "unknown-port"),
        (uplink(frame="0e1c0b05"), "tong-7", "no-sensor"),
        (uplink(frame="0e1c"), "tong-7", "bad-uplink"),
        (uplink(uplink={"port": 2, "data": "*"}), "tong-7", "bad-row"),
        (uplink(uplink={"port": 2}), "tong-7", "bad-row"),
        (uplink(uplink={"port": 256, "data": ""}), "tong-7", "bad-row"),
        (uplink(uplink=[1]), "tong-7", "bad-row"),
        (uplink(ts_ms=NOW_MS), "tong-7", "bad-row"),
        (uplink(seq=0), "tong-7", "bad-row"),
        (uplink(at_s=NOW_S - 8 * 86_400), "tong-7", "clock"),
        (
            uplink(foreign="dev-8", uplink={"doc": [{"bn": "d:", "n": "fill", "u": "%", "v": 101}]}),
            "tong-8",
            "bad-value",
        ),
    ],
)
def test_what_cannot_be_read_is_one_dead_letter_with_a_named_device(
    row: dict[str, Any], device: str, code: str
) -> None:
    """An identity that is not registered keeps its mark; a registered one is named by its id."""
    assert letter(row) == (device, code)


def test_a_wrong_row_touches_no_neighbour_and_keeps_what_it_needs_to_be_tried_again() -> None:
    """Two good rows around a bad one are stored; the letter has identity, times and the uplink itself."""
    found = decode(uplink(1), uplink(2, frame="0e1c0b05", at_s=NOW_S + 1), uplink(3, at_s=NOW_S + 2))
    assert [placed.row_id for placed in found.readings] == [1, 3]
    (dead,) = found.dead
    assert (dead.kind, dead.boot, dead.seq, dead.time) == ("uplink", BOOT, NOW_S + 1, "device")
    assert (dead.arrived_ms, dead.ts_ms) == (NOW_MS + 1_000, wire.point_ms(NOW_S + 1, BOOT, NOW_S + 1))
    assert json.loads(dead.raw)["port"] == 2


def test_a_node_of_ours_cannot_be_impersonated_through_another_make() -> None:
    """The id of a device is no identity of another make, and the identity of another make is no id."""
    assert letter(uplink(foreign="tong-7"))[1] == "unknown-device"
    own = {**uplink(), "kind": "bin", "device": EUI, "body": {"seq": NOW_S, "ts": NOW_S, "distance_mm": 1}}
    assert decode(own).dead[0].code == "unknown-device"


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)))
def test_whatever_stands_in_the_uplink_is_a_row_or_a_letter(value: object) -> None:
    """No content of the field makes the decoder raise, and the row is accounted for."""
    found = decode(uplink(uplink=value))
    assert found.rows == 1

"""Batches of a gateway become readings, status messages and dead letters."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware import wire
from ingest.decode import Batch, BatchError, decode_batch
from ingest.refused import RAW_LIMIT_BYTES
from square.quantities import FLAG_ANCHORED, FLAG_HUMID, FLAG_IMPLAUSIBLE, FLAG_LATE
from tests.unit.ingest.batches import BOOT, GATEWAY, NOW_MS, NOW_S, SITE, TOPIC, batch, poison, registry, row, status

REGISTRY = registry()


def decode(*rows: Any, **changes: Any) -> Batch:
    return decode_batch(batch(list(rows), **changes), REGISTRY, TOPIC)


def only_dead(*rows: Any) -> tuple[str, str]:
    """Return code and reason of the one dead row; nothing else may have come out."""
    found = decode(*rows)
    assert not found.readings
    assert not found.statuses
    assert len(found.dead) == 1
    return found.dead[0].code, found.dead[0].reason


def test_a_bin_reading_gets_place_units_and_fill_from_the_registry() -> None:
    """740 mm in a bin of 980/240 mm is (980 - 740) / (980 - 240) = 32.43 %; tags come from the registry."""
    body = {"distance_mm": 740, "temp_cdeg": 3120, "weight_g": 1500, "battery_mv": 3710, "rssi_dbm": -67, "quality": 4}
    found = decode(row(7, body=body))
    assert (found.gateway, found.spool, found.sent_ms, found.rows) == (GATEWAY, "9f2c4e7ab1d05836", NOW_MS + 2_000, 1)
    (row_id, reading), *_ = found.readings
    assert row_id == 7
    assert (reading.site, reading.device, reading.asset, reading.zone) == (SITE, "rsk-b001", "bin-001", "zona-utara")
    assert (reading.kind, reading.boot, reading.seq, reading.quality) == ("bin", BOOT, 7, 4)
    assert reading.ts_ms == NOW_MS + (BOOT + 7) % 1000 == NOW_MS + 903
    assert reading.values == pytest.approx(
        {
            "distance_mm": 740.0,
            "temp_c": 31.2,
            "weight_kg": 1.5,
            "battery_mv": 3710.0,
            "rssi_dbm": -67.0,
            "fill_pct": 24000 / 740,
        }
    )
    assert all(type(value) is float for value in reading.values.values())
    assert (reading.state, reading.flags) == ("ok", 0)


def test_the_point_of_a_reading_has_the_types_of_the_store() -> None:
    """Values are floats, boot, seq, quality and flags integers, state text; the tags are the four of the registry."""
    point = decode(row(7)).readings[0].reading.point()
    assert point.measurement == "bin"
    assert point.tags == {"site": SITE, "asset": "bin-001", "device": "rsk-b001", "zone": "zona-utara"}
    types = {name: type(value) for name, value in point.fields.items()}
    assert types == {
        "distance_mm": float, "fill_pct": float, "state": str, "quality": int, "flags": int, "boot": int, "seq": int,
    }  # fmt: skip


def test_zero_missing_and_null_are_three_things() -> None:
    """Zero is stored as 0.0; a missing or null value is not stored at all."""
    zero, missing, null = (
        decode(row(n, body=body)).readings[0].reading.values
        for n, body in enumerate(
            [
                {"fill_pct": 0, "temp_cdeg": 0, "battery_mv": 0},
                {"fill_pct": 50},
                {"fill_pct": 50, "temp_cdeg": None, "battery_mv": None},
            ],
            1,
        )
    )
    assert zero == {"fill_pct": 0.0, "temp_c": 0.0, "battery_mv": 0.0}
    assert missing == null == {"fill_pct": 50.0}


def test_the_distance_overrules_the_percent_of_the_sensor() -> None:
    """With both, the fill follows from the distance; with percent alone it is taken as it came."""
    both, percent = decode(
        row(1, body={"distance_mm": 610, "fill_pct": 3}), row(2, body={"fill_pct": 63})
    ).readings  # (980 - 610) / 740 = 50 %
    assert both.reading.values["fill_pct"] == 50.0
    assert percent.reading.values["fill_pct"] == 63.0


def test_an_air_reading_in_human_units_with_humidity_flag() -> None:
    """Nanograms become micrograms, ppt become ppb, and more than 70 % humidity marks particles as indicative."""
    body = {"pm25_ngm3": 18_700, "no2_ppt": -1_250, "rh_cpct": 7_144, "pressure_pa": 100_870}
    reading = decode(row(1, device="rsk-a001", kind="air", body=body)).readings[0].reading
    assert reading.values == {"pm25_ugm3": 18.7, "rh_pct": 71.44, "no2_ppb": -1.25, "pressure_hpa": 1008.7}
    assert reading.flags == FLAG_HUMID | FLAG_IMPLAUSIBLE  # NO2 below zero is kept and flagged


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, 0),
        ({"body": {"distance_mm": 10_000}}, FLAG_IMPLAUSIBLE),
        ({"body": {"fill_pct": 40, "temp_cdeg": 9_500}}, FLAG_IMPLAUSIBLE),
        ({"time": "anchor", "ts_ms": NOW_MS}, FLAG_ANCHORED),
        # row 1 has the point time NOW_MS + (BOOT + 1) % 1000 = NOW_MS + 897
        ({"arrived_ms": NOW_MS + 897 + 900_000}, 0),
        ({"arrived_ms": NOW_MS + 898 + 900_000}, FLAG_LATE),
        ({"device": "rsk-a001", "kind": "air", "body": {"rh_cpct": 7_000}}, 0),
        ({"device": "rsk-a001", "kind": "air", "body": {"rh_cpct": 7_001}}, FLAG_HUMID),
    ],
)
def test_flags(changes: dict[str, Any], flags: int) -> None:
    """Each flag is set from its limit on, and not before."""
    assert decode(row(1, **changes)).readings[0].reading.flags == flags


@pytest.mark.parametrize(
    ("arrived_ms", "is_dead"),
    [
        (897 + NOW_MS - 120_000, False),
        (897 + NOW_MS - 120_001, True),
        (897 + NOW_MS + 7 * 86_400_000, False),
        (897 + NOW_MS + 7 * 86_400_000 + 1, True),
    ],
)
def test_the_clock_window_is_closed_at_both_ends(arrived_ms: int, is_dead: bool) -> None:
    """From 7 days before to 120 s after its arrival a reading is taken; one millisecond beyond it is dead."""
    found = decode(row(1, arrived_ms=arrived_ms))
    assert (len(found.readings), [d.code for d in found.dead]) == ((0, ["clock"]) if is_dead else (1, []))


@pytest.mark.parametrize("ts", [0, 946_684_800, NOW_S + 3 * 365 * 86_400])
def test_clocks_at_1970_2000_and_in_three_years_are_dead_letters(ts: int) -> None:
    """A reset, a fresh and a runaway clock never reach the store."""
    assert only_dead(row(1, ts=ts))[0] == "clock"


def test_an_anchored_reading_needs_no_ts() -> None:
    """After a boot without clock the gateway's time counts."""
    made = row(1, time="anchor", ts_ms=NOW_MS - 5_000)
    del made["body"]["ts"]
    made["body"]["up_s"] = 9
    assert decode(made).readings[0].reading.ts_ms == NOW_MS - 5_000


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (row(1, device="rsk-b999"), "unknown-device"),
        (row(1, device="rsk-b003"), "unknown-device"),  # retired
        (status(1) | {"device": "rsk-b999"}, "unknown-device"),
        (row(1, device="rsk-a001"), "wrong-kind"),
        (row(1, kind="air"), "wrong-kind"),
        (row(1, body={"distance_mm": 10_001}), "bad-value"),
        (row(1, body={"distance_mm": 1.0}), "bad-value"),
        (row(1, body={"state": "on-fire", "fill_pct": 1}), "bad-value"),
        (row(1, body={"battery_mv": 3_700}), "bad-reading"),
        (row(1) | {"body": []}, "bad-reading"),
        (row(1) | {"body": None}, "bad-reading"),
        (row(1, seq=5, body={"seq": 6, "fill_pct": 1}), "bad-row"),
        (row(1, ts_ms=NOW_MS), "bad-row"),
        (row(1) | {"id": 0}, "bad-row"),
        (row(1) | {"kind": "noise"}, "bad-row"),
        (row(1) | {"boot": -1}, "bad-row"),
        (row(1) | {"arrived_ms": 1e9}, "bad-row"),
        (row(1) | {"time": "moon"}, "bad-row"),
        (status(1, boot=-1), "bad-value"),
        (status(1, v=2), "bad-value"),
        (17, "bad-row"),
        (None, "bad-row"),
        ({}, "bad-row"),
        (poison(1, b'{"v":1,"bo'), "bad-json"),
    ],
)
def test_each_fault_of_a_row_has_its_code(made: Any, code: str) -> None:
    """Every way in which one row can be wrong ends in the dead-letter store under its own code, with a reason."""
    found_code, reason = only_dead(made)
    assert found_code == code
    assert reason


@pytest.mark.parametrize(
    "bad", [{"id": 2}, 17, row(2, body={"distance_mm": -1}), poison(2, b"\xff"), row(2) | {"seq": "x"}]
)
def test_a_bad_row_leaves_its_neighbours_alone(bad: Any) -> None:
    """Whatever stands between two good rows, both are taken."""
    found = decode(row(1), bad, row(3))
    assert [row_id for row_id, _ in found.readings] == [1, 3]
    assert len(found.dead) == 1
    assert found.rows == 3


def test_a_dead_letter_names_the_topic_on_which_the_device_sent() -> None:
    """The batch's own topic stands only where the device is not known."""
    dead = decode(row(1, device="rsk-b999"), row(2, body={"fill_pct": 101}), row(3, device="Bad/Id"), {"id": 4}).dead
    assert [(letter.device, letter.topic) for letter in dead] == [
        ("rsk-b999", f"resik/{SITE}/rsk-b999/up/bin"),
        ("rsk-b001", f"resik/{SITE}/rsk-b001/up/bin"),
        ("", TOPIC),
        ("", TOPIC),
    ]


def test_a_row_without_a_readable_id_cannot_be_acknowledged() -> None:
    """It is kept as a dead letter without an id, so that no ack names a row that the gateway did not mean."""
    found = decode(row(1) | {"id": "one"}, row(2) | {"id": True})
    assert [dead.row_id for dead in found.dead] == [None, None]


def test_a_wrong_field_costs_a_status_row_that_field_alone() -> None:
    """News of a sick node is worth most: what it garbles is dropped, the rest reaches the alert engine."""
    ((_id, found),) = decode(status(1, queue=-1, fw="x" * 33, days_left="many", rssi_dbm=-70)).statuses
    assert (found.queue, found.fw, found.rssi_dbm, found.dropped) == (None, None, -70, 0)


def test_status_and_will_rows_come_out_for_the_alert_engine() -> None:
    """They are neither readings nor dead, and keep what the device said."""
    will = status(2) | {"kind": "will", "body": {"v": 1, "boot": 7}}
    (first_id, first), (second_id, second) = decode(status(1), will).statuses
    assert (first_id, first.kind, first.fw, first.queue, first.up_s) == (1, "status", "1.0.0", 3, 5021)
    assert (second_id, second.kind, second.boot, second.up_s) == (2, "will", 7, None)


def test_poison_keeps_payload_topic_and_the_reason_of_the_gateway() -> None:
    """The payload is what the device sent, and the reason is worked out again from it."""
    dead = decode(poison(1, b'{"v":7}', code="bad-version")).dead[0]
    assert (dead.raw, dead.code, dead.topic) == (b'{"v":7}', "bad-version", f"resik/{SITE}/rsk-b001/up/bin")
    assert "version 7" in dead.reason


def test_poison_payload_is_cut_and_survives_bad_base64() -> None:
    """No more than 4 kB is kept, and a row whose base64 is broken is kept as it stands."""
    long = decode(poison(1, b"x" * 9_000)).dead[0]
    assert len(long.raw) == RAW_LIMIT_BYTES
    broken = decode(poison(1, b"") | {"raw": "%%%"}).dead[0]
    assert broken.raw == b"%%%"


@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.0])
def test_an_unknown_version_refuses_the_whole_batch(version: Any) -> None:
    """Nothing of it is interpreted: the layout of another version is not known."""
    with pytest.raises(BatchError) as caught:
        decode(row(1), v=version)
    assert caught.value.code == "bad-version"


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b"{", b"\xff", b'{"v":1}', batch([]).replace(b'"rows":[]', b'"rows":5'), b"[" * 9000],
)
def test_what_is_no_batch_is_refused_as_a_whole(payload: bytes) -> None:
    """Garbage where a batch belongs has a code and raises nothing else."""
    with pytest.raises(BatchError) as caught:
        decode_batch(payload, REGISTRY)
    assert caught.value.code in {"bad-batch", "bad-version"}


ROWS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["id", "device", "kind", "boot", "seq", "ts_ms", "arrived_ms", "time", "body", "raw", "code"]),
        inner | st.sampled_from(["rsk-b001", "bin", "air", "status", "poison", "device"]),
        max_size=11,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300)
@given(rows=st.lists(ROWS, max_size=5))
@example(rows=[{"id": 1, "device": "rsk-b001", "kind": "bin", "arrived_ms": 0, "body": "\ud800"}])
def test_any_json_in_the_rows_is_sorted_without_an_exception(rows: list[Any]) -> None:
    """Whatever the rows are, each comes out exactly once."""
    payload = json.dumps({"v": 1, "gw": "gw-1", "spool": "a", "batch": "b", "sent_ms": 1, "rows": rows}).encode()
    try:
        found = decode_batch(payload, REGISTRY)
    except BatchError:  # an integer or text that no JSON reader takes spoils the whole payload
        return
    assert found.rows == len(rows)


@given(
    seq=st.integers(1, 2**32 - 1),
    boot=st.integers(0, 2**32 - 1),
    body=st.fixed_dictionaries(
        {}, optional={name: st.integers(low, high) for name, (low, high) in wire.FIELDS["bin"].items()}
    ),
)
def test_every_good_reading_of_a_bin_is_stored_or_has_nothing(seq: int, boot: int, body: dict[str, int]) -> None:
    """What the wire accepts becomes a reading with as many values as were sent, plus the fill of a distance."""
    made = row(1, seq=seq, body=body, boot=boot, ts_ms=wire.point_ms(NOW_S, boot, seq))
    found = decode(made)
    if not set(body) - set(wire.COMMON_FIELDS):
        assert [dead.code for dead in found.dead] == ["bad-reading"]
        return
    values = found.readings[0].reading.values
    expected = len(body) - ("quality" in body) + ("distance_mm" in body and "fill_pct" not in body)
    assert len(values) == expected

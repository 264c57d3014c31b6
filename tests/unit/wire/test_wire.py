"""Properties of the wire module that no single example shows."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import wire

ids = st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789-", min_size=3, max_size=32)
u32 = st.integers(0, wire.U32_MAX)


def readings_of(kind):
    """Give readings of a kind with any subset of fields at any allowed value, and one measured field at least."""
    measured = sorted(wire.MEASURED_FIELDS[kind])
    fields = {name: st.none() | st.integers(*bounds) for name, bounds in wire.FIELDS[kind].items()}
    base = st.fixed_dictionaries(
        {"seq": st.integers(1, wire.U32_MAX), "ts": u32, "state": st.sampled_from(wire.STATES)}, optional=fields
    )
    forced = st.sampled_from(measured).flatmap(
        lambda name: st.tuples(st.just(name), st.integers(*wire.FIELDS[kind][name]))
    )
    return st.tuples(base, forced).map(lambda pair: {**pair[0], pair[1][0]: pair[1][1]})


@given(st.sampled_from(["bin", "air"]).flatmap(lambda kind: st.tuples(st.just(kind), readings_of(kind))), u32)
def test_decode_inverts_encode(kind_and_reading, boot):
    """What a device encodes is what the server decodes, absent values left out."""
    kind, reading = kind_and_reading
    envelope = wire.decode_envelope(wire.encode_up(boot, [reading], oldest_seq=1).encode())
    assert envelope["boot"] == boot
    sent = {key: value for key, value in reading.items() if value is not None}
    assert envelope["readings"] == [sent]
    assert wire.decode_reading(kind, envelope["readings"][0]) == sent


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_raise_wire_error(payload):
    """No payload raises anything but WireError."""
    try:
        wire.decode_envelope(payload)
    except wire.WireError as error:
        assert error.code in {"bad-json", "bad-version", "bad-envelope", "bad-reading", "too-large", "too-many"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=2) | st.dictionaries(st.sampled_from("ab"), children, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(["seq", "ts", "up_s", "state", "x", "y"]), json_values))
def test_what_decodes_survives_reencoding(reading):
    """What the envelope check lets through can be written again as strict JSON: it cannot poison a batch."""
    message = {"v": 1, "boot": 1, "r": [{"seq": 1, "ts": 1, **reading}]}
    try:
        envelope = wire.decode_envelope(json.dumps(message).encode())
    except wire.WireError:
        return
    json.dumps(envelope["readings"], allow_nan=False)


@given(
    st.sampled_from(["bin", "air"]),
    st.dictionaries(st.sampled_from(["seq", "ts", "state", "fill_pct", "pm25_ngm3"]), json_values),
)
def test_reading_values_are_checked_integers(kind, reading):
    """A decoded reading holds integers in range and a known state, whatever was sent."""
    try:
        decoded = wire.decode_reading(kind, reading)
    except wire.WireError:
        return
    for name, (lowest, highest) in wire.FIELDS[kind].items():
        if name in decoded:
            assert type(decoded[name]) is int
            assert lowest <= decoded[name] <= highest
    assert decoded["state"] in wire.STATES


@given(ids, ids)
def test_topics_parse_back(site, device):
    """Each topic that can be built parses into its parts, and the gateway's namespace never meets a device's."""
    for kind in wire.UP_KINDS:
        assert wire.parse_topic(wire.topic_up(site, device, kind)) == (site, device, "up", kind)
    for kind in wire.DOWN_KINDS:
        assert wire.parse_topic(wire.topic_down(site, device, kind)) == (site, device, "down", kind)
    assert wire.parse_topic(wire.topic_batch(site, device)) == (site, device, "gw", "batch")
    assert wire.parse_topic(wire.topic_gw_ack(site, device)) == (site, device, "gw", "ack")


@given(st.text(max_size=60))
def test_any_topic_parses_or_raises(topic):
    """No topic raises anything but WireError(bad-topic), and what parses holds no wildcard."""
    try:
        parts = wire.parse_topic(topic)
    except wire.WireError as error:
        assert error.code == "bad-topic"
    else:
        assert not set("".join(parts)) & set("+#/$")


ranges = st.lists(
    st.tuples(st.integers(1, wire.U32_MAX), st.integers(1, wire.U32_MAX)).map(sorted).map(tuple), max_size=5
)


@given(u32, u32, ranges)
def test_ack_inverts(boot, upto, also):
    """An application ack says the same after the journey."""
    assert wire.decode_ack(wire.encode_ack(boot, upto, also).encode()) == (boot, upto, also)


@given(u32, u32, st.integers(1, wire.U32_MAX - 1000), st.integers(1, 999))
def test_point_times_of_one_second_differ(ts_s, boot, seq, step):
    """Readings of one boot in one second get distinct point times inside that second, the same on each call."""
    first, second = wire.point_ms(ts_s, boot, seq), wire.point_ms(ts_s, boot, seq + step)
    assert first != second
    assert first // 1000 == second // 1000 == ts_s
    assert first == wire.point_ms(ts_s, boot, seq)


def test_encode_refuses_too_many_and_too_large():
    """The limits hold on the sending side too."""
    reading = {"seq": 1, "ts": 1, "fill_pct": 1}
    with pytest.raises(wire.WireError, match="too-many"):
        wire.encode_up(1, [reading] * (wire.MAX_READINGS + 1))
    with pytest.raises(wire.WireError, match="too-many"):
        wire.encode_up(1, [])
    with pytest.raises(wire.WireError, match="too-large"):
        wire.encode_up(1, [{**reading, "padding": "x" * 500}] * 20)


def test_an_update_message_has_the_limit_of_all_messages():
    """A part of an update is refused as too large even when most of it is the block."""
    block = "QUJD" * 1300
    payload = f'{{"v":1,"ver":5,"at":0,"of":9999,"data":"{block}","x":"{"y" * 3000}"}}'.encode()
    with pytest.raises(wire.WireError, match="too-large"):
        wire.decode_ota_down(payload)
    assert len(wire.decode_ota_down(payload.replace(b"y" * 3000, b"y"))["data"]) == 3900

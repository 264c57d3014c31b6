"""The fast way through an envelope and the way of `firmware.wire` give the same."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from firmware import wire
from gateway.envelope import Envelope, read_envelope

NUMBERS = st.one_of(st.integers(-5, 2**33), st.integers(-(2**70), 2**70))
VALUES = st.one_of(st.none(), st.booleans(), NUMBERS, st.floats(), st.text(max_size=5), st.just([1]), st.just({"a": 1}))
NAMES = st.sampled_from(["seq", "ts", "up_s", "state", "distance_mm", "temp_cdeg", "rh_cpct", "of_a_newer_node"])
SOUND = st.fixed_dictionaries(
    {"seq": st.integers(1, wire.U32_MAX)},
    optional={
        "ts": st.integers(0, wire.U32_MAX),
        "up_s": st.integers(0, wire.U32_MAX),
        "state": st.sampled_from(wire.STATES),
        "distance_mm": st.integers(-10, 20_000) | st.none(),
        "pm25_ngm3": st.integers(),
        "of_a_newer_node": st.integers(0, 9),
    },
)
READINGS = st.lists(SOUND | st.dictionaries(NAMES, VALUES, max_size=6) | VALUES, max_size=4)
MESSAGES = st.fixed_dictionaries(
    {"v": st.just(1) | VALUES, "boot": st.integers(0, wire.U32_MAX) | VALUES, "r": READINGS | VALUES},
    optional={"oldest_seq": NUMBERS | VALUES, "up_s": st.integers(0, wire.U32_MAX) | VALUES, "more": VALUES},
)


def outcome(payload: bytes) -> tuple[object, ...]:
    """Return what the reference says, in the form of the fast way: its error, or what was read."""
    try:
        found = wire.decode_envelope(payload)
    except wire.WireError as error:
        return (error.code,)
    return found["boot"], found["oldest_seq"], found["up_s"], found["readings"]


def same(payload: bytes) -> Envelope | None:
    """Assert that both ways agree on a payload; return what was read."""
    expected = outcome(payload)
    try:
        found = read_envelope(payload)
    except wire.WireError as error:
        assert expected == (error.code,)
        return None
    assert (found.boot, found.oldest_seq, found.up_s) == expected[:3]
    readings = expected[3]
    assert isinstance(readings, list)
    for one, reference in zip(found.readings, readings, strict=True):
        assert one.seq == reference["seq"]
        assert one.ts_s == reference.get("ts")
        if one.ts_s is None:
            assert one.up_s == reference["up_s"]
        said = {name: value for name, value in json.loads(one.body).items() if value is not None}
        assert said == {name: value for name, value in reference.items() if value is not None}
    return found


@given(MESSAGES, st.sampled_from([None, (",", ":"), (", ", " : ")]))
@example({"v": 1, "boot": 7, "r": [{"seq": 1, "up_s": 5}]}, None)  # uptime without one at sending
@example({"v": True, "boot": 7, "r": [{"seq": 1, "ts": 5}]}, None)
@example({"v": 1, "boot": 7, "r": [{"seq": 1, "ts": 5, "up_s": "far"}]}, None)  # wrong, but not needed
def test_both_ways_agree_on_messages(message, separators) -> None:
    """Sound, broken, from the future: the same is read, or refused with the same code."""
    same(json.dumps(message, separators=separators).encode())


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
@example(b'{"v":1,"boot":7,"r":[{"seq":1,"ts":5}]}\n')
@example(b'{"v":1,"boot":7,"r":[{"seq":1.0,"ts":5}]}')
@example(b'{"v":1,"boot":7,"r":[{"seq":1e0,"ts":5}]}')
@example(b'{"v":1,"boot":7,"r":[{"seq":-0,"ts":5}]}')
@example(b'{"v":1,"boot":7,"r":[{"seq":1,"ts":5,"seq":2}]}')
@example(b'{"v":1,"boot":7,"r":[{"seq":1,"ts":5,"state":"\\u006fk"}]}')
@example(b'{"v":1,"boot":7,"r":[{"seq":1,"ts":5,"temp_cdeg":NaN}]}')
@example(b'{"v":1,"boot":7,"r":[{"seq":1,"ts":5}]} {}')
def test_both_ways_agree_on_anything_else(payload) -> None:
    """Bytes of any kind, odd spellings of numbers and texts included."""
    same(payload)


@pytest.mark.parametrize("count", [1, 64, 65])
def test_limits_of_a_message_hold_on_both_ways(count) -> None:
    """As many readings and bytes as a message may have, and no more."""
    message = {"v": 1, "boot": 7, "r": [{"seq": seq, "ts": 5, "distance_mm": 700} for seq in range(1, count + 1)]}
    found = same(json.dumps(message).encode())
    assert (found is not None) == (count <= 64)
    assert same(json.dumps(message).encode() + b" " * 9000) is None

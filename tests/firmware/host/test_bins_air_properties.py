"""Every reading that core makes is one that the wire takes, whatever the parts say."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from firmware import wire
from firmware.core import air, bins, interval

PARTS = {
    "distance": {"type": "jsn-sr04t"},
    "temp": {"type": "ds18b20"},
    "tilt": {"type": "lis3dh"},
    "water": {"type": "contact"},
    "lid": {"type": "switch"},
    "battery": {"pin": 34},
}
codes = st.sampled_from(["no-echo", "no-answer", "stuck", "out-of-range"])
wild = st.integers(-(2**33), 2**33)
bin_values = st.fixed_dictionaries(
    {},
    optional={
        "distance": st.lists(st.integers(100, 36000) | codes, max_size=9),
        "temp": wild | st.integers(-3000, 9000) | st.tuples(st.integers(-3000, 9000), st.integers(0, 10000)),
        "tilt": st.booleans() | st.integers(0, 180) | wild,
        "water": st.booleans(),
        "lid": st.booleans(),
        "battery": st.integers(0, 5000) | wild,
    },
)
air_values = st.fixed_dictionaries(
    {},
    optional={
        "pm": st.tuples(wild, wild, wild) | st.tuples(*[st.integers(0, 2000000)] * 3),
        "climate": st.tuples(wild, wild) | st.tuples(st.integers(-4000, 12500), st.integers(0, 10000), wild),
        "voc": wild,
        "nh3": wild,
        "h2s": st.integers(0, 5000),
        "battery": wild,
    },
)


def taken_by_the_wire(kind: str, reading: dict) -> dict:
    return wire.decode_reading(kind, {"seq": 1, "ts": 1795488752, **reading})


def test_ranges_are_those_of_the_wire() -> None:
    """What core keeps in is what the wire takes, limit for limit."""
    for kind, module in (("bin", bins), ("air", air)):
        for field, limits in module.RANGES.items():
            assert wire.FIELDS[kind][field] == limits


@given(bin_values, st.sets(st.sampled_from(sorted(PARTS))), st.integers(250, 4500))
def test_every_bin_reading_is_taken(values: dict, roles: set[str], last_mm: int) -> None:
    """The wire decodes it, a distance goes with ok and quality 3 or 4 alone, and never from an open or tilted bin."""
    parts = {role: PARTS[role] for role in roles}
    values = {role: value for role, value in values.items() if role in parts}
    history = interval.remember((), 0, {"distance_mm": last_mm})
    reading, suspect_mm = bins.judge(parts, values, history, 600)
    taken = taken_by_the_wire("bin", reading)
    assert set(reading) <= set(taken)
    if "distance_mm" in reading:
        assert reading["state"] == "ok"
        assert reading["quality"] >= 3
        assert reading["distance_mm"] >= 250
        assert not values.get("lid")
        assert not values.get("water")
        assert suspect_mm is None
    else:
        assert reading["quality"] <= 2
    if suspect_mm is not None:
        assert reading["state"] == "obstructed"


@given(air_values, st.sets(st.sampled_from(["pm", "climate", "voc", "nh3", "h2s", "battery"])))
def test_every_air_reading_is_taken(values: dict, roles: set[str]) -> None:
    """The wire decodes it; quality 4 means that every part of it gave something."""
    parts = {role: {} for role in roles}
    values = {role: value for role, value in values.items() if role in parts}
    reading = air.judge(parts, values)
    assert set(reading) <= set(taken_by_the_wire("air", reading))
    if reading["quality"] == 4:
        assert roles - {"battery"} == set(values) - {"battery"}
    if reading["state"] == "ok":
        assert set(reading) - {"state", "quality", "battery_mv"}


def test_precedence_over_all_combinations() -> None:
    """In all 2^3 * 4 combinations of conditions the first in the order is the state."""
    order = ("water", "tilted", "lid-open", "sensor-fault", "no-echo", "obstructed", "ok")
    rangers = {"sensor-fault": ["stuck"] * 7, "no-echo": ["no-echo"] * 7, "obstructed": [1000] * 7, "ok": [4236] * 7}
    for water, tilted, lid in itertools.product((False, True), repeat=3):
        for of_ranger, echoes in rangers.items():
            values = {"water": water, "tilt": 80 if tilted else 1, "lid": lid, "distance": echoes, "temp": 3000}
            wanted = {name for name, so in (("water", water), ("tilted", tilted), ("lid-open", lid)) if so} | {
                of_ranger
            }
            assert bins.judge(PARTS, values, (), 0)[0]["state"] == min(wanted, key=order.index)

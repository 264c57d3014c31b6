"""Payloads of LoRaWAN devices: the makers' own examples, and everything that can be wrong with them."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import wire
from ingest.errors import BadMessageError
from ingest.makers import DECODERS, CodecError, Report, decode
from tests.unit.ingest.makers.vectors import FRAMES, Vector

CODES = {"unknown-port", "no-sensor", "bad-uplink"}
BINARY = sorted(set(DECODERS) - {"airgradient", "senml"})
PORTS = {vector.codec: vector.port for vector in FRAMES} | {"netvox-r718x": 6}
NAMES = {
    "Netvox R718X": "netvox-r718x",
    "Dragino LDDS75": "dragino-ldds75",
    "Milesight EM310-UDL": "milesight-em310-udl",
    "Milesight EM400-MUD": "milesight-em400-mud",
    "Milesight EM400-UDL": "milesight-em400-udl",
    "Milesight EM500-UDL": "milesight-em500-udl",
    "Milesight AM308": "milesight-am308",
    "Milesight VS350 people counter": "milesight-vs350",
    "Decentlab DL-MBX ultrasonic": "decentlab-dl-mbx",
    "Decentlab DL-PM": "decentlab-dl-pm",
}


def attempt(codec: str, port: int, data: bytes) -> Report | CodecError:
    """Decode; any other exception than the promised one fails the test."""
    try:
        return decode(codec, port, data)
    except CodecError as error:
        return error


def frame(codec: str, text: str, port: int | None = None) -> Report:
    """Decode bytes written in hex, on the usual port."""
    return decode(codec, PORTS[codec] if port is None else port, bytes.fromhex(text))


def assert_within(found: Report, whole: Report) -> None:
    """Assert that everything found stands in the whole report with the same value."""
    assert found.said.items() <= whole.said.items()
    assert found.fields.items() <= whole.fields.items()
    assert found.state in {"ok", whole.state}


@pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: f"{vector.codec}-{vector.data.hex()[:10]}")
def test_what_the_maker_says_of_its_own_example_comes_out(vector: Vector) -> None:
    """Each value of the maker is there, and the wire gets exactly the fields that were worked out by hand."""
    found = attempt(vector.codec, vector.port, vector.data)
    if vector.code is not None:
        assert isinstance(found, CodecError)
        assert found.code == vector.code
        return
    assert isinstance(found, Report)
    assert {name: found.said.get(name) for name in vector.said} == pytest.approx(vector.said, abs=1e-9)
    assert found.fields == vector.fields
    assert found.state == vector.state


def test_the_reference_collection_says_the_same() -> None:
    """The thirteen vectors of the reference data are the ones of this file, value for value."""
    folder = Path(os.environ.get("RESIK_REFERENCE_DATA", Path(__file__).parents[5] / "shared" / "data"))
    path = folder / "payload_vectors" / "vectors.json"
    if not path.is_file():
        pytest.skip(f"no payload vectors in {folder}: set RESIK_REFERENCE_DATA")
    entries = json.loads(path.read_text(encoding="utf-8"))
    assert len(entries) == len(FRAMES)
    for entry in entries:
        found = attempt(NAMES[entry["device"]], entry["fport"], bytes.fromhex(entry["hex"]))
        if entry["expected"] == {"distance": "No Sensor"}:
            assert isinstance(found, CodecError)
            assert found.code == "no-sensor"
            continue
        assert isinstance(found, Report)
        said = {name: found.said.get(name) for name in entry["expected"]}
        assert said == pytest.approx(entry["expected"], abs=1e-9)


@pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector.codec)
def test_a_frame_cut_anywhere_never_says_something_else(vector: Vector) -> None:
    """After every byte: a named error, or a subset of what the whole frame says."""
    whole = attempt(vector.codec, vector.port, vector.data)
    for length in range(len(vector.data)):
        found = attempt(vector.codec, vector.port, vector.data[:length])
        if isinstance(found, Report):
            assert isinstance(whole, Report)
            assert_within(found, whole)
        else:
            assert found.code in CODES


@given(vector=st.sampled_from(FRAMES), tail=st.binary(min_size=1, max_size=12))
def test_bytes_behind_a_frame_never_change_what_it_says(vector: Vector, tail: bytes) -> None:
    """An error, or the right values; more only when the tail is by itself a frame of that model that says so."""
    whole = attempt(vector.codec, vector.port, vector.data)
    found = attempt(vector.codec, vector.port, vector.data + tail)
    if isinstance(found, CodecError):
        assert found.code in CODES
        return
    if isinstance(whole, CodecError):  # the frame of four bytes and one more is a whole frame of five
        assert vector.codec == "dragino-ldds75"
        assert len(tail) in {1, 4}
        return
    found.said.pop("unread", None)
    more = found.said.items() - whole.said.items()
    assert whole.said.items() <= found.said.items()
    if more:
        alone = attempt(vector.codec, vector.port, tail)
        assert isinstance(alone, Report)
        assert more <= alone.said.items()
    assert whole.fields.items() <= found.fields.items()


@given(codec=st.sampled_from(BINARY), data=st.binary(max_size=60), port=st.integers(0, 255))
def test_no_bytes_make_a_codec_raise_anything_else(codec: str, data: bytes, port: int) -> None:
    """Whatever arrives: a named error or integers of the wire."""
    found = attempt(codec, port, data)
    if isinstance(found, CodecError):
        assert found.code in CODES
        return
    assert found.said
    assert found.state in wire.STATES
    known = {**wire.FIELDS["bin"], **wire.FIELDS["air"]}
    assert all(wire.is_int(value) and name in known for name, value in found.fields.items())


@given(codec=st.sampled_from(BINARY), data=st.binary(min_size=1, max_size=40), place=st.integers(0, 10))
def test_random_bytes_on_the_right_port_are_survived(codec: str, data: bytes, place: int) -> None:
    """As above on the port where the maker sends, with random bytes put into its own example."""
    example = next(vector.data for vector in FRAMES if vector.codec == codec)
    found = attempt(codec, PORTS[codec], example[:place] + data + example[place:])
    assert isinstance(found, Report) or found.code in CODES


@pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector.codec)
def test_the_same_bytes_on_another_port_are_a_named_error(vector: Vector) -> None:
    """A port that the maker does not use gives no value and says so."""
    found = attempt(vector.codec, 99, vector.data)
    assert isinstance(found, CodecError)
    assert found.code == "unknown-port"
    assert "99" in found.reason


def test_a_codec_that_does_not_exist_is_named() -> None:
    """A name that is not in the table is an error of its own, also for whoever catches BadMessageError."""
    with pytest.raises(BadMessageError) as caught:
        decode("acme-9000", 1, b"\x00")
    assert caught.value.code == "unknown-codec"


# --- what is not a value --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "text", "state"),
    [
        ("dragino-ldds75", "0e1c 0000 00", "sensor-fault"),  # 0: nothing measured
        ("dragino-ldds75", "0e1c 0014 00", "obstructed"),  # 20 mm: inside the blind zone of 280 mm
        ("dragino-ldds75", "0e1c 0117 00", "obstructed"),  # 279 mm
        ("dragino-ldds75", "0e1c 1d4d 00", "no-echo"),  # 7501 mm: beyond its reach
        ("dragino-ldds75", "0e1c ffff 00", "sensor-fault"),
        ("dragino-ldds75", "0e1c 0b05 00 0105 00", "sensor-fault"),  # the flag says: no ultrasonic sensor
        ("netvox-r718x", "01 34 01 24 01 ffff 0107 32 0a", "sensor-fault"),
        ("netvox-r718x", "01 34 01 24 01 4e20 0107 32 0a", "no-echo"),  # 20,000 mm
        ("milesight-em310-udl", "03820000", "sensor-fault"),
        ("milesight-em500-udl", "0382ffff", "sensor-fault"),
        ("decentlab-dl-mbx", "02 012f 0003 04d2 0000 0bb1", "no-echo"),  # none of its samples was valid
        ("decentlab-dl-mbx", "02 012f 0003 270f 0001 0bb1", "no-echo"),  # 9999: no target
    ],
)
def test_a_failed_measurement_is_a_state_and_no_distance(codec: str, text: str, state: str) -> None:
    """The reading says what is wrong with the sensor; a level is never made of it."""
    found = frame(codec, text)
    assert "distance_mm" not in found.fields
    assert found.state == state


@pytest.mark.parametrize(
    ("text", "distance_mm"), [("0e1c 0b05 00", 2821), ("0e1c 0118 00", 280), ("0e1c 1d4c 01", 7500)]
)
def test_a_whole_frame_of_five_bytes_is_a_distance(text: str, distance_mm: int) -> None:
    """The same 0x0B05 that means nothing in four bytes is 2,821 mm in five; 280 and 7,500 mm are the ends."""
    found = frame("dragino-ldds75", text)
    assert found.fields == {"distance_mm": distance_mm, "battery_mv": 0x0E1C}


@pytest.mark.parametrize(("probe", "temp_cdeg"), [("0105", 2610), ("ff3f", -1930), ("0000", None), ("7fff", None)])
def test_a_probe_that_is_not_connected_has_no_temperature(probe: str, temp_cdeg: int | None) -> None:
    """0x0105 = 261 tenths; 0xFF3F = 65343 - 65536 = -193 tenths; without a probe the field is absent, not zero."""
    found = frame("dragino-ldds75", f"0e1c 0b05 00 {probe} 01")
    assert found.fields.get("temp_cdeg") == temp_cdeg
    assert found.fields["distance_mm"] == 2821


def test_a_battery_that_is_low_keeps_its_voltage() -> None:
    """The top bit of Netvox's voltage is a flag: 0xA4 is 0x24 = 3.6 V and low."""
    found = frame("netvox-r718x", "01 34 01 a4 01 012c ff38 32 5a")
    assert found.fields == {"distance_mm": 300, "battery_mv": 3600, "temp_cdeg": -2000, "tilt_deg": 90}
    assert found.said["Battery"] == "low"
    assert found.state == "tilted"  # 90 degrees


def test_particles_that_were_not_measured_are_absent_and_zero_is_zero() -> None:
    """0xFFFF in a particle word means no answer of its sensor; 0 means clean air."""
    found = frame("decentlab-dl-pm", "02 1b50 0002 0000 ffff 0027 0000 01f5 0107 012c 012d 012d 012d")
    assert found.fields == {"pm1_ngm3": 0, "pm10_ngm3": 0}
    assert frame("milesight-am308", "0b7dffff 0c7d0000").fields == {"pm10_ngm3": 0}


def test_a_frame_about_the_device_itself_has_no_fields() -> None:
    """Serial number, versions and history are said and are no reading of now."""
    found = frame("milesight-em500-udl", "ff166445b43411300001 ff090300 ff0b00 20ce7b3af1641e00")
    assert found.said["sn"] == "6445b43411300001"
    assert (found.fields, found.state) == ({}, "ok")


def test_a_channel_that_is_not_known_ends_the_reading_before_it() -> None:
    """What stood before it counts and the rest is kept for the audit; alone it is an error."""
    found = frame("milesight-em500-udl", "03821e00 5a5a0102")
    assert (found.fields, found.said["unread"]) == ({"distance_mm": 30}, "5a5a0102")
    with pytest.raises(CodecError, match="no channel 5a5a"):
        frame("milesight-em500-udl", "5a5a0102")


def test_a_value_that_is_said_twice_condemns_the_frame() -> None:
    """Two distances in one frame: nobody knows which, also when one of them carries an alarm."""
    with pytest.raises(CodecError, match="distance is said twice"):
        frame("milesight-em400-udl", "04824408 8482410601")

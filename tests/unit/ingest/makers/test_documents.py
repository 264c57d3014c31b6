"""Payloads that are JSON documents: AirGradient and SenML."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware import wire
from ingest.makers import CodecError, Report, decode
from ingest.makers.senml import MEANINGS
from square.senml import SenmlError, resolve
from tests.unit.ingest.makers.vectors import AIRGRADIENT_AFTER_BOOT, AIRGRADIENT_CONFIG, AIRGRADIENT_CURRENT

KNOWN = {**wire.FIELDS["bin"], **wire.FIELDS["air"]}


def pack(*records: dict[str, Any]) -> bytes:
    return json.dumps(records).encode()


def senml(*records: dict[str, Any]) -> dict[str, int]:
    """Return the wire fields of a pack."""
    return decode("senml", 0, pack(*records)).fields


# --- AirGradient ----------------------------------------------------------------------------------------------


def test_current_measures_come_in_the_units_of_the_wire() -> None:
    """`pm02` is PM2.5 in micrograms; what the wire has no name for stays among what was said."""
    found = decode("airgradient", 0, AIRGRADIENT_CURRENT)
    assert found.fields == {
        "pm1_ngm3": 22_000,
        "pm25_ngm3": 34_000,
        "pm10_ngm3": 41_000,
        "temp_cdeg": 2310,
        "rh_cpct": 3200,
        "voc_raw": 31792,
        "rssi_dbm": -52,
    }
    assert (found.said["rco2"], found.said["noxRaw"]) == (778, 16931)


def test_right_after_the_boot_nothing_is_measured() -> None:
    """No particle value, no temperature: absent, not zero."""
    found = decode("airgradient", 0, AIRGRADIENT_AFTER_BOOT)
    assert found.fields == {"rssi_dbm": -59}
    assert not found.fields.keys() & wire.MEASURED_FIELDS["air"].keys()


def test_zero_is_not_missing_and_null_is() -> None:
    """0 micrograms is clean air; null and an unknown key are nothing; decimals of newer firmware count."""
    text = b'{"serialno":"84fce612f5b8","pm02":0,"pm10":null,"pm01":0.4,"rhum":47.25,"newKey":{"a":[1]}}'
    assert decode("airgradient", 0, text).fields == {"pm25_ngm3": 0, "pm1_ngm3": 400, "rh_cpct": 4725}


@pytest.mark.parametrize(
    "text",
    [
        AIRGRADIENT_CONFIG,
        b"[]",
        b"",
        b'{"serialno":7,"pm02":1}',
        b'{"serialno":"84fce612f5b8","pm02":"34"}',
        b'{"serialno":"84fce612f5b8","pm02":true}',
        b'{"serialno":"84fce612f5b8","pm02":1e300}',
        b"[" * 5000,
    ],
)
def test_another_document_is_a_named_error(text: bytes) -> None:
    """The configuration, no object, a text for a number: refused with one code."""
    with pytest.raises(CodecError) as caught:
        decode("airgradient", 0, text)
    assert caught.value.code == "bad-uplink"


@given(cut=st.integers(0, len(AIRGRADIENT_CURRENT) - 1), tail=st.binary(max_size=8))
def test_a_document_that_was_cut_or_mixed_up_gives_no_wrong_value(cut: int, tail: bytes) -> None:
    """A JSON object cut anywhere is an error; with bytes behind it too, unless they complete it."""
    whole = decode("airgradient", 0, AIRGRADIENT_CURRENT).fields
    try:
        found = decode("airgradient", 0, AIRGRADIENT_CURRENT[:cut] + tail)
    except CodecError as error:
        assert error.code == "bad-uplink"
    else:
        assert AIRGRADIENT_CURRENT[:cut].rstrip() != b""
        assert len(found.fields.items() - whole.items()) <= 1  # the number that was cut and completed by the tail


# --- SenML ----------------------------------------------------------------------------------------------------


def test_the_examples_of_the_standard_resolve_as_the_standard_says() -> None:
    """RFC 8428 sections 5.1.2 and 5.1.3 (base name, base time, base unit; relative times before the base)."""
    found = resolve(
        pack(
            {"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e9, "bu": "A", "bver": 5,
             "n": "voltage", "u": "V", "v": 120.1},
            {"n": "current", "t": -5, "v": 1.2},
            {"n": "current", "v": 1.7},
        )
    )  # fmt: skip
    assert [(record.name, record.time_s, record.unit, record.value) for record in found] == [
        ("voltage", 1276020076.001, "V", 120.1),
        ("current", 1276020071.001, "A", 1.2),
        ("current", 1276020076.001, "A", 1.7),
    ]
    assert {record.base for record in found} == {"urn:dev:ow:10e2073a0108006:"}


def test_a_base_value_is_added_and_an_entry_of_bases_alone_is_no_record() -> None:
    """Section 4.1: bv adds to v; a record without a value only changes the bases."""
    found = resolve(pack({"bn": "a:", "bv": 20.0, "bu": "Cel"}, {"n": "temp", "v": 3.5}, {"n": "door", "vb": True}))
    assert [(record.name, record.value) for record in found] == [("temp", 23.5), ("door", True)]


@pytest.mark.parametrize(
    ("record", "wire_fields"),
    [
        ({"n": "temperature", "u": "Cel", "v": 31.25}, {"temp_cdeg": 3125}),
        ({"n": "temp", "u": "K", "v": 300.15}, {"temp_cdeg": 2700}),
        ({"n": "distance", "u": "m", "v": 0.74}, {"distance_mm": 740}),
        ({"n": "distance", "u": "cm", "v": 74}, {"distance_mm": 740}),
        ({"n": "fill", "u": "/", "v": 0.5}, {"fill_pct": 50}),
        ({"n": "Humidity", "u": "%RH", "v": 70.5}, {"rh_cpct": 7050}),
        ({"n": "pressure", "u": "hPa", "v": 1008.6}, {"pressure_pa": 100860}),
        ({"n": "pm2.5", "u": "ug/m3", "v": 35.4}, {"pm25_ngm3": 35400}),
        ({"n": "pm1.0", "u": "ug/m3", "v": 5}, {"pm1_ngm3": 5000}),
        ({"n": "pm10", "u": "kg/m3", "v": 5e-8}, {"pm10_ngm3": 50000}),
        ({"n": "battery", "u": "V", "v": 3.71}, {"battery_mv": 3710}),
        ({"n": "no2", "u": "ppm", "v": -0.002}, {"no2_ppt": -2000}),
        ({"n": "weight", "u": "kg", "v": 0}, {"weight_g": 0}),
    ],
)
def test_name_and_unit_together_mean_a_quantity(record: dict[str, Any], wire_fields: dict[str, int]) -> None:
    """Each is converted to the unit of the wire; zero is a value."""
    assert senml({"bn": "dev1:", **record}) == wire_fields


@pytest.mark.parametrize(
    "record",
    [
        {"n": "temperature", "u": "V", "v": 3},  # a unit that is not one of a temperature
        {"n": "temperature", "v": 31},  # no unit: nobody knows what 31 is
        {"n": "board", "u": "Cel", "v": 60},  # not the temperature of the bin
        {"n": "temperature", "u": "Cel", "vs": "31"},
    ],
)
def test_what_is_not_certainly_a_quantity_gives_no_value(record: dict[str, Any]) -> None:
    """Beside a known record it is ignored, alone it is an error."""
    known = {"n": "distance", "u": "m", "v": 1}
    assert senml({"bn": "dev1:", **record}, known) == {"distance_mm": 1000}
    with pytest.raises(CodecError, match="no record"):
        senml({"bn": "dev1:", **record})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{}", "not a JSON list"),
        (b'[{"bn":"a:","bver":11,"n":"x","v":1}]', "version 11"),
        (b'[{"bn":"a:","n":"x","v":1,"must_":2}]', "must be understood"),
        (b'[{"n":" x","v":1}]', "is not a name"),
        (b'[{"bn":"a:","n":"x","v":true}]', "v is not a number"),
        (b'[{"bn":"a:","n":"x","v":1,"vs":"1"}]', "one value only"),
        (b'[{"bn":7,"n":"x","v":1}]', "bn is not a text"),
        (b"[" + b'{"n":"x","v":1},' * 256 + b'{"n":"x","v":1}]', "257 records"),
        (b"[" * 9000, "not a JSON list"),
    ],
)
def test_a_pack_that_breaks_the_standard_is_refused_with_a_reason(text: bytes, why: str) -> None:
    """One error with a sentence; nothing of the pack is used."""
    with pytest.raises(SenmlError, match=why):
        resolve(text)


def test_two_values_of_one_quantity_at_one_time_are_refused() -> None:
    """Equal values are one; different ones are an error."""
    one = {"bn": "a:", "n": "temp", "u": "Cel", "v": 3}
    assert senml(one, {"n": "temperature", "u": "K", "v": 276.15}) == {"temp_cdeg": 300}
    with pytest.raises(CodecError, match="two values"):
        senml(one, {"n": "temperature", "u": "Cel", "v": 4})


def test_every_meaning_is_a_field_of_the_wire() -> None:
    """The table of names cannot name a field that the wire does not have."""
    assert {meaning.field for meaning in MEANINGS.values()} <= KNOWN.keys()


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
_labels = st.sampled_from(["bn", "bt", "bu", "bv", "bver", "n", "u", "v", "vs", "vb", "vd", "s", "t", "ut", "x", "y_"])


@given(st.lists(st.dictionaries(_labels, _scalars, max_size=6), max_size=4))
def test_no_pack_makes_the_codec_raise_anything_else(records: list[dict[str, Any]]) -> None:
    """Every JSON list of objects: wire integers or the one error."""
    try:
        found = decode("senml", 0, pack(*records))
    except CodecError as error:
        assert error.code == "bad-uplink"
    else:
        assert isinstance(found, Report)
        assert all(wire.is_int(value) for value in found.fields.values())

"""Messages of other makes: identity, time and payload out of what wraps them."""

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from square.makes import FORMATS
from square.uplinks import MAX_DOCUMENT_BYTES, MAX_MESSAGE_BYTES, Uplink, UplinkError, read_uplinks
from tests.unit.square.foreign_messages import AT_S, DISTANCE_FRAME, EUI, chirpstack, senml, ttn

NOW_S = AT_S + 3
TOPICS = {
    "chirpstack": f"application/17c82e96/device/{EUI}/event/up",
    "ttn": "v3/resik@ttn/devices/tong-7/up",
    "airgradient": "airgradient/readings/84fce612f5b8",
    "senml": "senml/tong-7",
}


def read(form: str, payload: bytes) -> list[Uplink]:
    return read_uplinks(form, TOPICS[form], payload, NOW_S)


def one(form: str, payload: bytes) -> Uplink:
    (found,) = read(form, payload)
    return found


@pytest.mark.parametrize(
    ("form", "payload", "f_cnt", "rssi"), [("chirpstack", chirpstack(), 4, -64), ("ttn", ttn(), 12, -102)]
)
def test_a_network_server_names_device_time_port_and_payload(form, payload, f_cnt, rssi):
    """The DevEUI in small letters, the second of the reception, the frame unchanged, the best receiver."""
    found = one(form, payload)
    assert (found.foreign, found.at_s, found.is_dated) == (EUI, AT_S, True)
    assert base64.b64decode(found.body["data"]) == DISTANCE_FRAME
    assert found.body == {"port": 2, "data": found.body["data"], "fcnt": f_cnt, "rssi_dbm": rssi}


@pytest.mark.parametrize(
    ("form", "payload"),
    [("chirpstack", chirpstack(fCnt=None, fPort=None, data=b"")), ("ttn", ttn(f_cnt=None, f_port=None, data=b""))],
)
def test_numbers_that_are_left_out_are_zero(form, payload):
    """Both servers leave out zeros: the first frame of a session has no counter, one without payload no port."""
    assert one(form, payload).body | {"rssi_dbm": 0} == {"port": 0, "data": "", "fcnt": 0, "rssi_dbm": 0}


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        (chirpstack(), chirpstack(), True),
        (chirpstack(), chirpstack(deduplicationId="another", rxInfo=[]), True),  # a late copy by another receiver
        (chirpstack(), chirpstack(fCnt=5), False),
        (chirpstack(), chirpstack(devAddr="00189441"), False),  # joined again: a counter that starts again
        (chirpstack(), chirpstack(data=bytes.fromhex("0e1c0b0600")), False),
        (chirpstack(), chirpstack(fPort=3), False),
        (ttn(), ttn(), True),
        (ttn(), ttn(session_key_id="AYA4ZzU6rGzvTYtlQz4Bvx=="), False),
        (ttn(), ttn(f_cnt=13), False),
    ],
)
def test_what_makes_a_frame_the_same_frame(first, second, is_same):
    """Session, counter, port and payload; not who heard it, nor when."""
    form = "ttn" if b"end_device_ids" in first else "chirpstack"
    assert (one(form, first).content == one(form, second).content) is is_same


@pytest.mark.parametrize(
    ("form", "payload", "why"),
    [
        ("chirpstack", b"", "not a message of chirpstack"),
        ("chirpstack", b"[" * 9000, "not a message of chirpstack"),
        ("chirpstack", chirpstack(fCnt=-1), "fCnt"),
        ("chirpstack", chirpstack(fCnt=4.5), "fCnt"),
        ("chirpstack", chirpstack(time=None), "time"),
        ("chirpstack", chirpstack(time="yesterday"), "not a time"),
        ("chirpstack", chirpstack(time="2026-13-24T03:32:32Z"), "no instant"),
        ("chirpstack", chirpstack(time="1901-01-01T00:00:00Z"), "cannot be"),
        ("chirpstack", chirpstack(deviceInfo={"devEui": "70b3"}), "not a DevEUI"),
        ("chirpstack", chirpstack() .replace(b'"data": "', b'"data": "*'), "not base64"),
        ("chirpstack", chirpstack(joinServerContext={"sessionKeyId": "x"}), "encrypted"),
        ("chirpstack", chirpstack(data=b"x" * 1025), "1025 bytes"),
        ("chirpstack", b" " * (MAX_MESSAGE_BYTES + 1), "32769 bytes"),
        ("ttn", ttn(top={"simulated": True}), "simulated"),
        ("ttn", ttn(received_at=None), "received_at"),
        ("ttn", chirpstack(), "end_device_ids"),
        ("airgradient", b'{"serialno": 7}', "serial number"),
        ("airgradient", b'{"serialno":"84fce612f5b8","x":"' + b"y" * MAX_DOCUMENT_BYTES + b'"}', "4032 bytes|bytes"),
        ("senml", b"{}", "not a JSON list"),
        ("senml", senml({"bn": "a1b2:"}), "no record"),
        ("senml", senml({"n": "temp", "v": 1}), "base name"),
        ("senml", senml({"bn": "dev1:", "n": "a", "v": 1}, {"bn": "dev2:", "n": "a", "v": 1}), "several base names"),
        ("senml", senml(*[{"bn": "dev1:", "n": "a", "v": 1, "t": 1.7e9 + n} for n in range(65)]), "65 times"),
        ("senml", senml({"bn": "dev1:", "n": "a", "v": 1, "t": 1e15}), "cannot be"),
    ],
)  # fmt: skip
def test_what_is_no_such_message_is_refused_with_a_reason(form, payload, why):
    """One error with a code and a sentence; nothing of the message is used."""
    with pytest.raises(UplinkError, match=why) as caught:
        read(form, payload)
    assert caught.value.code in {"bad-uplink", "too-large"}


def test_an_airgradient_document_passes_unchanged_under_its_serial_number():
    """The document is the reading; it has no time, so the arrival stands in. Over MQTT the topic names the serial."""
    text = b'{"serialno": "84FCE612F5B8", "pm02": 34}'
    found = one("airgradient", text)
    assert (found.foreign, found.at_s, found.is_dated, found.content) == ("84fce612f5b8", NOW_S, False, text)
    assert msgspec.json.encode(found.body) == b'{"doc":' + text + b"}"
    assert one("airgradient", b'{"pm02": 34}').foreign == "84fce612f5b8"


def test_a_pack_with_several_times_is_several_readings():
    """Records of one second belong together; each reading carries its resolved records and its own time."""
    found = read(
        "senml",
        senml(
            {"bn": "urn:dev:mac:0024befffe804ff1:", "bt": AT_S, "bu": "Cel", "n": "temp", "v": 30.5},
            {"n": "distance", "u": "m", "v": 0.74},
            {"n": "temp", "t": -600, "v": 30.25},
        ),
    )
    assert [(uplink.foreign, uplink.at_s) for uplink in found] == [
        ("0024befffe804ff1", AT_S - 600),
        ("0024befffe804ff1", AT_S),
    ]
    assert json.loads(msgspec.json.encode(found[0].body)) == {
        "doc": [{"bn": "urn:dev:mac:0024befffe804ff1:", "n": "temp", "u": "Cel", "t": AT_S - 600, "v": 30.25}]
    }
    assert len(json.loads(found[1].content)) == 2


def test_times_that_are_relative_count_from_the_arrival():
    """RFC 8428 section 4.5.3: below 2**28 a time is relative to the present."""
    found = read("senml", senml({"bn": "dev1:", "n": "a", "v": 1, "t": -60}, {"n": "a", "v": 2, "t": 0}))
    assert [(uplink.at_s, uplink.is_dated) for uplink in found] == [(NOW_S - 60, False), (NOW_S, False)]


@given(
    form=st.sampled_from(FORMATS),
    cut=st.integers(0, 900),
    tail=st.binary(max_size=20),
    base=st.sampled_from(
        [chirpstack(), ttn(), b'{"serialno":"84fce612f5b8","pm02":34}', senml({"bn": "dev1:", "n": "a", "v": 1})]
    ),
)
def test_no_message_raises_anything_else(form, cut, tail, base):
    """Whole, cut, or with random bytes behind it, under each format: uplinks or the one error."""
    try:
        found = read_uplinks(form, TOPICS[form], base[:cut] + tail, NOW_S)
    except UplinkError as error:
        assert error.code in {"bad-uplink", "too-large"}
    else:
        assert all(uplink.at_s > 0 for uplink in found)

"""Reading up messages: identity only, and never an exception."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import messages
from gateway.envelope import Reading
from gateway.messages import MAX_RAW_BYTES, Poison, Presence, Readings, poison, read_message
from tests.unit.gateway.fakes import NOW_MS, SITE

TOPIC = f"resik/{SITE}/rsk-b001/up/bin"


def test_readings_are_opaque_beyond_identity_and_time() -> None:
    """A value out of range is ingest's business: the gateway takes it and keeps it as it came."""
    message = read_message(TOPIC, b'{"v":1,"boot":7,"r":[{"seq":1,"ts":5,"distance_mm":"far","new_field":[]}]}', NOW_MS)
    assert isinstance(message, Poison), "a nested value is refused by the envelope"
    message = read_message(TOPIC, b'{"v":1,"boot":7,"r":[{"seq":1,"ts":5,"distance_mm":"far","new_field":2}]}', NOW_MS)
    assert isinstance(message, Readings)
    assert message.readings == [Reading(1, 5, None, b'{"seq":1,"ts":5,"distance_mm":"far","new_field":2}')]
    assert (message.device, message.kind, message.oldest_seq, message.sent_up_s) == ("rsk-b001", "bin", None, None)


@pytest.mark.parametrize(
    ("topic", "payload", "code"),
    [
        (TOPIC, b"\x00\x01", "bad-json"),
        (TOPIC, b'{"v":2,"boot":7,"r":[{"seq":1,"ts":5}]}', "bad-version"),
        (TOPIC, b'{"v":1,"boot":-1,"r":[{"seq":1,"ts":5}]}', "bad-envelope"),
        (TOPIC, b'{"v":1,"boot":7,"r":[{"seq":0,"ts":5}]}', "bad-reading"),
        (TOPIC, b'{"v":1,"boot":7,"r":[{"seq":1,"up_s":5}]}', "bad-reading"),  # uptime without one at sending
        (TOPIC, b"{" + b" " * 9000 + b"}", "too-large"),
        (f"resik/{SITE}/rsk-b001/up/status", b'{"v":1}', "bad-envelope"),
        (f"resik/{SITE}/rsk-b001/up/will", b'{"v":1,"boot":true}', "bad-envelope"),
        (f"resik/{SITE}/RSK/up/bin", b"{}", "bad-topic"),
        (f"resik/{SITE}/rsk-b001/up/hello", b"{}", "bad-topic"),
        (f"resik/{SITE}/rsk-b001/down/ack", b"{}", "bad-topic"),
    ],
)
def test_what_cannot_be_read_is_poison_with_its_code(topic: str, payload: bytes, code: str) -> None:
    """Each way to be unreadable has the wire module's code, and the payload is kept as evidence."""
    message = read_message(topic, payload, NOW_MS)
    assert isinstance(message, Poison)
    assert message.code == code
    assert message.raw == payload[:MAX_RAW_BYTES]
    assert message.device == ("unknown" if "RSK" in topic else "rsk-b001")


def test_a_will_has_no_uptime_and_is_offline() -> None:
    """The broker writes a will for a device that vanished, so nothing in it tells repeats apart."""
    will = read_message(f"resik/{SITE}/rsk-b001/up/will", b'{"v":1,"boot":7,"up_s":9}', NOW_MS)
    assert isinstance(will, Presence)
    assert (will.online, will.up_s) == (False, None)


def test_poison_is_told_apart_by_topic_and_whole_payload() -> None:
    """Two long payloads that differ beyond the kept part are two pieces of evidence."""
    long = b"x" * (MAX_RAW_BYTES + 1)
    keys = {poison(t, p, "bad-json", NOW_MS).key for t in (TOPIC, TOPIC + "x") for p in (long, long + b"y")}
    assert len(keys) == 4
    assert poison(TOPIC, long, "bad-json", 1).key == poison(TOPIC, long, "bad-json", 2).key


@given(st.text(max_size=60) | st.just(TOPIC), st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_reading_never_raises(topic: str, payload: bytes) -> None:
    """Whatever comes, the result is something the spool can store."""
    assert isinstance(read_message(topic, payload, NOW_MS), Readings | Presence | Poison)


def test_a_fault_in_the_decoder_is_poison_not_a_crash(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even a bug of ours costs one message, and it is logged as a bug."""

    def broken(_payload: bytes) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(messages.wire, "decode_envelope", broken)
    message = read_message(TOPIC, b"{}", NOW_MS)
    assert isinstance(message, Poison)
    assert message.code == "bad-envelope"
    assert "ZeroDivisionError" in caplog.text

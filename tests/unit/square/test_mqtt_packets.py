"""Cutting a broker's stream into packets: any cut of the wire, any garbage, any size."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from square import mqtt_packets as packets
from square.errors import BrokerGarbled
from square.mqtt_packets import PacketCutter

MESSAGES = st.tuples(
    st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40),
    st.binary(max_size=400),
    st.integers(0, 1),
    st.integers(1, packets.MAX_PACKET_ID),
)


def cut_all(cutter: PacketCutter, limit: int = 1000) -> list[packets.Packet]:
    """Cut until nothing more is whole."""
    found: list[packets.Packet] = []
    while some := cutter.cut(limit):
        found += some
    return found


@given(
    messages=st.lists(MESSAGES, max_size=30), steps=st.lists(st.integers(1, 300), min_size=1), limit=st.integers(1, 7)
)
def test_any_cut_of_the_wire_gives_the_same_packets(messages, steps, limit) -> None:
    """However TCP cuts the stream and however few packets are taken at once: each comes out whole, once, in order."""
    stream = b"".join(packets.publish_packet(*message) for message in messages)
    cutter, found, at = PacketCutter(), [], 0
    for step in (steps * (len(stream) + 1))[: len(stream) + 1]:
        cutter.feed(stream[at : at + step])
        found += cut_all(cutter, limit)
        at += step
    assert [first & 0xF0 for first, _ in found] == [packets.PUBLISH] * len(messages)
    for (first, body), (topic, payload, qos, packet_id) in zip(found, messages, strict=True):
        name = topic.encode()
        identity = struct.pack("!H", packet_id) if qos else b""
        assert first == 0x30 | qos << 1
        assert body == struct.pack("!H", len(name)) + name + identity + payload


@given(st.binary(max_size=3000), st.integers(1, 500))
def test_garbage_ends_in_packets_or_in_one_error(data, step) -> None:
    """No byte sequence raises anything but the error that ends the connection, or makes bytes out of nothing."""
    cutter, size = PacketCutter(max_bytes=1000), 0
    try:
        for at in range(0, len(data), step):
            cutter.feed(data[at : at + step])
            size += sum(2 + len(body) for _, body in cut_all(cutter))
    except BrokerGarbled as error:
        assert error.retryable
    assert size <= len(data)


@given(st.integers(0, 3000), st.integers(1, 700))
def test_what_is_too_long_is_cut_short_and_what_follows_is_whole(size, step) -> None:
    """An oversized message comes out with its beginning, is never held in memory, and stops nothing."""
    stream = packets.publish_packet("t", b"x" * size, 1, 7) + packets.publish_packet("t", b"after", 1, 8)
    cutter, found = PacketCutter(max_bytes=500), []
    for at in range(0, len(stream), step):
        cutter.feed(stream[at : at + step])
        found += cut_all(cutter)
        assert len(cutter._data) <= 500 + 5 + step
    assert [len(body) for _, body in found] == [min(500, 5 + size), 10]
    assert found[1][1].endswith(b"after")


def test_a_length_of_five_bytes_is_no_mqtt() -> None:
    """The longest length has four bytes: a fifth cannot be waited for."""
    cutter = PacketCutter()
    cutter.feed(b"\x30\xff\xff\xff\xff")
    with pytest.raises(BrokerGarbled):
        cutter.cut(10)


def test_pubacks_are_written_in_the_order_given() -> None:
    """One write holds all of them, in order of arrival."""
    assert packets.puback_packets([1, 258, 65535]) == b"\x40\x02\x00\x01\x40\x02\x01\x02\x40\x02\xff\xff"
    assert packets.puback_packets([]) == b""


def test_connect_says_what_a_session_needs() -> None:
    """Protocol 4, the flags of account and clean session, keepalive, and the texts in order."""
    packet = packets.connect_packet("gw", 30, "user", "word", clean=False)
    assert packet == b"\x10\x1a\x00\x04MQTT\x04\xc0\x00\x1e\x00\x02gw\x00\x04user\x00\x04word"
    assert packets.connect_packet("gw", 30, None, None, clean=True) == b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x1e\x00\x02gw"

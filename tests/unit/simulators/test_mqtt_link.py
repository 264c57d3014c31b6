"""Bytes of the small MQTT client, checked against hand-written packets of the MQTT 3.1.1 specification."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.errors import LinkError
from simulators.mqtt_link import PacketReader, connect_packet, publish_packet, subscribe_packet


def test_connect_with_will_and_credentials():
    """CONNECT: flags user, password, will QoS 1 (0xCC), keepalive 60, then id, will, user, password in this order."""
    packet = connect_packet("abc", "u1", "p2", ("w/t", b"x"), clean=False)
    body = (
        b"\x00\x04MQTT\x04\xcc\x00\x3c"  # protocol, level 4, flags, keepalive
        b"\x00\x03abc\x00\x03w/t\x00\x01x\x00\x02u1\x00\x02p2"
    )
    assert packet == b"\x10" + bytes([len(body)]) + body


def test_connect_clean_and_anonymous():
    """Without will and user only the clean flag remains."""
    assert connect_packet("abc", None, None, None, clean=True) == b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03abc"


def test_publish_and_subscribe():
    """PUBLISH QoS 1 and SUBSCRIBE have the packet id where the specification puts it."""
    assert publish_packet("a/b", b"hi", 258) == b"\x32\x09\x00\x03a/b\x01\x02hi"
    assert subscribe_packet(["a/b"], 1) == b"\x82\x08\x00\x01\x00\x03a/b\x01"


def test_length_above_127_takes_two_bytes():
    """The remaining length is written seven bits at a time, low bits first."""
    packet = publish_packet("a", bytes(321), 1)  # 2 + 1 + 2 + 321 = 326 = 2 * 128 + 70
    assert packet[:3] == bytes([0x32, 70 | 0x80, 2])


@given(st.lists(st.binary(max_size=400), max_size=6), st.integers(1, 50))
def test_reader_is_indifferent_to_cuts(payloads, size):
    """Packets come out whole and in order however the stream is cut."""
    stream = b"".join(publish_packet("t", p, 1) for p in payloads)
    reader = PacketReader()
    packets = []
    for at in range(0, len(stream), size):
        packets += reader.feed(stream[at : at + size])
    assert [body[5:] for _, body in packets] == payloads


def test_reader_refuses_a_malformed_length():
    """Five length bytes, or a packet of 200 MB, are an error and not a wait for ever."""
    with pytest.raises(LinkError):
        PacketReader().feed(b"\x30\xff\xff\xff\xff\x01")
    with pytest.raises(LinkError):
        PacketReader().feed(b"\x30\xff\xff\xff\x60")

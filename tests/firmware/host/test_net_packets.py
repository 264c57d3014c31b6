"""The MQTT codec against a second one and against any bytes; CPython only."""

import contextlib
import struct

from hypothesis import given
from hypothesis import strategies as st

from firmware.net import LinkError, packets

TOPICS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=60)
IDS = st.integers(1, 65535)


def split(data: bytes) -> tuple[int, bytes]:
    """Read one packet as MQTT 3.1.1 section 2.2 has it, and nothing behind it."""
    length = factor = 0
    at = 1
    factor = 1
    while True:
        length += (data[at] & 127) * factor
        factor *= 128
        at += 1
        if not data[at - 1] & 128:
            break
    assert len(data) == at + length
    return data[0], data[at:]


def texts(data: bytes, count: int) -> tuple[list[bytes], bytes]:
    """Read fields with a length before them."""
    found = []
    for _ in range(count):
        (size,) = struct.unpack_from("!H", data)
        found.append(data[2 : 2 + size])
        data = data[2 + size :]
    return found, data


def cut(data: bytes, sizes: list[int]) -> list[tuple[int, bytes]]:
    """Feed a stream in pieces of the given sizes, the rest at once."""
    cutter = packets.Cutter()
    found = []
    for size in [*sizes, len(data)]:
        found += [(first, bytes(body)) for first, body in cutter.feed(data[:size])]
        data = data[size:]
    return found


@given(TOPICS, st.binary(max_size=9000), IDS, st.booleans())
def test_publish_round_trip(topic: str, payload: bytes, packet_id: int, again: bool) -> None:
    """What is encoded is read again, by the second codec and by our own."""
    data = packets.publish(topic, payload, packet_id, again)
    first, body = split(data)
    assert first == (0x3A if again else 0x32)
    (name,), rest = texts(body, 1)
    assert (name, rest) == (topic.encode(), struct.pack("!H", packet_id) + payload)
    assert packets.read_publish(first, bytearray(body)) == (topic, packet_id, payload)


@given(
    TOPICS,
    st.integers(0, 65535),
    st.none() | TOPICS,
    st.none() | TOPICS,
    st.none() | st.tuples(TOPICS, st.binary(max_size=300)),
    st.booleans(),
)
def test_connect_round_trip(  # noqa: PLR0917 - hypothesis passes by position
    client_id: str,
    keepalive_s: int,
    user: str | None,
    password: str | None,
    will: tuple[str, bytes] | None,
    clean: bool,
) -> None:
    """Flags say exactly which fields follow; a password never goes without a user."""
    first, body = split(packets.connect(client_id, keepalive_s, user, password, will, clean))
    assert first == 0x10
    assert body[:7] == b"\x00\x04MQTT\x04"
    flags, keepalive = struct.unpack_from("!BH", body, 7)
    expect = [client_id.encode()]
    wanted = 2 if clean else 0
    if will is not None:
        wanted |= 4 | 8
        expect += [will[0].encode(), will[1]]
    if user is not None:
        wanted |= 128
        expect.append(user.encode())
        if password is not None:
            wanted |= 64
            expect.append(password.encode())
    found, rest = texts(body[10:], len(expect))
    assert (flags, keepalive, found, rest) == (wanted, keepalive_s, expect, b"")


@given(st.lists(TOPICS, min_size=1, max_size=9), IDS)
def test_subscribe_round_trip(filters: list[str], packet_id: int) -> None:
    """Every filter is there, in order, with QoS 1."""
    first, body = split(packets.subscribe(filters, packet_id))
    assert (first, body[:2]) == (0x82, struct.pack("!H", packet_id))
    rest = body[2:]
    for item in filters:
        (name,), rest = texts(rest, 1)
        assert (name, rest[0]) == (item.encode(), 1)
        rest = rest[1:]
    assert rest == b""


@given(st.lists(st.tuples(TOPICS, st.binary(max_size=400), IDS), max_size=6), st.lists(st.integers(1, 50), max_size=80))
def test_any_pieces_give_the_same_packets(messages: list[tuple[str, bytes, int]], sizes: list[int]) -> None:
    """The cutter finds the same packets however the stream is split."""
    stream = b"".join(packets.publish(*message) for message in messages)
    found = [packets.read_publish(first, bytearray(body)) for first, body in cut(stream, sizes)]
    assert found == [(topic, packet_id, payload) for topic, payload, packet_id in messages]


@given(st.binary(max_size=400), st.lists(st.integers(1, 50), max_size=20))
def test_any_bytes_raise_nothing_but_link_errors(data: bytes, sizes: list[int]) -> None:
    """Whatever a broker sends, the codec answers with packets or with LinkError, and never holds more than it may."""
    cutter = packets.Cutter()
    with contextlib.suppress(LinkError):
        for size in [*sizes, len(data)]:
            for first, body in cutter.feed(data[:size]):
                with contextlib.suppress(LinkError):
                    packets.read_publish(first, bytearray(body))
                for read in (packets.read_connack, packets.read_puback, packets.read_suback):
                    with contextlib.suppress(LinkError):
                        read(body)
                assert len(body) <= packets.MAX_BODY_BYTES
            data = data[size:]
    assert len(cutter._body) <= packets.MAX_BODY_BYTES


def test_lengths_around_each_step_of_the_field() -> None:
    """127/128, 16,383/16,384 and 2,097,151/2,097,152 bytes are encoded as the standard has them."""
    for length in (127, 128, 16_383, 16_384, 2_097_151, 2_097_152):
        first, body = split(packets.publish("a", bytes(length - 5), 1))
        assert (first, len(body)) == (0x32, length)

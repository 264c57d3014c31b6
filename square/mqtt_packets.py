"""The packets of MQTT 3.1.1 that a server of ours sends and receives, as bytes. Pure.

Only what :class:`square.mqtt_stream.MqttStream` needs: no quality of service 2, no will, no UNSUBSCRIBE.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from square.errors import BrokerGarbled

CONNACK: Final = 0x20
PUBLISH: Final = 0x30
PUBACK: Final = 0x40
SUBACK: Final = 0x90
PINGRESP: Final = 0xD0

PINGREQ_PACKET: Final = b"\xc0\x00"
DISCONNECT_PACKET: Final = b"\xe0\x00"

MAX_PACKET_ID: Final = 65_535
SUBSCRIBE_FAILED: Final = 0x80

REFUSALS: Final = {
    1: "Unsupported protocol version",
    2: "Client identifier not valid",
    3: "Server unavailable",
    4: "Bad user name or password",
    5: "Not authorized",
}
"""Return codes of CONNACK, in words."""
SERVER_UNAVAILABLE: Final = 3

_LENGTHS: Final = {CONNACK: 2, PUBACK: 2, PINGRESP: 0}
_MOST_LENGTH_BYTES: Final = 4
_MORE: Final = 0x80

Packet = tuple[int, bytes]
"""First byte and body of a packet."""


def _packet(first: int, body: bytes) -> bytes:
    length = len(body)
    head = bytearray((first,))
    while True:
        length, low = divmod(length, 128)
        head.append(low | (_MORE if length else 0))
        if not length:
            return bytes(head) + body


def _text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def connect_packet(
    client_id: str, keepalive_s: int, username: str | None, password: str | None, *, clean: bool
) -> bytes:
    """Encode CONNECT, without a will."""
    flags = 0x02 if clean else 0
    body = b""
    if username is not None:
        flags |= 0x80
        body += _text(username)
        if password is not None:
            flags |= 0x40
            body += _text(password)
    return _packet(0x10, _text("MQTT") + struct.pack("!BBH", 4, flags, keepalive_s) + _text(client_id) + body)


def subscribe_packet(packet_id: int, filters: Mapping[str, int]) -> bytes:
    """Encode SUBSCRIBE of topic filters, each with its quality of service."""
    wanted = b"".join(_text(topic_filter) + bytes((qos,)) for topic_filter, qos in filters.items())
    return _packet(0x82, struct.pack("!H", packet_id) + wanted)


def publish_packet(topic: str, payload: bytes, qos: int, packet_id: int, *, retain: bool = False) -> bytes:
    """Encode PUBLISH; with quality of service 0 the packet id means nothing."""
    identity = struct.pack("!H", packet_id) if qos else b""
    return _packet(PUBLISH | qos << 1 | retain, _text(topic) + identity + payload)


def puback_packets(packet_ids: Sequence[int]) -> bytes:
    """Encode a PUBACK for each packet id, in this order."""
    words = [0x4002] * (2 * len(packet_ids))
    words[1::2] = packet_ids
    return struct.pack(f"!{len(words)}H", *words)


def packet_id_of(body: bytes) -> int:
    """Return the packet id with which the body of PUBACK and SUBACK begins."""
    return body[0] << 8 | body[1]


def refused_filters(body: bytes, filters: Iterable[str]) -> list[str]:
    """Return which filters of a SUBSCRIBE its SUBACK refuses."""
    return [text for text, code in zip(filters, body[2:], strict=False) if code & SUBSCRIBE_FAILED]


class PacketCutter:
    """Cuts the stream of a broker into packets.

    Parameters
    ----------
    max_bytes
        What is kept of a body. Of a longer one the beginning comes out and the rest is read and let go: a message of
        256 MB is legal, would come again after each reconnect, and must neither fill the memory nor stop what follows.
    """

    def __init__(self, max_bytes: int = 1 << 20) -> None:
        self._max_bytes = max_bytes
        self._data = b""
        self._at = 0
        self._skip = 0

    def feed(self, data: bytes) -> None:
        """Take what came over the wire."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def cut(self, limit: int) -> list[Packet]:
        """Return the packets that are whole by now, at most `limit`.

        Raises
        ------
        BrokerGarbled
            If this is no MQTT; nothing more can be read then.
        """
        data, at, end = self._data, self._at, len(self._data)
        packets: list[Packet] = []
        append = packets.append
        while len(packets) < limit and end - at >= 2:  # noqa: PLR2004 - the shortest packet
            first = data[at]
            length = data[at + 1]
            body = at + 2
            if length >= _MORE:
                if end - at >= 3 and data[at + 2] < _MORE:  # noqa: PLR2004 - two bytes of length: almost every message
                    length += (data[at + 2] << 7) - _MORE
                    body += 1
                else:
                    length, body = _long_length(data, at, end)
                    if not body:
                        break
            kind = first & 0xF0
            if kind != PUBLISH and _LENGTHS.get(kind, length) != length:
                raise BrokerGarbled(f"a packet of type {first >> 4} with {length} bytes is no MQTT")
            if length > self._max_bytes:
                if end - body < self._max_bytes:
                    break
                append((first, data[body : body + self._max_bytes]))
                at = min(end, body + length)
                self._skip = body + length - at
                continue
            if body + length > end:
                break
            append((first, data[body : body + length]))
            at = body + length
        self._at = at
        return packets


def _long_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Read a remaining length of more than one byte; return it and where the body begins, 0 if it is not all there."""
    length = shift = 0
    for place in range(at + 1, min(end, at + 1 + _MOST_LENGTH_BYTES)):
        length |= (data[place] & 0x7F) << shift
        if data[place] < _MORE:
            return length, place + 1
        shift += 7
    if end - at > _MOST_LENGTH_BYTES:
        raise BrokerGarbled("a packet whose length has more than four bytes is no MQTT")
    return 0, 0

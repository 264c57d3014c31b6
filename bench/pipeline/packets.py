"""The few MQTT 3.1.1 packets that load and receivers need, as bytes.

A code of its own, so that a fault of the connections under test cannot hide in the instrument.
"""

import struct

CONNACK, PUBLISH, PUBACK, SUBACK = 0x20, 0x30, 0x40, 0x90
PUBACK_BYTES = 4
MAX_PACKET_ID = 65_535


def _packet(first: int, body: bytes) -> bytes:
    length, head = len(body), bytearray((first,))
    while True:
        length, digit = divmod(length, 128)
        head.append(digit | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def connect(client_id: str) -> bytes:
    """Encode CONNECT: clean session, no keepalive, no account."""
    return _packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + _text(client_id))


def subscribe(topic_filter: str) -> bytes:
    """Encode SUBSCRIBE with QoS 1, packet id 1."""
    return _packet(0x82, b"\x00\x01" + _text(topic_filter) + b"\x01")


def publish(topic: str, payload: bytes, packet_id: int) -> bytes:
    """Encode PUBLISH with QoS 1, not retained."""
    return _packet(PUBLISH | 2, _text(topic) + struct.pack(">H", packet_id) + payload)


class Splitter:
    """Cuts a stream into packets."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return first byte and body of each packet that is whole by now."""
        buffer = self._rest + data if self._rest else data
        packets: list[tuple[int, bytes]] = []
        append = packets.append
        at, end = 0, len(buffer)
        while end - at >= 2:
            length, body = buffer[at + 1], at + 2
            if length >= 0x80:  # almost every packet here: 128 bytes to 16 kB
                if end - at < 3:
                    break
                length, body = length & 0x7F | buffer[at + 2] << 7, at + 3
                if length >= 0x4000:
                    if end - at < 4:
                        break
                    length, body = length & 0x3FFF | buffer[at + 3] << 14, at + 4
                    if length >= 0x200000:
                        raise ValueError("a packet of more than 2 MB has no place here")
            if body + length > end:
                break
            append((buffer[at], buffer[body : body + length]))
            at = body + length
        self._rest = buffer[at:]
        return packets


def published(body: bytes) -> tuple[bytes, bytes]:
    """Return packet id and payload of a PUBLISH with QoS 1."""
    at = 2 + (body[0] << 8 | body[1])
    return body[at : at + 2], body[at + 2 :]

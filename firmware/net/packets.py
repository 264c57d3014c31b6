"""MQTT 3.1.1 packets of a client, as bytes; no I/O. Wrong bytes raise LinkError("packet", why)."""

from firmware.net import LinkError

CONNACK = 2
PUBLISH = 3
PUBACK = 4
SUBACK = 9
PINGRESP = 13

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

MAX_BODY_BYTES = 3072
"""Longest packet that is taken: what comes down for a node is shorter, and more has no room beside TLS."""

MAX_SKIP_BYTES = 262144
"""A PUBLISH up to this length is thrown away instead of breaking the link: a retained one would come back for ever."""

HEAD_BYTES = 256
"""What is kept of a thrown away packet, to acknowledge it."""


def _text(value):
    raw = value.encode() if isinstance(value, str) else value
    return bytes((len(raw) >> 8, len(raw) & 255)) + raw


def _packet(first, parts):
    length = 0
    for part in parts:
        length += len(part)
    head = bytearray((first,))
    while True:
        low = length & 127
        length >>= 7
        head.append(low | 128 if length else low)
        if not length:
            break
    return b"".join([bytes(head)] + parts)  # noqa: RUF005 - unpacking is no syntax of MicroPython


def connect(client_id, keepalive_s, user=None, password=None, will=None, clean=False):
    """Encode CONNECT; `will` is (topic, payload), sent with QoS 1 and not retained."""
    flags = 2 if clean else 0
    parts = [_text(client_id)]
    if will is not None:
        flags |= 12
        parts.append(_text(will[0]))
        parts.append(_text(will[1]))
    if user is not None:
        flags |= 128
        parts.append(_text(user))
        if password is not None:
            flags |= 64
            parts.append(_text(password))
    parts.insert(0, b"\x00\x04MQTT\x04" + bytes((flags, keepalive_s >> 8, keepalive_s & 255)))
    return _packet(0x10, parts)


def publish(topic, payload, packet_id, again=False):
    """Encode PUBLISH with QoS 1, not retained; `again` sets DUP."""
    return _packet(0x3A if again else 0x32, [_text(topic), _id(packet_id), payload])


def subscribe(filters, packet_id):
    """Encode SUBSCRIBE with QoS 1 for every filter."""
    return _packet(0x82, [_id(packet_id)] + [_text(item) + b"\x01" for item in filters])


def puback(packet_id):
    """Encode PUBACK."""
    return b"\x40\x02" + _id(packet_id)


def next_id(packet_id):
    """Return the packet id that follows: 1..65535, never 0."""
    return packet_id % 65535 + 1


def _id(packet_id):
    return bytes((packet_id >> 8, packet_id & 255))


def _number(body, at):
    return body[at] << 8 | body[at + 1]


def read_connack(body):
    """Decode CONNACK into (session_present, code)."""
    if len(body) != 2:
        raise LinkError("packet", "connack")
    return bool(body[0] & 1), body[1]


def read_puback(body):
    """Decode PUBACK into its packet id."""
    if len(body) != 2:
        raise LinkError("packet", "puback")
    return _number(body, 0)


def read_suback(body):
    """Decode SUBACK into (packet_id, codes)."""
    if len(body) < 3:
        raise LinkError("packet", "suback")
    return _number(body, 0), bytes(body[2:])


def read_publish(first, body):
    """Decode PUBLISH into (topic, packet_id, payload); the id is 0 for QoS 0."""
    qos = first >> 1 & 3
    at = _number(body, 0) + 2 if len(body) > 1 else 2
    end = at + 2 if qos else at
    if qos > 1 or at == 2 or end > len(body):
        raise LinkError("packet", "publish")
    try:
        topic = bytes(memoryview(body)[2:at]).decode()
    except ValueError:
        raise LinkError("packet", "topic")  # noqa: B904 - MicroPython has no `from`
    packet_id = _number(body, at) if qos else 0
    if qos and not packet_id:
        raise LinkError("packet", "id 0")
    return topic, packet_id, bytes(memoryview(body)[end:])  # one copy: it may be 3 KB


class Cutter:
    """Cuts a stream into packets and holds no more than one of them.

    A message that is too long, or for which there is no room, comes out as its first bytes, with `whole` False.
    """

    def __init__(self):
        self.whole = True
        self._first = 0
        self._length = 0
        self._shift = -1  # -1: the next byte begins a packet; -2: inside a body
        self._body = bytearray()
        self._at = 0

    def feed(self, data):
        """Take bytes and yield (first byte, body) of each packet that became complete."""
        at = 0
        while at < len(data):
            if self._shift != -2:
                self._head(data[at])
                at += 1
            else:
                take = min(self._length - self._at, len(data) - at)
                keep = min(take, len(self._body) - self._at)
                if keep > 0:
                    self._body[self._at : self._at + keep] = data[at : at + keep]
                self._at += take
                at += take
            if self._shift == -2 and self._at == self._length:
                body = self._body
                self._body = bytearray()
                self._shift = -1
                yield self._first, body

    def _head(self, byte):
        if self._shift == -1:
            self._first = byte
            self._length = self._shift = 0
            return
        self._length |= (byte & 127) << self._shift
        self._shift += 7
        if byte & 128:
            if self._shift > 21:
                raise LinkError("packet", "length")
            return
        self.whole = self._length <= MAX_BODY_BYTES
        if not self.whole and (self._first >> 4 != PUBLISH or self._length > MAX_SKIP_BYTES):
            raise LinkError("packet", "%d bytes" % self._length)
        try:
            self._body = bytearray(self._length if self.whole else HEAD_BYTES)
        except MemoryError:
            if self._first >> 4 != PUBLISH:
                raise
            self.whole = False
            self._body = bytearray(HEAD_BYTES)
        self._at = 0
        self._shift = -2

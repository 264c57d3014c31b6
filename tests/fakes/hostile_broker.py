"""A TCP server that misbehaves on purpose, one script for each way in which a broker can fail a node."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

CONNACK = b"\x20\x02\x00\x00"
LOAD = b"x" * 200


class GoneError(Exception):
    """The node closed the connection."""


class Peer:
    """One connection, seen from the broker."""

    def __init__(self, connection: socket.socket, received: list[tuple[int, bytes]], stop: threading.Event) -> None:
        self.connection = connection
        self.stop = stop
        self._received = received

    def send(self, data: bytes) -> None:
        """Send all of it."""
        try:
            self.connection.sendall(data)
        except OSError as error:
            raise GoneError from error

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            try:
                more = self.connection.recv(count - len(data))
            except OSError as error:
                raise GoneError from error
            if not more:
                raise GoneError
            data += more
        return data

    def packet(self) -> tuple[int, bytes]:
        """Read one packet of the node and note it."""
        first = self._exactly(1)[0]
        length = shift = 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
        found = first, self._exactly(length)
        self._received.append(found)
        return found

    def hold(self) -> None:
        """Read and say nothing until the node gives up."""
        while True:
            self.packet()


def publish(topic: bytes, payload: bytes, packet_id: int) -> bytes:
    """Encode a PUBLISH with QoS 1, or 0 when the id is 0."""
    body = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", packet_id) if packet_id else b"") + payload
    return bytes([0x32 if packet_id else 0x30]) + length_of(len(body)) + body


def length_of(length: int) -> bytes:
    """Encode a remaining length."""
    made = bytearray()
    while True:
        length, low = divmod(length, 128)
        made.append(low | (128 if length else 0))
        if not length:
            return bytes(made)


def serve(
    peer: Peer,
    *,
    connack: bytes = CONNACK,
    on_subscribe: Callable[[Peer, bytes], None] | None = None,
    on_publish: Callable[[Peer, bytes], None] | None = None,
) -> None:
    """Behave, but for what is handed in; the callables get the packet id as two bytes."""
    while True:
        first, body = peer.packet()
        kind = first >> 4
        if kind == 1:
            peer.send(connack)
        elif kind == 8 and on_subscribe:
            on_subscribe(peer, body[:2])
        elif kind == 3 and on_publish:
            on_publish(peer, packet_id_of(body))
        else:
            answer_one(peer, first, body)


def packet_id_of(body: bytes) -> bytes:
    """Return the packet id of a PUBLISH."""
    at = 2 + struct.unpack_from("!H", body)[0]
    return body[at : at + 2]


def answer_one(peer: Peer, first: int, body: bytes) -> None:
    """Answer one packet as a good broker does."""
    kind = first >> 4
    if kind == 1:
        peer.send(CONNACK)
    elif kind == 8:
        peer.send(b"\x90\x03" + body[:2] + b"\x01")
    elif kind == 3:
        peer.send(b"\x40\x02" + packet_id_of(body))
    elif kind == 12:
        peer.send(b"\xd0\x00")
    elif kind == 14:
        raise GoneError


def _nothing(peer: Peer, packet_id: bytes) -> None:
    pass


def _wrong_id(peer: Peer, packet_id: bytes) -> None:
    peer.send(b"\x40\x02" + struct.pack("!H", struct.unpack("!H", packet_id)[0] + 1))


def _twice(peer: Peer, packet_id: bytes) -> None:
    peer.send((b"\x40\x02" + packet_id) * 2)


def _half_then_close(peer: Peer, packet_id: bytes) -> None:
    peer.send(publish(b"a/b", LOAD, 7)[:50])
    raise GoneError


def _half_then_nothing(peer: Peer, packet_id: bytes) -> None:
    peer.send(publish(b"a/b", LOAD, 7)[:50])


def _flood(packet_id: int) -> Callable[[Peer, bytes], None]:
    block = publish(b"a/b", LOAD, packet_id) * 50

    def flood(peer: Peer, _packet_id: bytes) -> None:
        peer.connection.settimeout(0.2)  # it reads nothing: its own buffer may be full of the node's acks
        while not peer.stop.is_set():
            try:
                peer.connection.sendall(block)
            except TimeoutError:
                continue
            except OSError as error:
                raise GoneError from error

    return flood


def _send_before_ack(data: bytes) -> Callable[[Peer, bytes], None]:
    def send(peer: Peer, packet_id: bytes) -> None:
        peer.send(data)
        peer.send(b"\x40\x02" + packet_id)

    return send


def _drip(peer: Peer) -> None:
    peer.packet()
    for byte in CONNACK:
        peer.stop.wait(0.02)
        peer.send(bytes([byte]))
    serve(peer)


def _refuse_and_go(peer: Peer) -> None:
    peer.packet()
    peer.send(b"\x20\x02\x00\x05")


def _reset(peer: Peer) -> None:
    peer.packet()
    peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise GoneError


def _swallow(peer: Peer) -> None:
    """Take bytes of whatever protocol and never answer."""
    while peer.connection.recv(4096):
        pass


def _close_in_handshake(peer: Peer) -> None:
    peer.connection.recv(4096)
    raise GoneError


def _half_server_hello(peer: Peer) -> None:
    peer.connection.recv(4096)
    peer.send(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(20))
    raise GoneError


def _old_tls(peer: Peer) -> None:
    """Agree to TLS 1.1: a ServerHello of 38 bytes with version 3.2 and an ECDSA cipher."""
    peer.connection.recv(4096)
    hello = b"\x03\x02" + bytes(32) + b"\x00\xc0\x09\x00"
    peer.send(b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26" + hello)
    _swallow(peer)


def _plain_text(peer: Peer) -> None:
    peer.connection.recv(4096)
    peer.send(CONNACK + b"\x90\x03\x00\x01\x01" + b"\x40\x02\x00\x02")
    _swallow(peer)


def _leaves_after_ping(peer: Peer) -> None:
    while True:
        first, body = peer.packet()
        if first >> 4 == 12:
            peer.send(b"\xd0\x00")
            return
        answer_one(peer, first, body)


def _broken_puback(peer: Peer, packet_id: bytes) -> None:
    peer.send(b"\x40\x01\x00")


BEHAVIOURS: dict[str, Callable[[Peer], None]] = {
    "good": serve,
    "silent": _swallow,
    "close": _close_in_handshake,
    "reset": _reset,
    "no-connack": lambda peer: peer.hold(),
    "connack-5": lambda peer: serve(peer, connack=b"\x20\x02\x00\x05"),
    "connack-5-gone": _refuse_and_go,
    "connack-3": lambda peer: serve(peer, connack=b"\x20\x02\x00\x03"),
    "connack-twice": lambda peer: serve(peer, connack=CONNACK * 2),
    "publish-first": lambda peer: serve(peer, connack=publish(b"a/b", b"", 1)),
    "drip": _drip,
    "no-suback": lambda peer: serve(peer, on_subscribe=_nothing),
    "suback-128": lambda peer: serve(peer, on_subscribe=lambda p, i: p.send(b"\x90\x03" + i + b"\x80")),
    "suback-short": lambda peer: serve(peer, on_subscribe=lambda p, i: p.send(b"\x90\x02" + i)),
    "no-puback": lambda peer: serve(peer, on_publish=_nothing),
    "puback-twice": lambda peer: serve(peer, on_publish=_twice),
    "puback-wrong-id": lambda peer: serve(peer, on_publish=_wrong_id),
    "puback-broken": lambda peer: serve(peer, on_publish=_broken_puback),
    "half-close": lambda peer: serve(peer, on_publish=_half_then_close),
    "half-hold": lambda peer: serve(peer, on_publish=_half_then_nothing),
    "flood-0": lambda peer: serve(peer, on_publish=_flood(0)),
    "flood-1": lambda peer: serve(peer, on_publish=_flood(9)),
    "one-message": lambda peer: serve(peer, on_publish=_send_before_ack(publish(b"a/b", LOAD, 77))),
    "huge": lambda peer: serve(peer, on_publish=_send_before_ack(publish(b"a/b", bytes(200_000), 77))),
    "huge-suback": lambda peer: serve(peer, on_publish=_send_before_ack(b"\x90" + length_of(200_000) + bytes(200_000))),
    "giant": lambda peer: serve(peer, on_publish=_send_before_ack(publish(b"a/b", bytes(300_000), 77))),
    "bad-length": lambda peer: serve(peer, on_publish=_send_before_ack(b"\x30\xff\xff\xff\xff\x7f")),
    "bad-topic": lambda peer: serve(peer, on_publish=_send_before_ack(publish(b"a/\xff\xfe", b"", 1))),
    "qos-2": lambda peer: serve(peer, on_publish=_send_before_ack(b"\x34\x07\x00\x01a\x00\x05hi")),
    "leaves-after-ping": _leaves_after_ping,
    "for-servers": lambda peer: serve(peer, on_publish=_send_before_ack(b"\xc0\x00")),
    "tls-close": _close_in_handshake,
    "tls-half": _half_server_hello,
    "tls-silent": _swallow,
    "tls-plain": _plain_text,
    "tls-old": _old_tls,
}


class HostileBroker:
    """Listens on loopback while the context lasts and treats every connection by one of `BEHAVIOURS`."""

    def __init__(self, behaviour: str) -> None:
        self.received: list[tuple[int, bytes]] = []
        """Packets of the node: first byte and body."""
        self._behave = BEHAVIOURS[behaviour]
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._connections: list[socket.socket] = []

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            thread = threading.Thread(target=self._treat, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _treat(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(GoneError, OSError):
            self._behave(Peer(connection, self.received, self._stop))

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)

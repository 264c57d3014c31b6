"""A small MQTT 3.1.1 client on asyncio: one process holds a thousand of them.

Why not the servers' connection class: a virtual node needs neither its thread nor its queue, and a thousand of them
would be a thousand threads. A thousand paho clients on its external loop would still connect by blocking calls and
cost three file descriptors and two to six times the processor time per message of a plain asyncio protocol. This
client speaks only what a node speaks (CONNECT with a will, SUBSCRIBE, PUBLISH QoS 1 both ways, PING), each step has
a deadline, and it never repeats a message by itself: a node repeats readings, not packets, until the application
acknowledges them.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import Final

from simulators.errors import LinkError, LinkRefused

STEP_TIMEOUT_S: Final = 15.0
KEEPALIVE_S: Final = 60

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP = 2, 3, 4, 9, 13
_REFUSALS = {
    1: "protocol version refused",
    2: "client id refused",
    3: "broker not available",
    4: "user name or password refused",
    5: "not authorised",
}
_SUBSCRIBE_FAILED = 0x80
_MAX_PACKET_BYTES = 1 << 20
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def ack_at_once(connection: socket.socket | None) -> None:
    """Ask the kernel not to delay its TCP ack of what was just read.

    A broker with Nagle's algorithm holds an application ack back until its PUBACK is acknowledged by TCP, which
    costs 40 ms in each round. Linux forgets the option after use.
    """
    if connection is not None and _QUICKACK is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def _text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def _packet(first: int, body: bytes) -> bytes:
    length = len(body)
    header = bytearray([first])
    while True:
        length, low = divmod(length, 128)
        header.append(low | (0x80 if length else 0))
        if not length:
            return bytes(header) + body


def connect_packet(
    client_id: str, username: str | None, password: str | None, will: tuple[str, bytes] | None, *, clean: bool
) -> bytes:
    """Encode CONNECT; the will is QoS 1 and not retained."""
    flags = 0x02 if clean else 0
    payload = _text(client_id)
    if will is not None:
        flags |= 0x04 | 0x08
        payload += _text(will[0]) + _text(will[1])
    if username is not None:
        flags |= 0x80
        payload += _text(username)
        if password is not None:
            flags |= 0x40
            payload += _text(password)
    return _packet(0x10, _text("MQTT") + bytes([4, flags]) + struct.pack("!H", KEEPALIVE_S) + payload)


def publish_packet(topic: str, payload: bytes, packet_id: int) -> bytes:
    """Encode PUBLISH with QoS 1, not retained."""
    return _packet(0x32, _text(topic) + struct.pack("!H", packet_id) + payload)


def subscribe_packet(filters: Sequence[str], packet_id: int) -> bytes:
    """Encode SUBSCRIBE with QoS 1 for every filter."""
    return _packet(0x82, struct.pack("!H", packet_id) + b"".join(_text(f) + b"\x01" for f in filters))


class PacketReader:
    """Cuts a byte stream into MQTT packets."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Add bytes and return the packets that became complete as (first byte, body).

        Raises
        ------
        LinkError
            A length is malformed or beyond 1 MiB, which no node expects.
        """
        self._buffer += data
        packets: list[tuple[int, bytes]] = []
        while True:
            length, shift, at = 0, 0, 1
            while True:
                if at >= len(self._buffer):
                    return packets
                byte = self._buffer[at]
                length |= (byte & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if not byte & 0x80:
                    break
                if shift > 21:  # noqa: PLR2004 - four length bytes at most
                    raise LinkError("the broker sent a malformed packet length")
            if length > _MAX_PACKET_BYTES:
                raise LinkError(f"the broker sent a packet of {length} bytes")
            if len(self._buffer) < at + length:
                return packets
            packets.append((self._buffer[0], bytes(self._buffer[at : at + length])))
            del self._buffer[: at + length]


class MqttLink(asyncio.Protocol):
    """One connection of one node, from CONNECT to its end; made by `open_link`.

    Parameters
    ----------
    on_message
        Called with topic and payload of each delivered message, before its PUBACK.
    on_lost
        Called once when the link ends, whatever the cause.
    """

    def __init__(self, on_message: Callable[[str, bytes], None], on_lost: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._reader = PacketReader()
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[tuple[int, int], asyncio.Future[bytes]] = {}
        self._packet_id = 0
        self._ping: asyncio.TimerHandle | None = None
        self._heard_at = self._loop.time()
        self.lost: str | None = None
        """Why the link ended, None while it lives."""

    # -- asyncio.Protocol ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; asyncio calls this."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        ack_at_once(self._socket)
        self._ping = self._loop.call_later(KEEPALIVE_S / 2, self._keep_alive)

    def data_received(self, data: bytes) -> None:
        """Handle what arrived; asyncio calls this."""
        self._heard_at = self._loop.time()
        ack_at_once(self._socket)
        try:
            for first, body in self._reader.feed(data):
                self._handle(first, body)
        except (LinkError, struct.error, IndexError, UnicodeDecodeError) as error:
            self._end(f"protocol error: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everybody who waits; asyncio calls this."""
        self._end(str(exc) if exc else "closed by the broker")

    # -- for the node -------------------------------------------------------------------------

    async def request(self, packet: bytes, answer: int, packet_id: int = 0) -> bytes:
        """Send a packet and wait for its answer.

        Raises
        ------
        LinkError
            The link ended or the answer did not come in time (the link is then closed).
        """
        future = self.begin(packet, answer, packet_id)
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                return await future
        except TimeoutError as error:
            self._end(f"no answer of type {answer} within {STEP_TIMEOUT_S:.0f} s")
            raise LinkError(self.lost or "timeout") from error

    def begin(self, packet: bytes, answer: int, packet_id: int = 0) -> "asyncio.Future[bytes]":
        """Send a packet and return the future of its answer's body."""
        if self.lost is not None or self._transport is None:
            raise LinkError(self.lost or "not connected")
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[answer, packet_id] = future
        self._transport.write(packet)
        return future

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe with QoS 1.

        Raises
        ------
        LinkRefused
            The broker refused at least one filter.
        LinkError
            See `request`.
        """
        packet_id = self._next_id()
        body = await self.request(subscribe_packet(filters, packet_id), _SUBACK, packet_id)
        if _SUBSCRIBE_FAILED in body[2:]:
            raise LinkRefused(f"subscription refused: {', '.join(filters)}")

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1 and wait for the PUBACK, which proves only that the broker is alive.

        Raises
        ------
        LinkError
            See `request`.
        """
        packet_id = self._next_id()
        await self.request(publish_packet(topic, payload, packet_id), _PUBACK, packet_id)

    def close(self, *, politely: bool = True) -> None:
        """End the link; with DISCONNECT the broker forgets the will, without it publishes the will."""
        if self._transport is not None and self.lost is None:
            if politely:
                self._transport.write(_packet(0xE0, b""))
                self._transport.close()
            else:
                self._transport.abort()
        self._end("closed by the node")

    # -- inside -------------------------------------------------------------------------------

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 65_535 + 1
        return self._packet_id

    def _handle(self, first: int, body: bytes) -> None:
        kind = first >> 4
        if kind == _PUBLISH:
            size = struct.unpack_from("!H", body)[0]
            topic = body[2 : 2 + size].decode()
            at = 2 + size
            if first & 0x06:
                self._on_message(topic, body[at + 2 :])
                if self._transport is not None and not self._transport.is_closing():
                    self._transport.write(_packet(0x40, body[at : at + 2]))
            else:
                self._on_message(topic, body[at:])
        elif kind in {_CONNACK, _PUBACK, _SUBACK}:
            packet_id = 0 if kind == _CONNACK else struct.unpack_from("!H", body)[0]
            future = self._waiting.pop((kind, packet_id), None)
            if future is not None and not future.done():
                future.set_result(body)
        elif kind != _PINGRESP:
            raise LinkError(f"packet type {kind} is not for a client")

    def _keep_alive(self) -> None:
        if self.lost is not None or self._transport is None:
            return
        if self._loop.time() - self._heard_at > 1.5 * KEEPALIVE_S:
            self._end("the broker is silent")
            return
        self._transport.write(_packet(0xC0, b""))
        self._ping = self._loop.call_later(KEEPALIVE_S / 2, self._keep_alive)

    def _end(self, reason: str) -> None:
        if self.lost is not None:
            return
        self.lost = reason
        if self._ping is not None:
            self._ping.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(LinkError(reason))
                future.exception()  # a waiter that has given up already must not cause a warning
        self._waiting.clear()
        self._on_lost()


async def open_link(
    host: str,
    port: int,
    client_id: str,
    *,
    username: str | None,
    password: str | None,
    will: tuple[str, bytes] | None,
    on_message: Callable[[str, bytes], None],
    on_lost: Callable[[], None],
    tls: ssl.SSLContext | None = None,
    clean: bool = False,
) -> MqttLink:
    """Connect and return the link after the broker accepted it.

    Raises
    ------
    LinkRefused
        The broker said no.
    LinkError
        Nobody answered in time, or the address cannot be reached.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            _, link = await loop.create_connection(
                lambda: MqttLink(on_message, on_lost), host, port, ssl=tls, server_hostname=host if tls else None
            )
    except (OSError, TimeoutError, ssl.SSLError) as error:
        raise LinkError(f"no connection to {host}:{port}: {error or 'timeout'}") from error
    body = await link.request(connect_packet(client_id, username, password, will, clean=clean), _CONNACK)
    if body[1]:
        link.close(politely=False)
        raise LinkRefused(_REFUSALS.get(body[1], f"code {body[1]}"))
    return link

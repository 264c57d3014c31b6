"""The connection of one device of a load: as few system calls for a message as asyncio allows."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from simulators.errors import LinkRefused
from simulators.mqtt_link import ack_at_once
from square.errors import BrokerGarbled
from square.mqtt_packets import (
    CONNACK,
    DISCONNECT_PACKET,
    PINGREQ_PACKET,
    PUBLISH,
    REFUSALS,
    SUBACK,
    SUBSCRIBE_FAILED,
    PacketCutter,
    puback_packets,
)

WAKE_AT_BYTES = 40
"""Woken by an application ack, which is longer, and not by the broker's PUBACK of 4 bytes, which proves nothing."""


def _nothing() -> None:
    """Do nothing."""


class LoadLink(asyncio.Protocol):
    """One connection: introduces itself, subscribes, hands over payloads.

    Parameters
    ----------
    hello, subscribe
        The CONNECT and SUBSCRIBE packets.
    on_payload
        Takes the payload of each message, before its PUBACK.
    """

    def __init__(self, hello: bytes, subscribe: bytes, on_payload: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done when the broker has accepted connection and subscription; raises LinkRefused when it did not."""
        self.on_lost: Callable[[], None] = _nothing
        self._hello = hello
        self._subscribe = subscribe
        self._on_payload = on_payload
        self._cutter = PacketCutter()
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._sent_s = self._loop.time()
        self._is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves; asyncio calls this."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        """Take what came; asyncio calls this."""
        try:
            self._cutter.feed(data)
            mids = [mid for first, body in self._cutter.cut(1000) if (mid := self._handle(first, body))]
        except (BrokerGarbled, LinkRefused, IndexError) as error:
            self._fail(error)
            return
        if mids:
            self.send(puback_packets(mids))
        ack_at_once(self._socket)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the owner; asyncio calls this."""
        self._fail(exc or ConnectionError("the broker hung up"))

    def send(self, packet: bytes) -> None:
        """Write packets."""
        assert self._transport is not None
        self._sent_s = self._loop.time()
        self._transport.write(packet)

    def ping_if_idle(self, now_s: float, idle_s: float) -> None:
        """Show the broker that we live if we said nothing for so long."""
        if now_s - self._sent_s > idle_s:
            self.send(PINGREQ_PACKET)

    def close(self) -> None:
        """Hang up as a client should."""
        self._is_closed = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(DISCONNECT_PACKET)
            self._transport.close()

    # -- inside -------------------------------------------------------------------------------

    def _handle(self, first: int, body: bytes) -> int:
        """Take a packet; return the id that wants a PUBACK, 0 for none."""
        kind = first & 0xF0
        if kind == PUBLISH:
            at = 2 + (body[0] << 8 | body[1])
            if not first & 0x06:
                self._on_payload(body[at:])
                return 0
            self._on_payload(body[at + 2 :])
            return body[at] << 8 | body[at + 1]
        if kind == CONNACK:
            if body[1]:
                raise LinkRefused(REFUSALS.get(body[1], f"code {body[1]}"))
            self.send(self._subscribe)
        elif kind == SUBACK and not self.ready.done():
            if body[-1] & SUBSCRIBE_FAILED:
                raise LinkRefused("subscription to its own acks refused")
            self._wake_rarely()
            self.ready.set_result(None)
        return 0

    def _wake_rarely(self) -> None:
        """Sleep through what is too short to be an application ack."""
        if self._socket is not None and self._transport is not None:
            is_plain = self._transport.get_extra_info("sslcontext") is None
            with contextlib.suppress(OSError):
                if is_plain:
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, WAKE_AT_BYTES)

    def _fail(self, error: Exception) -> None:
        if not self.ready.done():
            self.ready.set_exception(error)
            self.ready.exception()  # whoever gave up waiting must not cause a warning
        if self._transport is not None:
            self._transport.abort()
        if not self._is_closed:
            self._is_closed = True
            self.on_lost()

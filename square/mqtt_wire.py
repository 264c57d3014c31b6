"""One connection to a broker on an event loop: packets in and out, keepalive, rest between reads, room for what came.

:class:`square.mqtt_stream.MqttStream` makes one after the other.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, cast

from square import mqtt_packets as packets
from square.errors import BrokerGarbled, BrokerUnavailable
from square.mqtt_session import KEEPALIVE_S, PROBE_EVERY_S, ROOM_WITHIN_S, Delivery

_log = logging.getLogger("square.mqtt")

CONNECT_WITHIN_S: Final = 10.0
PING_EVERY_S: Final = KEEPALIVE_S / 3
SILENT_AFTER_S: Final = 1.5 * KEEPALIVE_S
"""A broker that sends nothing for so long, not even answers to pings, is gone, whatever the network says."""
GOODBYE_WITHIN_S: Final = 1.0
REST_S: Final = 0.002
FLOOD_FROM: Final = 32
"""So many messages in one read are a flood: rest longer, as nobody waits for a single one of them."""
TOPICS_IN_MEMORY: Final = 20_000

Message = tuple[str, bytes]
"""Topic and payload."""


class Hooks(NamedTuple):
    """What a connection asks and tells its owner.

    Attributes
    ----------
    room
        How many messages may be delivered at the moment.
    deliver
        Takes messages.
    greeted
        Takes the body of CONNACK; raises when it is a refusal.
    probe_due, probe_came
        It is time for a probe; this probe came back.
    overflowed
        Nobody made room: the connection ends.
    """

    room: Callable[[], int]
    deliver: Callable[[list[Delivery]], None]
    greeted: "Callable[[Wire, bytes], None]"
    probe_due: "Callable[[Wire], None]"
    probe_came: Callable[[bytes], None]
    overflowed: Callable[[], None]


class Wire(asyncio.Protocol):
    """One TCP or TLS connection to a broker, from CONNECT to its end; lives in one thread.

    Parameters
    ----------
    hello : bytes
        The CONNECT packet.
    probe_topic : str | None
        Messages on it are probes, and no deliveries.
    hooks : Hooks
        Whom to tell.
    flood_rest_s : float
        Pause between two reads while much arrives.
    """

    def __init__(self, hello: bytes, probe_topic: str | None, hooks: Hooks, *, flood_rest_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Raises why the connection ended."""
        self.epoch = 0
        """Set by the greeting; 0 until then."""
        self.is_full = False
        """Whether reading waits for the consumer."""
        self.unanswered = 0
        """Publishes without PUBACK."""
        self._hello = hello
        self._probe_topic = probe_topic
        self._hooks = hooks
        self._flood_rest_s = flood_rest_s
        self._transport: asyncio.Transport | None = None
        self._cutter = packets.PacketCutter()
        self._is_greeted = False
        self._is_resting = False
        self._is_leaving = False
        self._topics: dict[bytes, str | None] = {}
        self._asked: dict[int, tuple[str, ...]] = {}
        self._packet_id = 0
        self._heard_s = self._loop.time()
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # -- from the transport ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce ourselves."""
        self._transport = cast("asyncio.Transport", transport)
        self.send(self._hello)
        self._later("greeting", CONNECT_WITHIN_S, self._give_up_greeting)
        self._later("ping", PING_EVERY_S, self._ping)
        self._later("probe", PROBE_EVERY_S, self._probe)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that it is over."""
        self._fail(exc or ConnectionError("the broker closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Take what came, and rest."""
        if self._is_leaving:
            return
        self._heard_s = self._loop.time()
        try:
            self._cutter.feed(data)
            count = self._pump()
        except Exception as error:  # noqa: BLE001 - a fault of ours ends the thread, and is_deaf() says so
            self._fail(error)
            return
        if self._is_greeted and not self.ended.done():
            self._is_resting = True
            self._later("rest", self._flood_rest_s if count >= FLOOD_FROM else REST_S, self._rested)
            self._read_or_not()

    # -- reading --------------------------------------------------------------------------------

    def _pump(self) -> int:
        """Deliver what is whole, as far as there is room; return how many packets that was."""
        count = 0
        while not self.ended.done():
            room = self._hooks.room()
            if room <= 0:
                self._wait_for_room()
                break
            found = self._cutter.cut(room)
            if not found:
                break
            count += len(found)
            self._take_in(found)
        self._read_or_not()
        return count

    def _take_in(self, found: list[packets.Packet]) -> None:
        deliveries: list[Delivery] = []
        topics, epoch = self._topics, self.epoch
        append = deliveries.append
        for first, body in found:
            if first & 0xF0 != packets.PUBLISH:
                self._answer(first & 0xF0, body)
                epoch = self.epoch
                continue
            qos = first >> 1 & 3
            length = (body[0] << 8 | body[1]) + 2 if len(body) > 1 else 1 << 16
            at = length + 2 if qos else length
            if at > len(body) or qos > 1 or not epoch:
                raise BrokerGarbled("a message that is cut short, of quality of service 2, or before the greeting")
            name = body[2:length]
            topic = topics.get(name, "")
            if topic == "":
                topic = self._read_topic(name)
            mid = body[length] << 8 | body[length + 1] if qos else 0
            if topic is None:  # not a topic of ours; acknowledged so that it cannot block the queue
                if qos:
                    self.send(packets.puback_packets([mid]))
                continue
            if topic == self._probe_topic:
                self._hooks.probe_came(body[at:])
                continue
            append(Delivery(epoch, mid, qos, topic, body[at:], bool(first & 1), bool(first & 8)))
        if deliveries:
            self._hooks.deliver(deliveries)

    def _read_topic(self, name: bytes) -> str | None:
        if len(self._topics) >= TOPICS_IN_MEMORY:
            self._topics.clear()
        topic: str | None = None
        with contextlib.suppress(UnicodeDecodeError):
            topic = name.decode()
        if topic is None:
            _log.warning("dropped a message whose topic is not UTF-8")
        self._topics[name] = topic
        return topic

    def _answer(self, kind: int, body: bytes) -> None:
        """Take a packet that is no message."""
        if kind == packets.PUBACK:
            self.unanswered = max(0, self.unanswered - 1)
        elif kind == packets.CONNACK and not self._is_greeted:
            self._is_greeted = True
            self._cancel("greeting")
            self._hooks.greeted(self, body)
        elif kind == packets.SUBACK and len(body) > 2:  # noqa: PLR2004 - id and at least one code
            refused = packets.refused_filters(body, self._asked.pop(packets.packet_id_of(body), ()))
            if refused:
                _log.warning("the broker refused to let us hear %s", ", ".join(refused))
        elif kind != packets.PINGRESP:
            raise BrokerGarbled(f"a packet of type {kind >> 4} with {len(body)} bytes is none that we asked for")

    def _wait_for_room(self) -> None:
        if not self.is_full:
            self.is_full = True
            self._cancel("room")
            self._later("room", ROOM_WITHIN_S, self._give_up_room)

    def go_on(self) -> None:
        """Read on: the consumer has made room."""
        if self.is_full and self._hooks.room() > 0:
            self.is_full = False
            try:
                self._pump()
            except Exception as error:  # noqa: BLE001 - as in data_received
                self._fail(error)

    def _give_up_room(self) -> None:
        if self._hooks.room() > 0:
            self.go_on()
            return
        self._hooks.overflowed()
        self._fail(BrokerUnavailable("cut on purpose"))

    def _rested(self) -> None:
        self._is_resting = False
        self._read_or_not()

    def _read_or_not(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if (self._is_resting or self.is_full) and not self._is_leaving:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # -- writing --------------------------------------------------------------------------------

    @property
    def outbound_bytes(self) -> int:
        """Bytes that the network has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def send(self, data: bytes) -> None:
        """Write packets."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def publish(self, messages: Iterable[Message], qos: int, *, retain: bool = False) -> None:
        """Write messages."""
        out = []
        for topic, payload in messages:
            if qos:
                self.unanswered += 1
            out.append(packets.publish_packet(topic, payload, qos, self._next_id(), retain=retain))
        self.send(b"".join(out))

    def subscribe(self, filters: dict[str, int]) -> None:
        """Ask for topics."""
        if filters:
            packet_id = self._next_id()
            self._asked[packet_id] = tuple(filters)
            self.send(packets.subscribe_packet(packet_id, filters))

    def say_goodbye(self) -> None:
        """End it as a client should.

        The broker hangs up when it has read everything, acks included: who hangs up first may find the session taken
        over by its successor before they were read.
        """
        self._is_leaving = True
        self.send(packets.DISCONNECT_PACKET)
        self._later("goodbye", GOODBYE_WITHIN_S, lambda: self._fail(ConnectionError("left")))
        self._read_or_not()

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % packets.MAX_PACKET_ID + 1
        return self._packet_id

    # -- timers ---------------------------------------------------------------------------------

    def _later(self, name: str, delay_s: float, work: Callable[[], None]) -> None:
        self._timers[name] = self._loop.call_later(delay_s, work)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _ping(self) -> None:
        """Show that we live, and see that the broker does; while the queue is full nothing is read of it."""
        if self.is_full:
            self._heard_s = self._loop.time()
        elif self._loop.time() - self._heard_s > SILENT_AFTER_S:
            self._fail(ConnectionError(f"not a byte for {SILENT_AFTER_S:.0f} s"))
            return
        self.send(packets.PINGREQ_PACKET)
        self._later("ping", PING_EVERY_S, self._ping)

    def _probe(self) -> None:
        if self._is_greeted:
            self._hooks.probe_due(self)
        self._later("probe", PROBE_EVERY_S, self._probe)

    def _give_up_greeting(self) -> None:
        self._fail(BrokerUnavailable("accepts connections but does not answer CONNECT"))

    # -- the end --------------------------------------------------------------------------------

    def _fail(self, error: BaseException) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)

    def close(self) -> None:
        """Let go of everything."""
        for timer in self._timers.values():
            timer.cancel()
        if self._transport is not None:
            self._transport.abort()

"""The MQTT connection for many small messages: reads, acknowledges and publishes them by the handful.

It keeps the promises of :mod:`square.mqtt_session` in a thread with an event loop of its own. What makes it cheap:

* **It rests after each read**, longer while much arrives. Brokers write message by message; a reader that wakes up for
  each spends its time on waking up. The first message after a pause is read at once.
* **Handfuls.** :meth:`MqttStream.take` gives a list, :meth:`MqttStream.ack_all` and :meth:`MqttStream.publish_all`
  make one write of many packets, and the threads meet once for each.

It never repeats what it published: everything that is published here is answered, and repeated by whoever misses the
answer.
"""

import asyncio
import contextlib
import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from square import mqtt_packets as packets
from square.endpoint import MqttEndpoint, tls_context
from square.errors import BrokerGarbled, BrokerUnavailable
from square.mqtt_session import KEEPALIVE_S, RECONNECT_MAX_S, RECONNECT_MIN_S, Delivery, MqttSession
from square.mqtt_wire import CONNECT_WITHIN_S, Hooks, Message, Wire

_log = logging.getLogger("square.mqtt")

OUTBOUND_LIMIT_BYTES: Final = 8 << 20
UNANSWERED_LIMIT: Final = packets.MAX_PACKET_ID - 1000
"""Publishes without PUBACK; packet ids must not come round to one that is still on its way."""


class MqttStream(MqttSession):
    """A supervised connection for many messages; parameters as :class:`MqttSession`, and one more.

    Parameters
    ----------
    flood_rest_s : float
        How long a flood gathers between two reads.
    """

    def __init__(
        self,
        endpoint: MqttEndpoint,
        client_id: str,
        *,
        clean: bool = False,
        inbound_limit: int = 2000,
        probe_topic: str | None = None,
        flood_rest_s: float = 0.01,
    ) -> None:
        super().__init__(endpoint, client_id, clean=clean, inbound_limit=inbound_limit, probe_topic=probe_topic)
        self._tls = tls_context(endpoint) if endpoint.tls else None
        self._inbound: deque[Delivery] = deque()
        self._arrived = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wire: Wire | None = None
        self._flood_rest_s = flood_rest_s
        self._live_task: asyncio.Task[None] | None = None
        self._handed_bytes = 0
        self._attempts = 0
        self._hooks = Hooks(
            room=lambda: self._limit - len(self._inbound),
            deliver=self._deliver,
            greeted=self._greet,
            probe_due=self._probe,
            probe_came=self._note_probe,
            overflowed=self._note_overflow,
        )

    # -- life cycle ---------------------------------------------------------------------------

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Subscribe now and again on each reconnect; call it before :meth:`start` to miss nothing."""
        self._filters[topic_filter] = qos
        self._call(lambda wire: wire.subscribe({topic_filter: qos}))

    def start(self) -> None:
        """Connect in the background and keep trying until :meth:`stop`."""
        self._network = threading.Thread(target=self._run, name="mqtt-stream", daemon=True)
        self._network.start()

    def stop(self) -> None:
        """Disconnect cleanly, after what was acknowledged and published; the broker keeps the session, or not."""
        self._stopping.set()
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._end)
        if self._network is not None:
            self._network.join(5.0)
        self._up.clear()

    @property
    def waiting(self) -> int:
        """Messages received and not yet taken by the consumer."""
        return len(self._inbound)

    # -- messages -----------------------------------------------------------------------------

    def take(self, timeout_s: float, limit: int) -> list[Delivery]:
        """Wait up to ``timeout_s`` for a message, then take whatever is there, at most ``limit``."""
        inbound = self._inbound
        if not inbound and timeout_s > 0:
            self._arrived.clear()
            if not inbound:
                self._arrived.wait(timeout_s)
        taken = [inbound.popleft() for _ in range(min(limit, len(inbound)))]
        wire = self._wire
        if wire is not None and wire.is_full and len(inbound) <= self._limit // 2:
            self._call(lambda wire: wire.go_on())
        return taken

    def get(self, timeout_s: float | None = None) -> Delivery | None:
        """Take the next message, or None after ``timeout_s``."""
        taken = self.take(timeout_s or 0.0, 1)
        return taken[0] if taken else None

    def ack(self, delivery: Delivery) -> bool:
        """Tell the broker to forget ``delivery``. MUST be called in the order of arrival, after the commit.

        Returns
        -------
        bool
            False when its connection is gone: the broker will send the message again.
        """
        return self.ack_all((delivery,)) == 1

    def ack_all(self, deliveries: Sequence[Delivery]) -> int:
        """Acknowledge messages, as :meth:`ack` does, in one write; return how many were of the present connection."""
        with self._lock:
            epoch = self._epoch
            ids = [delivery.mid for delivery in deliveries if delivery.qos and delivery.epoch == epoch]
            stale = sum(1 for delivery in deliveries if delivery.qos and delivery.epoch != epoch)
            self.stale_acks += stale
        if ids:
            acks = packets.puback_packets(ids)
            self._call(lambda wire: wire.send(acks), epoch)
        return len(deliveries) - stale

    def publish(self, topic: str, payload: bytes | str, qos: int = 1, *, retain: bool = False) -> None:
        """Hand a message to the network thread. A broker's own acknowledgement proves nothing: expect an answer.

        Raises
        ------
        BrokerUnavailable
            If there is no connection, or the broker takes nothing any more; nothing was queued.
        """
        raw = payload.encode() if isinstance(payload, str) else payload
        self._hand([(topic, raw)], qos, retain=retain)

    def publish_all(self, messages: Sequence[Message]) -> None:
        """Publish messages with quality of service 1, as :meth:`publish` does, in one write.

        Raises
        ------
        BrokerUnavailable
            As :meth:`publish`; then for all of them.
        """
        self._hand(messages, 1)

    def _hand(self, messages: Sequence[Message], qos: int, *, retain: bool = False) -> None:
        wire, size = self._wire, sum(len(topic) + len(payload) for topic, payload in messages)
        if wire is None or not self._up.is_set():
            raise BrokerUnavailable(f"no connection to {self.endpoint}")
        with self._lock:
            if self._handed_bytes + wire.outbound_bytes + size > OUTBOUND_LIMIT_BYTES:
                raise BrokerUnavailable(
                    f"the broker at {self.endpoint} takes nothing: {OUTBOUND_LIMIT_BYTES} bytes wait"
                )
            if qos and wire.unanswered + len(messages) > UNANSWERED_LIMIT:
                raise BrokerUnavailable(f"the broker at {self.endpoint} acknowledges nothing")
            self._handed_bytes += size

        def send(wire: "Wire") -> None:
            wire.publish(messages, qos, retain=retain)

        self._call(send, wire.epoch, size)

    def _call(self, work: "Callable[[Wire], None]", epoch: int | None = None, size: int = 0) -> None:
        """Have the network thread do something with the present connection, or with that of `epoch` only."""

        def call() -> None:
            if size:
                with self._lock:
                    self._handed_bytes -= size
            wire = self._wire
            if wire is not None and (epoch is None or wire.epoch == epoch):
                work(wire)

        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: stopped, or dead, which is_deaf() says
                loop.call_soon_threadsafe(call)

    # -- the network thread -------------------------------------------------------------------

    def _run(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):  # stopped while there was no connection
            asyncio.run(self._live())

    def _end(self) -> None:
        if self._wire is not None:
            self._wire.say_goodbye()
        elif self._live_task is not None:
            self._live_task.cancel()

    async def _live(self) -> None:
        self._loop, self._live_task = asyncio.get_running_loop(), asyncio.current_task()
        while not self._stopping.is_set():
            while self._overflowing and not self._stopping.is_set():
                self._overflowing = len(self._inbound) > self._limit // 2
                await asyncio.sleep(0.05 if self._overflowing else 0)
            try:
                await self._connect_and_serve()
            except (OSError, BrokerUnavailable) as error:  # TLS and deadlines are errors of the system, too
                if not self._stopping.is_set():
                    # Why nobody answers, or says no, is told by others, in better words and not at each attempt
                    is_news = self._attempts == 0 or isinstance(error, BrokerGarbled)
                    level = logging.WARNING if is_news else logging.DEBUG
                    _log.log(level, "connection to %s lost: %s", self.endpoint, str(error) or type(error).__name__)
            if not self._overflowing and not self._stopping.is_set():
                await self._pause()

    async def _pause(self) -> None:
        """Wait before the next attempt: jittered, so that not all services come back in the same moment."""
        longest_s = min(RECONNECT_MAX_S, RECONNECT_MIN_S * 2.0**self._attempts)
        self._attempts += 1
        await asyncio.sleep(longest_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter is no secret

    async def _connect_and_serve(self) -> None:
        """Connect, and return or raise when the connection has ended."""
        loop = asyncio.get_running_loop()
        wire = Wire(self._hello(), self._probe_topic, self._hooks, flood_rest_s=self._flood_rest_s)
        async with asyncio.timeout(CONNECT_WITHIN_S):
            await loop.create_connection(
                lambda: wire,
                self.endpoint.host,
                self.endpoint.port,
                ssl=self._tls,
                server_hostname=self.endpoint.host if self._tls is not None else None,
            )
        try:
            await wire.ended
        finally:
            wire.close()
            self._new_epoch()
            self._up.clear()
            self._wire = None

    def _hello(self) -> bytes:
        username, password = self.endpoint.username, self.endpoint.password
        return packets.connect_packet(self.client_id, KEEPALIVE_S, username, password, clean=self._clean)

    # -- called by the wire, in the network thread -----------------------------------------------

    def _greet(self, wire: "Wire", answer: bytes) -> None:
        """Take the broker's answer to CONNECT."""
        code = answer[1]
        if code:
            reason = packets.REFUSALS.get(code, f"code {code}")
            self._note_refused(reason, is_passing=code == packets.SERVER_UNAVAILABLE)
            raise BrokerUnavailable(f"refused: {reason}")
        self._new_epoch()
        wire.epoch = self._epoch
        self._wire = wire
        self._attempts = 0
        self._note_connected(session_present=bool(answer[0] & 1))
        wire.subscribe(dict(self._filters))
        if self._probe_topic is not None:
            wire.subscribe({self._probe_topic: 0})
            self._probe(wire)
        self._up.set()
        _log.info("connected to %s as %s", self.endpoint, self.client_id)

    def _probe(self, wire: "Wire") -> None:
        if self._probe_topic is not None:
            wire.publish([(self._probe_topic, self._probe_payload)], 0)

    def _deliver(self, found: list[Delivery]) -> None:
        self._inbound.extend(found)
        self._arrived.set()

"""The MQTT connection of Resik's servers where messages are few and large: paho-mqtt.

What it promises is in :mod:`square.mqtt_session`. Where many small messages arrive, :mod:`square.mqtt_stream` takes its
place (docs/decisions/0013-hot-path.md). Nothing outside this module knows paho.
"""

import contextlib
import logging
import queue
import socket
import threading
import time
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from square.endpoint import MqttEndpoint, tls_context
from square.errors import BrokerUnavailable
from square.mqtt_session import (
    KEEPALIVE_S,
    PROBE_EVERY_S,
    RECONNECT_MAX_S,
    RECONNECT_MIN_S,
    ROOM_WITHIN_S,
    Delivery,
    MqttSession,
)

__all__ = ["Delivery", "MqttConnection"]

_log = logging.getLogger(__name__)

_SERVER_UNAVAILABLE = 136
"""Reason code of the broker that cannot serve anybody at the moment (CONNACK 3 of MQTT 3.1.1)."""


class MqttConnection(MqttSession):
    """A supervised connection whose messages wait in a bounded queue; parameters as :class:`MqttSession`."""

    def __init__(
        self,
        endpoint: MqttEndpoint,
        client_id: str,
        *,
        clean: bool = False,
        inbound_limit: int = 2000,
        probe_topic: str | None = None,
    ) -> None:
        super().__init__(endpoint, client_id, clean=clean, inbound_limit=inbound_limit, probe_topic=probe_topic)
        self._inbound: queue.Queue[Delivery] = queue.Queue()
        self._forgotten: list[str] = []
        self._probe_thread: threading.Thread | None = None
        self._client = self._build()

    def _build(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self.client_id, clean_session=self._clean, manual_ack=True
        )
        if self.endpoint.username is not None:
            client.username_pw_set(self.endpoint.username, self.endpoint.password)
        if self.endpoint.tls:
            client.tls_set_context(tls_context(self.endpoint))
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        client.max_inflight_messages_set(1000)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_pre_connect = self._on_pre_connect
        client.on_socket_open = self._on_socket_open
        return client

    # -- life cycle ---------------------------------------------------------------------------

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Subscribe now and again on each reconnect; call it before :meth:`start` to miss nothing."""
        self._filters[topic_filter] = qos
        if self._up.is_set():
            self._client.subscribe(topic_filter, qos)

    def forget(self, topic_filter: str) -> None:
        """Unsubscribe at each connect: a kept session may hold what an earlier version asked for.

        It is sent before what is subscribed. Call it before :meth:`start`.
        """
        self._forgotten.append(topic_filter)

    def start(self) -> None:
        """Connect in the background and keep trying until :meth:`stop`."""
        self._client.connect_async(self.endpoint.host, self.endpoint.port, KEEPALIVE_S)
        self._client.loop_start()
        if self._probe_topic is not None:
            self._probe_thread = threading.Thread(target=self._probe, name="mqtt-probe", daemon=True)
            self._probe_thread.start()

    def stop(self) -> None:
        """Disconnect cleanly; the broker keeps the session unless ``clean``."""
        self._stopping.set()
        self._client.disconnect()
        self._client.loop_stop()
        self._up.clear()

    @property
    def waiting(self) -> int:
        """Messages received and not yet taken by the consumer."""
        return self._inbound.qsize()

    # -- messages -----------------------------------------------------------------------------

    def get(self, timeout_s: float | None = None) -> Delivery | None:
        """Take the next message, or None after ``timeout_s``."""
        try:
            return self._inbound.get(timeout=timeout_s) if timeout_s else self._inbound.get_nowait()
        except queue.Empty:
            return None

    def ack(self, delivery: Delivery) -> bool:
        """Tell the broker to forget ``delivery``. MUST be called in the order of arrival, after the commit.

        Returns
        -------
        bool
            False when its connection is gone: the broker will send the message again.
        """
        if delivery.qos == 0:
            return True
        with self._lock:
            if delivery.epoch != self._epoch:
                self.stale_acks += 1
                return False
            self._client.ack(delivery.mid, delivery.qos)
            return True

    def publish(self, topic: str, payload: bytes | str, qos: int = 1, *, retain: bool = False) -> paho.MQTTMessageInfo:
        """Hand a message to the network thread. A broker's own acknowledgement proves nothing: expect an answer.

        Raises
        ------
        BrokerUnavailable
            If there is no connection; nothing was queued.
        """
        if not self._up.is_set():
            raise BrokerUnavailable(f"no connection to {self.endpoint}")
        info = self._client.publish(topic, payload, qos, retain)
        if info.rc not in {paho.MQTT_ERR_SUCCESS, paho.MQTT_ERR_QUEUE_SIZE}:
            raise BrokerUnavailable(f"publishing to {self.endpoint} failed: {paho.error_string(info.rc)}")
        return info

    # -- callbacks of the network thread: short, and never raising ------------------------------

    def _on_socket_open(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        # Acks are small packets: left to Nagle's algorithm each waits for the one before, about 40 ms
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _has_room(self) -> bool:
        """Wait a while for room in the queue: cutting at once would bring back the same messages, for ever."""
        deadline = time.monotonic() + ROOM_WITHIN_S
        while self._inbound.qsize() >= self._limit:
            if self._stopping.is_set() or time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _on_pre_connect(self, _client: paho.Client, _userdata: Any) -> None:
        self._network = threading.current_thread()
        while self._overflowing and not self._stopping.is_set():
            if self._inbound.qsize() <= self._limit // 2:
                self._overflowing = False
                return
            time.sleep(0.05)

    def _on_connect(
        self, client: paho.Client, _userdata: Any, flags: paho.ConnectFlags, reason: ReasonCode, _properties: Any
    ) -> None:
        if reason.is_failure:
            self._note_refused(str(reason), is_passing=reason.value == _SERVER_UNAVAILABLE)
            return
        self._new_epoch()
        self._note_connected(session_present=flags.session_present)
        for topic_filter in self._forgotten:
            client.unsubscribe(topic_filter)
        for topic_filter, qos in list(self._filters.items()):
            client.subscribe(topic_filter, qos)
        if self._probe_topic is not None:
            client.subscribe(self._probe_topic, 0)
            client.publish(self._probe_topic, self._probe_payload, 0)
        self._up.set()
        _log.info("connected to %s as %s", self.endpoint, self.client_id)

    def _on_disconnect(
        self, _client: paho.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        self._new_epoch()
        self._up.clear()
        if not self._stopping.is_set():
            _log.warning("connection to %s lost: %s", self.endpoint, reason)

    def _on_message(self, client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # not a topic of ours; acknowledged so that it cannot block the queue
            _log.warning("dropped a message whose topic is not UTF-8")
            client.ack(message.mid, message.qos)
            return
        if topic == self._probe_topic:
            self._note_probe(bytes(message.payload))
            return
        if self._overflowing:
            return  # un-acked: the broker sends it again after the reconnect
        if not self._has_room():
            self._note_overflow()
            sock = client.socket()
            if sock is not None:
                with contextlib.suppress(OSError):  # the broker was quicker: the connection is gone already
                    cast("socket.socket", sock).shutdown(socket.SHUT_RDWR)
            return
        self._inbound.put(
            Delivery(self._epoch, message.mid, message.qos, topic, bytes(message.payload), message.retain, message.dup)
        )

    def _probe(self) -> None:
        assert self._probe_topic is not None
        while not self._stopping.wait(PROBE_EVERY_S):
            if self._up.is_set():
                self._client.publish(self._probe_topic, self._probe_payload, 0)

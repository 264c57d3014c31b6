"""The one MQTT connection of Resik's servers: session kept by the broker, acknowledged by hand.

A message is acknowledged only when its consumer says so, after its own commit. What that needs, and why:

* **Epochs.** After a reconnect packet ids start again, so an ack that belongs to the old connection would
  acknowledge somebody else's message. Each connect and disconnect starts a new epoch; acks of another are dropped.
* **Bounded memory.** Broker limits are no back-pressure once acks are delayed. A full inbound queue first makes the
  network thread wait, for less than half the keepalive; then it cuts the connection on purpose and resumes when the
  consumer has caught up; the broker sends the rest again.
* **A probe instead of a flag.** A network thread can die while ``is_connected()`` stays true. Health is a message
  to ourselves that came back; a service whose connection :meth:`MqttConnection.is_deaf` ends, to be started again.

The client library is paho-mqtt; nothing outside this module knows that.
"""

import contextlib
import logging
import queue
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, cast

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from square.endpoint import MqttEndpoint, tls_context, tls_trouble, wait_for_broker
from square.errors import BrokerRefused, BrokerUnavailable

_log = logging.getLogger(__name__)

PROBE_EVERY_S = 10.0
KEEPALIVE_S = 30
ROOM_WITHIN_S = KEEPALIVE_S / 3
"""How long a full queue may hold up the network thread: the broker cuts us after 1.5 keepalives of silence."""
DEAF_AFTER_S = 120.0
"""How long a connection may stand without a probe coming back before starting again is the better choice."""
RECONNECT_MIN_S = 1
RECONNECT_MAX_S = 30

_SERVER_UNAVAILABLE = 136
"""Reason code of the broker that cannot serve anybody at the moment (CONNACK 3 of MQTT 3.1.1)."""


class Delivery(msgspec.Struct, frozen=True):
    """One message from the broker, to be acknowledged with :meth:`MqttConnection.ack`."""

    epoch: int
    mid: int
    qos: int
    topic: str
    payload: bytes
    retain: bool
    dup: bool


class MqttConnection:
    """A supervised connection whose messages wait in a bounded queue.

    Parameters
    ----------
    endpoint : MqttEndpoint
        Broker and credentials.
    client_id : str
        Fixed for the life of the service: the broker keeps the session under it.
    clean : bool
        True makes the broker forget the session at each disconnect.
    inbound_limit : int
        Messages that may wait for the consumer before the connection is cut on purpose.
    probe_topic : str | None
        Where to talk to ourselves for :meth:`is_healthy`; see :func:`firmware.wire.topic_probe`. Others may use it,
        too: what counts is a payload that only this connection knows.
    """

    def __init__(
        self,
        endpoint: MqttEndpoint,
        client_id: str,
        *,
        clean: bool = False,
        inbound_limit: int = 2000,
        probe_topic: str | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.client_id = client_id
        self.session_lost = 0
        """How often the broker had forgotten a session that it should have kept."""
        self.stale_acks = 0
        """Acks dropped because their connection was gone."""
        self.overflows = 0
        """How often the connection was cut because the consumer fell behind."""
        self.was_heard = False
        """Whether a probe of ours has ever come back: what was subscribed before :meth:`start` is, then."""
        self._clean = clean
        self._inbound: queue.Queue[Delivery] = queue.Queue()
        self._limit = inbound_limit
        self._filters: dict[str, int] = {}
        self._lock = threading.Lock()
        self._epoch = 0
        self._overflowing = False
        self._ever_connected = False
        self._stopping = threading.Event()
        self._up = threading.Event()
        self._refused: str | None = None
        self._unready: str | None = None
        self._network: threading.Thread | None = None
        self._probe_topic = probe_topic
        self._probe_payload = secrets.token_bytes(8)
        self._probe_back_at = 0.0
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

    def start(self) -> None:
        """Connect in the background and keep trying until :meth:`stop`."""
        self._client.connect_async(self.endpoint.host, self.endpoint.port, KEEPALIVE_S)
        self._client.loop_start()
        if self._probe_topic is not None:
            self._probe_thread = threading.Thread(target=self._probe, name="mqtt-probe", daemon=True)
            self._probe_thread.start()

    def wait_connected(self, timeout_s: float = 15.0) -> None:
        """Return once connected.

        Raises
        ------
        BrokerRefused
            If the broker answered and refused us.
        BrokerUnavailable
            If nobody answered within ``timeout_s``, or the broker said that it serves nobody.
        """
        deadline = time.monotonic() + timeout_s
        while not self._up.wait(0.05):
            if self._refused is not None:
                raise BrokerRefused(
                    f"the broker at {self.endpoint} refused user {self.endpoint.username!r} ({self._refused}): "
                    f"check {self.endpoint.side}_username and {self.endpoint.side}_password_file"
                )
            if time.monotonic() > deadline:
                raise BrokerUnavailable(self._why_unreachable())

    def _why_unreachable(self) -> str:
        try:
            wait_for_broker(self.endpoint, 0)
        except BrokerUnavailable as error:
            return str(error)
        if self._unready is not None:
            return f"the broker at {self.endpoint} serves nobody at the moment ({self._unready}): wait, or look at it"
        if self.endpoint.tls and (trouble := tls_trouble(self.endpoint)) is not None:
            return trouble
        side = self.endpoint.side
        return (
            f"the broker at {self.endpoint} accepts connections but no MQTT session: check {side}_url (TLS or plain), "
            f"{side}_username {self.endpoint.username!r} and {side}_password_file"
        )

    def stop(self) -> None:
        """Disconnect cleanly; the broker keeps the session unless ``clean``."""
        self._stopping.set()
        self._client.disconnect()
        self._client.loop_stop()
        self._up.clear()

    @property
    def connected(self) -> bool:
        """Whether a connection stood when last heard of. Not evidence of health: see :meth:`is_healthy`."""
        return self._up.is_set()

    @property
    def waiting(self) -> int:
        """Messages received and not yet taken by the consumer."""
        return self._inbound.qsize()

    def is_healthy(self, max_age_s: float = 3 * PROBE_EVERY_S) -> bool:
        """Whether a message to ourselves came back within ``max_age_s`` (or, without a probe topic, connected)."""
        if self._probe_topic is None:
            return self.connected
        return self.connected and time.monotonic() - self._probe_back_at < max_age_s

    def is_deaf(self, after_s: float = DEAF_AFTER_S) -> bool:
        """Whether nothing more will come here although the broker is not to blame: the process should end.

        True when the network thread is dead, or when the connection stands and no probe came back for ``after_s``.
        A broker that is away is no deafness, and neither is one that never let a probe through (its access list).
        """
        if self._stopping.is_set():
            return False
        if self._network is not None and not self._network.is_alive():
            return True
        return self.connected and self.was_heard and time.monotonic() - self._probe_back_at > after_s

    # -- messages -----------------------------------------------------------------------------

    def get(self, timeout_s: float | None = None) -> Delivery | None:
        """Take the next message, or None after ``timeout_s``."""
        try:
            return self._inbound.get(timeout=timeout_s) if timeout_s else self._inbound.get_nowait()
        except queue.Empty:
            return None

    def deliveries(self, timeout_s: float, limit: int = 1000) -> Iterator[Delivery]:
        """Wait up to ``timeout_s`` for a message, then yield whatever is there, at most ``limit``."""
        delivery = self.get(timeout_s)
        count = 0
        while delivery is not None:
            yield delivery
            count += 1
            delivery = self.get() if count < limit else None

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
            self._unready = str(reason) if reason.value == _SERVER_UNAVAILABLE else None
            self._refused = str(reason) if self._unready is None else None
            _log.warning("broker %s refused the connection: %s", self.endpoint, reason)
            return
        with self._lock:
            self._epoch += 1
        self._refused = self._unready = None
        if self._ever_connected and not self._clean and not flags.session_present:
            self.session_lost += 1
            _log.warning("broker %s forgot the session of %s: messages may be missing", self.endpoint, self.client_id)
        self._ever_connected = True
        for topic_filter, qos in list(self._filters.items()):
            client.subscribe(topic_filter, qos)
        if self._probe_topic is not None:
            client.subscribe(self._probe_topic, 0)
            client.publish(self._probe_topic, self._probe_payload, 0)
            self._probe_back_at = time.monotonic()  # grace until the first probe is due
        self._up.set()
        _log.info("connected to %s as %s", self.endpoint, self.client_id)

    def _on_disconnect(
        self, _client: paho.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any
    ) -> None:
        with self._lock:
            self._epoch += 1
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
            if message.payload == self._probe_payload:
                self._probe_back_at = time.monotonic()
                self.was_heard = True
            return
        if self._overflowing:
            return  # un-acked: the broker sends it again after the reconnect
        if not self._has_room():
            self._overflowing = True
            self.overflows += 1
            _log.warning(
                "%s: %d messages wait; cutting the connection until they are done", self.client_id, self._limit
            )
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

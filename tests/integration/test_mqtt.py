"""The MQTT connections against real brokers: what both promise when the network or the consumer fails."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware import wire
from square.endpoint import MqttEndpoint, wait_for_broker
from square.errors import BrokerRefused, BrokerUnavailable, SettingsError
from square.mqtt import MqttConnection
from square.mqtt_stream import MqttStream
from tests.services import Server, free_port, start_mosquitto, wait_until

pytestmark = pytest.mark.service

Connection = MqttConnection | MqttStream


@pytest.fixture(params=[MqttConnection, MqttStream], ids=["paho", "stream"])
def kind(request: pytest.FixtureRequest) -> type[Connection]:
    """Give one connection class after the other: what is promised does not depend on who reads the socket."""
    return request.param


def set_limit(monkeypatch: pytest.MonkeyPatch, name: str, value: float) -> None:
    """Change a constant of both connections."""
    for module in ("square.mqtt", "square.mqtt_wire"):
        monkeypatch.setattr(f"{module}.{name}", value)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    """Give a mosquitto with two users."""
    server = start_mosquitto(tmp_path / "broker", users={"reader": "r-secret", "writer": "w-secret"})
    yield server
    server.stop()


def connect(kind: type[Connection], broker: Server, user: str, client_id: str, **options) -> Connection:
    endpoint = MqttEndpoint("127.0.0.1", broker.port, username=user, password=f"{user[0]}-secret")
    return kind(endpoint, client_id, **options)


def pair(kind: type[Connection], broker: Server, **reader_options) -> tuple[Connection, Connection]:
    """Connect a reader that listens to everything below t/ and a writer."""
    reader, writer = connect(kind, broker, "reader", "r", **reader_options), connect(kind, broker, "writer", "w")
    reader.subscribe("t/#")
    for connection in (reader, writer):
        connection.start()
        connection.wait_connected()
    time.sleep(0.2)  # the broker's answer to the subscription
    return reader, writer


def take(connection: Connection, count: int, timeout_s: float = 10) -> list[bytes]:
    """Take and acknowledge ``count`` messages."""
    payloads = []
    deadline = time.monotonic() + timeout_s
    while len(payloads) < count and time.monotonic() < deadline:
        for delivery in connection.deliveries(0.1, limit=count - len(payloads)):
            payloads.append(delivery.payload)
            connection.ack(delivery)
    return payloads


def test_unacknowledged_messages_come_again(kind, broker):
    """What was received and not acknowledged is delivered again to the same client id; the rest is not."""
    reader, writer = pair(kind, broker)
    for number in range(10):
        writer.publish("t/x", b"%d" % number)
    assert take(reader, 4) == [b"0", b"1", b"2", b"3"]
    wait_until(lambda: reader.waiting == 6, 5, "the other six")
    time.sleep(0.2)  # the broker reads the acks before a successor takes the session over
    reader.stop()
    again = connect(kind, broker, "reader", "r")
    again.subscribe("t/#")
    again.start()
    assert take(again, 6) == [b"4", b"5", b"6", b"7", b"8", b"9"]
    assert again.get(0.3) is None
    again.stop()
    writer.stop()


def test_stale_ack_is_dropped(kind, broker):
    """An ack that belongs to a connection before a broker restart acknowledges nothing on the new one."""
    reader, writer = pair(kind, broker)
    for number in range(20):
        writer.publish("t/x", b"old%d" % number)
    wait_until(lambda: reader.waiting == 20, 5, "twenty messages")
    held = list(reader.deliveries(1))
    broker.kill()  # the session is gone: mosquitto saves every 30 minutes
    wait_until(lambda: not reader.connected, 5, "the disconnect")
    broker.start()
    wait_until(lambda: reader.connected and writer.connected, 10, "both to reconnect")
    wait_until(lambda: reader.session_lost == 1, 5, "the loss to be noticed")
    time.sleep(0.3)
    for number in range(20):
        writer.publish("t/x", b"new%d" % number)
    wait_until(lambda: reader.waiting >= 20, 10, "the new messages")
    assert not any(reader.ack(delivery) for delivery in held)
    assert reader.stale_acks == 20
    reader.stop()
    again = connect(kind, broker, "reader", "r")
    again.subscribe("t/#")
    again.start()
    payloads = take(again, 20)
    assert {b"new%d" % n for n in range(20)} <= set(payloads)
    again.stop()
    writer.stop()


def test_slow_consumer_is_cut_and_loses_nothing(kind, broker, monkeypatch):
    """A full inbound queue cuts the connection on purpose; every message still arrives, in bounded memory."""
    set_limit(monkeypatch, "ROOM_WITHIN_S", 0.2)
    reader, writer = pair(kind, broker, inbound_limit=50)
    for number in range(400):
        writer.publish("t/x", b"%d" % number)
    wait_until(lambda: reader.overflows >= 1, 5, "the overflow")
    assert reader.waiting <= 50
    seen: set[bytes] = set()
    deadline = time.monotonic() + 40
    while len(seen) < 400 and time.monotonic() < deadline:
        for delivery in reader.deliveries(0.1, limit=20):
            seen.add(delivery.payload)
            reader.ack(delivery)
    assert seen == {b"%d" % n for n in range(400)}
    reader.stop()
    writer.stop()


def test_queue_smaller_than_the_brokers_window_still_drains(kind, broker):
    """A consumer that keeps working is waited for: no cut, no endless redelivery, each message once."""
    reader, writer = pair(kind, broker, inbound_limit=5)
    for number in range(200):
        writer.publish("t/x", b"%d" % number)
    seen = []
    for _ in range(200):
        delivery = reader.get(5)
        assert delivery is not None
        seen.append(delivery.payload)
        reader.ack(delivery)
        time.sleep(0.002)
    assert seen == [b"%d" % n for n in range(200)]
    assert reader.overflows == 0
    reader.stop()
    writer.stop()


def test_what_an_earlier_version_subscribed_can_be_forgotten(broker):
    """A kept session loses the subscription that is named, keeps the others, and gets each message once."""
    reader, writer = pair(MqttConnection, broker)
    reader.subscribe("t/old")
    time.sleep(0.2)
    reader.stop()
    again = connect(MqttConnection, broker, "reader", "r")
    again.forget("t/#")
    again.start()
    again.wait_connected()
    time.sleep(0.2)
    writer.publish("t/new", b"new")
    writer.publish("t/old", b"old")
    assert take(again, 1) == [b"old"]
    assert again.get(0.3) is None
    again.stop()
    writer.stop()


def test_probe_tells_deaf_from_well(kind, broker):
    """Health is a message that came back: true while the broker answers, false once it is stopped."""
    connection = connect(kind, broker, "reader", "r", probe_topic=wire.topic_probe("alun", "reader"))
    connection.start()
    connection.wait_connected()
    wait_until(connection.is_healthy, 5, "the first probe")
    assert not connection.is_healthy(max_age_s=0)
    broker.kill()
    wait_until(lambda: not connection.is_healthy(), 5, "the loss to show")
    connection.stop()


def test_another_connections_probe_is_not_ours(kind, broker):
    """Two services on one probe topic do not answer for each other: only our own message is a sign of our health."""
    topic = wire.topic_probe("alun", "shared")
    connection, other = connect(kind, broker, "reader", "r", probe_topic=topic), connect(kind, broker, "writer", "w")
    for each in (connection, other):
        each.start()
        each.wait_connected()
    wait_until(connection.is_healthy, 5, "the first probe")
    since = time.monotonic()
    while time.monotonic() - since < 1.0:
        other.publish(topic, b"probe", 0)
        time.sleep(0.02)
    assert not connection.is_healthy(max_age_s=0.7)
    for each in (connection, other):
        each.stop()


class RawBroker:
    """A broker that says what a test wants: it accepts, answers CONNECT and then runs ``script`` on the socket."""

    def __init__(self, script: Callable[[socket.socket, int], None], connack: bytes = b"\x20\x02\x00\x00") -> None:
        self.connects = 0
        self._script, self._connack = script, connack
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = MqttEndpoint("127.0.0.1", self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self.connects += 1
                with client, contextlib.suppress(OSError):
                    client.recv(4096)
                    client.sendall(self._connack)
                    self._script(client, self.connects)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def packet(topic: str, mid: int, payload: bytes = b"x") -> bytes:
    """Return a PUBLISH of QoS 1."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", mid) + payload
    return bytes([0x32, len(body)]) + body


def test_a_cut_that_meets_a_dead_connection_leaves_the_network_thread_alive(kind, monkeypatch):
    """The broker resets while a full queue is about to cut: the connection comes back and is not deaf."""
    set_limit(monkeypatch, "ROOM_WITHIN_S", 1.0)

    def script(client: socket.socket, number: int) -> None:
        if number > 1:
            client.recv(4096)
            time.sleep(3)
            return
        time.sleep(0.2)
        client.sendall(b"".join(packet("t/x", mid) for mid in range(1, 21)))
        time.sleep(0.4)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close() sends a reset

    raw = RawBroker(script)
    connection = kind(raw.endpoint, "r", inbound_limit=10)
    connection.start()
    wait_until(lambda: connection.overflows == 1, 10, "the overflow")
    while connection.get(0.1) is not None:
        pass
    wait_until(lambda: raw.connects >= 2, 10, "the connection to come back")
    assert not connection.is_deaf()
    connection.stop()
    raw.stop()


def test_a_dead_network_thread_is_deafness_and_an_absent_broker_is_not(kind, broker, monkeypatch):
    """A fault in the network thread shows at once; a broker that is down is waited for."""
    connection = connect(kind, broker, "reader", "r")
    connection.start()
    connection.wait_connected()
    assert not connection.is_deaf()
    broker.kill()
    wait_until(lambda: not connection.connected, 5, "the loss to show")
    assert not connection.is_deaf(after_s=0)
    monkeypatch.setattr(threading, "excepthook", lambda _fault: None)

    def fault(*_arguments: object) -> None:
        raise ZeroDivisionError

    if isinstance(connection, MqttStream):
        connection._hooks = connection._hooks._replace(greeted=fault)
    else:
        monkeypatch.setattr(connection._client, "on_connect", fault)
    broker.start()
    wait_until(connection.is_deaf, 15, "the dead thread to show")
    connection.stop()
    assert not connection.is_deaf(), "stopped on purpose"


def test_a_standing_connection_whose_probe_stays_away_is_deaf(kind, monkeypatch):
    """Once a probe has come back, none for the given time is deafness, though the connection stands."""
    set_limit(monkeypatch, "PROBE_EVERY_S", 0.1)
    topic = wire.topic_probe("alun", "reader")
    echoed = threading.Event()
    done = threading.Event()

    def script(client: socket.socket, _number: int) -> None:
        while b"/probe" not in (said := client.recv(4096)) or connection._probe_payload not in said:
            pass
        client.sendall(packet(topic, 1, connection._probe_payload))
        echoed.set()
        done.wait(10)

    raw = RawBroker(script)
    connection = kind(raw.endpoint, "r", probe_topic=topic)
    connection.start()
    assert echoed.wait(10)
    wait_until(lambda: connection.was_heard, 5, "the probe")
    assert not connection.is_deaf(after_s=5)
    wait_until(lambda: connection.is_deaf(after_s=0.5), 5, "the silence to show")
    assert connection.connected
    done.set()
    connection.stop()
    raw.stop()


def test_a_broker_that_forbids_the_probe_makes_nobody_end(kind, tmp_path: Path):
    """An access list without the probe is unhealthy, and no reason to start again for ever."""
    server = start_mosquitto(tmp_path / "broker", users={"reader": "r-secret"}, acl="user reader\ntopic read t/#\n")
    connection = connect(kind, server, "reader", "r", probe_topic=wire.topic_probe("alun", "reader"))
    connection.start()
    connection.wait_connected()
    time.sleep(0.5)
    assert not connection.is_healthy(max_age_s=0.1)
    assert not connection.is_deaf(after_s=0.1)
    connection.stop()
    server.stop()


def test_a_broker_that_serves_nobody_is_unavailable_and_not_a_refusal(kind):
    """CONNACK 3 passes: retryable, and nobody is sent to look for a wrong password."""
    raw = RawBroker(lambda client, _number: client.close(), connack=b"\x20\x02\x00\x03")
    connection = kind(raw.endpoint, "r")
    connection.start()
    wait_until(lambda: connection._unready is not None, 5, "the answer")
    with pytest.raises(BrokerUnavailable, match="serves nobody"):
        connection.wait_connected(0.3)
    connection.stop()
    raw.stop()


def test_the_texts_name_the_settings_of_the_right_broker(kind, broker):
    """A wrong uplink is not searched for in the broker's settings: URL, credentials and refusal alike."""
    with pytest.raises(SettingsError, match="uplink_url"):
        MqttEndpoint.from_url("http://h", setting="uplink_url")
    with pytest.raises(SettingsError, match=r"uplink_url holds .* uplink_username and uplink_password_file"):
        MqttEndpoint.from_url("mqtt://user:word@h", setting="uplink_url")
    url = f"mqtt://127.0.0.1:{broker.port}"
    endpoint = MqttEndpoint.from_url(url, username="reader", password="wrong", setting="uplink_url")
    connection = kind(endpoint, "r")
    connection.start()
    with pytest.raises(BrokerRefused, match=r"check uplink_username and uplink_password_file"):
        connection.wait_connected(5)
    connection.stop()
    with pytest.raises(BrokerUnavailable, match="or set uplink_url"):
        wait_for_broker(MqttEndpoint.from_url(f"mqtt://127.0.0.1:{free_port()}", setting="uplink_url"), 0)


def test_publish_without_connection_raises(kind, broker):
    """Nothing is queued in silence: publishing while disconnected is a retryable error."""
    connection = connect(kind, broker, "writer", "w")
    with pytest.raises(BrokerUnavailable) as caught:
        connection.publish("t/x", b"1")
    assert caught.value.retryable


def test_wrong_password_is_refused_in_one_sentence(kind, broker):
    """A refused password names the user and the settings to check."""
    endpoint = MqttEndpoint("127.0.0.1", broker.port, username="reader", password="wrong")
    connection = kind(endpoint, "r")
    connection.start()
    with pytest.raises(BrokerRefused, match=r"refused user 'reader'.*broker_password_file"):
        connection.wait_connected(5)
    connection.stop()


def test_missing_broker_is_named(kind):
    """With nobody listening the error names the address and what to do."""
    connection = kind(MqttEndpoint("127.0.0.1", free_port()), "r")
    connection.start()
    with pytest.raises(BrokerUnavailable, match=r"no MQTT broker answers at mqtt://127.0.0.1:\d+ .*broker_url"):
        connection.wait_connected(0.3)
    connection.stop()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://h:1", "write mqtt://host:port"),
        ("mqtt://", "write mqtt://host:port"),
        ("mqtt://user:word@h", "holds credentials"),
        ("mqtt://h:notaport", "is not a URL"),
    ],
)
def test_bad_broker_urls(kind, url, complaint):
    """Each kind of wrong URL gets a sentence that says how to write it."""
    with pytest.raises(SettingsError, match=complaint):
        MqttEndpoint.from_url(url)

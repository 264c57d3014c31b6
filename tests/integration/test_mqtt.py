"""The MQTT connection against real brokers: what it promises when the network or the consumer fails."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware import wire
from square.errors import BrokerRefused, BrokerUnavailable, SettingsError
from square.mqtt import MqttConnection, MqttEndpoint
from tests.services import Server, free_port, start_mosquitto, wait_until

pytestmark = pytest.mark.service


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    """Give a mosquitto with two users."""
    server = start_mosquitto(tmp_path / "broker", users={"reader": "r-secret", "writer": "w-secret"})
    yield server
    server.stop()


def connect(broker: Server, user: str, client_id: str, **options) -> MqttConnection:
    endpoint = MqttEndpoint("127.0.0.1", broker.port, username=user, password=f"{user[0]}-secret")
    return MqttConnection(endpoint, client_id, **options)


def take(connection: MqttConnection, count: int, timeout_s: float = 10) -> list[bytes]:
    """Take and acknowledge ``count`` messages."""
    payloads = []
    deadline = time.monotonic() + timeout_s
    while len(payloads) < count and time.monotonic() < deadline:
        for delivery in connection.deliveries(0.1, limit=count - len(payloads)):
            payloads.append(delivery.payload)
            connection.ack(delivery)
    return payloads


def test_unacknowledged_messages_come_again(broker):
    """What was received and not acknowledged is delivered again to the same client id; the rest is not."""
    reader, writer = connect(broker, "reader", "r"), connect(broker, "writer", "w")
    reader.subscribe("t/#")
    for connection in (reader, writer):
        connection.start()
        connection.wait_connected()
    time.sleep(0.2)
    for number in range(10):
        writer.publish("t/x", b"%d" % number)
    assert take(reader, 4) == [b"0", b"1", b"2", b"3"]
    wait_until(lambda: reader.waiting == 6, 5, "the other six")
    reader.stop()
    again = connect(broker, "reader", "r")
    again.subscribe("t/#")
    again.start()
    assert take(again, 6) == [b"4", b"5", b"6", b"7", b"8", b"9"]
    assert again.get(0.3) is None
    again.stop()
    writer.stop()


def test_stale_ack_is_dropped(broker):
    """An ack that belongs to a connection before a broker restart acknowledges nothing on the new one."""
    reader, writer = connect(broker, "reader", "r"), connect(broker, "writer", "w")
    reader.subscribe("t/#")
    for connection in (reader, writer):
        connection.start()
        connection.wait_connected()
    time.sleep(0.2)
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
    again = connect(broker, "reader", "r")
    again.subscribe("t/#")
    again.start()
    payloads = take(again, 20)
    assert {b"new%d" % n for n in range(20)} <= set(payloads)
    again.stop()
    writer.stop()


def test_slow_consumer_is_cut_and_loses_nothing(broker, monkeypatch):
    """A full inbound queue cuts the connection on purpose; every message still arrives, in bounded memory."""
    monkeypatch.setattr("square.mqtt.ROOM_WITHIN_S", 0.2)
    reader, writer = connect(broker, "reader", "r", inbound_limit=50), connect(broker, "writer", "w")
    reader.subscribe("t/#")
    for connection in (reader, writer):
        connection.start()
        connection.wait_connected()
    time.sleep(0.2)
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


def test_queue_smaller_than_the_brokers_window_still_drains(broker):
    """A consumer that keeps working is waited for: no cut, no endless redelivery, each message once."""
    reader, writer = connect(broker, "reader", "r", inbound_limit=5), connect(broker, "writer", "w")
    reader.subscribe("t/#")
    for connection in (reader, writer):
        connection.start()
        connection.wait_connected()
    time.sleep(0.2)
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


def test_probe_tells_deaf_from_well(broker):
    """Health is a message that came back: true while the broker answers, false once it is stopped."""
    connection = connect(broker, "reader", "r", probe_topic=wire.topic_probe("alun", "reader"))
    connection.start()
    connection.wait_connected()
    wait_until(connection.is_healthy, 5, "the first probe")
    assert not connection.is_healthy(max_age_s=0)
    broker.kill()
    wait_until(lambda: not connection.is_healthy(), 5, "the loss to show")
    connection.stop()


def test_publish_without_connection_raises(broker):
    """Nothing is queued in silence: publishing while disconnected is a retryable error."""
    connection = connect(broker, "writer", "w")
    with pytest.raises(BrokerUnavailable) as caught:
        connection.publish("t/x", b"1")
    assert caught.value.retryable


def test_wrong_password_is_refused_in_one_sentence(broker):
    """A refused password names the user and the settings to check."""
    endpoint = MqttEndpoint("127.0.0.1", broker.port, username="reader", password="wrong")
    connection = MqttConnection(endpoint, "r")
    connection.start()
    with pytest.raises(BrokerRefused, match=r"refused user 'reader'.*broker_password_file"):
        connection.wait_connected(5)
    connection.stop()


def test_missing_broker_is_named():
    """With nobody listening the error names the address and what to do."""
    connection = MqttConnection(MqttEndpoint("127.0.0.1", free_port()), "r")
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
def test_bad_broker_urls(url, complaint):
    """Each kind of wrong URL gets a sentence that says how to write it."""
    with pytest.raises(SettingsError, match=complaint):
        MqttEndpoint.from_url(url)

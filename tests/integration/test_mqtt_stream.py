"""What the connection for many messages promises beyond the common tests: floods, garbage, silence, TLS, writing."""

import logging
import socket
import time
from pathlib import Path

import pytest

from square import mqtt_packets as packets
from square.endpoint import MqttEndpoint
from square.errors import BrokerUnavailable
from square.mqtt_stream import MqttStream
from tests.fakes import certificates
from tests.integration.test_mqtt import RawBroker, packet
from tests.services import Server, start_mosquitto, wait_until

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """Give a mosquitto for all who come."""
    server = start_mosquitto(tmp_path_factory.mktemp("stream"))
    yield server
    server.stop()


def stream(broker: Server, client_id: str, *filters: str, **options) -> MqttStream:
    """Return a connection that stands and is subscribed."""
    connection = MqttStream(MqttEndpoint("127.0.0.1", broker.port), client_id, **options)
    for topic_filter in filters:
        connection.subscribe(topic_filter)
    connection.start()
    connection.wait_connected()
    time.sleep(0.1)  # the broker's answer to the subscription
    return connection


def test_a_flood_arrives_whole_in_order_and_in_bounded_memory(broker):
    """Handfuls in, one write of acks out: nothing is lost, doubled or reordered, and no more waits than may."""
    reader, writer = stream(broker, "flood-r", "flood/#", inbound_limit=500), stream(broker, "flood-w")
    seen: list[bytes] = []
    most = 0
    for start in range(0, 5000, 500):
        writer.publish_all([("flood/x", b"%d" % number) for number in range(start, start + 500)])
    deadline = time.monotonic() + 20
    while len(seen) < 5000 and time.monotonic() < deadline:
        most = max(most, reader.waiting)
        taken = reader.take(1.0, 200)
        seen += [delivery.payload for delivery in taken]
        assert reader.ack_all(taken) == len(taken)
    assert seen == [b"%d" % number for number in range(5000)]
    assert most <= 500
    assert (reader.overflows, reader.stale_acks) == (0, 0)
    reader.stop()
    again = stream(broker, "flood-r")
    assert again.take(0.3, 10) == [], "all of it was acknowledged"
    again.stop()
    writer.stop()


def test_who_takes_over_the_session_gets_what_was_not_acknowledged(broker):
    """Of two with one client id the broker keeps the last: un-acked messages go there, acks of the first are void."""
    first, writer = stream(broker, "over", "over/#"), stream(broker, "over-w")
    writer.publish_all([("over/x", b"%d" % number) for number in range(10)])
    wait_until(lambda: first.waiting == 10, 5, "the messages")
    held = first.take(0, 10)
    first.ack_all(held[:4])
    time.sleep(0.1)
    second = MqttStream(MqttEndpoint("127.0.0.1", broker.port), "over")
    second.start()
    second.wait_connected()
    wait_until(lambda: second.waiting == 6, 5, "the rest")
    first.stop()
    assert first.ack_all(held[4:]) == 0
    taken = second.take(0, 10)
    assert [(delivery.payload, delivery.dup) for delivery in taken] == [(b"%d" % n, True) for n in range(4, 10)]
    second.stop()
    writer.stop()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x30\xff\xff\xff\xff\x01",  # a length of five bytes
        b"\x34\x05\x00\x01t\x00\x01",  # quality of service 2
        b"\x32\x03\x00\x09t",  # a topic longer than its message
        b"\x40\x03\x00\x01\x00",  # a PUBACK of three bytes
        b"\x10\x02\x00\x00",  # what only clients send
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_what_is_no_mqtt_ends_the_connection_and_not_the_thread(garbage, caplog):
    """Garbage costs one connection; the next one works, and the log says what happened."""
    caplog.set_level(logging.WARNING, logger="square.mqtt")

    def script(client: socket.socket, number: int) -> None:
        client.sendall(garbage if number == 1 else packet("t/x", 5, b"well"))
        client.settimeout(5)
        while client.recv(4096):
            pass

    raw = RawBroker(script)
    connection = MqttStream(raw.endpoint, "r")
    connection.start()
    wait_until(lambda: connection.waiting == 1, 10, "the message on the next connection")
    (delivery,) = connection.take(0, 1)
    assert (delivery.payload, delivery.mid, connection.ack(delivery)) == (b"well", 5, True)
    assert not connection.is_deaf()
    assert any("no MQTT" in text or "asked for" in text or "cut short" in text for text in caplog.messages)
    connection.stop()
    raw.stop()


def test_a_topic_that_is_not_utf8_blocks_nobody():
    """It is acknowledged and dropped; what follows arrives."""
    acked = bytearray()

    def script(client: socket.socket, _number: int) -> None:
        client.sendall(b"\x32\x06\x00\x02\xff\xfe\x00\x07" + packet("t/x", 8, b"well"))
        client.settimeout(5)
        while data := client.recv(4096):
            acked.extend(data)

    raw = RawBroker(script)
    connection = MqttStream(raw.endpoint, "r")
    connection.start()
    wait_until(lambda: connection.waiting == 1, 10, "the message")
    wait_until(lambda: b"\x40\x02\x00\x07" in acked, 5, "the PUBACK of the dropped one")
    assert b"\x40\x02\x00\x08" not in acked
    connection.stop()
    raw.stop()


def test_a_broker_that_falls_silent_is_given_up(monkeypatch):
    """Half-open: packets vanish, no error comes. Pings go out, nothing comes back, and the connection is made anew."""
    for name, value in (("PING_EVERY_S", 0.1), ("SILENT_AFTER_S", 0.5)):
        monkeypatch.setattr(f"square.mqtt_wire.{name}", value)
    heard = bytearray()

    def script(client: socket.socket, _number: int) -> None:
        client.settimeout(5)
        while data := client.recv(4096):
            heard.extend(data)

    raw = RawBroker(script)
    connection = MqttStream(raw.endpoint, "r")
    connection.start()
    wait_until(lambda: raw.connects >= 2, 10, "another connection")
    assert packets.PINGREQ_PACKET in heard
    connection.stop()
    raw.stop()


def test_a_broker_that_answers_pings_is_kept(monkeypatch):
    """A line on which nothing happens is no dead line."""
    for name, value in (("PING_EVERY_S", 0.1), ("SILENT_AFTER_S", 0.5)):
        monkeypatch.setattr(f"square.mqtt_wire.{name}", value)

    def script(client: socket.socket, _number: int) -> None:
        client.settimeout(5)
        while data := client.recv(4096):
            client.sendall(b"\xd0\x00" * data.count(packets.PINGREQ_PACKET))

    raw = RawBroker(script)
    connection = MqttStream(raw.endpoint, "r")
    connection.start()
    connection.wait_connected()
    time.sleep(1.0)
    assert (connection.connected, raw.connects) == (True, 1)
    connection.stop()
    raw.stop()


def test_a_broker_that_never_greets_is_given_up(monkeypatch):
    """Accepting a connection is no session: the attempt ends, and the sentence says what to check."""
    monkeypatch.setattr("square.mqtt_wire.CONNECT_WITHIN_S", 0.2)
    raw = RawBroker(lambda client, _number: client.recv(4096), connack=b"")
    connection = MqttStream(raw.endpoint, "r")
    connection.start()
    wait_until(lambda: raw.connects >= 2, 10, "another attempt")
    with pytest.raises(BrokerUnavailable, match="no MQTT session"):
        connection.wait_connected(0.1)
    connection.stop()
    raw.stop()


def test_a_broker_that_takes_nothing_is_no_place_to_queue(monkeypatch):
    """Beyond the limit publishing raises, and nothing of it is kept in memory."""
    monkeypatch.setattr("square.mqtt_stream.OUTBOUND_LIMIT_BYTES", 1 << 20)

    def script(client: socket.socket, _number: int) -> None:
        time.sleep(3)  # reads nothing

    raw = RawBroker(script)
    connection = MqttStream(raw.endpoint, "r")
    connection.start()
    connection.wait_connected()
    handful = [("t/x", bytes(1000))] * 100

    def is_refused() -> bool:
        try:
            connection.publish_all(handful)
        except BrokerUnavailable as error:
            return "takes nothing" in str(error)
        return False

    wait_until(is_refused, 2.5, "the limit")
    connection.stop()
    raw.stop()


def test_a_broker_that_never_acknowledges_gets_no_packet_id_twice(monkeypatch):
    """Before packet ids come round to one that is still on its way, publishing raises."""
    monkeypatch.setattr("square.mqtt_stream.UNANSWERED_LIMIT", 250)

    def script(client: socket.socket, _number: int) -> None:
        client.settimeout(5)
        while client.recv(65536):
            pass

    raw = RawBroker(script)
    connection = MqttStream(raw.endpoint, "r")
    connection.start()
    connection.wait_connected()
    for _ in range(2):
        connection.publish_all([("t/x", b"1")] * 100)
    wait_until(lambda: connection._wire is not None and connection._wire.unanswered == 200, 5, "the writes")
    with pytest.raises(BrokerUnavailable, match="acknowledges nothing"):
        connection.publish_all([("t/x", b"1")] * 100)
    connection.stop()
    raw.stop()


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Give a broker by TLS, its root, and a root of somebody else."""
    folder: Path = tmp_path_factory.mktemp("tls")
    roots = []
    for name in ("root", "other"):
        root = certificates.authority()
        file = folder / f"{name}.crt"
        file.write_bytes(root.certificate.public_bytes(certificates.serialization.Encoding.PEM))
        roots.append((root, file))
    papers = certificates.server(folder, "good", roots[0][0])
    server = start_mosquitto(folder / "broker", users={"reader": "r-secret"}, tls=(papers[0], papers[1]))
    yield server, roots[0][1], roots[1][1]
    server.stop()


def secure(server: Server, root: Path, word: str = "r-secret") -> MqttStream:
    """Return a connection by TLS."""
    endpoint = MqttEndpoint("127.0.0.1", server.port, tls=True, username="reader", password=word, ca_file=root)
    return MqttStream(endpoint, "r")


def test_tls_with_the_root_carries_a_flood(tls):
    """With the right root many messages go both ways."""
    server, root, _other = tls
    connection = secure(server, root)
    connection.subscribe("t/#")
    connection.start()
    connection.wait_connected()
    time.sleep(0.1)
    connection.publish_all([("t/x", b"%d" % number + b"x" * 500) for number in range(2000)])
    seen: list[bytes] = []
    deadline = time.monotonic() + 10
    while len(seen) < 2000 and time.monotonic() < deadline:
        taken = connection.take(0.5, 300)
        seen += [delivery.payload.rstrip(b"x") for delivery in taken]
        connection.ack_all(taken)
    assert seen == [b"%d" % number for number in range(2000)]
    connection.stop()


def test_tls_with_another_root_is_refused_before_anything_is_said(tls):
    """A certificate that our root did not sign ends the attempt; the sentence names the setting."""
    server, _root, other = tls
    connection = secure(server, other)
    connection.start()
    with pytest.raises(BrokerUnavailable, match=r"certificate that is not trusted .*check broker_ca_file"):
        connection.wait_connected(0.5)
    assert not connection.connected
    connection.stop()

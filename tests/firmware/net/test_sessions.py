"""The client on real MicroPython and a real broker that keeps its session: repeats, goodbyes, wrap of the ids."""

from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest

from tests.fakes.hostile_broker import HostileBroker
from tests.firmware.net.talk import talk
from tests.services import Server, start_mosquitto, wait_until

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    users = {"node-1": "secret", "office": "secret"}
    acl = "user office\ntopic readwrite #\n\nuser node-1\ntopic write a/#\ntopic read a/#\n"
    server = start_mosquitto(tmp_path_factory.mktemp("broker"), users=users, acl=acl)
    yield server
    server.stop()


@pytest.fixture
def office(broker: Server) -> Iterator[tuple[paho.Client, list[tuple[str, bytes]]]]:
    """Connect a client of another make, subscribed to everything."""
    heard: list[tuple[str, bytes]] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, "office")
    client.username_pw_set("office", "secret")
    client.on_message = lambda _c, _u, message: heard.append((message.topic, message.payload))
    ready: list[int] = []
    client.on_subscribe = lambda *_: ready.append(1)
    client.on_connect = lambda c, *_: c.subscribe("#", 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_until(lambda: bool(ready), 5, "the subscription")
    yield client, heard
    client.disconnect()
    client.loop_stop()


NODE = {"user": "node-1", "password": "secret"}


def test_messages_that_came_while_away_are_delivered(
    broker: Server, office: tuple[paho.Client, list[tuple[str, bytes]]]
) -> None:
    """The session is kept between two conversations, and what was published in between arrives in the second."""
    port = broker.port
    (first,) = talk({"port": port, **NODE})
    assert first["ok"]
    office[0].publish("a/x", b"y" * 50, 1).wait_for_publish(5)
    (second,) = talk({"port": port, **NODE})
    assert second["ok"]
    assert second["session"]
    assert second["heard"] == [2, 150]
    (third,) = talk({"port": port, **NODE})
    assert third["heard"] == [1, 100]  # acknowledged: it does not come a second time


def test_a_goodbye_keeps_the_will_and_a_broken_link_publishes_it(
    broker: Server, office: tuple[paho.Client, list[tuple[str, bytes]]]
) -> None:
    """The broker tells the will of a node that vanishes, not of one that leaves."""
    heard = office[1]
    talk({"port": broker.port, **NODE})
    talk({"port": broker.port, "raise": "flash", **NODE})
    wait_until(lambda: ("a/will", b"{}") in heard, 5, "the will")
    assert [topic for topic, _ in heard] == ["a/b", "a/b", "a/will"]


def test_a_wrong_password_is_refused(broker: Server) -> None:
    """CONNACK 5 is Refused, and not worth a retry at once."""
    (report,) = talk({"port": broker.port, "user": "node-1", "password": "guess"})
    assert (report["error"], report["step"], report["why"]) == ("Refused", "connack", "refused 5")
    assert not report["retryable"]


def test_a_repeat_has_the_dup_flag_and_the_old_id() -> None:
    """`again` sends 3A under the id of the message before; the next one has a new id; 65535 is followed by 1."""
    with HostileBroker("good") as fake:
        (report,) = talk({"port": fake.port, "packet_id": 65533, "again": True, "repeats": 2})
        sent = [(first, body[5:7].hex()) for first, body in fake.received if first >> 4 == 3]
    assert report["ok"]
    # SUBSCRIBE takes 65534
    assert sent == [(0x32, "ffff"), (0x32, "0001"), (0x3A, "0001")]


def test_one_packet_is_one_write(broker: Server) -> None:
    """100 messages take far less than the 40 ms each that Nagle's algorithm costs two small writes."""
    (report,) = talk({"port": broker.port, "repeats": 100, **NODE})
    assert report["ok"]
    assert report["ms"] < 2000

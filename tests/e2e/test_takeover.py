"""A stolen device credential cannot harm anybody else on the production broker."""

import contextlib
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from firmware import wire
from tests.e2e.square import running_square
from tests.services import require, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.service]


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """Give a square on mosquitto as the stack configures it."""
    require("mosquitto")
    with running_square(tmp_path_factory.mktemp("takeover"), broker="mosquitto") as running:
        yield running


STOLEN = iter(f"rsk-b{number:03}" for number in range(40, 49))
"""Each thief has a device of its own: to the broker, one device is one client."""


def thief(square, client_id):
    """Return a client that uses a device's password under a client id of its choice."""
    device_id = next(STOLEN)
    password = (square.stack.folder.secrets / device_id).read_text().strip()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
    client.username_pw_set(device_id, password)
    client.connect("127.0.0.1", square.stack.broker_port)
    client.loop_start()
    wait_until(client.is_connected, 5, "the thief to connect")
    return client


@pytest.mark.parametrize("victim", ["gateway-gw-utama", "gateway", "ingest", "alerts", "rsk-b001"])
def test_nobody_is_thrown_off_by_a_client_id(square, victim):
    """Connecting under a service's or a neighbour's client id disturbs neither its connection nor its readings."""
    device = square.device("rsk-b001", boot=700)
    lost = {name: square.count(name, "session_lost") for name in ("gateway", "ingest")}
    client = thief(square, victim)
    time.sleep(1.0)  # a fight over a client id shows within the first reconnect
    device.boot, device.upto = device.boot + 1, 0
    device.send({"seq": 1, "ts": square.now_s(), "fill_pct": 30})
    wait_until(lambda: device.upto == 1, 10, "the neighbour's reading to be acknowledged")
    assert {name: square.count(name, "session_lost") for name in lost} == lost
    client.disconnect()
    client.loop_stop()
    device.close()


def forge(client, topic, payload):
    """Publish what is not ours to publish; mosquitto may acknowledge it and cut the connection."""
    wait_until(client.is_connected, 10, "the thief to be connected")
    with contextlib.suppress(RuntimeError):
        client.publish(topic, payload, 1).wait_for_publish(5)


def test_a_device_can_neither_forge_acks_nor_read_others(square):
    """Forged gateway acks and batches go nowhere, and another device's topics stay closed."""
    client = thief(square, "anything")
    heard = []
    client.on_message = lambda _client, _userdata, message: heard.append(message.topic)
    for topic in ("#", f"resik/{square.site}/+/up/+", f"resik/{square.site}/gw/+/batch"):
        client.subscribe(topic, 1)
    settled = square.count("gateway", "settled_stored")
    forged = '{"v":1,"spool":"x","batch":"x","stored":[1,2,3],"dead":[]}'
    for _try in range(3):
        forge(client, wire.topic_gw_ack(square.site, "gw-utama"), forged)
        forge(client, wire.topic_batch(square.site, "gw-utama"), "{}")
    device = square.device("rsk-b002", boot=701)
    device.send({"seq": 1, "ts": square.now_s(), "fill_pct": 31})
    wait_until(lambda: device.upto == 1, 10, "an honest reading")
    square.settled()
    assert square.count("gateway", "acks_foreign") == 0
    assert square.count("ingest", "bad_batches") == 0
    assert square.count("gateway", "settled_stored") >= settled
    assert not heard
    client.disconnect()
    client.loop_stop()
    device.close()

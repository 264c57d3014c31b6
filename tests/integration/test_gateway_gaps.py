"""A reading got lost on the way: the gateway finds out, asks the node for it, and gets it, over a kill."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from firmware import wire
from resik.parts import gateway as gateway_group
from square.access import access_list
from square.endpoint import MqttEndpoint
from square.mqtt import MqttConnection
from tests.integration.gateway_process import (
    PASSWORDS,
    SITE,
    GatewayProcess,
    Ingest,
    closing_all,
    connect,
    start_broker,
    wait_settled,
)
from tests.services import Server, start_mosquitto, wait_until

pytestmark = pytest.mark.service

DEVICE = "rsk-b001"
BOOT = 7
USERS = PASSWORDS | {DEVICE: f"{DEVICE}-secret-for-tests", "gateway-uplink": "uplink-secret-for-tests"}


class ForgetfulNode:
    """A node that believes that all it sent has arrived, and sends again only what it is told to."""

    def __init__(self, port: int) -> None:
        self.orders: list[dict[str, Any]] = []
        self.acks: list[tuple[int, list[tuple[int, int]]]] = []
        self.obeys = True
        self._kept: dict[int, dict[str, int]] = {}
        self._done = 0
        self._up_s = 100
        endpoint = MqttEndpoint("127.0.0.1", port, username=DEVICE, password=USERS[DEVICE])
        self._link = MqttConnection(endpoint, DEVICE, inbound_limit=1000)
        self._link.subscribe(f"resik/{SITE}/{DEVICE}/down/+")
        self._link.start()
        self._link.wait_connected()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def measure(self, *, loses: bool = False) -> None:
        """Make the next reading, and lose it on the way if so told."""
        seq = len(self._kept) + 1
        self._kept[seq] = {"seq": seq, "ts": int(time.time()), "distance_mm": 500 + seq}
        if not loses:
            self._send([seq])

    def say(self) -> None:
        """Send a status."""
        self._up_s += 1
        status = {"boot": BOOT, "up_s": self._up_s, "cmd": self._done, "interval_s": 600}
        self._link.publish(wire.topic_up(SITE, DEVICE, "status"), wire.encode_status(status))

    def _send(self, seqs: list[int]) -> None:
        for start in range(0, len(seqs), 6):
            readings = [self._kept[seq] for seq in seqs[start : start + 6]]
            self._link.publish(wire.topic_up(SITE, DEVICE, "bin"), wire.encode_up(BOOT, readings, 1, 100))

    def _listen(self) -> None:
        while not self._stop.is_set():
            for delivery in self._link.deliveries(0.05):
                kind = wire.parse_topic(delivery.topic)[3]
                if kind == "ack":
                    _boot, upto, also = wire.decode_ack(delivery.payload)
                    self.acks.append((upto, also))
                elif kind == "cmd":
                    self._obey(json.loads(delivery.payload))
                self._link.ack(delivery)

    def _obey(self, order: dict[str, Any]) -> None:
        self.orders.append(order)
        if not self.obeys or order["id"] <= self._done:
            return
        assert (order["cmd"], order["boot"]) == ("resend", BOOT)
        self._done = order["id"]
        self._send([seq for seq in sorted(self._kept) if seq >= order["from"]])
        self.say()

    def close(self) -> None:
        """Disconnect."""
        self._stop.set()
        self._thread.join(2)
        self._link.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Server]:
    """Give a mosquitto with access rules."""
    server = start_mosquitto(tmp_path / "broker", users=USERS, acl=access_list(SITE, [DEVICE]))
    yield server
    server.stop()


def test_a_lost_reading_is_fetched_once_over_a_kill(broker: Server, tmp_path: Path) -> None:
    """Two of ten readings never reached the broker: one order, both come, everything is acked and stored once."""
    password = tmp_path / "uplink-password"
    password.write_text(USERS["gateway-uplink"])
    settings = {"GAP_AFTER_S": "1", "UPLINK_USERNAME": "gateway-uplink", "UPLINK_PASSWORD_FILE": str(password)}
    gateway = GatewayProcess(tmp_path, broker.port, settings).start()
    ingest = Ingest(broker.port)
    node = ForgetfulNode(broker.port)
    with closing_all(gateway, ingest, node):
        node.obeys = False
        node.say()
        for seq in range(1, 11):
            node.measure(loses=seq in {4, 7})
        wait_until(lambda: gateway.counts()["resend_open"] == 2, 20, "the gap to be asked for")
        wait_until(lambda: len(node.orders) == 1, 10, "the order to reach the node")
        assert node.orders[0] == {"v": 1, "id": 1, "cmd": "resend", "boot": BOOT, "from": 4}
        wait_until(lambda: gateway.counts()["missing_late"] == 2, 10, "the gaps to be counted")
        shown = CliRunner().invoke(gateway_group, ["status", "--port", str(gateway.health_port)]).output
        assert "2 bacaan belum sampai" in shown
        assert "2 readings missing although later ones came; 2 gaps asked for" in shown
        assert f"{DEVICE}  " in shown

        gateway.kill()
        node.obeys = True
        gateway.start()
        node.say()
        wait_until(lambda: gateway.counts()["resend_came"] == 2, 20, "the lost readings")
        wait_settled(gateway)
        assert ingest.keys() == {(DEVICE, BOOT, seq) for seq in range(1, 11)}
        assert all(len(ids) == 1 for ids in ingest.ids_by_key().values()), "what came again was stored once"
        wait_until(lambda: node.acks[-1] == (10, []), 10, "an ack that covers what was sent again")
        counts = gateway.counts()
        assert (counts["missing_late"], counts["missing_lost"], counts["resend_open"]) == (0, 0, 0)
        assert {order["id"] for order in node.orders} == {1}, "killed in between, and asked for once all the same"
        report = json.loads(CliRunner().invoke(gateway_group, ["status", "--port", str(gateway.health_port),
                                                               "--json"]).output)  # fmt: skip
        (line,) = [found for found in report["nodes"] if found["device"] == DEVICE]
        assert (line["state"], line["missing"], line["asked"], line["interval_s"]) == ("online", 0, 0, 600)
        assert "gaps" not in {trouble["code"] for trouble in report["troubles"]}


def test_a_node_that_lost_it_for_good_says_so_and_is_left_alone(tmp_path: Path) -> None:
    """Asked for what it no longer has, it says `oldest_seq`: settled as gone, counted as lost, never asked again."""
    broker = start_broker("mosquitto", tmp_path / "broker")
    gateway = GatewayProcess(tmp_path, broker.port, {"GAP_AFTER_S": "1"}).start()
    fleet = connect(broker.port, "fleet")
    with closing_all(broker, gateway, fleet):

        def send(seqs: list[int], oldest: int | None) -> None:
            readings = [{"seq": seq, "ts": int(time.time()), "distance_mm": 700} for seq in seqs]
            fleet.publish(wire.topic_up(SITE, "rsk-b002", "bin"), wire.encode_up(BOOT, readings, oldest, 100))

        send([1, 2, 6], 1)
        wait_until(lambda: gateway.counts()["resend_open"] == 1, 20, "the gap to be asked for")
        send([7], 6)
        wait_until(lambda: gateway.counts()["resend_gone"] == 3, 20, "the request to be settled")
        counts = gateway.counts()
        assert (counts["resend_open"], counts["missing_lost"], counts["resend_requests"]) == (0, 3, 1)

"""Orders over a real broker with access rules: updates in stages, configuration, commands, a gateway that is killed."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from firmware import wire
from resik import fleet
from square.access import access_list
from square.endpoint import MqttEndpoint
from square.errors import BrokerUnavailable
from square.mqtt import MqttConnection
from tests.integration.gateway_process import PASSWORDS, SITE, GatewayProcess, closing_all
from tests.services import Server, start_mosquitto, wait_until

release = pytest.importorskip("resik.release", reason="cryptography is not installed: updates were NOT tested")
pytestmark = pytest.mark.service

NODES = ("rsk-b001", "rsk-b002", "rsk-b003")
VERSION = 10_400
USERS = PASSWORDS | {name: f"{name}-secret-for-tests" for name in (*NODES, "gateway-uplink")}


class HandmadeNode:
    """A node written by hand from docs/protocol.md: asks for an offered update piece by piece and says what it does."""

    def __init__(self, port: int, device: str) -> None:
        self.device = device
        self.fw = "1.3.0"
        self.bundle = bytearray()
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._up_s = 0
        self._seq = 0
        self._link = MqttConnection(
            MqttEndpoint("127.0.0.1", port, username=device, password=USERS[device]), device, inbound_limit=1000
        )
        self._link.subscribe(f"resik/{SITE}/{device}/down/+")
        self._link.start()
        self._link.wait_connected()

    def say(self, **fields: Any) -> None:
        """Send a status."""
        self._up_s += 1
        status = {"boot": 7, "up_s": self._up_s, "fw": self.fw, "class": "bin", **fields}
        self._publish("status", wire.encode_status(status))

    def measure(self) -> None:
        """Send a reading and wait for its application ack."""
        self._seq += 1
        seq = self._seq
        self._publish("bin", wire.encode_up(7, [{"seq": seq, "ts": int(time.time()), "distance_mm": 740}], 1))
        self.wait_for("ack", lambda message: message["upto"] >= seq)

    def load(self, upto: int | None = None, size: int = 1024) -> None:
        """Load the offered bundle from where it stopped, up to a byte or to its end; ask again when nothing comes."""
        offer = self.wait_for("ota", lambda message: "offer" in message)
        end = offer["size"] if upto is None else upto
        deadline = time.monotonic() + 40
        while len(self.bundle) < end:
            assert time.monotonic() < deadline, f"{self.device} has {len(self.bundle)} of {end} bytes"
            at = len(self.bundle)
            self._publish("ota", wire.encode_ota_up(7, VERSION, at, size))
            block = self._next("ota", lambda message, at=at: message.get("at") == at, 1.0)
            if block is not None:
                self.bundle += wire.decode_ota_down(json.dumps(block).encode())["data"]

    def confirm(self) -> None:
        """Start the new version, on trial until a reading of it was acked."""
        self.fw = "1.4.0"
        self.say(ota="trial", ota_ver=VERSION)
        self.measure()
        self.say(ota="confirmed", ota_ver=VERSION)

    def wait_for(self, kind: str, condition: Callable[[dict[str, Any]], bool], timeout_s: float = 20) -> dict[str, Any]:
        """Return the first message of a kind that came, or comes, and meets a condition."""
        found = self._next(kind, condition, timeout_s)
        assert found is not None, f"{self.device} never heard it; it heard {self.heard}"
        return found

    def listen(self, seconds: float) -> list[tuple[str, dict[str, Any]]]:
        """Return all that was heard so far and is heard within some time."""
        self._next("none", lambda _message: False, seconds)
        return list(self.heard)

    def _next(self, kind: str, condition: Callable[[dict[str, Any]], bool], timeout_s: float) -> dict[str, Any] | None:
        deadline = time.monotonic() + timeout_s
        while True:
            for index, (what, message) in enumerate(self.heard):
                if what == kind and condition(message):
                    del self.heard[index]
                    return message
            if time.monotonic() > deadline:
                return None
            for delivery in self._link.deliveries(0.05):
                self._link.ack(delivery)
                _site, device, _direction, what = wire.parse_topic(delivery.topic)
                assert device == self.device
                self.heard.append((what, json.loads(delivery.payload)))

    def _publish(self, kind: str, payload: str) -> None:
        try:
            self._link.publish(wire.topic_up(SITE, self.device, kind), payload)
        except BrokerUnavailable:
            return

    def publish_as(self, device: str, kind: str, payload: str) -> None:
        """Pretend to be another node."""
        self._link.publish(wire.topic_up(SITE, device, kind), payload)

    def spy(self, topic: str) -> None:
        """Try to listen to another topic."""
        self._link.subscribe(topic)

    def close(self) -> None:
        self._link.stop()


class Bench:
    """Broker, gateway and desk."""

    def __init__(self, folder: Path, *, persistence: bool = True) -> None:
        self.folder = folder
        self.broker: Server = start_mosquitto(
            folder / "broker", users=USERS, acl=access_list(SITE, NODES), persistence=persistence
        )
        password = folder / "uplink-password"
        password.write_text(USERS["gateway-uplink"])
        settings = {"UPLINK_USERNAME": "gateway-uplink", "UPLINK_PASSWORD_FILE": str(password)}
        self.gateway = GatewayProcess(folder, self.broker.port, settings).start()
        self.nodes: list[HandmadeNode] = []

    def node(self, device: str) -> HandmadeNode:
        made = HandmadeNode(self.broker.port, device)
        self.nodes.append(made)
        return made

    def desk(self, group: Any, *words: str) -> Result:
        place = ["--orders", str(self.folder / "orders.sqlite3")]
        return CliRunner().invoke(group, [words[0], *place, *words[1:]])

    def publish(self, *words: str) -> bytes:
        """Publish an update when the gateway knows all nodes; return the bundle."""
        key_file = self.folder / "release.key"
        release.make_key(key_file)
        code = b"M\x06" + bytes(range(256)) * 24
        made = release.build({"firmware/app.mpy": code}, kind="bin", version=VERSION, key=release.read_key(key_file))
        path = self.folder / "update.rsk"
        path.write_bytes(made)
        for node in self.nodes:
            node.say(ota="idle")
        everybody = f'"device": "{self.nodes[-1].device}"'
        wait_until(
            lambda: everybody in self.desk(fleet.node, "list", "--json").output
            and self.desk(fleet.node, "list", "--json").output.count('"fw": "1.3.0"') == len(self.nodes),
            20, "the gateway to know the nodes",
        )  # fmt: skip
        result = self.desk(fleet.ota, "publish", str(path), "--pub", str(self.folder / "ota.pub"), *words)
        assert result.exit_code == 0, result.output
        return made

    def rollout(self) -> dict[str, Any]:
        return dict(json.loads(self.desk(fleet.ota, "status", "--json").output)[0])

    def in_turn(self) -> list[HandmadeNode]:
        """Return the nodes in the order of the roll-out."""
        known = {node.device: node for node in self.nodes}
        return [known[device] for device in self.rollout()["nodes"]]

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self.gateway.stop()
        self.broker.stop()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    with closing_all(made):
        yield made


def test_an_update_reaches_all_nodes_in_stages_over_a_gateway_that_is_killed(bench: Bench) -> None:
    """Loaded in ranges, resumed after kill -9, verified, confirmed; the next stage opens; in the end all have it."""
    for device in NODES:
        bench.node(device)
    content = bench.publish("--stages", "30,100", "--soak-s", "1")
    first, *others = bench.in_turn()
    first.load(upto=3000)
    first.say(ota="loading", ota_ver=VERSION, ota_at=len(first.bundle))
    bench.gateway.kill()
    bench.gateway.start()
    first.say(ota="loading", ota_ver=VERSION, ota_at=len(first.bundle))
    first.load()
    assert bytes(first.bundle) == content
    assert release.verify(release.read(bytes(first.bundle)), release.read_public(bench.folder / "ota.pub"))
    assert all("offer" not in message for node in others for _kind, message in node.listen(0.2))
    first.confirm()
    for node in others:
        node.load()
        assert bytes(node.bundle) == content
        node.confirm()
    wait_until(lambda: bench.rollout()["phase"] == "done", 20, f"the roll-out to be done: {bench.rollout()}")
    status = bench.desk(fleet.ota, "status")
    assert status.exit_code == 0
    assert "3 of 3 nodes have it" in status.output
    counts = bench.gateway.counts()
    assert (counts["poison"], counts["down_requests_bad"], counts["down_requests_refused"]) == (0, 0, 0)


def test_a_node_that_rolls_back_halts_the_roll_out_for_all(bench: Bench) -> None:
    """The desk sees exit code 1 and the reason, health says it, and no other node gets a byte."""
    for device in NODES[:2]:
        bench.node(device)
    bench.publish("--stages", "50,100", "--soak-s", "0")
    first, other = bench.in_turn()
    first.load()
    first.say(ota="rolled-back", ota_ver=VERSION)
    wait_until(lambda: bench.rollout()["phase"] == "halted", 20, "the roll-out to halt")
    status = bench.desk(fleet.ota, "status")
    assert status.exit_code == 1
    assert f"{first.device} rolled back" in status.output
    wait_until(lambda: "HALTED" in bench.gateway.reason(), 10, "health to say it")
    assert bench.gateway.health()["ok"], "readings flow on"
    other.say(ota="idle")
    other._publish("ota", wire.encode_ota_up(7, VERSION, 0, 1024))
    assert other.wait_for("ota", lambda message: "halt" in message)["halt"] == VERSION
    assert all("offer" not in message and "data" not in message for _kind, message in other.heard)
    other.measure()


def test_a_node_cannot_ask_for_or_hear_what_is_anothers(bench: Bench) -> None:
    """The broker's access rules: a request in another's name goes nowhere, and another's blocks are not delivered."""
    asker, victim = bench.node(NODES[0]), bench.node(NODES[1])
    bench.publish("--stages", "100", "--soak-s", "0")
    victim.wait_for("ota", lambda message: "offer" in message)
    asker.spy(f"resik/{SITE}/{victim.device}/down/+")
    asker.spy(f"resik/{SITE}/+/down/ota")
    asker.publish_as(victim.device, "ota", wire.encode_ota_up(7, VERSION, 0, 1024))
    asker.measure()  # an ack after it: had the request been let through, it would have been answered by now
    assert bench.gateway.counts()["down_blocks"] == 0
    victim._publish("ota", wire.encode_ota_up(7, VERSION, 0, 1024))
    victim.wait_for("ota", lambda message: "data" in message)
    assert all("data" not in message for _kind, message in asker.listen(0.2))


def test_configuration_and_commands_wait_for_a_sleeping_node_and_survive_a_forgetful_broker(tmp_path: Path) -> None:
    """Ordered while the node sleeps, delivered when it wakes; a broker that lost everything gets it again from us."""
    bench = Bench(tmp_path, persistence=False)
    with closing_all(bench):
        node = bench.node(NODES[0])
        node.say(cfg=0, cmd=0)
        wait_until(lambda: NODES[0] in bench.desk(fleet.node, "list").output, 20, "the gateway to know the node")
        node.close()
        assert bench.desk(fleet.node, "config", NODES[0], "--set", "interval_s=300").exit_code == 0
        assert bench.desk(fleet.node, "send", NODES[0], "identify").exit_code == 0
        wait_until(lambda: bench.gateway.counts()["down_configs"] == 1, 10, "the configuration to go out")
        woken = bench.node(NODES[0])
        config = woken.wait_for("config", lambda _message: True)
        assert wire.decode_config(json.dumps(config).encode()) == (1, {"interval_s": 300})
        assert woken.wait_for("cmd", lambda _message: True)["cmd"] == "identify"
        woken.say(cfg=1, cmd=1)
        wait_until(lambda: "identify s=30: done" in bench.desk(fleet.node, "show", NODES[0]).output, 10, "its word")
        bench.broker.stop()
        bench.gateway.kill()
        bench.broker.start()
        bench.gateway.start()
        anew = bench.node(NODES[0])
        anew.say(cfg=0, cmd=1)
        assert anew.wait_for("config", lambda _message: True)["cfg"] == 1
        assert all(kind != "cmd" for kind, _message in anew.heard)

"""Virtual nodes against a real broker: custody of every reading through restarts, lost acks and silence."""

import asyncio
import json
from pathlib import Path

import pytest

from simulators.fleet import Fleet
from simulators.mqtt_link import open_link
from simulators.node import Ledger, NodeIdentity, VirtualNode, checksum
from square.clock import WallClock
from square.endpoint import MqttEndpoint
from tests.fakes.ledger import read_ledger
from tests.fakes.stub_gateway import SITE, StubGateway, broker_with_acl, running, until

pytestmark = pytest.mark.service


class CheckedNode(VirtualNode):
    """A node that fails the test when it sends what was acknowledged already."""

    sent_after_ack = 0

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.freed = set()

    def on_ack(self, payload):
        before = {(boot, r["seq"]) for boot, r in self.queue.save()}
        freed = super().on_ack(payload)
        self.freed |= before - {(boot, r["seq"]) for boot, r in self.queue.save()}
        return freed

    def next_message(self, at_s):
        message = super().next_message(at_s)
        if message is not None:
            CheckedNode.sent_after_ack += len(self.freed.intersection(message[1]))
        return message


def make_nodes(count, interval_s=1):
    names = [f"rsk-b{i:03d}" for i in range(count)]
    now_s = WallClock().now_s()
    return [
        CheckedNode(
            NodeIdentity(SITE, name, "bin", interval_s),
            lambda at_s: {"distance_mm": int(at_s * 1000) % 9000},
            boot=1000 + i,
            started_s=now_s,
        )
        for i, name in enumerate(names)
    ], {name: f"secret-{name}" for name in names}


def reconcile(ledger_file: Path, stored: dict) -> tuple[set, set]:
    """Return what was published and not stored, and what was stored and never published."""
    published = {(e.device, e.boot, e.seq) for e in read_ledger(ledger_file)}
    return published - set(stored), set(stored) - published


def test_nothing_is_lost_over_a_broker_kill(tmp_path):
    """54 nodes, kill -9 of the broker in mid-flow, a third of the first acks lost: every reading is acked once."""
    CheckedNode.sent_after_ack = 0
    nodes, passwords = make_nodes(54)
    broker = broker_with_acl(tmp_path / "broker", passwords)
    ledger = Ledger(tmp_path / "ledger.csv")

    async def scenario():
        gateway = StubGateway(broker.port, "secret-gateway", lose=lambda d, n: n == 1 and int(d[-3:]) % 3 == 0)
        fleet = Fleet(nodes, passwords, MqttEndpoint("127.0.0.1", broker.port), WallClock(), ledger, resend_after_s=1.0)
        async with running(gateway.run()):
            fleet.start()
            async with running(fleet.sample()):
                await asyncio.sleep(2.5)
                await asyncio.to_thread(broker.kill)
                await asyncio.sleep(0.7)
                await asyncio.to_thread(broker.start)
                await asyncio.sleep(2.5)
            assert await fleet.drained(30)
            fleet.check()
            counts = fleet.counts()
            await fleet.stop()
        return gateway, counts

    try:
        gateway, counts = asyncio.run(scenario())
    finally:
        broker.stop()
        ledger.close()
    assert counts.made == counts.published == counts.acked >= 54 * 5
    assert counts.waiting == counts.dropped == counts.refused == 0
    assert counts.connects >= 2 * 54  # the fault did fire
    assert counts.repeated >= 18  # 54 / 3 first acks were lost
    assert CheckedNode.sent_after_ack == 0
    assert reconcile(tmp_path / "ledger.csv", gateway.stored) == (set(), set())
    assert gateway.acked == set(gateway.stored)
    values = {(e.device, e.boot, e.seq): (e.ts, e.values) for e in read_ledger(tmp_path / "ledger.csv")}
    assert values == {key: (r["ts"], checksum(r)) for key, r in gateway.stored.items()}
    assert len(gateway.statuses) == 54
    # Test of the test: a planted loss and a planted stranger are both seen.
    planted = dict(gateway.stored)
    lost = planted.popitem()[0]
    planted["rsk-b000", 1, 1] = {}
    assert reconcile(tmp_path / "ledger.csv", planted) == ({lost}, {("rsk-b000", 1, 1)})


def test_silent_gateway_gets_the_oldest_window_again(tmp_path):
    """Without an application ack the same oldest window comes again after the timeout, newer readings wait."""
    nodes, passwords = make_nodes(1)
    broker = broker_with_acl(tmp_path / "broker", passwords)

    async def scenario():
        gateway = StubGateway(broker.port, "secret-gateway", lose=lambda _d, n: n < 4)
        fleet = Fleet(
            nodes, passwords, MqttEndpoint("127.0.0.1", broker.port), WallClock(), Ledger(None), resend_after_s=0.2
        )
        async with running(gateway.run()):
            await until(gateway.ready.is_set, 10, "the gateway to listen")
            nodes[0].measure(1.0)
            fleet.start()
            await until(lambda: gateway.windows, 10, "the first reading")
            nodes[0].measure(2.0)
            assert await fleet.drained(10)
            await fleet.stop()
        return gateway.windows

    try:
        windows = asyncio.run(scenario())
    finally:
        broker.stop()
    seqs = [w for _, w in windows]
    assert seqs[0] == (1,)
    assert all(w[0] == 1 for w in seqs[:4])
    assert len(seqs) >= 4
    assert max(max(w) for w in seqs) == 2


def test_wrong_password_is_refused_and_others_live_on(tmp_path):
    """A node with a wrong secret is counted as refused and delivers nothing; its neighbour is not disturbed."""
    nodes, passwords = make_nodes(2)
    broker = broker_with_acl(tmp_path / "broker", passwords)

    async def scenario():
        gateway = StubGateway(broker.port, "secret-gateway")
        wrong = passwords | {"rsk-b000": "guess"}
        fleet = Fleet(nodes, wrong, MqttEndpoint("127.0.0.1", broker.port), WallClock(), Ledger(None))
        async with running(gateway.run()):
            await until(gateway.ready.is_set, 10, "the gateway to listen")
            fleet.start()
            for node in nodes:
                node.measure(10.0)
            await until(lambda: fleet.counts().acked == 1, 10, "the reading of the neighbour")
            await until(lambda: fleet.counts().refused >= 2, 10, "a second try of the wrong password")
            counts = fleet.counts()
            await fleet.stop()
        return gateway, counts

    try:
        gateway, counts = asyncio.run(scenario())
    finally:
        broker.stop()
    assert {device for device, _, _ in gateway.stored} == {"rsk-b001"}
    assert counts.connected == 1
    assert counts.waiting == 1


def test_a_killed_node_leaves_its_will_and_a_stopped_one_does_not(tmp_path):
    """The broker publishes the will of a vanished connection; a polite stop leaves none."""
    nodes, passwords = make_nodes(2)
    broker = broker_with_acl(tmp_path / "broker", passwords)

    async def scenario():
        gateway = StubGateway(broker.port, "secret-gateway")
        endpoint = MqttEndpoint("127.0.0.1", broker.port)
        async with running(gateway.run()):
            await until(gateway.ready.is_set, 10, "the gateway to listen")
            vanished = await open_link(
                endpoint.host,
                endpoint.port,
                "rsk-b000",
                username="rsk-b000",
                password=passwords["rsk-b000"],
                will=nodes[0].will(),
                on_message=lambda _t, _p: None,
                on_lost=lambda: None,
            )
            fleet = Fleet(nodes[1:], passwords, endpoint, WallClock(), Ledger(None))
            fleet.start()
            await until(lambda: fleet.counts().connected == 1, 10, "the node to connect")
            await fleet.stop()
            # The broker has answered something after the polite end, so a will of it would come before the other.
            await vanished.publish(nodes[0].topic["status"], nodes[0].status(1.0))
            vanished.close(politely=False)
            await until(lambda: gateway.wills, 10, "the will")
        return gateway.wills

    try:
        wills = asyncio.run(scenario())
    finally:
        broker.stop()
    assert wills == {"rsk-b000": 1}
    assert json.loads(nodes[0].will()[1])["boot"] == 1000

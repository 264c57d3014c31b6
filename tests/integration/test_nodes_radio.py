"""Virtual nodes with radio holes, wrong clocks and lost storage, against a real broker."""

import asyncio

import numpy as np
import pytest

from simulators.faults import Fault, FaultScript
from simulators.fleet import Fleet
from simulators.node import Ledger, NodeIdentity, VirtualNode
from square.clock import FixedClock, WallClock
from square.endpoint import MqttEndpoint
from tests.fakes.ledger import read_ledger
from tests.fakes.stub_gateway import SITE, StubGateway, broker_with_acl, running, until

pytestmark = pytest.mark.service

NAMES = ["rsk-b001", "rsk-b002", "rsk-b003"]
PASSWORDS = {name: f"secret-{name}" for name in NAMES}


class Air:
    """A radio whose holes and clocks the test sets."""

    def __init__(self):
        self.unheard = set()
        self.ahead_s = 0.0

    def reaches(self, which, _at_s):
        return np.array([NAMES[i] not in self.unheard for i in which])

    def ts_s(self, which, at_s):
        return np.full(len(which), at_s + self.ahead_s)


def make_nodes():
    return [
        VirtualNode(
            NodeIdentity(SITE, name, "bin", 1),
            lambda _at_s: {"distance_mm": 700},
            boot=i,
            started_s=WallClock().now_s(),
        )
        for i, name in enumerate(NAMES, 1)
    ]


@pytest.fixture
def broker(tmp_path):
    one = broker_with_acl(tmp_path / "broker", PASSWORDS)
    yield one
    one.stop()


def test_a_radio_hole_keeps_readings_on_the_node(broker, tmp_path):
    """Without radio a node measures on and is gone for the broker; with radio again everything comes, once."""
    nodes, air, ledger = make_nodes(), Air(), Ledger(tmp_path / "ledger.csv")

    async def scenario():
        gateway = StubGateway(broker.port, "secret-gateway")
        endpoint = MqttEndpoint("127.0.0.1", broker.port)
        fleet = Fleet(nodes, PASSWORDS, endpoint, WallClock(), ledger, resend_after_s=1.0, radio=air)
        async with running(gateway.run()):
            fleet.start()
            async with running(fleet.sample()), running(fleet.listen()):
                await until(lambda: all(node.acked for node in nodes), 10, "the first acks")
                air.unheard = {"rsk-b002"}
                await until(lambda: fleet.counts().unheard == 1 and fleet.counts().connected == 2, 10, "the hole")
                await until(lambda: len(nodes[1].queue) >= 2, 10, "readings that wait")
                await until(lambda: gateway.wills["rsk-b002"] == 1, 10, "the last will")
                stored = sum(device == "rsk-b002" for device, _, _ in gateway.stored)
                assert stored < nodes[1].made
                air.unheard = set()
                await until(lambda: not len(nodes[1].queue) and fleet.counts().connected == 3, 10, "the end of it")
            assert await fleet.drained(10)
            await fleet.stop()
        return gateway

    gateway = asyncio.run(scenario())
    ledger.close()
    assert {(e.device, e.boot, e.seq) for e in read_ledger(tmp_path / "ledger.csv")} == set(gateway.stored)
    assert len(gateway.stored) == sum(node.made for node in nodes)


def test_a_wrong_clock_is_in_the_readings(broker):
    """A node whose clock is an hour ahead says so in every reading; the square's time is what moves its schedule."""
    nodes, air = make_nodes()[:1], Air()
    air.ahead_s = 3600.0
    clock = FixedClock(1_795_000_000.0)
    fleet = Fleet(nodes, PASSWORDS, MqttEndpoint("127.0.0.1", broker.port), clock, Ledger(None), radio=air)

    async def scenario():
        async with running(fleet.sample()):
            await asyncio.sleep(0.05)
            clock.advance(1.0)
            await until(lambda: nodes[0].made >= 1, 5, "a reading")

    asyncio.run(scenario())
    assert nodes[0].queue.head_ts() == 1_795_003_601


def test_lost_storage_loses_what_was_not_acknowledged_and_counts_it(broker):
    """At the moment of the fault the queue of the struck node is gone and counted; others keep theirs."""
    nodes, clock = make_nodes(), FixedClock(1000.0)
    script = FaultScript([Fault(1010, 1010, "node:rsk-b00[12]", "lost-storage")])
    endpoint = MqttEndpoint("127.0.0.1", broker.port)
    fleet = Fleet(nodes, PASSWORDS, endpoint, clock, Ledger(None), radio=Air(), faults=script)
    for node in nodes:
        node.measure(1000.0)
        node.measure(1001.0)

    async def scenario():
        async with running(fleet.listen()):
            await asyncio.sleep(0.05)
            clock.advance(20.0)
            await until(lambda: not len(nodes[0].queue), 5, "the loss")

    asyncio.run(scenario())
    assert [len(node.queue) for node in nodes] == [0, 0, 2]
    assert [node.queue.dropped for node in nodes] == [2, 2, 0]


def test_hearing_all_ends_every_hole(broker):
    """Before the last acks are waited for, every node gets its radio back."""
    nodes, air = make_nodes(), Air()
    air.unheard = set(NAMES)
    fleet = Fleet(nodes, PASSWORDS, MqttEndpoint("127.0.0.1", broker.port), WallClock(), Ledger(None), radio=air)

    async def scenario():
        async with running(fleet.listen()):
            await until(lambda: fleet.counts().unheard == 3, 5, "the holes")
            fleet.hear_all()
            await asyncio.sleep(0.4)
            assert fleet.counts().unheard == 0

    asyncio.run(scenario())

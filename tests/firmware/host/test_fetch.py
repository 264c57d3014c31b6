"""A conversation about an update: what is asked for, and how often."""

import asyncio
import base64
import json
from types import SimpleNamespace

from firmware import fetch, wire
from tests.firmware.host.update_bench import Node, bundle_of

SITE = "pasuruan"
DEVICE = "rsk-b001"
TOPIC = wire.topic_down(SITE, DEVICE, "ota")


class Link:
    """A broker that acknowledges at once, and a gateway behind it that answers later, to one request twice."""

    def __init__(self, bundle, twice):
        self.bundle = bundle
        self.twice = twice
        self.hear = lambda _topic, _payload: None
        self.asked = []

    async def join(self):
        return True

    async def open(self, kinds):
        pass

    async def publish(self, _kind, payload):
        wanted = json.loads(payload)
        self.asked.append(wanted["at"])
        data = base64.b64encode(self.bundle[wanted["at"] : wanted["at"] + wanted["n"]]).decode()
        answer = {"v": 1, "ver": wanted["ver"], "at": wanted["at"], "of": len(self.bundle), "data": data}
        loop = asyncio.get_running_loop()
        for late_s in (0.001, 0.003) if len(self.asked) == self.twice else (0.001,):
            loop.call_later(late_s, self.hear, TOPIC, json.dumps(answer, separators=(",", ":")).encode())


def boot_of(node):
    """Return what `Fetch` needs of a boot."""
    values = SimpleNamespace(site=SITE, device=DEVICE, kind="bin", low_mv=3500)
    board = SimpleNamespace(nvs=node.nvs, partition=node.partitions.idle)
    record = SimpleNamespace(boot=7, battery_mv=3900)
    return SimpleNamespace(
        files=node.flash,
        board=board,
        settings=SimpleNamespace(active=values),
        record=record,
        progress=lambda _step: None,
    )


def test_an_answer_that_comes_twice_costs_no_second_request():
    """One part that came twice does not make the node ask for every later one twice."""
    node = Node()
    bundle, _ = bundle_of(10400)
    node.offer(bundle, 10400)
    while not node.updater.has_stage:
        node.download(bundle, 1)
    work = fetch.Fetch(boot_of(node))
    work._updater._free_bytes = node.flash.free_bytes
    work._updater._mpy = "6.3"
    work.prepare(None)
    work._updater.is_linked = True
    link = Link(bundle, 3)
    link.hear = work._on_message
    asyncio.run(work._load(link))
    assert work._updater.parked
    assert len(link.asked) == len(set(link.asked)) > 20

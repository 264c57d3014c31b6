"""A conversation about an update: what is asked for, how often, and what is taken."""

import asyncio
import base64
import json
from types import SimpleNamespace

import pytest

from firmware import fetch, wire
from firmware.chores import TODO
from firmware.core.slots import PIECE_BYTES
from tests.firmware.host.update_bench import Node, bundle_of

SITE = "pasuruan"
DEVICE = "rsk-b001"
TOPIC = wire.topic_down(SITE, DEVICE, "ota")
NEW = 10400


class Link:
    """A broker that acknowledges at once, and a gateway behind it that answers later, to one request twice.

    `news` goes down before the answer to the request of that number.
    """

    def __init__(self, bundle, twice=0, news=None):
        self.bundle = bundle
        self.twice = twice
        self.news = news or {}
        self.hear = lambda _topic, _payload: None
        self.asked = []

    async def join(self):
        return True

    async def open(self, kinds):
        pass

    async def publish(self, _kind, payload):
        wanted = json.loads(payload)
        self.asked.append(wanted["at"])
        answer = part(self.bundle, wanted["at"], wanted["n"], wanted["ver"])
        loop = asyncio.get_running_loop()
        if len(self.asked) in self.news:
            self.send(self.news[len(self.asked)])
        for late_s in (0.001, 0.003) if len(self.asked) == self.twice else (0.001,):
            loop.call_later(late_s, self.send, answer)

    def send(self, message):
        self.hear(TOPIC, json.dumps({"v": 1} | message, separators=(",", ":")).encode())


def part(bundle, at, n, ver=NEW, of=None):
    data = base64.b64encode(bundle[at : at + n]).decode()
    return {"ver": ver, "at": at, "of": of or len(bundle), "data": data}


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


def loading(bundle, judged=True):
    """Return a node that was offered a bundle; `judged` that has its head."""
    node = Node()
    node.offer(bundle, NEW)
    if judged:
        while "/b/head" not in node.flash.files:
            node.download(bundle, 1)
    return node


def talk(node, link):
    """Go on for one conversation; returns what did it."""
    work = fetch.Fetch(boot_of(node), node.updater.look())
    link.hear = work._on_message
    asyncio.run(work._load(link))
    return work


def test_an_answer_that_comes_twice_costs_no_second_request():
    """One part that came twice does not make the node ask for every later one twice."""
    bundle, _ = bundle_of(NEW)
    node = loading(bundle)
    link = Link(bundle, twice=3)
    work = talk(node, link)
    assert not work._next()
    assert len(link.asked) == len(set(link.asked)) > 20
    assert node.updater.look() is None
    assert node.updater.whole


def test_a_head_goes_on_where_the_last_boot_left_it():
    """Not a byte of a head is asked for twice, however short the wakes are."""
    bundle, _ = bundle_of(NEW)
    node = loading(bundle, judged=False)
    node.download(bundle, 1)
    node.restart()
    link = Link(bundle)
    talk(node, link)
    assert link.asked[0] == PIECE_BYTES
    node.restart()
    assert node.wanted() is not None
    assert "/b/head" in node.flash.files


@pytest.mark.parametrize("judged", [False, True])
def test_only_what_was_asked_for_is_taken(judged):
    """Late, double, short, foreign and broken messages change nothing: nobody pushes bytes onto the flash."""
    bundle, _ = bundle_of(NEW)
    node = loading(bundle, judged=judged)
    work = fetch.Fetch(boot_of(node), node.updater.look())
    at, n = work._next()
    before = dict(node.flash.files)
    other = wire.topic_down(SITE, DEVICE, "cmd")
    good = {"v": 1} | part(bundle, at, n)
    for topic, message in (
        (TOPIC, part(bundle, at + 1, n)),
        (TOPIC, part(bundle, at, n - 1)),
        (TOPIC, part(bundle, at, n, ver=NEW - 1)),
        (TOPIC, {"offer": NEW, "type": "app", "class": "bin", "size": len(bundle)}),
        (TOPIC, {"nonsense": 1}),
        (other, good),
    ):
        work._on_message(topic, json.dumps({"v": 1} | message, separators=(",", ":")).encode())
    assert node.flash.files == before
    assert work._next() == (at, n)
    assert not work._heard.is_set()
    work._on_message(TOPIC, json.dumps(good, separators=(",", ":")).encode())
    assert work._heard.is_set()
    assert work._next()[0] == at + n


NEWS = {
    "halt": ({"halt": NEW}, {"ota": "idle", "ota_ver": 0}),
    "a newer offer": ({"offer": 10500, "type": "app", "class": "bin"}, {"ota": "loading", "ota_ver": 10500}),
    "another file than offered": (None, {"ota": "refused-truncated", "ota_ver": NEW}),
}


@pytest.mark.parametrize(("news", "report"), NEWS.values(), ids=NEWS)
def test_news_end_the_talk_and_wait_for_a_boot_with_memory(news, report):
    """What is no part of the update stops it at once, and is done by the next boot before its link."""
    bundle, _ = bundle_of(NEW)
    node = loading(bundle)
    at, n = node.wanted()
    if news is None:
        news = part(bundle, at + 2 * n, n, of=len(bundle) - 1)
    elif "offer" in news:
        news = news | {"size": len(bundle)}
    link = Link(bundle, news={3: news})
    work = talk(node, link)
    assert len(link.asked) == 3
    assert not work._next()
    todo = json.loads(node.flash.files[TODO])
    node.restart()
    node.updater.take(todo["update"])
    node.updater.look()
    assert node.report() == report

"""A gateway that keeps readings in memory: the other end for tests of virtual nodes."""

import asyncio
import threading
import time
from collections import Counter
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from firmware import wire
from simulators.errors import LinkError
from simulators.mqtt_link import open_link
from tests import services

SITE = "alun-alun"


class StubGateway:
    """Stores every reading once and acknowledges it.

    `lose(device, number of the message)` says which acks never leave; `seen(device, reading)` is told of each reading.
    """

    def __init__(
        self, port, password, *, site=SITE, lose=lambda _device, _count: False, seen=lambda _device, _reading: None
    ):
        self.stored: dict[tuple[str, int, int], dict] = {}
        self.acked: set[tuple[str, int, int]] = set()
        self.windows: list[tuple[str, tuple[int, ...]]] = []
        self.statuses = Counter()
        self.wills = Counter()
        self._port, self._password, self._lose, self._seen = port, password, lose, seen
        self._site = site
        self._inbox: asyncio.Queue = asyncio.Queue()
        self._messages = Counter()
        self.ready = threading.Event()
        self.link = None

    async def run(self):
        while True:
            with suppress(LinkError):
                link = self.link = await open_link(
                    "127.0.0.1",
                    self._port,
                    "gateway",
                    username="gateway",
                    password=self._password,
                    will=None,
                    on_message=lambda topic, payload: self._inbox.put_nowait((topic, payload)),
                    on_lost=lambda: self._inbox.put_nowait(None),
                )
                await link.subscribe([f"resik/{self._site}/+/up/+"])
                self.ready.set()
                while link.lost is None:
                    item = await self._inbox.get()
                    if item is not None:
                        await self._take(link, *item)
            await asyncio.sleep(0.05)

    async def _take(self, link, topic, payload):
        _, device, _, kind = wire.parse_topic(topic)
        if kind == "status":
            self.statuses[device] += 1
            return
        if kind == "will":
            self.wills[device] += 1
            return
        envelope = wire.decode_envelope(payload)
        boot = envelope["boot"]
        keys = {(device, boot, r["seq"]) for r in envelope["readings"]}
        self.windows.append((device, tuple(r["seq"] for r in envelope["readings"])))
        self.stored.update({(device, boot, r["seq"]): r for r in envelope["readings"]})
        for reading in envelope["readings"]:
            self._seen(device, reading)
        self._messages[device] += 1
        if self._lose(device, self._messages[device]):
            return
        upto = max(seq for _, _, seq in keys)
        await link.publish(wire.topic_down(self._site, device, "ack"), wire.encode_ack(boot, upto).encode())
        self.acked |= keys


@asynccontextmanager
async def running(*coroutines):
    """Run coroutines beside the block and cancel them at its end."""
    tasks = [asyncio.create_task(c) for c in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition, timeout_s, what):
    """Return once ``condition()`` holds; fail after ``timeout_s`` naming ``what``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"timed out after {timeout_s:g} s waiting for {what}"
        await asyncio.sleep(0.02)


@contextmanager
def gateway_thread(gateway):
    """Run a stub gateway on a loop of its own, beside code that blocks."""
    stop = threading.Event()

    async def main():
        async with running(gateway.run()):
            while not stop.is_set():  # noqa: ASYNC110 - a thread's event
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert gateway.ready.wait(10)
        yield
    finally:
        stop.set()
        thread.join(10)


def broker_with_acl(folder: Path, passwords: dict[str, str], site: str = SITE) -> services.Server:
    """Start mosquitto where a device may write below its own id only, and the gateway everywhere."""
    acl = (
        "user gateway\ntopic readwrite resik/#\n\n"
        f"pattern write resik/{site}/%u/up/+\npattern read resik/{site}/%u/down/+\n"
    )
    return services.start_mosquitto(folder, users=passwords | {"gateway": "secret-gateway"}, acl=acl)

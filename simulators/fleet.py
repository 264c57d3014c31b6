"""Many virtual nodes in one process: a connection of its own for each, one event loop for all.

A node sends its oldest un-acked window and waits for the application ack. No ack in time, or a new connection: the
same window again, with growing pauses. New readings wait meanwhile in the node's queue, as they do on a real device.
"""

import asyncio
import contextlib
import heapq
import logging
import random
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from firmware import wire
from simulators.errors import LinkError, LinkRefused
from simulators.faults import FaultScript
from simulators.mqtt_link import MqttLink, open_link
from simulators.node import Ledger, VirtualNode
from simulators.radio import Radio
from square.clock import Clock
from square.endpoint import MqttEndpoint

_log = logging.getLogger(__name__)

RESEND_AFTER_S = 30.0  # wall; doubles up to RESEND_MAX_S while the gateway stays silent
RESEND_MAX_S = 300.0
RECONNECT_MAX_S = 60.0
CONNECTS_AT_ONCE = 50
STATUS_EVERY = 6  # measurements
LOOK_AT_CLOCK_S = 0.25  # wall; the longest sleep of the schedule, so that a clock set anew is noticed


@dataclass
class FleetCounts:
    """What the fleet did since it started (readings unless said)."""

    made: int = 0
    published: int = 0
    repeated: int = 0
    acked: int = 0
    waiting: int = 0
    dropped: int = 0
    connected: int = 0
    unheard: int = 0
    connects: int = 0
    refused: int = 0
    missed: int = 0


class NodeRunner:
    """Keeps one node connected and its queue moving.

    Parameters
    ----------
    node, password
        The device and its secret; its id is client id and user name.
    endpoint
        The broker; user name and password in it are not used.
    clock, ledger
        Square time, and where first publications are noted.
    connecting
        Limits how many nodes connect at once.
    resend_after_s
        First wait for an application ack [wall s].
    """

    def __init__(
        self,
        node: VirtualNode,
        password: str | None,
        endpoint: MqttEndpoint,
        clock: Clock,
        ledger: Ledger,
        *,
        connecting: asyncio.Semaphore,
        tls: ssl.SSLContext | None = None,
        resend_after_s: float = RESEND_AFTER_S,
    ) -> None:
        self.node = node
        self.changed = asyncio.Event()
        self.acknowledged = asyncio.Event()
        self.heard = asyncio.Event()
        """Whether there is radio; set unless somebody clears it."""
        self.heard.set()
        self.connected = False
        self.connects = 0
        self.refused = 0
        self.status_due = True
        self._password = password
        self._endpoint = endpoint
        self._clock = clock
        self._ledger = ledger
        self._connecting = connecting
        self._tls = tls
        self._resend_after_s = resend_after_s

    async def run(self) -> None:
        """Connect, serve, reconnect, for ever; cancel to stop. The connection then ends politely."""
        pause_s = 0.5
        while True:
            link: MqttLink | None = None
            await self.heard.wait()
            try:
                async with self._connecting:
                    link = await self._connect()
                pause_s = 0.5
                await self._serve(link)
            except LinkRefused as error:
                self.refused += 1
                _log.warning("node %s refused: %s", self.node.identity.device_id, error.reason)
                pause_s = min(RECONNECT_MAX_S, pause_s * 2)
            except LinkError as error:
                _log.info("node %s: %s", self.node.identity.device_id, error)
                pause_s = min(RECONNECT_MAX_S, pause_s * 2)
            finally:
                self.connected = False
                if link is not None:
                    link.close(politely=self.heard.is_set())  # without radio there is no goodbye either
            await asyncio.sleep(random.uniform(0.1, pause_s))  # noqa: S311 - full jitter, not a secret

    async def _connect(self) -> MqttLink:
        endpoint = self._endpoint
        self.connects += 1
        link = await open_link(
            endpoint.host,
            endpoint.port,
            self.node.identity.device_id,
            username=self.node.identity.device_id if self._password is not None else None,
            password=self._password,
            will=self.node.will(),
            on_message=self._on_message,
            on_lost=self.changed.set,
            tls=self._tls,
        )
        try:
            await link.subscribe([self.node.ack_topic])  # always: the broker may have forgotten it
        except BaseException:
            link.close()
            raise
        self.connected = True
        return link

    def _on_message(self, topic: str, payload: bytes) -> None:
        if topic != self.node.ack_topic:
            return
        try:
            freed = self.node.on_ack(payload)
        except wire.WireError as error:
            _log.warning("node %s: unreadable ack: %s", self.node.identity.device_id, error)
            return
        if freed:
            self.changed.set()
            self.acknowledged.set()

    def hear(self, *, is_heard: bool) -> None:
        """Let there be radio, or none."""
        if is_heard:
            self.heard.set()
        elif self.heard.is_set():
            self.heard.clear()
            self.changed.set()

    async def _serve(self, link: MqttLink) -> None:
        resend_s = self._resend_after_s
        while link.lost is None:
            if not self.heard.is_set():
                raise LinkError("no radio")
            self.changed.clear()
            if self.status_due:
                self.status_due = False
                await link.publish(self.node.topic["status"], self.node.status(self._clock.now_s()))
            message = self.node.next_message(self._clock.now_s())
            if message is None:
                await self.changed.wait()
                continue
            payload, keys, new = message
            self._ledger.published(self.node.identity.device_id, self.node.identity.kind, keys[0][0], new)
            await link.publish(self.node.topic[self.node.identity.kind], payload)
            acked = await self._all_acked(link, keys, resend_s)
            resend_s = self._resend_after_s if acked else min(RESEND_MAX_S, resend_s * 2)
        raise LinkError(link.lost)

    async def _all_acked(self, link: MqttLink, keys: Sequence[tuple[int, int]], timeout_s: float) -> bool:
        """Wait until the whole window is acknowledged; False after the timeout or when the link is lost."""
        queue = self.node.queue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while link.lost is None and self.heard.is_set():
                    self.changed.clear()
                    if not any(key in queue for key in keys):
                        return True
                    await self.changed.wait()
        return False


@dataclass(order=True)
class _Due:
    at_s: float
    runner: NodeRunner = field(compare=False)


class Fleet:
    """All nodes of a square.

    Parameters
    ----------
    nodes
        The devices; each id once.
    passwords
        Secret by device id; a device that is missing here connects without user name.
    endpoint, clock, ledger
        See `NodeRunner`.
    seed
        Spreads the nodes over their interval.
    resend_after_s
        See `NodeRunner`.
    radio
        When nodes are heard and what time they believe it is; its names are those of the nodes, in their order. None:
        always, and the right one.
    faults
        Script in which nodes may lose what they keep.
    """

    def __init__(
        self,
        nodes: Sequence[VirtualNode],
        passwords: Mapping[str, str],
        endpoint: MqttEndpoint,
        clock: Clock,
        ledger: Ledger,
        *,
        seed: int = 0,
        resend_after_s: float = RESEND_AFTER_S,
        radio: Radio | None = None,
        faults: FaultScript | None = None,
    ) -> None:
        connecting = asyncio.Semaphore(CONNECTS_AT_ONCE)
        tls = ssl.create_default_context(cafile=endpoint.ca_file) if endpoint.tls else None
        self.runners = {
            node.identity.device_id: NodeRunner(
                node,
                passwords.get(node.identity.device_id),
                endpoint,
                clock,
                ledger,
                connecting=connecting,
                tls=tls,
                resend_after_s=resend_after_s,
            )
            for node in nodes
        }
        self._clock = clock
        self._ledger = ledger
        self._missed = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._spread = random.Random(seed)  # noqa: S311 - reproducible phases, not a secret
        self._radio = radio
        self._faults = faults or FaultScript()
        self._index = {device: np.array([i]) for i, device in enumerate(self.runners)}
        self._all = np.arange(len(self.runners))
        self._looked_s: float | None = None

    def start(self) -> None:
        """Begin to connect every node."""
        self._tasks = [asyncio.create_task(r.run(), name=f"node {device}") for device, r in self.runners.items()]

    async def stop(self) -> None:
        """Disconnect every node politely."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Raise the error of a node task that ended: a node that fell silent must not look alive."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def sample(self) -> None:
        """Measure on schedule in square time, for ever; cancel to stop."""
        now_s = self._clock.now_s()
        heap = [_Due(now_s + self._spread.uniform(0, r.node.identity.interval_s), r) for r in self.runners.values()]
        heapq.heapify(heap)
        while heap:
            now_s, speed = self._clock.now_s(), self._clock.speed()
            interval_s = heap[0].runner.node.identity.interval_s
            if heap[0].at_s > now_s + 2 * interval_s:  # the clock was set back: begin again from here
                heap = [
                    _Due(now_s + self._spread.uniform(0, d.runner.node.identity.interval_s), d.runner) for d in heap
                ]
                heapq.heapify(heap)
            while heap[0].at_s <= now_s:
                self._measure(heap[0], now_s)
                heapq.heapreplace(heap, heap[0])
            wait_s = (heap[0].at_s - now_s) / speed if speed > 0 else LOOK_AT_CLOCK_S
            await asyncio.sleep(min(wait_s, LOOK_AT_CLOCK_S))

    async def listen(self) -> None:
        """Let nodes come into radio holes and out of them, and lose what they keep, for ever; cancel to stop."""
        while (radio := self._radio) is not None:
            now_s = self._clock.now_s()
            for runner, is_heard in zip(self.runners.values(), radio.reaches(self._all, now_s).tolist(), strict=True):
                runner.hear(is_heard=is_heard)
            for change in self._faults.changes_between(now_s if self._looked_s is None else self._looked_s, now_s):
                if change.begins and (change.fault.target_kind, change.fault.kind) == ("node", "lost-storage"):
                    for device, runner in self.runners.items():
                        if change.fault.strikes(device):
                            _log.warning("node %s lost its storage: %d readings", device, runner.node.queue.clear())
            self._looked_s = now_s
            await asyncio.sleep(LOOK_AT_CLOCK_S)

    def hear_all(self) -> None:
        """Let there be radio for every node."""
        self._radio = None
        for runner in self.runners.values():
            runner.hear(is_heard=True)

    def _measure(self, due: _Due, now_s: float) -> None:
        runner = due.runner
        interval_s = runner.node.identity.interval_s
        which = self._index[runner.node.identity.device_id]
        runner.node.measure(now_s, None if self._radio is None else float(self._radio.ts_s(which, now_s)[0]))
        runner.status_due = runner.status_due or runner.node.made % STATUS_EVERY == 0
        runner.changed.set()
        due.at_s += interval_s
        if due.at_s <= now_s:  # the clock jumped ahead: a real node would not have measured in that gap either
            skipped = int((now_s - due.at_s) // interval_s) + 1
            self._missed += skipped
            due.at_s += skipped * interval_s

    async def drained(self, deadline_s: float) -> bool:
        """Wait [wall s] until every reading is acknowledged; False when some are not at the deadline."""
        deadline = asyncio.get_running_loop().time() + deadline_s
        while any(len(r.node.queue) for r in self.runners.values()):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.1)
        return True

    def counts(self) -> FleetCounts:
        """Return the fleet's counters and gauges."""
        total = FleetCounts(published=self._ledger.count, missed=self._missed)
        for runner in self.runners.values():
            total.made += runner.node.made
            total.repeated += runner.node.repeated
            total.acked += runner.node.acked
            total.waiting += len(runner.node.queue)
            total.dropped += runner.node.queue.dropped
            total.connected += runner.connected
            total.unheard += not runner.heard.is_set()
            total.connects += runner.connects
            total.refused += runner.refused
        return total

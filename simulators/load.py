"""Load: as many devices as wanted, each with a connection of its own, all in one process on one event loop.

A device does what a node does, as cheaply as Python can: it numbers its readings, keeps them until the gateway's
application ack covers them, has one message on its way at a time, and sends what has gathered meanwhile together in
the next one. What is measured is the time from the moment a reading was *due* until its application ack came, so that
a chain that cannot keep up shows as latency, and is not spared by a generator that waits for it.
"""

import asyncio
import contextlib
import itertools
import logging
import math
import random
import resource
import secrets
import ssl
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from firmware import wire
from simulators.errors import FewDescriptors, LinkError, LinkRefused
from simulators.load_link import LoadLink
from simulators.node import Reading
from square.endpoint import MqttEndpoint, tls_context
from square.errors import BrokerGarbled
from square.mqtt_packets import connect_packet, publish_packet, subscribe_packet

_log = logging.getLogger(__name__)

TICK_S = 0.004
SWEEP_S = 2.0
CONNECTS_AT_ONCE = 100
CONNECT_WITHIN_S = 20.0
CONNECT_TRIES = 5
RESEND_AFTER_S = 30.0
KEEPALIVE_S = 120
PING_AFTER_S = KEEPALIVE_S / 3
SPARE_DESCRIPTORS = 64
"""What this process needs beside its connections."""
CROWDED_PER_S = 0.5
"""Devices that measure more often than this cannot give each reading a second of its own from now on."""
EARLIER_S = 5 * 86_400
"""They begin so long ago; ingest takes seven days."""


def raise_descriptor_limit(wanted: int) -> None:
    """Let this process have `wanted` open files.

    Raises
    ------
    FewDescriptors
        If it may not; the text says what to do.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        with contextlib.suppress(ValueError, OSError):  # root may
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return
        raise FewDescriptors(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@dataclass(frozen=True)
class LoadPlan:
    """Who sends how much.

    Attributes
    ----------
    site : str
        Id of the site.
    devices : Mapping[str, str]
        Kind, ``bin`` or ``air``, by device id.
    passwords : Mapping[str, str]
        Secret by device id; a device that is missing here connects without user name.
    endpoint : MqttEndpoint
        The broker.
    rate_per_s : float
        Readings a second, all devices together; 0 for as many as the chain acknowledges.
    seconds : float
        How long readings are made [s].
    window : int
        With rate 0: messages on their way, all devices together.
    drain_s : float
        How long to wait for the last acks [s].
    """

    site: str
    devices: Mapping[str, str]
    passwords: Mapping[str, str]
    endpoint: MqttEndpoint
    rate_per_s: float
    seconds: float
    window: int = 10_000
    drain_s: float = 60.0


@dataclass
class LoadReport:
    """What came of it. Latencies are from due to acknowledged [ms], None where nothing was.

    Attributes
    ----------
    devices, connected : int
        Asked for; connected when the first reading was made.
    connect_s : float
        How long connecting took [s].
    refused, reconnects : int
        Connections that the broker refused for good; connections lost and made again.
    made, acked, unacked : int
        Readings: made, covered by an application ack, still without one at the end.
    messages, resent : int
        Messages sent, and those among them that were sent again.
    seconds : float
        How long readings were made [s].
    made_per_s, acked_per_s : float
        Readings a second in that time, made and acknowledged.
    behind : int
        Readings without an ack when the last one was made.
    cpu_pct : float
        What this process used of one core while readings were made [%].
    """

    devices: int
    connected: int = 0
    connect_s: float = 0.0
    refused: int = 0
    reconnects: int = 0
    made: int = 0
    acked: int = 0
    unacked: int = 0
    messages: int = 0
    resent: int = 0
    seconds: float = 0.0
    made_per_s: float = 0.0
    acked_per_s: float = 0.0
    behind: int = 0
    ack_p50_ms: float | None = None
    ack_p90_ms: float | None = None
    ack_p99_ms: float | None = None
    ack_max_ms: float | None = None
    cpu_pct: float = 0.0


def values_of(kind: str, number: int, seq: int) -> Reading:
    """Return the measured fields of a reading: plausible, and different from its neighbours'."""
    common = {"battery_mv": 3600 + number % 300, "rssi_dbm": -50 - number % 40, "quality": 4}
    if kind == "air":
        return {"pm25_ngm3": 15_000 + (number * 7 + seq) % 9000, "temp_cdeg": 2900 + seq % 400, **common}
    return {"distance_mm": 400 + (number * 7 + seq) % 500, "temp_cdeg": 2900 + number % 400, **common}


@dataclass(slots=True)
class LoadDevice:
    """One device: what it made, what the gateway has, what is on its way.

    Attributes
    ----------
    due_s : dict[int, float]
        When each reading without an ack was due, by ``seq``, oldest first [s of the loop's clock].
    sent_upto : int
        Highest ``seq`` on its way; 0 when nothing is.
    """

    number: int
    device_id: str
    kind: str
    boot: int
    topic: str
    first_ts: int
    link: LoadLink | None = None
    made: int = 0
    due_s: dict[int, float] = field(default_factory=dict)
    sent_upto: int = 0
    sent_s: float = 0.0
    packet_id: int = 0
    published_ns: "array[int]" = field(default_factory=lambda: array("q"))

    def message(self) -> tuple[bytes, int]:
        """Return the payload of the oldest readings without an ack, and the last ``seq`` in it."""
        seqs = list(itertools.islice(self.due_s, wire.MAX_READINGS))
        readings = [{"seq": seq, "ts": self.first_ts + seq, **values_of(self.kind, self.number, seq)} for seq in seqs]
        while True:
            try:
                text: str = wire.encode_up(self.boot, readings, seqs[0])
            except wire.WireError:  # too long
                del readings[len(readings) // 2 :]
            else:
                return text.encode(), readings[-1]["seq"]


class Load:
    """Connects all devices, makes their readings, counts what comes back.

    Parameters
    ----------
    plan
        Who and how much.
    progress
        Told the share done [0..1] and what happens, a few times a second.
    connected
        Called when all are connected, before the first reading is made.
    """

    def __init__(
        self,
        plan: LoadPlan,
        progress: Callable[[float, str], None] = lambda _share, _words: None,
        connected: Callable[[], None] = lambda: None,
    ) -> None:
        self.plan = plan
        self._connected = connected
        self.report = LoadReport(devices=len(plan.devices))
        self._progress = progress
        boot = secrets.randbits(32)
        now = int(time.time())
        per_device = plan.rate_per_s / len(plan.devices)
        first_ts = now - EARLIER_S if per_device > CROWDED_PER_S or not plan.rate_per_s else now
        self.devices = [
            LoadDevice(number, device_id, kind, boot, wire.topic_up(plan.site, device_id, kind), first_ts)
            for number, (device_id, kind) in enumerate(plan.devices.items())
        ]
        self._tls: ssl.SSLContext | None = tls_context(plan.endpoint) if plan.endpoint.tls else None
        self._ready: list[LoadDevice] = []
        self._latency_s = array("d")
        self._on_way = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self._trouble = ""

    async def run(self) -> LoadReport:
        """Connect, send for the time of the plan, wait for the last acks, hang up; return the report.

        Raises
        ------
        FewDescriptors
            This process may not have so many connections.
        LinkError
            Not one device could connect.
        """
        raise_descriptor_limit(len(self.devices) + SPARE_DESCRIPTORS)
        report, plan = self.report, self.plan
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        await self._connect_all()
        report.connect_s = loop.time() - begun_s
        report.connected = sum(device.link is not None for device in self.devices)
        if not report.connected:
            raise LinkError(f"none of {len(self.devices)} devices could connect to {plan.endpoint}: {self._trouble}")
        sweeping = asyncio.create_task(self._sweep())
        try:
            self._connected()
            cpu_s, begun_s = time.process_time(), loop.time()
            await (self._at_rate(begun_s) if plan.rate_per_s else self._flat_out(begun_s))
            report.seconds = loop.time() - begun_s
            lasted_s = max(report.seconds, 1e-3)
            report.cpu_pct = (time.process_time() - cpu_s) / lasted_s * 100
            report.acked = len(self._latency_s)
            report.behind = report.made - report.acked
            report.made_per_s, report.acked_per_s = report.made / lasted_s, report.acked / lasted_s
            await self._drain()
        finally:
            self._is_ending = True
            sweeping.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(sweeping, *self._tasks, return_exceptions=True)
            for device in self.devices:
                if device.link is not None:
                    device.link.close()
        self._conclude()
        return report

    def published(self) -> Iterator[tuple[tuple[str, int, int], int]]:
        """Yield identity and first publication [wall ns] of each reading that was ever sent."""
        for device in self.devices:
            for seq, wall_ns in enumerate(device.published_ns, 1):
                yield (device.device_id, device.boot, seq), wall_ns

    # -- connecting -----------------------------------------------------------------------------

    async def _connect_all(self) -> None:
        gate = asyncio.Semaphore(CONNECTS_AT_ONCE)
        done = 0

        async def one(device: LoadDevice) -> None:
            nonlocal done
            async with gate:
                await self._connect(device)
            done += 1
            if done % CONNECTS_AT_ONCE == 0:
                self._progress(0.0, f"{done} / {len(self.devices)} tersambung / connected")

        await asyncio.gather(*(one(device) for device in self.devices))

    async def _connect(self, device: LoadDevice) -> None:
        """Connect one device; after a few tries, or a refusal, it is left out and counted."""
        for attempt in range(CONNECT_TRIES):
            try:
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    await self._connect_once(device)
            except LinkRefused as error:
                self._tell_trouble(device, f"refused: {error.reason}")
                break
            except (OSError, TimeoutError, BrokerGarbled) as error:  # TLS errors are of the system, too
                self._tell_trouble(device, str(error) or type(error).__name__)
                await asyncio.sleep(random.uniform(0.1, 0.5 * 2**attempt))  # noqa: S311 - jitter is no secret
            else:
                return
        self.report.refused += 1

    def _tell_trouble(self, device: LoadDevice, words: str) -> None:
        """Log the first trouble of all devices; ten thousand lines would say the same."""
        _log.log(logging.DEBUG if self._trouble else logging.WARNING, "%s: %s", device.device_id, words)
        self._trouble = words

    async def _connect_once(self, device: LoadDevice) -> None:
        endpoint, password = self.plan.endpoint, self.plan.passwords.get(device.device_id)
        loop = asyncio.get_running_loop()
        hello = connect_packet(
            device.device_id, KEEPALIVE_S, device.device_id if password is not None else None, password, clean=True
        )
        subscribe = subscribe_packet(1, {wire.topic_down(self.plan.site, device.device_id, "ack"): 1})
        _, link = await loop.create_connection(
            lambda: LoadLink(hello, subscribe, lambda payload: self._take(device, payload)),
            endpoint.host,
            endpoint.port,
            ssl=self._tls,
            server_hostname=endpoint.host if self._tls is not None else None,
        )
        try:
            await link.ready
        except BaseException:
            link.close()
            raise
        device.link = link
        link.on_lost = lambda: self._lost(device)
        if device.due_s:
            self._send(device, again=True)

    def _lost(self, device: LoadDevice) -> None:
        """Connect again: the readings on their way go out once more then."""
        device.link = None
        if self._is_ending:
            return
        self.report.reconnects += 1
        task = asyncio.get_running_loop().create_task(self._connect(device))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- readings -------------------------------------------------------------------------------

    def _make(self, device: LoadDevice, due_s: float) -> None:
        device.made += 1
        self.report.made += 1
        device.due_s[device.made] = due_s
        if not device.sent_upto:
            self._send(device)

    def _send(self, device: LoadDevice, *, again: bool = False) -> None:
        """Send the oldest readings without an ack in one message; without a connection they wait."""
        link = device.link
        if link is None:
            return
        payload, last = device.message()
        if not device.sent_upto:
            self._on_way += 1
        device.sent_upto, device.sent_s = last, asyncio.get_running_loop().time()
        device.packet_id = device.packet_id % 0xFFFF + 1
        wall_ns = time.time_ns()
        while len(device.published_ns) < last:
            device.published_ns.append(wall_ns)
        self.report.messages += 1
        self.report.resent += again
        link.send(publish_packet(device.topic, payload, 1, device.packet_id))

    def _take(self, device: LoadDevice, payload: bytes) -> None:
        """Take an application ack."""
        try:
            boot, upto, also = wire.decode_ack(payload)
        except wire.WireError as error:
            _log.warning("%s: unreadable ack: %s", device.device_id, error)
            return
        if boot != device.boot:
            return
        due_s, now_s = device.due_s, asyncio.get_running_loop().time()
        if len(due_s) == 1 and device.sent_upto <= upto and device.made <= upto:
            self._latency_s.append(now_s - due_s.popitem()[1])  # almost always
        else:
            ranges = [(0, upto), *also]
            for seq in [seq for seq in due_s if any(low <= seq <= high for low, high in ranges)]:
                self._latency_s.append(now_s - due_s.pop(seq))
        if device.sent_upto and (not due_s or next(iter(due_s)) > device.sent_upto):
            device.sent_upto = 0
            self._on_way -= 1
            if due_s:
                self._send(device)
            elif not self.plan.rate_per_s:
                self._ready.append(device)

    async def _at_rate(self, begun_s: float) -> None:
        """Make readings at the rate of the plan, device after device."""
        loop, plan, devices = asyncio.get_running_loop(), self.plan, self.devices
        total = math.ceil(plan.rate_per_s * plan.seconds)
        made = 0
        while made < total:
            due = min(total, int((loop.time() - begun_s) * plan.rate_per_s) + 1)
            for number in range(made, due):
                self._make(devices[number % len(devices)], begun_s + number / plan.rate_per_s)
            made = due
            self._tell(begun_s)
            await asyncio.sleep(TICK_S)

    async def _flat_out(self, begun_s: float) -> None:
        """Make a reading whenever one of so many messages on their way was acknowledged."""
        loop, plan = asyncio.get_running_loop(), self.plan
        self._ready = [device for device in reversed(self.devices) if device.link is not None]
        waiting: list[LoadDevice] = []
        while (now_s := loop.time()) - begun_s < plan.seconds:
            if not waiting:  # in turn: who was acknowledged first is the last to come again
                waiting, self._ready = self._ready[::-1], []
            while self._on_way < plan.window and waiting:
                self._make(waiting.pop(), now_s)
            self._tell(begun_s)
            await asyncio.sleep(TICK_S / 4)

    def _tell(self, begun_s: float) -> None:
        elapsed_s = asyncio.get_running_loop().time() - begun_s
        self._progress(
            min(1.0, elapsed_s / self.plan.seconds),
            f"{self.report.made:,} bacaan / readings, {self.report.made - len(self._latency_s):,} menunggu / waiting",
        )

    async def _sweep(self) -> None:
        """Send again what got no ack for long, and show the broker that idle devices live."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            now_s = loop.time()
            for device in self.devices:
                if device.link is None:
                    continue
                if device.sent_upto and now_s - device.sent_s > RESEND_AFTER_S:
                    self._send(device, again=True)
                elif not device.sent_upto:
                    device.link.ping_if_idle(now_s, PING_AFTER_S)

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.plan.drain_s
        while len(self._latency_s) < self.report.made and loop.time() < until_s:
            self._progress(1.0, f"{self.report.made - len(self._latency_s):,} menunggu ack / wait for their ack")
            await asyncio.sleep(0.05)

    def _conclude(self) -> None:
        report = self.report
        report.acked = len(self._latency_s)
        report.unacked = report.made - report.acked
        if report.acked:
            p50, p90, p99 = np.percentile(np.frombuffer(self._latency_s), [50, 90, 99]) * 1000
            report.ack_p50_ms, report.ack_p90_ms, report.ack_p99_ms = float(p50), float(p90), float(p99)
            report.ack_max_ms = max(self._latency_s) * 1000


def first_devices(devices: Sequence[tuple[str, str]], count: int | None) -> dict[str, str]:
    """Return the first `count` devices as kind by id; all of them when None.

    Raises
    ------
    ValueError
        If there are fewer.
    """
    if count is not None and count > len(devices):
        raise ValueError(f"{count} devices were asked for and the site has {len(devices)}")
    return dict(devices[:count])

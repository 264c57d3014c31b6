"""Devices that speak our wire: each reading is held, and sent again, until the application ack covers it.

They run in a thread of their own on one event loop: all over one connection, or each over its own, with TLS or without.
Time is wall time or the clock that they are given. Nothing here shares code with the connections under test.
"""

import asyncio
import random
import ssl
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from bench.endurance.ledger import Ledger, made_of
from bench.endurance.parts import Trouble, wait_for
from firmware import wire
from simulators.errors import LinkError
from simulators.mqtt_link import MqttLink, open_link, publish_packet

TICK_S: Final = 0.05
_CALL_WITHIN_S: Final = 120.0
_PUBACK: Final = 4
_MAX_PACKET_ID: Final = 65_535


class _Device:
    """A device: what it holds, oldest first."""

    __slots__ = ("boot", "held", "id", "is_behind", "looked", "next_seq")

    def __init__(self, device: str, boot: int) -> None:
        self.id = device
        self.boot = boot
        self.next_seq = 1
        self.held: dict[int, dict[str, int]] = {}
        self.is_behind = False
        """Whether it holds readings that went out on a line that is gone, or never: it sends on with each ack."""
        self.looked = 0
        """Oldest held seq at the last look: what stands still is sent again."""

    @property
    def oldest(self) -> int:
        """Oldest seq that it holds, 0 for none."""
        return next(iter(self.held), 0)


class _Line:
    """One connection for some devices, kept up for ever."""

    def __init__(self, name: str, devices: Sequence[_Device]) -> None:
        self.name = name
        self.devices = devices
        self.link: MqttLink | None = None
        self.packet_id = 0
        self.task: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()


class Fleet:
    """Many devices.

    Parameters
    ----------
    port : int
        Broker on loopback.
    site : str
        Id of the site.
    names : Sequence[str]
        Ids of the devices.
    now_s : Callable[[], float]
        The clock of the devices [s since 1970].
    ledger : Ledger
        Where they enter what they make.
    seed : int
        Of every choice that they make.
    boot : int
        Boot number of all of them.
    each_a_line : bool
        Whether each device has a connection of its own.
    tls : ssl.SSLContext | None
        For lines with TLS.
    resend_s : float
        Pause before un-acked readings are sent again [s]; real nodes wait minutes.
    jitter_s : float
        A line that was lost comes back after a random time of at most so long [s].
    connect_within_s : float
        How long all of them may take to connect [s].
    line : str
        Client id of the line that all share.
    """

    def __init__(
        self,
        port: int,
        site: str,
        names: Sequence[str],
        *,
        now_s: Callable[[], float],
        ledger: Ledger,
        seed: int,
        boot: int = 305_419_896,
        each_a_line: bool = False,
        tls: ssl.SSLContext | None = None,
        resend_s: float = 2.0,
        jitter_s: float = 0.5,
        connect_within_s: float = 60.0,
        line: str = "fleet",
    ) -> None:
        self.lose_acks = 0.0
        """Share of application acks that devices do not hear."""
        self.acks_lost = self.resent = self.losses = 0
        self._line_name = line
        self.overheard: list[bytes] = []
        """Payloads of topics that are not the devices' own, see `listen`."""
        self._port, self._site, self._tls = port, site, tls
        self._now_s = now_s
        self._ledger = ledger
        self._random = random.Random(seed)
        self._resend_s, self._jitter_s = resend_s, jitter_s
        self._devices = {name: _Device(name, boot) for name in names}
        self._order = list(self._devices.values())
        self._turn = 0
        self._flow: tuple[float, int] = (0.0, 1)
        self._owed = 0.0
        self._is_ending = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fleet", daemon=True)
        self._thread.start()
        groups = [[device] for device in self._order] if each_a_line else [self._order]
        self._lines: list[_Line] = []
        self._line_of: dict[str, _Line] = {}
        self._call(self._begin(groups))
        self.wait_connected(connect_within_s)

    # -- for the check ----------------------------------------------------------------------------

    @property
    def connected(self) -> int:
        """Lines that are up."""
        return sum(line.link is not None for line in self._lines)

    @property
    def lines(self) -> int:
        """Lines in all."""
        return len(self._lines)

    @property
    def held(self) -> int:
        """Readings that no ack covers yet."""
        return sum(len(device.held) for device in self._order)

    def wait_connected(self, within_s: float = 60.0) -> float:
        """Wait until every line is up; return how long that took [s]."""
        return wait_for(lambda: self.connected == self.lines, within_s, "devices to connect")

    def measure(self, each: int = 1, names: Iterable[str] | None = None, *, every_s: int = 0) -> None:
        """Let devices make and send so many readings, all in one message; the last is of now, `every_s` apart [s]."""
        chosen = self._order if names is None else [self._devices[name] for name in names]
        self._call(self._measure(chosen, each, every_s))

    def flow(self, per_s: float, in_message: int = 10) -> None:
        """Make so many readings a second from now on, so many in a message; 0 for none."""
        self._flow = (per_s, in_message)

    def publish(self, device: str, kind: str, payload: bytes) -> None:
        """Send a payload of a device as it is."""
        self._call(self._publish_raw(device, kind, payload))

    def publish_topic(self, topic: str, payload: bytes) -> None:
        """Send a payload on any topic over the first line."""
        self._call(self._publish_topic(topic, payload))

    def listen(self, topic_filter: str) -> list[bytes]:
        """Hear what goes by on other topics; return the list into which payloads come from now on."""
        self._call(self._listen(topic_filter))
        return self.overheard

    def publish_all(self, messages: Sequence[tuple[str, str, bytes]]) -> None:
        """Send many payloads as they are: device, kind, payload."""
        self._call(self._publish_many(messages))

    def settle(self, within_s: float) -> float:
        """Wait until every reading is acked; return how long that took [s]."""
        self.flow(0)
        try:
            return wait_for(lambda: not self.held, within_s, "application acks for everything")
        except Trouble as trouble:
            raise Trouble(f"{trouble}; {self.held} readings are held by devices") from trouble

    def hang_up(self) -> None:
        """Reset every line at once; they come back by themselves."""
        self._call(self._hang_up())

    def close(self) -> None:
        """Let go of everything."""
        self._is_ending = True
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    # -- in the loop ------------------------------------------------------------------------------

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_WITHIN_S)

    async def _begin(self, groups: list[list[_Device]]) -> None:
        for devices in groups:
            line = _Line(devices[0].id if len(groups) > 1 else self._line_name, devices)
            self._lines.append(line)
            self._line_of.update((device.id, line) for device in devices)
            line.task = asyncio.ensure_future(self._keep_up(line))
        self._ticking = asyncio.ensure_future(self._tick())

    async def _end(self) -> None:
        self._ticking.cancel()
        for line in self._lines:
            if line.task is not None:
                line.task.cancel()
            if line.link is not None:
                line.link.close()
        await asyncio.sleep(0.05)

    async def _hang_up(self) -> None:
        for line in self._lines:
            if line.link is not None:
                line.link.close(politely=False)

    async def _keep_up(self, line: _Line) -> None:
        is_first = True
        while not self._is_ending:
            if not is_first:
                await asyncio.sleep(self._random.uniform(0, self._jitter_s))
            is_first = False
            line.lost.clear()
            try:
                link = await open_link(
                    "127.0.0.1",
                    self._port,
                    line.name,
                    username=None,
                    password=None,
                    will=None,
                    on_message=self._hear,
                    on_lost=line.lost.set,
                    tls=self._tls,
                )
                name = line.devices[0].id if len(self._lines) > 1 else "+"
                await link.subscribe([f"resik/{self._site}/{name}/down/ack"])
            except LinkError:
                continue
            line.link = link
            for device in line.devices:
                device.is_behind = bool(device.held)
                self._send_oldest(device)
            await line.lost.wait()
            self.losses += 1
            line.link = None

    async def _tick(self) -> None:
        look_s = self._loop.time() + self._resend_s
        last_s = self._loop.time()
        while True:
            await asyncio.sleep(TICK_S)
            now_s = self._loop.time()
            per_s, in_message = self._flow
            self._owed = self._owed + (now_s - last_s) * per_s if per_s else 0.0
            last_s = now_s
            while self._owed >= in_message:
                self._owed -= in_message
                self._make(self._order[self._turn % len(self._order)], in_message)
                self._turn += 1
            if now_s >= look_s:
                look_s = now_s + self._resend_s
                for device in self._order:
                    if device.held and device.oldest == device.looked:
                        self._send_oldest(device)
                    device.looked = device.oldest

    async def _measure(self, devices: Iterable[_Device], each: int, every_s: int) -> None:
        for device in devices:
            self._make(device, each, every_s)

    def _make(self, device: _Device, count: int, every_s: int = 0) -> None:
        ts_s = int(self._now_s()) - count * every_s
        new = []
        for seq in range(device.next_seq, device.next_seq + count):
            ts_s += every_s
            made = made_of(device.id, device.boot, seq, ts_s)
            self._ledger.enter((device.id, device.boot, seq), made)
            device.held[seq] = {"seq": seq, "ts": ts_s, "distance_mm": made.distance_mm}
            new.append(device.held[seq])
        device.next_seq += count
        for at in range(0, count, wire.MAX_READINGS):
            self._send(device, new[at : at + wire.MAX_READINGS])

    def _send_oldest(self, device: _Device) -> None:
        window = [reading for reading, _ in zip(device.held.values(), range(wire.MAX_READINGS), strict=False)]
        if window:
            self.resent += len(window)
            self._send(device, window)

    def _send(self, device: _Device, readings: list[dict[str, int]]) -> None:
        payload = wire.encode_up(device.boot, readings, device.oldest, 100_000)
        self._put(self._line_of[device.id], wire.topic_up(self._site, device.id, "bin"), payload.encode())

    async def _publish_raw(self, device: str, kind: str, payload: bytes) -> None:
        self._put(self._line_of[device], wire.topic_up(self._site, device, kind), payload)

    async def _listen(self, topic_filter: str) -> None:
        link = self._lines[0].link
        if link is None:
            raise Trouble("the line of the devices is down")
        await link.subscribe([topic_filter])

    async def _publish_topic(self, topic: str, payload: bytes) -> None:
        self._put(self._lines[0], topic, payload)

    async def _publish_many(self, messages: Sequence[tuple[str, str, bytes]]) -> None:
        for device, kind, payload in messages:
            await self._publish_raw(device, kind, payload)
            await asyncio.sleep(0)

    def _put(self, line: _Line, topic: str, payload: bytes) -> None:
        if line.link is None:
            return  # a device sends what it holds when the line is back
        line.packet_id = line.packet_id % _MAX_PACKET_ID + 1
        try:
            line.link.begin(publish_packet(topic, payload, line.packet_id), _PUBACK, line.packet_id)
        except LinkError:
            return

    def _hear(self, topic: str, payload: bytes) -> None:
        device = self._devices.get(topic.split("/")[2])
        if device is None:
            self.overheard.append(payload)
            return
        if self.lose_acks and self._random.random() < self.lose_acks:
            self.acks_lost += 1
            return
        boot, upto, also = wire.decode_ack(payload)
        if boot != device.boot:
            return
        free = []
        for seq in device.held:
            if seq > upto:
                break
            free.append(seq)
        for low, high in also:
            free += [seq for seq in range(low, high + 1) if seq > upto and seq in device.held]
        for seq in free:
            self._ledger.promise((device.id, boot, seq))
            del device.held[seq]
        device.is_behind = device.is_behind and bool(device.held)
        if free and device.is_behind:
            self._send_oldest(device)

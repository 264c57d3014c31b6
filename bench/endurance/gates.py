"""Faults of the network, made by ourselves: a line that is cut, slow, or deaf, and one that loses and doubles acks.

All gates share one thread with one event loop.
"""

import asyncio
import random
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, Final

from resik.ports import free_port
from simulators.mqtt_link import PacketReader

_CHUNK: Final = 16_384
_SEGMENT_BYTES: Final = 1_448
_RETRANSMITTED_AFTER_S: Final = 0.2
"""The shortest time after which Linux sends a segment again; TCP holds back what came behind it until then."""
_CONNACK, _PUBLISH, _PUBACK = 2, 3, 4
_CALL_WITHIN_S: Final = 30.0


class GateThread:
    """The event loop of all gates."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="gates", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run something there and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_CALL_WITHIN_S)

    def close(self) -> None:
        """End the loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


class Gate:
    """A TCP line to a loopback port.

    Parameters
    ----------
    thread : GateThread
        Where it runs.
    to_port : int
        Where it leads.

    Attributes
    ----------
    port : int
        Where clients connect.
    bytes_per_s : float
        Speed from the client to the server; 0 for no limit.
    delay_s : float
        How long each piece takes from the server to the client [s].
    loss : float
        Share of TCP segments that are lost, both ways: each holds its line up until it was sent again.
    segments_lost : int
        How many were.
    is_hanging : bool
        Whether it accepts everything and passes nothing on.
    """

    def __init__(self, thread: GateThread, to_port: int, *, seed: int = 1) -> None:
        self.port = free_port()
        self.bytes_per_s = 0.0
        self.delay_s = 0.0
        self.loss = 0.0
        self.segments_lost = 0
        self._random = random.Random(seed)
        self.is_hanging = False
        self.cuts = 0
        self._to_port = to_port
        self._thread = thread
        self._is_open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server = thread.run(asyncio.start_server(self._serve, "127.0.0.1", self.port))

    def cut(self) -> None:
        """Reset every connection and let nobody in."""
        self.cuts += 1
        self._is_open = False
        self._thread.run(self._reset())

    def open(self) -> None:
        """Let everybody through again."""
        self._is_open = True

    def close(self) -> None:
        """End it."""
        self._is_open = False
        self._thread.run(self._end())

    async def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._is_open:
            writer.transport.abort()
            return
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_writer}
        self._writers |= both
        up, down = self._ways(writer, to_writer)
        tasks = {
            asyncio.ensure_future(self._pass(reader, to_writer, up, is_up=True)),
            asyncio.ensure_future(self._pass(to_reader, writer, down, is_up=False)),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for one in both:
                one.transport.abort()
            self._writers -= both

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        way: Callable[[bytes], bytes],
        *,
        is_up: bool,
    ) -> None:
        try:
            while data := await reader.read(_CHUNK):
                while self.is_hanging:  # noqa: ASYNC110 - set from another thread
                    await asyncio.sleep(0.02)
                if is_up and self.bytes_per_s:
                    await asyncio.sleep(len(data) / self.bytes_per_s)
                if not is_up and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.loss:
                    await self._lose_segments(len(data))
                writer.write(way(data))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return

    async def _lose_segments(self, size_bytes: int) -> None:
        lost = sum(self._random.random() < self.loss for _ in range(-(-size_bytes // _SEGMENT_BYTES)))
        self.segments_lost += lost
        await asyncio.sleep(lost * _RETRANSMITTED_AFTER_S)

    def _ways(
        self, _client: asyncio.StreamWriter, _server: asyncio.StreamWriter
    ) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        """Return what happens to bytes upwards and downwards on a new connection."""
        return bytes, bytes


class Tapped:
    """What one MQTT connection was given and what it acknowledged, by packet id."""

    def __init__(self) -> None:
        self.is_up = False
        self.given: Counter[int] = Counter()
        self.acked: Counter[int] = Counter()

    @property
    def acked_without_cause(self) -> int:
        """PUBACKs beyond one for each delivery: acknowledgements of something else."""
        return sum(max(0, count - self.given[mid]) for mid, count in self.acked.items())


class MqttGate(Gate):
    """A line that understands MQTT: it keeps count of deliveries with QoS 1, and loses or doubles some.

    Attributes
    ----------
    connections : list[Tapped]
        One for each connection, the newest last.
    lose, double : float
        Share of deliveries on topics with `suffix` that the client never gets, or gets twice.
    """

    def __init__(self, thread: GateThread, to_port: int, *, suffix: bytes = b"/ack", seed: int = 1) -> None:
        self.connections: list[Tapped] = []
        self.lose = self.double = 0.0
        self.lost = self.doubled = 0
        self._suffix = suffix
        super().__init__(thread, to_port, seed=seed)

    @property
    def accepted(self) -> list[Tapped]:
        """Connections that the broker has let in."""
        return [tapped for tapped in self.connections if tapped.is_up]

    def _ways(
        self, _client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        tapped = Tapped()
        self.connections.append(tapped)
        up_reader, down_reader = PacketReader(), PacketReader()

        def up(data: bytes) -> bytes:
            for first, body in up_reader.feed(data):
                if first >> 4 == _PUBACK:
                    tapped.acked[struct.unpack_from("!H", body)[0]] += 1
            return data

        def down(data: bytes) -> bytes:
            return b"".join(self._deliver(tapped, server, *packet) for packet in down_reader.feed(data))

        return up, down

    def _deliver(self, tapped: Tapped, server: asyncio.StreamWriter, first: int, body: bytes) -> bytes:
        packet = _whole(first, body)
        if first >> 4 == _CONNACK and not body[1]:
            tapped.is_up = True
        if first >> 4 != _PUBLISH or not first & 0x06:
            return packet
        size = struct.unpack_from("!H", body)[0]
        mid = struct.unpack_from("!H", body, 2 + size)[0]
        if body[2 : 2 + size].endswith(self._suffix):
            chance = self._random.random()
            if chance < self.lose:
                self.lost += 1
                server.write(struct.pack("!BBH", 0x40, 2, mid))  # the broker must think that it arrived
                return b""
            if chance < self.lose + self.double:
                self.doubled += 1
                tapped.given[mid] += 2
                return packet * 2
        tapped.given[mid] += 1
        return packet


def _whole(first: int, body: bytes) -> bytes:
    """Return a packet with its header."""
    length, head = len(body), bytearray([first])
    while True:
        length, low = divmod(length, 128)
        head.append(low | (0x80 if length else 0))
        if not length:
            return bytes(head) + body

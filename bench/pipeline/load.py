"""The publisher, a process of its own: pre-encoded QoS 1 packets, many in a write, a limited number un-acked.

``python -m bench.pipeline.load --port P --site S --count N ...`` encodes everything, connects, prints ``ready``, waits
for a line on its standard input, publishes, and prints what happened as one line of JSON.

With ``--hear`` a second connection does what all nodes do together: it subscribes to their application acks with QoS 1
and acknowledges each. They are read after the end, and the result says how many of the readings they cover.
"""

import argparse
import itertools
import json
import selectors
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.pipeline import fleet, packets
from bench.pipeline.link import Link
from firmware import wire

IDLE_S = 0.005
QUIET_S = 5.0
STALLED_S = 30.0
"""A broker that acknowledges nothing for so long has stopped."""


class Outgoing:
    """One publishing connection and what goes out over it."""

    def __init__(self, link: Link, encoded: list[bytes], window: int) -> None:
        self.link = link
        self.count = len(encoded)
        self._buffer = memoryview(b"".join(encoded))
        self._ends = [0, *itertools.accumulate(map(len, encoded))]
        self._window = window
        self._step = max(1, window // 4)
        self._ack_bytes = 0
        self.sent = 0
        link.wake_at(packets.PUBACK_BYTES * self._step)

    @property
    def acked(self) -> int:
        """Messages that the broker has acknowledged."""
        return self._ack_bytes // packets.PUBACK_BYTES

    def fill(self) -> None:
        """Send as much as the window allows, unless that is hardly anything."""
        free = min(self._window - (self.sent - self.acked), self.count - self.sent)
        if free >= self._step or 0 < free == self.count - self.sent:
            self.send(free)

    def send(self, count: int) -> None:
        """Send the next so many messages in one write."""
        self.link.socket.sendall(self._buffer[self._ends[self.sent] : self._ends[self.sent + count]])
        self.sent += count

    def take_acks(self) -> None:
        """Count PUBACKs, and see that nothing else comes."""
        data = self.link.read()
        first = -self._ack_bytes % packets.PUBACK_BYTES
        if any(byte != packets.PUBACK for byte in set(data[first :: packets.PUBACK_BYTES])):
            raise ConnectionError("the broker sends something else than PUBACK")
        self._ack_bytes += len(data)


class Hearing:
    """The ears of all nodes: takes application acks, keeps them for later."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.bodies: list[bytes] = []
        link.wake_at(16_384)

    def take(self) -> None:
        """Take and acknowledge what is there."""
        back = []
        for first, body in self.link.splitter.feed(self.link.read()):
            if first & 0xF6 == packets.PUBLISH | 2:
                self.bodies.append(body)
                at = 2 + (body[0] << 8 | body[1])
                back.append(b"\x40\x02" + body[at : at + 2])
        if back:
            self.link.socket.sendall(b"".join(back))

    def covered(self) -> set[fleet.Identity]:
        """Return the readings that some ack covers."""
        covered: set[fleet.Identity] = set()
        upto: dict[str, int] = {}
        for body in self.bodies:
            device = body[2 : 2 + (body[0] << 8 | body[1])].decode().split("/")[2]
            _, mark, also = wire.decode_ack(packets.published(body)[1])
            upto[device] = max(mark, upto.get(device, 0))
            covered.update((device, seq) for low, high in also for seq in range(low, high + 1))
        covered.update((device, seq) for device, mark in upto.items() for seq in range(1, mark + 1))
        return covered


def _encoded(arguments: argparse.Namespace, ids: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    payload = fleet.PAYLOADS[arguments.flavour]
    for number in range(arguments.first, arguments.first + arguments.count):
        packet_id = next(ids) % packets.MAX_PACKET_ID + 1
        topic = fleet.topic(arguments.site, number)
        yield number, packets.publish(topic, payload(number, arguments.start_s), packet_id)


def flat_out(outgoing: list[Outgoing], hearing: Hearing | None) -> None:
    """Publish everything as fast as the windows allow."""
    selector = selectors.DefaultSelector()
    for one in outgoing:
        selector.register(one.link.socket, selectors.EVENT_READ, one.take_acks)
    if hearing is not None:
        selector.register(hearing.link.socket, selectors.EVENT_READ, hearing.take)
    moved, moved_s = 0, time.monotonic()
    while any(one.acked < one.count for one in outgoing):
        for one in outgoing:
            one.fill()
        ready = selector.select(IDLE_S)
        for key, _ in ready:
            key.data()
        if not ready:  # less than a handful is there: take it all the same
            for key in selector.get_map().values():
                key.data()
        acked = sum(one.acked for one in outgoing)
        if acked > moved:
            moved, moved_s = acked, time.monotonic()
        elif time.monotonic() - moved_s > STALLED_S:
            raise ConnectionError(f"the broker stopped acknowledging after {acked} messages")


def at_rate(outgoing: list[Outgoing], hearing: Hearing | None, per_s: float) -> list[int]:
    """Publish at a fixed rate; return when each message was handed to the kernel [ns of wall time]."""
    sent_ns: list[int] = []
    total = sum(one.count for one in outgoing)
    start_s = time.monotonic()
    while len(sent_ns) < total:
        due_s = start_s + len(sent_ns) / per_s
        while (left_s := due_s - time.monotonic()) > 0:
            time.sleep(left_s)
        one = outgoing[len(sent_ns) % len(outgoing)]
        sent_ns.append(time.time_ns())
        one.send(1)
        if len(sent_ns) % 50 == 0:
            for other in outgoing:
                other.take_acks()
            if hearing is not None:
                hearing.take()
    deadline_s = time.monotonic() + STALLED_S
    while any(one.acked < one.count for one in outgoing) and time.monotonic() < deadline_s:
        time.sleep(IDLE_S)
        for one in outgoing:
            one.take_acks()
    return sent_ns


def _listen_on(hearing: Hearing, wanted: int, within_s: float) -> None:
    """Go on hearing until nothing came for a while or every reading is acked."""
    deadline_s, heard, quiet_s = time.monotonic() + within_s, -1, time.monotonic()
    while time.monotonic() < deadline_s and time.monotonic() - quiet_s < QUIET_S:
        hearing.take()
        if len(hearing.bodies) != heard:
            heard, quiet_s = len(hearing.bodies), time.monotonic()
            if heard >= wanted:
                return
        time.sleep(0.02)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--site", required=True)
    parser.add_argument("--flavour", choices=sorted(fleet.PAYLOADS), required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first reading")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--start-s", type=int, required=True, help="time of readings with seq 0")
    parser.add_argument("--window", type=int, default=1000, help="un-acked messages, all connections together")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0, help="messages a second, 0 for as fast as possible")
    parser.add_argument("--times", type=Path, help="where to write the send times, 8 bytes each")
    parser.add_argument("--hear", action="store_true", help="take the application acks as nodes do")
    arguments = parser.parse_args()
    links = [Link(arguments.port, f"bench-load-{number}") for number in range(arguments.connections)]
    encoded: list[list[bytes]] = [[] for _ in links]
    for number, packet in _encoded(arguments, itertools.count()):
        encoded[number % len(links)].append(packet)
    outgoing = [Outgoing(link, mine, arguments.window // len(links)) for link, mine in zip(links, encoded, strict=True)]
    topic_filter = f"resik/{arguments.site}/+/down/ack"
    hearing = Hearing(Link(arguments.port, "bench-ears", topic_filter)) if arguments.hear else None
    print("ready", flush=True)
    sys.stdin.readline()
    started_ns, cpu_s = time.time_ns(), time.process_time()
    if arguments.rate:
        times = at_rate(outgoing, hearing, arguments.rate)
        if arguments.times is not None:
            arguments.times.write_bytes(struct.pack(f"{len(times)}q", *times))
    else:
        flat_out(outgoing, hearing)
    sent = sum(one.sent for one in outgoing)
    result: dict[str, float] = {
        "started_ns": started_ns,
        "finished_ns": time.time_ns(),
        "sent": sent,
        "cpu_s": time.process_time() - cpu_s,
    }
    print("sent", flush=True)
    if hearing is not None:
        _listen_on(hearing, sent, within_s=60)
        wanted = {fleet.identity(n) for n in range(arguments.first, arguments.first + arguments.count)}
        result |= {"acks": len(hearing.bodies), "acked": len(hearing.covered() & wanted)}
        result["cpu_s"] = time.process_time() - cpu_s
        hearing.link.close()
    for link in links:
        link.close()
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()

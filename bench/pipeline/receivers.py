"""Receivers that show the limits of the parts, each a process of its own.

``sink``    stands in for the broker: takes what the load sends, acknowledges it, and keeps nothing. What the load
            reaches here is its own limit.
``null``    subscribes at the broker, acknowledges, and keeps nothing: the limit of the broker.
``lines``   decodes the flat JSON with types, writes lines with an f-string, POSTs them over one raw connection, and
            acknowledges after the answer: what the parts allow, and no product (no reconnecting, no spool, no registry,
            no checks).

Each prints ``ready``, and at SIGTERM one line of JSON with what it took and its CPU time.
"""

import argparse
import http.client
import json
import queue
import select
import signal
import socket
import threading
import time

import msgspec

from bench.pipeline import packets
from bench.pipeline.link import Link

WAKE_AT_BYTES = 16_384
IDLE_S = 0.005
LINES_AT_ONCE = 5_000


class Flat(msgspec.Struct):
    """The flat JSON of the load, with types."""

    device: str
    timestamp: int
    seq: int
    distance_mm: int
    temp_cdeg: int
    tilt_deg: int
    battery_mv: int
    rssi_dbm: int
    quality: int
    up_s: int
    state: str


def line_of(reading: Flat) -> str:
    """Encode one reading as line protocol: one tag, nine fields, seconds."""
    return (
        f"bin,device={reading.device} seq={reading.seq}i,distance_mm={reading.distance_mm},"
        f"temp_cdeg={reading.temp_cdeg},tilt_deg={reading.tilt_deg},battery_mv={reading.battery_mv},"
        f'rssi_dbm={reading.rssi_dbm},quality={reading.quality}i,up_s={reading.up_s}i,state="{reading.state}" '
        f"{reading.timestamp}"
    )


def _answer_client(client: socket.socket, ended: threading.Event) -> int:
    """Acknowledge everything that one client publishes; return how much that was."""
    client.settimeout(0.2)
    splitter, taken = packets.Splitter(), 0
    while not ended.is_set():
        try:
            data = client.recv(1 << 20)
        except TimeoutError:
            continue
        if not data:
            break
        back = []
        for first, body in splitter.feed(data):
            if first & 0xF0 == packets.PUBLISH:
                at = 2 + (body[0] << 8 | body[1])
                back.append(b"\x40\x02" + body[at : at + 2])
            elif first & 0xF0 == 0x10:
                client.sendall(b"\x20\x02\x00\x00")
        if back:
            client.sendall(b"".join(back))
            taken += len(back)
    return taken


def sink(port: int, ended: threading.Event) -> int:
    """Be the broker of one client after the other."""
    taken = 0
    with socket.create_server(("127.0.0.1", port)) as server:
        server.settimeout(0.2)
        print("ready", flush=True)
        while not ended.is_set():
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            with client:
                taken += _answer_client(client, ended)
    return taken


def null(link: Link, ended: threading.Event) -> int:
    """Acknowledge and forget."""
    taken = 0
    print("ready", flush=True)
    while not ended.is_set():
        _wait(link)
        back = []
        for first, body in link.splitter.feed(link.read()):
            if first & 0xF6 == packets.PUBLISH | 2:
                at = 2 + (body[0] << 8 | body[1])
                back.append(b"\x40\x02" + body[at : at + 2])
        if back:
            link.socket.sendall(b"".join(back))
            taken += len(back)
    return taken


def lines(link: Link, ended: threading.Event, *, store_port: int, database: str) -> int:
    """Write lines; a second thread posts and acknowledges while the first goes on reading."""
    waiting: queue.Queue[tuple[list[str], bytes] | None] = queue.Queue(maxsize=8)
    writer = threading.Thread(target=_post, args=(waiting, link, store_port, database), daemon=True)
    writer.start()
    decode = msgspec.json.Decoder(Flat).decode
    taken = 0
    encoded: list[str] = []
    acks: list[bytes] = []
    print("ready", flush=True)
    while not ended.is_set():
        _wait(link)
        for first, body in link.splitter.feed(link.read()):
            if first & 0xF6 == packets.PUBLISH | 2:
                packet_id, payload = packets.published(body)
                encoded.append(line_of(decode(payload)))
                acks.append(b"\x40\x02" + packet_id)
        # a busy writer makes the next write larger
        if encoded and (waiting.empty() or len(encoded) >= LINES_AT_ONCE):
            taken += len(encoded)
            waiting.put((encoded, b"".join(acks)))
            encoded, acks = [], []
    waiting.put(None)
    writer.join()
    return taken


def _post(waiting: queue.Queue[tuple[list[str], bytes] | None], link: Link, store_port: int, database: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", store_port)
    while (batch := waiting.get()) is not None:
        texts, acks = batch
        connection.request("POST", f"/write?db={database}&precision=s", "\n".join(texts).encode())
        reply = connection.getresponse()
        reply.read()
        if reply.status != 204:
            raise ConnectionError(f"the store answers {reply.status}")
        link.socket.sendall(acks)


def _wait(link: Link) -> None:
    """Sleep until there is much to read, or a moment has passed."""
    select.select([link.socket], [], [], IDLE_S)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=("sink", "null", "lines"))
    parser.add_argument("--port", type=int, required=True, help="of the broker, or to listen on")
    parser.add_argument("--filter", default="resik/+/+/up/+")
    parser.add_argument("--store-port", type=int)
    parser.add_argument("--database", default="bench")
    arguments = parser.parse_args()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    started_s = time.process_time()
    if arguments.kind == "sink":
        taken = sink(arguments.port, ended)
    else:
        link = Link(arguments.port, f"bench-{arguments.kind}", arguments.filter)
        link.wake_at(WAKE_AT_BYTES)
        if arguments.kind == "null":
            taken = null(link, ended)
        else:
            taken = lines(link, ended, store_port=arguments.store_port, database=arguments.database)
        link.close()
    print(json.dumps({"taken": taken, "cpu_s": time.process_time() - started_s}), flush=True)


if __name__ == "__main__":
    main()

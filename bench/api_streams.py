"""Event streams under load: readers, clients that never read, and a steady flow of changes.

Reports how long a change takes from its commit to the readers, when the clients that never read are cut off, what the
server's memory does meanwhile, and whether a reader that is cut off and resumes has missed anything. The aim with
200 readers, 50 clients that never read and 50 changes/s: p99 below 1 s, every stuck client dropped within 60 s, memory
grown by less than 50 MB, nothing missed.

Run: ``python -m bench.api_streams [--seconds 90] [--readers 200] [--stuck 50] [--rate 50]``. Prints one line of JSON.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import statistics
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from alerts.adapters.log import add_change
from tests.integration.test_dashboard_server import Dashboard

WARM_S = 3.0


class Payload(msgspec.Struct):
    """What this bench reads of an event."""

    id: int
    sent_s: float


class Reader:
    """One reader of the stream; cut off once in the middle when ``resumes``."""

    def __init__(self, port: int, *, resumes: bool) -> None:
        self.port = port
        self.resumes = resumes
        self.seen: set[int] = set()
        self.delays_s: list[float] = []
        self._last_id = ""

    async def read(self, until_s: float, cut_s: float) -> None:
        """Read until a moment of the monotonic clock."""
        while time.monotonic() < until_s:
            stop_s = cut_s if self.resumes and time.monotonic() < cut_s else until_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(stop_s - time.monotonic()):
                    await self._read_connection()

    async def _read_connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        resume = f"Last-Event-ID: {self._last_id}\r\n" if self._last_id else ""
        writer.write(f"GET /api/v1/stream HTTP/1.1\r\nHost: localhost:{self.port}\r\n{resume}\r\n".encode())
        try:
            name = b""
            while line := await reader.readline():
                if line.startswith(b"event: "):
                    name = line[7:].strip()
                elif line.startswith(b"id: "):
                    self._last_id = line[4:].strip().decode()
                elif line.startswith(b"data: ") and name == b"task":
                    self._note(line[6:])
        finally:
            writer.close()

    def _note(self, data: bytes) -> None:
        payload = msgspec.json.decode(data, type=Payload)
        if payload.id not in self.seen:
            self.seen.add(payload.id)
            self.delays_s.append(time.time() - payload.sent_s)


def resident_mb(pid: int) -> float:
    """Resident memory of a process [MB]: VmRSS of proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def write_changes(dashboard: Dashboard, rate: float, until_s: float, sent: list[int]) -> None:
    """Commit one change after the other at a steady rate."""
    world = dashboard.world
    next_s = time.monotonic()
    while time.monotonic() < until_s:
        ident = len(sent) + 1
        task = {"id": ident, "crew_id": None, "state": "open", "closed_ms": None, "note": "x" * 300}
        with world.database.writing() as connection:
            payload = task | {"sent_s": time.time()}
            add_change(connection, world.site.id, 0, kind="task", entity_id=str(ident), payload=payload)
        sent.append(ident)
        next_s += 1 / rate
        time.sleep(max(0.0, next_s - time.monotonic()))


def stuck_client(port: int) -> socket.socket:
    """Open a stream and never read it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(f"GET /api/v1/stream HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    return client


async def watch(dashboard: Dashboard, count: int, until_s: float) -> float | None:
    """Return after how many seconds all stuck clients were dropped, None when they were not."""
    began_s = time.monotonic()
    while time.monotonic() < until_s:
        counts = (await asyncio.to_thread(dashboard.get, "/healthz"))["counts"]
        if counts["clients_dropped"] >= count:
            return time.monotonic() - began_s
        await asyncio.sleep(0.5)
    return None


async def load(dashboard: Dashboard, options: argparse.Namespace) -> dict[str, object]:
    """Run everything at once and return the figures."""
    start_s = time.monotonic()
    until_s = start_s + WARM_S + options.seconds
    readers = [Reader(dashboard.port, resumes=number % 10 == 0) for number in range(options.readers)]
    tasks = [
        asyncio.create_task(reader.read(until_s + 2, start_s + WARM_S + options.seconds / 2)) for reader in readers
    ]
    await asyncio.sleep(WARM_S)
    stuck = [stuck_client(dashboard.port) for _ in range(options.stuck)]
    before_mb = resident_mb(dashboard.process.pid)
    sent: list[int] = []
    writer = threading.Thread(target=write_changes, args=(dashboard, options.rate, until_s, sent))
    writer.start()
    dropped_s = await watch(dashboard, options.stuck, until_s)
    await asyncio.gather(*tasks)
    writer.join()
    after_mb = resident_mb(dashboard.process.pid)
    for client in stuck:
        client.close()
    delays_s = sorted(delay for reader in readers for delay in reader.delays_s)
    return {
        "bench": "api_streams",
        "readers": options.readers,
        "stuck": options.stuck,
        "changes": len(sent),
        "p50_ms": round(statistics.median(delays_s) * 1000),
        "p99_ms": round(delays_s[int(len(delays_s) * 0.99)] * 1000),
        "missed": sum(len(set(sent) - reader.seen) for reader in readers),
        "missed_by_resumed": sum(len(set(sent) - reader.seen) for reader in readers if reader.resumes),
        "stuck_dropped_after_s": None if dropped_s is None else round(dropped_s, 1),
        "rss_growth_mb": round(after_mb - before_mb, 1),
    }


def main() -> None:
    """Start a dashboard, load it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--stuck", type=int, default=50)
    parser.add_argument("--rate", type=float, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        dashboard = Dashboard(Path(name))
        try:
            print(json.dumps(asyncio.run(load(dashboard, options))))
        finally:
            dashboard.close()


if __name__ == "__main__":
    main()

"""Rows per second into each store, beside plain HTTP and beside ``influxdb-client`` as its users would run it.

    python -m bench.store_write [--rows 100000] [--batch 500 5000] [--repeats 3]

Starts ``influxd`` and ``victoria-metrics`` on loopback in a temporary folder and ends them. A row is one bin reading
with ten fields; 1,000 sensors. Median of the repeats with their range; CPU is this process alone. Compare figures of
one run only.
"""

import argparse
import os
import platform
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write.point import Point as ClientPoint
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions

from ingest.store import Point
from ingest.stores import open_store
from ingest.stores.line_protocol import LineEncoder

START_MS = 1_790_000_000_000
Write = Callable[[Sequence[Point]], None]
Opened = tuple[Write, Callable[[], None]]
"""What writes a batch, and what flushes and closes."""


def readings(rows: int) -> list[Point]:
    """Return readings of 1,000 sensors, ten minutes apart, in time order."""
    tags = [
        {"site": "alun-alun", "asset": f"bin-{n:04d}", "device": f"rsk-b{n:04d}", "zone": "utara"} for n in range(1000)
    ]
    return [
        Point(
            "bin",
            tags[n % 1000],
            START_MS + n // 1000 * 600_000 + n % 1000,
            {
                "fill_pct": n % 997 / 10,
                "distance_mm": 700.0 + n % 301,
                "temp_c": 25.0 + n % 113 / 10,
                "battery_mv": 3700.0 - n % 89,
                "rssi_dbm": -60.0 - n % 31,
                "state": "ok",
                "quality": 4,
                "flags": 0,
                "boot": 305_419_896,
                "seq": n // 1000 + 1,
            },
        )
        for n in range(rows)
    ]


@contextmanager
def server(command: list[str], port: int, environment: dict[str, str]) -> Iterator[str]:
    """Run a server program until the block ends."""
    with subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                except OSError:
                    if time.monotonic() > deadline or process.poll() is not None:
                        raise SystemExit(f"{command[0]} did not start") from None
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def influx_environment(folder: Path, port: int) -> dict[str, str]:
    """Return the settings of an ``influxd`` that lives in ``folder`` and listens on loopback only."""
    return {
        "INFLUXDB_REPORTING_DISABLED": "true",
        "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{free_port()}",
        "INFLUXDB_META_DIR": str(folder / "meta"),
        "INFLUXDB_DATA_DIR": str(folder / "data"),
        "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
        "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
        "INFLUXDB_HTTP_LOG_ENABLED": "false",
        "INFLUXDB_MONITOR_STORE_ENABLED": "false",
    }


def through_port(url: str, secret: str | None = None) -> Opened:
    """Write through our adapter of ``url``."""
    store = open_store(url, secret=secret)
    if secret is None:
        store.prepare()

    def write(points: Sequence[Point]) -> None:
        result = store.write(points)
        assert result.stored == len(points), result.rejected[:3]

    return write, store.close


def create(influxd: str, number: int) -> str:
    """Create a fresh database and return its name."""
    urllib3.request("POST", f"{influxd}/query", fields={"q": f"CREATE DATABASE plain{number}"})
    return f"plain{number}"


def plain_http(url: str, lines: dict[int, bytes]) -> Opened:
    """POST bodies that were encoded before the clock started: what HTTP and the server allow."""
    pool = urllib3.PoolManager(retries=False)

    def write(points: Sequence[Point]) -> None:
        reply = pool.request("POST", url, body=b"\n".join([lines[id(point)] for point in points]))
        assert reply.status == 204, reply.data

    return write, pool.clear


def client_points(url: str, *, batching: bool, batch: int) -> Opened:
    """``influxdb-client`` with its own Point class, synchronous or with its batching writer."""
    client = InfluxDBClient(url=url, token="x", org="o", timeout=60_000)  # noqa: S106
    options = WriteOptions(batch_size=batch, flush_interval=1000) if batching else SYNCHRONOUS
    api = client.write_api(write_options=options)

    def write(points: Sequence[Point]) -> None:
        records = []
        for point in points:
            record = ClientPoint(point.measurement)
            for name, tag in point.tags.items():
                record.tag(name, tag)
            for name, value in point.fields.items():
                record.field(name, value)
            records.append(record.time(point.ts_ms, write_precision="ms"))
        api.write(bucket="b", record=records, write_precision="ms")

    def close() -> None:
        api.close()  # the batching writer flushes here: part of the time
        client.close()

    return write, close


def measure(
    make: Callable[[int], tuple[Write, Callable[[], None]]], points: list[Point], batch: int
) -> tuple[float, float]:
    """Return rows per second and client CPU microseconds per row."""
    write, close = make(batch)
    started_s, cpu_s = time.perf_counter(), time.process_time()
    for start in range(0, len(points), batch):
        write(points[start : start + batch])
    close()
    took_s, used_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    return len(points) / took_s, used_s / len(points) * 1e6


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[500, 5000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for program in ("influxd", "victoria-metrics"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed")
    points = readings(options.rows)
    encoder = LineEncoder()
    started_s = time.perf_counter()
    encoded = [encoder.encode(point).encode() for point in points]
    encode_us = (time.perf_counter() - started_s) / len(points) * 1e6
    lines = {id(point): line for point, line in zip(points, encoded, strict=True)}
    folder = Path(tempfile.mkdtemp(prefix="resik-bench-"))
    influx_port, vm_port = free_port(), free_port()
    vm_command = [
        "victoria-metrics",
        f"-httpListenAddr=127.0.0.1:{vm_port}",
        f"-storageDataPath={folder / 'vm'}",
        "-retentionPeriod=100y",
    ]
    try:
        with (
            server(["influxd", "-config", os.devnull], influx_port, influx_environment(folder, influx_port)) as influxd,
            server(vm_command, vm_port, {}) as vm,
        ):
            counter = iter(range(10_000))
            host = influxd.removeprefix("http://")
            makers: list[tuple[str, Callable[[int], Opened]]] = [
                ("SQLite file: our adapter", lambda _: through_port(f"sqlite:///{folder}/{next(counter)}.sqlite3")),
                (
                    "influxd 1.x: plain urllib3, encoded before",
                    lambda _: plain_http(f"{influxd}/write?db={create(influxd, next(counter))}&precision=ms", lines),
                ),
                ("influxd 1.x: our adapter", lambda _: through_port(f"influx1://{host}/bench{next(counter)}")),
                (
                    "VictoriaMetrics v2: plain urllib3, encoded before",
                    lambda _: plain_http(f"{vm}/api/v2/write?bucket=b&org=o&precision=ms", lines),
                ),
                ("VictoriaMetrics v2: our adapter (influxdb-client)", lambda _: through_port(f"influx2+{vm}/o/b", "x")),
                (
                    "VictoriaMetrics v2: influxdb-client SYNCHRONOUS, Points",
                    lambda _: client_points(vm, batching=False, batch=0),
                ),
                (
                    "VictoriaMetrics v2: influxdb-client batching, Points",
                    lambda batch: client_points(vm, batching=True, batch=batch),
                ),
            ]
            results: dict[tuple[str, int], list[tuple[float, float]]] = {}
            for _ in range(options.repeats):
                for batch in options.batch:
                    for name, make in makers:
                        results.setdefault((name, batch), []).append(measure(make, points, batch))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, {options.rows} rows,"
        f" median of {options.repeats} (min-max); encoding alone {encode_us:.2f} us a line"
    )
    print(f"| path | {' | '.join(f'rows/s, B={b} | CPU us/row' for b in options.batch)} |")
    print(f"|---|{'---|---|' * len(options.batch)}")
    for name, _ in makers:
        cells = []
        for batch in options.batch:
            rates, cpu = zip(*results[name, batch], strict=True)
            cells.append(f"{statistics.median(rates) / 1e3:.0f}k ({min(rates) / 1e3:.0f}-{max(rates) / 1e3:.0f}k)")
            cells.append(f"{statistics.median(cpu):.1f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

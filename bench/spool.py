"""Commits and rows a second of the spool, beside what SQLite itself gives on the same disk.

The peer is a plain table with the same columns and no index beyond its key, filled with `executemany` in WAL
mode with full sync: the least that durable storage costs. The spool adds identity, watermarks, unique keys
and the envelope's bookkeeping. Both run in this process, interleaved, on files in one folder.

A second part drains a backlog through the forwarder with an ingest that answers at once, and says how long it takes
until the newest reading of each of a thousand devices has left.

Run: ``python -m bench.spool [--rows 20000] [--repeats 3] [--folder DIR]``. Prints a table and one line of JSON.
"""

import argparse
import json
import platform
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from firmware import wire
from gateway.disk import DiskWatch
from gateway.forward import Forwarder
from gateway.messages import Readings, UpMessage, read_message
from gateway.spool import Spool

NOW_MS = 1_795_488_752_000
DEVICES = 1000
BATCHES = (1, 20, 100)


def make_messages(count: int) -> list[UpMessage]:
    """Return messages of one reading each from a thousand devices in turn."""
    messages = []
    for number in range(count):
        seq = 1 + number // DEVICES
        reading = {
            "seq": seq, "ts": NOW_MS // 1000 + seq, "distance_mm": 740, "temp_cdeg": 3120, "battery_mv": 3710,
            "rssi_dbm": -67, "quality": 4, "state": "ok",
        }  # fmt: skip
        payload = wire.encode_up(305419896, [reading], 1, 5021).encode()
        messages.append(read_message(f"resik/alun-alun/rsk-b{number % DEVICES:04d}/up/bin", payload, NOW_MS))
    return messages


def run_spool(folder: Path, messages: list[UpMessage], batch: int) -> float:
    """Store all messages in commits of `batch`; return rows a second."""
    spool = Spool(folder / "spool.sqlite3", now_ms=NOW_MS, disk=DiskWatch(folder, 0, 0))
    start_s = time.perf_counter()
    for start in range(0, len(messages), batch):
        spool.put(messages[start : start + batch])
    rate = len(messages) / (time.perf_counter() - start_s)
    assert spool.waiting == len(messages)
    spool.close()
    return rate


def run_plain(folder: Path, messages: list[UpMessage], batch: int) -> float:
    """Insert the same rows into a plain table in commits of `batch`; return rows a second."""
    rows = []
    for message in messages:
        assert isinstance(message, Readings)
        reading = message.readings[0]
        rows.append((
            message.device, message.kind, message.boot, reading.seq, (reading.ts_s or 0) * 1000, message.arrived_ms,
            reading.body,
        ))  # fmt: skip
    connection = sqlite3.connect(folder / "plain.sqlite3", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE rows (id INTEGER PRIMARY KEY, device TEXT, kind TEXT, boot INTEGER, seq INTEGER, ts_ms INTEGER,"
        " arrived_ms INTEGER, body TEXT)"
    )
    start_s = time.perf_counter()
    for start in range(0, len(rows), batch):
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO rows (device, kind, boot, seq, ts_ms, arrived_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows[start : start + batch],
        )
        connection.execute("COMMIT")
    rate = len(rows) / (time.perf_counter() - start_s)
    connection.close()
    return rate


def drain(folder: Path, messages: list[UpMessage]) -> tuple[float, float]:
    """Fill a spool, forward all of it; return rows a second and seconds until every device was seen."""
    spool = Spool(folder / "drain.sqlite3", now_ms=NOW_MS, disk=DiskWatch(folder, 0, 0))
    for start in range(0, len(messages), 1000):
        spool.put(messages[start : start + 1000])
    sent: list[bytes] = []
    forwarder = Forwarder(spool, gateway_id="gw-utama", publish=sent.append, now_ms=lambda: NOW_MS)
    devices: set[str] = set()
    fresh_s = 0.0
    start_s = time.perf_counter()
    while spool.waiting:
        forwarder.step(time.monotonic())
        for payload in sent:
            batch = msgspec.json.decode(payload)
            answer = {
                "v": 1,
                "spool": spool.id,
                "batch": batch["batch"],
                "stored": [row["id"] for row in batch["rows"]],
            }
            forwarder.on_ack(msgspec.json.encode(answer))
            if len(devices) < DEVICES:
                devices |= {row["device"] for row in batch["rows"]}
                fresh_s = time.perf_counter() - start_s
        sent.clear()
    rate = len(messages) / (time.perf_counter() - start_s)
    spool.close()
    return rate, fresh_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk in question")
    arguments = parser.parse_args()
    messages = make_messages(arguments.rows)
    print(f"SQLite {sqlite3.sqlite_version}, Python {platform.python_version()}, {platform.machine()}")
    print(f"{arguments.rows} rows of {len(messages[0].readings[0].body)} bytes, median of {arguments.repeats}\n")  # type: ignore[union-attr]
    print("rows/commit  spool commits/s  spool rows/s  plain rows/s  spool/plain")
    results = []
    for batch in BATCHES:
        count = min(arguments.rows, 3000 * batch)
        spool, plain = [], []
        for _ in range(arguments.repeats):
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                spool.append(run_spool(Path(folder), messages[:count], batch))
                plain.append(run_plain(Path(folder), messages[:count], batch))
        ours, theirs = statistics.median(spool), statistics.median(plain)
        print(f"{batch:>11}  {ours / batch:>15,.0f}  {ours:>12,.0f}  {theirs:>12,.0f}  {ours / theirs:>11.2f}")
        results.append({"rows_per_commit": batch, "spool_rows_s": round(ours), "plain_rows_s": round(theirs)})
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        rate, fresh_s = drain(Path(folder), messages)
    print(f"\ndrain: {rate:,.0f} rows/s; newest reading of {DEVICES} devices out after {fresh_s * 1000:.0f} ms")
    print(
        "\n" + json.dumps({"bench": "spool", "rows": arguments.rows, "results": results, "drain_rows_s": round(rate)})
    )


if __name__ == "__main__":
    main()

"""Resident memory of the hot path: whether ingest grows with what it has seen, and what a full spool costs.

Two parts, each in a process of its own, because a process keeps what it once took:

* **ingest**: a million readings of bins and air stations, decoded, judged and encoded as the worker and the InfluxDB
  adapters do it. Values wander as those of sensors do, one reading in a thousand is wrong, and every node now and then
  leaves a field out. Memory is flat when it never rises more than 5 % above what it was after a tenth of the run.
* **spool**: readings pile up in the gateway's spool because no ingest answers, then all leave through the forwarder.
  Its cost is the highest that memory rose above that of the same process with an empty spool.

Run: ``python -m bench.memory [--readings 1000000] [--spooled 300000] [--folder DIR]``. Prints a table and one line of
JSON. Needs Linux (``/proc/self/statm``); the folder for the spool needs some 200 MB.
"""

import argparse
import json
import multiprocessing
import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from firmware import wire
from gateway.disk import DiskWatch
from gateway.forward import Forwarder
from gateway.messages import UpMessage, read_message
from gateway.spool import Spool
from ingest.decode import decode_batch
from ingest.stores.line_protocol import LineEncoder
from square.registry import Registry

SITE = "alun-alun-pasuruan"
NOW_S = 1_795_488_752
BOOT = 305_419_896
GROWTH_AIM_PCT = 5.0
SPOOL_AIM_MB = 200.0
BATCH_ROWS = 500
COMMIT_MESSAGES = 500
DEVICES = 1000
SAMPLES = 20
AIR_FIELDS = {
    "pm1_ngm3": (2_000, 40_000), "pm25_ngm3": (4_000, 90_000), "pm10_ngm3": (8_000, 150_000), "no2_ppt": (900, 60_000),
    "o3_ppt": (1_000, 80_000), "voc_raw": (20_000, 40_000), "temp_cdeg": (2_300, 3_600), "rh_cpct": (4_500, 9_900),
    "pressure_pa": (100_200, 101_400),
}  # fmt: skip
BIN_FIELDS = {"distance_mm": (150, 1_100), "temp_cdeg": (2_300, 5_500), "tilt_deg": (0, 6)}
OWN_FIELDS = {"battery_mv": (3_300, 4_150), "rssi_dbm": (-90, -45), "quality": (3, 4)}


def resident_mb() -> float:
    """Return the resident memory of this process [MB]."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def batches(registry: Registry, readings: int) -> Iterator[bytes]:
    """Yield batches of a gateway, as nodes of every kind send them in turn, ten minutes a round."""
    rng = random.Random(1)
    placements = registry.placements()
    rows: list[dict[str, Any]] = []
    for number in range(readings):
        placement = placements[number % len(placements)]
        seq = 1 + number // len(placements)
        limits = (BIN_FIELDS if placement.kind == "bin" else AIR_FIELDS) | OWN_FIELDS
        body = {name: rng.randint(low, high) for name, (low, high) in limits.items() if rng.random() > 0.002}
        ts = NOW_S + 600 * seq
        body |= {"seq": seq, "ts": ts}
        if rng.random() < 0.001:
            body["battery_mv"] = -1
        rows.append({
            "id": number + 1, "device": placement.device.id, "kind": placement.kind, "boot": BOOT, "seq": seq,
            "ts_ms": wire.point_ms(ts, BOOT, seq), "arrived_ms": ts * 1000 + 1500, "time": "device", "body": body,
        })  # fmt: skip
        if len(rows) == BATCH_ROWS:
            yield _batch(number, rows)
            rows = []
    if rows:
        yield _batch(readings, rows)


def _batch(number: int, rows: list[dict[str, Any]]) -> bytes:
    return msgspec.json.encode({
        "v": 1, "gw": "gw-utama", "spool": "9f2c", "batch": str(number), "sent_ms": NOW_S * 1000, "rows": rows,
    })  # fmt: skip


def run_ingest(readings: int, _folder: Path) -> dict[str, Any]:
    """Take all readings to lines; return the memory along the way."""
    registry = Registry.load(SITE)
    encoder = LineEncoder()
    every = max(1, readings // SAMPLES)
    seen = lines_made = dead = written_bytes = 0
    samples: list[tuple[int, float]] = []
    for payload in batches(registry, readings):
        batch = decode_batch(payload, registry)
        lines, _positions, rejected = encoder.encode_batch([placed.reading for placed in batch.readings])
        written_bytes += len("\n".join(lines).encode())
        lines_made += len(lines)
        dead += len(batch.dead) + len(rejected)
        seen += batch.rows
        if seen // every > len(samples):
            samples.append((seen, round(resident_mb(), 1)))
    assert lines_made + dead == readings, (lines_made, dead)
    settled = [mb for _, mb in samples[len(samples) // 10 - 1 :]]
    return {
        "readings": readings,
        "dead": dead,
        "written_mb": round(written_bytes / 1e6),
        "mb": samples,
        "growth_pct": round((max(settled) / settled[0] - 1) * 100, 2),
    }


def messages(first: int, count: int) -> list[UpMessage]:
    """Return messages of one reading each, of a thousand devices in turn."""
    made = []
    for number in range(first, first + count):
        seq = 1 + number // DEVICES
        reading = {
            "seq": seq, "ts": NOW_S + seq, "distance_mm": 300 + number % 700, "temp_cdeg": 2_300 + number % 1_300,
            "battery_mv": 3_710, "rssi_dbm": -67, "quality": 4, "state": "ok",
        }  # fmt: skip
        payload = wire.encode_up(BOOT, [reading], 1, 5021).encode()
        made.append(read_message(f"resik/alun-alun/rsk-b{number % DEVICES:04d}/up/bin", payload, NOW_S * 1000))
    return made  # type: ignore[return-value] # none of these is an errand


def run_spool(readings: int, folder: Path) -> dict[str, Any]:
    """Pile readings up, let them leave; return the memory along the way."""
    now_ms = NOW_S * 1000
    spool = Spool(folder / "spool.sqlite3", now_ms=now_ms, disk=DiskWatch(folder, 0, 0))
    spool.put(messages(0, DEVICES))  # what every gateway has: its marks, and pages in the cache
    empty_mb = highest_mb = resident_mb()
    for first in range(DEVICES, readings, COMMIT_MESSAGES):
        spool.put(messages(first, min(COMMIT_MESSAGES, readings - first)))
        highest_mb = max(highest_mb, resident_mb())
    assert spool.waiting == readings
    full_mb = resident_mb()
    sent: list[bytes] = []
    forwarder = Forwarder(spool, gateway_id="gw-utama", publish=sent.append, now_ms=lambda: now_ms)
    while spool.waiting:
        forwarder.step(time.monotonic())
        for payload in sent:
            batch = msgspec.json.decode(payload)
            stored = [row["id"] for row in batch["rows"]]
            ack = {"v": 1, "spool": spool.id, "batch": batch["batch"], "stored": stored}
            forwarder.on_ack(msgspec.json.encode(ack))
        sent.clear()
        highest_mb = max(highest_mb, resident_mb())
    drained_mb = resident_mb()
    file_mb = sum(path.stat().st_size for path in folder.glob("spool.sqlite3*")) / 1e6
    spool.close()
    return {
        "readings": readings,
        "file_mb": round(file_mb),
        "empty_mb": round(empty_mb, 1),
        "full_mb": round(full_mb, 1),
        "drained_mb": round(drained_mb, 1),
        "cost_mb": round(highest_mb - empty_mb, 1),
    }


def in_own_process(run: Callable[[int, Path], dict[str, Any]], readings: int, folder: Path) -> dict[str, Any]:
    """Return what ``run`` returns in a new interpreter."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (readings, folder))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--readings", type=int, default=1_000_000)
    parser.add_argument("--spooled", type=int, default=300_000)
    parser.add_argument("--folder", type=Path, default=None, help="where the spool is made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        ingest = in_own_process(run_ingest, arguments.readings, Path(name))
        spool = in_own_process(run_spool, arguments.spooled, Path(name))
    print(f"ingest: {ingest['readings']} readings, {ingest['dead']} of them wrong, {ingest['written_mb']} MB of lines")
    for seen, mb in ingest["mb"]:
        print(f"  after {seen:9}  {mb:7.1f} MB")
    print(f"  since a tenth  {ingest['growth_pct']:+7.2f} %   aim: {GROWTH_AIM_PCT} % at most")
    print(f"\nspool: {spool['readings']} readings, {spool['file_mb']} MB on disk")
    for state in ("empty", "full", "drained"):
        print(f"  {state:15}  {spool[state + '_mb']:7.1f} MB")
    print(f"  cost             {spool['cost_mb']:7.1f} MB   aim: less than {SPOOL_AIM_MB:.0f} MB")
    print(
        json.dumps(
            {
                "bench": "memory",
                "python": platform.python_version(),
                "ingest": ingest,
                "spool": spool,
                "aims": {"growth_pct": GROWTH_AIM_PCT, "spool_mb": SPOOL_AIM_MB},
            }
        )
    )


if __name__ == "__main__":
    main()

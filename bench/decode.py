"""CPU of a reading from the batch payload to a line of InfluxDB line protocol.

Ours decodes with types and ranges, looks the device up, checks the clock, converts units, computes the fill, judges
plausibility and encodes. The peer is what a user of the usual parts writes: ``json.loads`` and
``influxdb_client.Point``, with the same tags and fields and no checks at all. Both run interleaved in this process.

Run: ``python -m bench.decode [--rows 500] [--repeats 15]``. Prints a table and one line of JSON.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import influxdb_client
import msgspec
from influxdb_client import WritePrecision

from firmware import wire
from ingest.decode import decode_batch
from ingest.stores.line_protocol import LineEncoder
from square.geometry import fill_pct_of
from square.registry import Registry

SITE = "alun-alun-pasuruan"
NOW_S = 1_795_488_752
BOOT = 305_419_896
AIM_US = 4.0


def batch(registry: Registry, kind: str, count: int) -> bytes:
    """Make a batch of ``count`` full readings of ``kind``, as a gateway sends it."""
    devices = [placement.device.id for placement in registry.placements() if placement.kind == kind]
    rows = []
    for n in range(1, count + 1):
        body: dict[str, Any] = {"seq": n, "ts": NOW_S + n % 60}
        if kind == "bin":
            body |= {"distance_mm": 300 + n, "temp_cdeg": 3000 + n % 100, "tilt_deg": 2}
        else:
            body |= {
                "pm1_ngm3": 12_300, "pm25_ngm3": 18_700 + n, "pm10_ngm3": 31_250, "temp_cdeg": 2_987, "rh_cpct": 6_144,
                "no2_ppt": 14_250, "o3_ppt": 30_100, "voc_raw": 30_817, "pressure_pa": 100_870,
            }  # fmt: skip
        body |= {"battery_mv": 3_710, "rssi_dbm": -67, "quality": 4, "state": "ok"}
        rows.append({
            "id": n, "device": devices[n % len(devices)], "kind": kind, "boot": BOOT, "seq": n,
            "ts_ms": wire.point_ms(body["ts"], BOOT, n), "arrived_ms": (NOW_S + 61) * 1000, "time": "device",
            "body": body,
        })  # fmt: skip
    message = {"v": 1, "gw": "gw-utama", "spool": "9f2c", "batch": "1", "sent_ms": NOW_S * 1000, "rows": rows}
    return json.dumps(message, separators=(",", ":")).encode()


def ours(payload: bytes, registry: Registry, encoder: LineEncoder) -> list[str]:
    """Go the way of the worker and the InfluxDB adapters."""
    readings = [placed.reading for placed in decode_batch(payload, registry).readings]
    lines, _positions, _rejected = encoder.encode_batch(readings)
    return lines


def decode_only(payload: bytes, registry: Registry) -> int:
    """Go as far as readings: the part before the store."""
    return len(decode_batch(payload, registry).readings)


def peer(payload: bytes, registry: Registry) -> list[str]:
    """Write the same lines with json and the Point of influxdb-client, without any check."""
    lines = []
    for row in json.loads(payload)["rows"]:
        body = row["body"]
        placement = registry.placement(row["device"])
        assert placement is not None
        point = influxdb_client.Point(row["kind"])
        point.tag("site", SITE).tag("asset", placement.asset.id).tag("device", row["device"])
        point.tag("zone", placement.zone)
        for name, field, divisor in PEER_FIELDS[row["kind"]]:
            if field in body:
                point.field(name, body[field] / divisor)
        if "distance_mm" in body:
            point.field("fill_pct", fill_pct_of(placement.asset, body["distance_mm"]))  # type: ignore[arg-type]
        point.field("state", body["state"]).field("quality", body["quality"]).field("flags", 0)
        point.field("boot", row["boot"]).field("seq", row["seq"]).time(row["ts_ms"], WritePrecision.MS)
        lines.append(point.to_line_protocol())
    return lines


PEER_FIELDS = {
    "bin": [
        ("distance_mm", "distance_mm", 1), ("temp_c", "temp_cdeg", 100), ("tilt_deg", "tilt_deg", 1),
        ("battery_mv", "battery_mv", 1), ("rssi_dbm", "rssi_dbm", 1),
    ],
    "air": [
        ("temp_c", "temp_cdeg", 100), ("pm1_ugm3", "pm1_ngm3", 1000), ("pm25_ugm3", "pm25_ngm3", 1000),
        ("pm10_ugm3", "pm10_ngm3", 1000), ("rh_pct", "rh_cpct", 100), ("no2_ppb", "no2_ppt", 1000),
        ("o3_ppb", "o3_ppt", 1000), ("voc_raw", "voc_raw", 1), ("pressure_hpa", "pressure_pa", 100),
        ("battery_mv", "battery_mv", 1), ("rssi_dbm", "rssi_dbm", 1),
    ],
}  # fmt: skip


def cpu_us(call: Callable[[], Any], rows: int) -> float:
    """Return the CPU time of one call for each row [us]."""
    start = time.process_time_ns()
    call()
    return (time.process_time_ns() - start) / 1000 / rows


def measure(registry: Registry, kind: str, rows: int, repeats: int) -> dict[str, Any]:
    """Measure one kind of reading; the ways take turns so that noise meets all of them."""
    payload = batch(registry, kind, rows)
    encoder = LineEncoder()
    assert len(ours(payload, registry, encoder)) == len(peer(payload, registry)) == rows
    ways: dict[str, Callable[[], Any]] = {
        "resik: batch to lines": lambda: ours(payload, registry, encoder),
        "resik: batch to readings": lambda: decode_only(payload, registry),
        "json + influxdb-client Point": lambda: peer(payload, registry),
        "json.loads alone": lambda: json.loads(payload),
        "msgspec untyped alone": lambda: msgspec.json.decode(payload),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, call in ways.items():
            taken[name].append(cpu_us(call, rows))
    return {
        "kind": kind,
        "bytes_per_row": round(len(payload) / rows),
        "us": {name: round(statistics.median(values), 2) for name, values in taken.items()},
        "range_us": {name: [round(min(values), 2), round(max(values), 2)] for name, values in taken.items()},
    }


def main() -> None:
    """Measure both kinds and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    registry = Registry.load(SITE)
    results = [measure(registry, kind, arguments.rows, arguments.repeats) for kind in ("bin", "air")]
    for result in results:
        print(f"\n{result['kind']}: {arguments.rows} rows of {result['bytes_per_row']} bytes, CPU us per reading")
        mine = result["us"]["resik: batch to lines"]
        for name, value in result["us"].items():
            low, high = result["range_us"][name]
            print(f"  {name:32} {value:7.2f}  ({low:.2f}-{high:.2f})  {value / mine:5.2f}x")
    print(
        json.dumps(
            {
                "bench": "decode",
                "rows": arguments.rows,
                "repeats": arguments.repeats,
                "python": platform.python_version(),
                "aim_us": AIM_US,
                "results": results,
            }
        )
    )


if __name__ == "__main__":
    main()

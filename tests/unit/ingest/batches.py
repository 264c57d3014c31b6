"""A small site and hand-made batches for the tests of ingest."""

import base64
import json
from typing import Any

from firmware import wire
from square.calendar import ServiceHours
from square.registry import Registry
from square.site import AirStation, Bin, Device

SITE = "alun-alun-uji"
GATEWAY = "gw-utama"
TOPIC = f"resik/{SITE}/gw/{GATEWAY}/batch"
NOW_S = 1_795_488_752
NOW_MS = NOW_S * 1000
BOOT = 305_419_896


def registry() -> Registry:
    """Two active bins, one air station, one retired bin sensor. Bins: 980 mm to the floor, 240 mm when full."""
    hours = ServiceHours()
    bins = {
        f"bin-00{n}": Bin(f"bin-00{n}", "Tong", "Bin", 112.9, -7.6, "zona-utara", 120.0, "mixed", 980, 240, hours)
        for n in (1, 2, 3)
    }
    air = {"air-001": AirStation("air-001", "Udara", "Air", 112.9, -7.6, "zona-tengah", 2.5)}
    devices = [
        Device("rsk-b001", "bin", "bin-001", "uji", 600, "active"),
        Device("rsk-b002", "bin", "bin-002", "uji", 600, "active"),
        Device("rsk-b003", "bin", "bin-003", "uji", 600, "retired"),
        Device("rsk-a001", "air", "air-001", "uji", 300, "active"),
    ]
    return Registry(SITE, devices, bins | air)


def row(row_id: int, *, device: str = "rsk-b001", kind: str = "bin", seq: int | None = None, **changes: Any) -> dict:
    """One row of a batch as a gateway makes it; ``body`` replaces the reading, ``ts`` its time."""
    seq = row_id if seq is None else seq
    ts = changes.pop("ts", NOW_S)
    body = {"seq": seq, "ts": ts} | changes.pop("body", {"distance_mm": 740} if kind == "bin" else {"temp_cdeg": 3000})
    made = {
        "id": row_id,
        "device": device,
        "kind": kind,
        "boot": BOOT,
        "seq": seq,
        "ts_ms": wire.point_ms(ts, BOOT, seq) if isinstance(ts, int) else NOW_MS,
        "arrived_ms": NOW_MS + 1_000,
        "time": "device",
        "body": body,
    }
    return made | changes


def poison(row_id: int, payload: bytes, *, code: str = "bad-json", device: str = "rsk-b001") -> dict:
    """One row for a payload that the gateway could not read."""
    return {
        "id": row_id,
        "device": device,
        "kind": "poison",
        "code": code,
        "arrived_ms": NOW_MS,
        "raw": base64.b64encode(payload).decode(),
        "topic": f"resik/{SITE}/{device}/up/bin",
    }


def status(row_id: int, **changes: Any) -> dict:
    """One status row."""
    body = {"v": 1, "boot": BOOT, "up_s": 5021, "fw": "1.0.0", "interval_s": 600, "queue": 3, "dropped": 0}
    return {"id": row_id, "device": "rsk-b001", "kind": "status", "arrived_ms": NOW_MS, "body": body | changes}


def batch(rows: list[Any], *, number: int = 1, **changes: Any) -> bytes:
    """Return the payload of a batch."""
    message = {
        "v": 1,
        "gw": GATEWAY,
        "spool": "9f2c4e7ab1d05836",
        "batch": f"9f2c4e7a-{number:06d}",
        "sent_ms": NOW_MS + 2_000,
        "rows": rows,
    }
    return json.dumps(message | changes, separators=(",", ":")).encode()

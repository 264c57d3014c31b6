"""The devices of the load and what they say: one reading a message, in our wire or as a flat JSON of the same size.

Reading ``n`` comes from device ``n % 1000``, in turn; its ``seq`` counts from 1 on each device. Every reading of a
device has a second of its own, so no store can take two for one.
"""

import json
import tomllib
from pathlib import Path

from firmware import wire
from simulators.real_site import build_fleet_site
from square.plan_source import SITE_FILE

DEVICES = 1000
BOOT = 305_419_896
UP_S = 5021
Identity = tuple[str, int]
"""Device and ``seq``."""


def build_site(folder: Path) -> str:
    """Write the site of the fleet and return its id."""
    build_fleet_site(folder, DEVICES, kinds=("bin",), interval_s=600)
    return str(tomllib.loads((folder / SITE_FILE).read_text(encoding="utf-8"))["id"])


def device_id(number: int) -> str:
    """Name of a device, 0 to 999."""
    return f"rsk-b{number + 1:04d}"


def identity(number: int) -> Identity:
    """Device and ``seq`` of reading ``number``."""
    return device_id(number % DEVICES), 1 + number // DEVICES


def topic(site: str, number: int) -> str:
    """Topic of a reading; peers hear the same topics as the gateway."""
    return wire.topic_up(site, identity(number)[0], "bin")


def _measured(number: int) -> dict[str, int]:
    seq = identity(number)[1]
    return {
        "distance_mm": 400 + (number * 7 + seq) % 500,
        "temp_cdeg": 2900 + number % 400,
        "battery_mv": 3600 + number % 300,
        "rssi_dbm": -50 - number % 40,
        "quality": 4,
    }


def wire_payload(number: int, start_s: int) -> bytes:
    """Encode a reading as a node does."""
    seq = identity(number)[1]
    reading = {"seq": seq, "ts": start_s + seq, **_measured(number), "state": "ok"}
    text: str = wire.encode_up(BOOT, [reading], seq, UP_S)
    return text.encode()


def flat_payload(number: int, start_s: int) -> bytes:
    """Encode a reading as twelve keys, for the peers; ``timestamp`` is the name that mqtt2influxdb knows."""
    device, seq = identity(number)
    values = {
        "v": 1, "device": device, "timestamp": start_s + seq, "seq": seq, **_measured(number), "tilt_deg": 2,
        "up_s": UP_S, "state": "ok",
    }  # fmt: skip
    return json.dumps(values, separators=(",", ":")).encode()


PAYLOADS = {"wire": wire_payload, "flat": flat_payload}

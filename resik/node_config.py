"""What ``config.json`` of a new node says: its place from the plan, its parts with the pins of docs/hardware.md."""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from resik.errors import StackError
from square.site import AirStation, Bin, Site

_I2C: dict[str, Any] = {"i2c0": {"scl": 22, "sda": 21, "khz": 100}}
_UART: dict[str, Any] = {"uart1": {"tx": 17, "rx": 16, "baud": 9600}}

# part of --parts -> what it adds to "parts" of config.json; pins as in docs/hardware.md
PARTS: dict[str, dict[str, dict[str, Any]]] = {
    "bin": {
        "jsn": {"distance": {"type": "jsn-sr04t", "trig": 5, "echo": 18, "blind_mm": 250, "max_mm": 4500}},
        "hcsr04": {"distance": {"type": "hc-sr04", "trig": 5, "echo": 18, "blind_mm": 250, "max_mm": 4500}},
        "vl53l1x": {"distance": {"type": "vl53l1x", "bus": "i2c0", "addr": 41}, **_I2C},
        "ds18b20": {"temp": {"type": "ds18b20", "pin": 4}},
        "sht31": {"temp": {"type": "sht31", "bus": "i2c0", "addr": 68}, **_I2C},
        "lis3dh": {"tilt": {"type": "lis3dh", "bus": "i2c0", "addr": 24, "int": 27}, **_I2C},
        "tilt": {"tilt": {"type": "switch", "pin": 27, "active": 0}},
        "water": {"water": {"type": "contact", "pin": 26, "active": 0}},
        "lid": {"lid": {"type": "switch", "pin": 25, "active": 1}},
        "heat": {"heat": {"type": "switch", "pin": 33, "active": 1}},
    },
    "air": {
        "pms5003": {"pm": {"type": "pms5003", "bus": "uart1", "set": 4, "warm_s": 30}, **_UART},
        "sps30": {"pm": {"type": "sps30", "bus": "i2c0"}, **_I2C},
        "sht31": {"climate": {"type": "sht31", "bus": "i2c0", "addr": 68}, **_I2C},
        "bme280": {"climate": {"type": "bme280", "bus": "i2c0", "addr": 118}, **_I2C},
        "sgp40": {"voc": {"type": "sgp40", "bus": "i2c0"}, **_I2C},
        "nh3": {"nh3": {"type": "adc", "pin": 35}},
        "h2s": {"h2s": {"type": "adc", "pin": 36}},
    },
}
for _parts in PARTS.values():
    _parts["battery"] = {"battery": {"pin": 34, "ratio_milli": 2000}}
    _parts["led"] = {"led": {"pin": 2}}
    _parts["power"] = {"power": {"pin": 32, "settle_ms": 100}}
DEFAULT_PARTS = {"bin": "jsn+ds18b20+lis3dh+battery+power", "air": "pms5003+bme280"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node will sit, from the plan of the square.

    Parameters
    ----------
    folder
        Site folder whose registry is extended.
    site
        The plan.
    asset
        The bin or air station.
    kind
        ``bin`` or ``air``.
    """

    folder: Path
    site: Site
    asset: Bin | AirStation
    kind: str


def parts_of(kind: str, names: str) -> dict[str, Any]:
    """Return the ``parts`` of a configuration for a list such as ``jsn+ds18b20``.

    Raises
    ------
    StackError
        If a name is unknown for this kind, or two parts would fill the same role.
    """
    parts: dict[str, Any] = {}
    for name in filter(None, names.split("+")):
        if name not in PARTS[kind]:
            raise StackError(f"a node of kind {kind} has no part {name!r}: choose from {', '.join(PARTS[kind])}")
        for role, entry in PARTS[kind][name].items():
            if parts.get(role, entry) != entry:
                raise StackError(f"{name} is a second part for {role!r}: name one of the two")
            parts[role] = entry
    return parts


def configuration(
    place: Place, device: str, *, broker: str, wifi_ssid: str, wifi_psk: str, base: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of ``config.json``; ``base`` holds ``parts`` and whatever a person chose beside.

    Raises
    ------
    StackError
        If the address of the broker is no ``mqtts://host:port``.
    """
    address = urlsplit(broker)
    try:
        port = address.port
    except ValueError as error:
        raise StackError(f"--broker {broker}: the port is no number from 1 to 65535") from error
    if address.scheme not in ("mqtts", "mqtt") or not address.hostname or address.username or address.path.strip("/"):
        raise StackError(f"--broker {broker} is no address of a broker: write mqtts://host:8883")
    tls = address.scheme == "mqtts"
    if not tls and not (address.hostname == "localhost" or address.hostname.startswith("127.")):
        raise StackError(
            "plain MQTT is for loopback only: write mqtts://host:8883 and name the broker's root with --ca"
        )
    offset = datetime.now(place.site.zone_info).utcoffset()
    assert offset is not None
    site = place.site
    decided = {
        "v": 1,
        "site": site.id,
        "device": device,
        "kind": place.kind,
        "wifi_ssid": wifi_ssid,
        "wifi_psk": wifi_psk,
        "broker_host": address.hostname,
        "broker_port": port or (8883 if tls else 1883),
        "broker_tls": tls,
    }
    chosen = {
        "floor_s": int(time.time()),
        "interval_s": site.bin_interval_s if place.kind == "bin" else site.air_interval_s,
        "utc_offset_min": int(offset.total_seconds()) // 60,
    }
    if isinstance(place.asset, Bin):
        depth_mm = place.asset.empty_mm - place.asset.full_mm
        chosen["near_full_mm"] = round(place.asset.empty_mm - depth_mm * site.rules.full_pct / 100)
    return {**chosen, **base, **decided}

"""What tests of whole nodes share: a starter of nodes, throwaway nodes, and a gateway that a test commands."""

import atexit
import functools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from firmware import wire
from simulators.real_folder import NodeFolder, default_source
from simulators.real_node import WATCHDOG, Boot, RealNode
from simulators.real_spawn import Spawner
from tests.fakes import certificates
from tests.firmware.micropython import require_micropython
from tests.services import wait_until

__all__ = ["WATCHDOG", "Boot", "NodeFolder", "RealNode"]

NOON_S = 1_795_064_400
"""2026-11-19 12:00 in Pasuruan [s since 1970]: when virtual time begins, unless a test says otherwise."""
SITE = "alun-alun"


@functools.cache
def _shared() -> Spawner:
    spawner = Spawner()
    atexit.register(spawner.close)
    return spawner


def spawner() -> Spawner:
    """Return the starter of nodes of this test process, or skip where MicroPython is missing."""
    require_micropython()
    return _shared()


def script(folder: Path, main: str, *, config: dict[str, Any] | None = None, **how: Any) -> RealNode:
    """Return a node that runs `main` as its only program; `how` as of `RealNode`."""
    node = NodeFolder.make(folder, config or {}, files={"main.py": main})
    return RealNode(node, spawner(), **({"unix_ms": NOON_S * 1000} | how))


def run(folder: Path, main: str, *, config: dict[str, Any] | None = None, **how: Any) -> Boot:
    """Run `main` for one boot on a new node; `how` as of `RealNode.start`."""
    return script(folder, main, config=config).boot(**how)


BIN_PARTS: dict[str, Any] = {
    "distance": {"type": "jsn-sr04t", "trig": 5, "echo": 18, "blind_mm": 250, "max_mm": 4500},
    "temp": {"type": "ds18b20", "pin": 4},
    "tilt": {"type": "switch", "pin": 27, "active": 0},
    "water": {"type": "contact", "pin": 26, "active": 0},
    "battery": {"pin": 34, "ratio_milli": 2000},
    "led": {"pin": 2},
}
AIR_PARTS: dict[str, Any] = {
    "i2c0": {"scl": 22, "sda": 21, "khz": 100},
    "uart1": {"tx": 17, "rx": 16, "baud": 9600},
    "pm": {"type": "pms5003", "bus": "uart1", "set": 4, "warm_s": 30},
    "climate": {"type": "sht31", "bus": "i2c0", "addr": 68},
    "battery": {"pin": 34, "ratio_milli": 2000},
}


def config(device: str, kind: str = "bin", **changes: Any) -> dict[str, Any]:
    """Return a complete configuration for the plain broker on loopback."""
    return {
        "v": 1,
        "site": SITE,
        "device": device,
        "kind": kind,
        "wifi_ssid": "alun-alun",
        "wifi_psk": "bersih-itu-indah",
        "broker_host": "localhost",
        "broker_port": 1883,
        "broker_tls": False,
        "floor_s": NOON_S - 86_400,
        "parts": BIN_PARTS if kind == "bin" else AIR_PARTS,
    } | changes


def node(folder: Path, settings: dict[str, Any], *, port: int, secret: str = "", **how: Any) -> RealNode:
    """Return a node with this firmware and a broker at a loopback `port`; `secret` is its password."""
    made = NodeFolder.make(folder, settings, secret=secret, source=default_source())
    made.set_net(broker={"host": "127.0.0.1", "port": port})
    made.set_world(distance_mm=900, temp_c=31, rh_pct=70, battery_mv=3900, pm1_ugm3=9, pm25_ugm3=14, pm10_ugm3=22)
    return RealNode(made, spawner(), **({"unix_ms": NOON_S * 1000} | how))


def tls_node(folder: Path, papers: certificates.Certificates, device: str, port: int, **changes: Any) -> RealNode:
    """Return a node that trusts the root of `papers` and knows the broker at a loopback `port` by its name."""
    now_s = int(time.time())
    settings = config(
        device,
        **{"broker_tls": True, "broker_host": certificates.NAME, "floor_s": now_s - 3600, "awake_max_s": 60} | changes,
    )
    # a handshake is work for the processor: on a busy machine its deadline must not pass twenty times faster
    made = node(folder, settings, port=port, unix_ms=now_s * 1000, pace=4)
    made.folder.write("ca.der", papers.ca_der.read_bytes())
    return made


class Gateway:
    """Hears all nodes of a broker, remembers everything, and answers as the test wants.

    Parameters
    ----------
    port
        Loopback port of a broker without TLS.
    login
        User name and password; None for an open broker.

    Attributes
    ----------
    readings : list[tuple[str, int, dict]]
        Device, boot and reading of everything that arrived, repeats included, in order.
    statuses : list[tuple[str, dict]]
        Device and status message.
    raw : list[tuple[str, bytes]]
        Topic and payload of everything that arrived.
    answer : Callable[[str, int, list], bytes | None]
        Makes the application ack for a message; None keeps silent. At first everything is acknowledged.
    """

    def __init__(self, port: int, login: tuple[str, str] | None = None) -> None:
        self.readings: list[tuple[str, int, dict[str, Any]]] = []
        self.statuses: list[tuple[str, dict[str, Any]]] = []
        self.raw: list[tuple[str, bytes]] = []
        self.answer: Callable[[str, int, list[dict[str, Any]]], bytes | None] = self.acknowledge
        self._held: dict[tuple[str, int], set[int]] = {}
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="gateway-under-test")
        if login is not None:
            self._client.username_pw_set(*login)
        self._client.on_connect = lambda client, *_: client.subscribe(f"resik/{SITE}/+/up/#", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._subscribed.wait(10), "the gateway of the test could not subscribe"

    def acknowledge(self, device: str, boot: int, readings: list[dict[str, Any]]) -> bytes:
        """Return the ack for everything of this boot that ever arrived, as the real gateway does."""
        held = self._held.setdefault((device, boot), set())
        held.update(reading["seq"] for reading in readings)
        upto = 0
        while upto + 1 in held:
            upto += 1
        also = [(seq, seq) for seq in sorted(held) if seq > upto]
        return wire.encode_ack(boot, upto, also).encode()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.raw.append((message.topic, message.payload))
        _site, device, _way, kind = wire.parse_topic(message.topic)
        if kind == "status":
            self.statuses.append((device, json.loads(message.payload)))
        if kind not in {"bin", "air"}:
            return
        envelope = wire.decode_envelope(message.payload)
        readings = [wire.decode_reading(kind, reading) for reading in envelope["readings"]]
        self.readings += [(device, envelope["boot"], reading) for reading in readings]
        ack = self.answer(device, envelope["boot"], readings)
        if ack is not None:
            self.send(device, "ack", ack)

    def send(self, device: str, kind: str, payload: bytes | dict[str, Any], *, retain: bool = False) -> None:
        """Publish to a node: `kind` is ack, config, cmd or ota."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload, separators=(",", ":")).encode()
        self._client.publish(wire.topic_down(SITE, device, kind), data, qos=1, retain=retain)

    def identities(self) -> list[tuple[str, int, int]]:
        """Return device, boot and seq of every reading that arrived, in order, repeats included."""
        return [(device, boot, reading["seq"]) for device, boot, reading in self.readings]

    def until(self, condition: Callable[["Gateway"], bool], what: str, timeout_s: float = 10) -> None:
        """Wait until what arrived meets a condition."""
        wait_until(lambda: condition(self), timeout_s, what)

    def close(self) -> None:
        """Leave the broker."""
        self._client.disconnect()
        self._client.loop_stop()

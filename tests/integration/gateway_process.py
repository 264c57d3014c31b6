"""A gateway as a process of its own, with a fleet of devices on one side and an ingest on the other.

Fleet and ingest follow the protocol and keep a ledger each; tests compare the two by set difference.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from firmware import wire
from resik.brokers import embedded_command
from square.endpoint import MqttEndpoint
from square.errors import BrokerUnavailable
from square.mqtt import MqttConnection
from tests.services import Server, free_port, port_open, start_mosquitto, wait_until

SITE = "alun-alun-pasuruan"
GATEWAY = "gw-utama"
PASSWORDS = {name: f"{name}-secret-for-tests" for name in ("gateway", "ingest", "fleet")}
_MAIN = (
    "import sys; from gateway.service import run; from gateway.settings import SECTION, GatewaySettings; "
    "from square.settings import load_settings; sys.exit(run(load_settings(GatewaySettings, SECTION)))"
)

Key = tuple[str, int, int]


def start_broker(kind: str, folder: Path) -> Server:
    """Start mosquitto or the embedded broker, both with passwords."""
    if kind == "mosquitto":
        return start_mosquitto(folder, users=PASSWORDS)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = embedded_command(folder, port=port, passwords=PASSWORDS)
    return Server("embedded", command, folder, "127.0.0.1", port, lambda: port_open(port)).start()


def connect(port: int, name: str, *filters: str, clean: bool = False) -> MqttConnection:
    """Connect as one of the principals."""
    endpoint = MqttEndpoint("127.0.0.1", port, username=name, password=PASSWORDS[name])
    connection = MqttConnection(endpoint, f"{name}-test", clean=clean, inbound_limit=100_000)
    for topic_filter in filters:
        connection.subscribe(topic_filter)
    connection.start()
    connection.wait_connected()
    return connection


@dataclass
class GatewayProcess:
    """The gateway under test; `start` after `kill` is a restart on the same spool."""

    folder: Path
    broker_port: int
    settings: dict[str, str] = field(default_factory=dict)
    uplink_port: int | None = None
    health_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def spool_file(self) -> Path:
        """Where the spool is."""
        return Path(self.settings.get("SPOOL_FILE", self.folder / "spool.sqlite3"))

    @property
    def log(self) -> str:
        """What the process said so far."""
        return (self.folder / "gateway.log").read_text()

    def start(self, *, wait: bool = True) -> "GatewayProcess":
        """Start and, with `wait`, wait until it is connected and says so."""
        password = self.folder / "gateway-password"
        password.write_text(PASSWORDS["gateway"])
        values = {
            "BROKER_URL": f"mqtt://127.0.0.1:{self.broker_port}",
            "BROKER_PASSWORD_FILE": str(password),
            "SPOOL_FILE": str(self.folder / "spool.sqlite3"),
            "HEALTH_PORT": str(self.health_port),
            "RESEND_S": "2",
            "LOG_LEVEL": "DEBUG",
            "DISK_WARN_PCT": "1",
            "DISK_STOP_PCT": "0",
            **self.settings,
        }
        if self.uplink_port is not None:
            values["UPLINK_URL"] = f"mqtt://127.0.0.1:{self.uplink_port}"
            values["UPLINK_PASSWORD_FILE"] = str(password)
        environment = {f"RESIK_GATEWAY_{key}": value for key, value in values.items()}
        log = (self.folder / "gateway.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN], env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
        )
        if wait:
            wait_until(self._answers, 20, f"the gateway to come up: {self.log[-2000:]}")
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode}: {self.log[-2000:]}")
        try:
            return bool(self.health()["counts"]["edge_connected"])
        except OSError:
            return False

    def reason(self) -> str:
        """Return what is wrong; empty when nothing is, or when it does not answer yet."""
        try:
            return str(self.health()["reason"])
        except OSError:
            return ""

    def health(self) -> dict[str, Any]:
        """Ask the process for its health."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/healthz", timeout=2) as reply:
                return dict(json.load(reply))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))

    def counts(self) -> dict[str, float]:
        """Return its counters."""
        return dict(self.health()["counts"])

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise


class Fleet:
    """Devices that hold each reading until the gateway's application ack, and send it again until then."""

    def __init__(self, port: int, devices: int = 5, boot: int = 7) -> None:
        self.acked: set[Key] = set()
        """The ledger: what the gateway promised to keep."""
        self.ack_messages = 0
        self._boot = boot
        self._names = [f"rsk-b{number:03d}" for number in range(1, devices + 1)]
        self._held: dict[str, dict[int, dict[str, int]]] = {name: {} for name in self._names}
        self._next = dict.fromkeys(self._names, 1)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._connection = connect(port, "fleet", f"resik/{SITE}/+/down/ack")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def measure(self, count: int = 1) -> None:
        """Let every device make and send `count` readings in one message."""
        for name in self._names:
            with self._lock:
                new = []
                for _ in range(count):
                    seq = self._next[name]
                    self._next[name] += 1
                    reading = {"seq": seq, "ts": int(time.time()), "distance_mm": 500 + seq % 1000}
                    self._held[name][seq] = reading
                    new.append(reading)
                oldest = min(self._held[name])
            self._publish(name, new, oldest)

    def resend(self) -> None:
        """Send the oldest un-acked readings of every device again."""
        for name in self._names:
            with self._lock:
                window = [self._held[name][seq] for seq in sorted(self._held[name])[: wire.MAX_READINGS]]
            if window:
                self._publish(name, window, window[0]["seq"])

    def publish(self, device: str, kind: str, payload: bytes) -> None:
        """Send a payload as it is."""
        self._connection.publish(wire.topic_up(SITE, device, kind), payload)

    def _publish(self, name: str, readings: list[dict[str, int]], oldest: int) -> None:
        payload = wire.encode_up(self._boot, readings, oldest, 100_000)
        try:
            self._connection.publish(wire.topic_up(SITE, name, "bin"), payload)
        except BrokerUnavailable:
            return  # sent again later

    def _listen(self) -> None:
        while not self._stop.is_set():
            for delivery in self._connection.deliveries(0.1):
                device = delivery.topic.split("/")[2]
                boot, upto, also = wire.decode_ack(delivery.payload)
                self._connection.ack(delivery)
                self.ack_messages += 1
                if boot != self._boot or device not in self._held:
                    continue
                with self._lock:
                    held = self._held[device]
                    for seq in list(held):
                        if seq <= upto or any(low <= seq <= high for low, high in also):
                            self.acked.add((device, boot, seq))
                            del held[seq]

    @property
    def held(self) -> int:
        """Readings that no ack covers yet."""
        with self._lock:
            return sum(len(held) for held in self._held.values())

    def settle(self, timeout_s: float) -> None:
        """Send again until every reading is acked."""
        deadline = time.monotonic() + timeout_s
        while self.held:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.held} readings were never acked")
            self.resend()
            time.sleep(0.3)

    def close(self) -> None:
        """Disconnect."""
        self._stop.set()
        self._thread.join(2)
        self._connection.stop()


class Ingest:
    """Takes batches and answers them as a worker with a store would."""

    def __init__(self, port: int, *, answers: bool = True) -> None:
        self.answers = answers
        self.batches: list[dict[str, Any]] = []
        """Batches with rows; heartbeats are only counted, as they are at the real one."""
        self.heartbeats = 0
        self.rows: list[dict[str, Any]] = []
        self.arrival_s: dict[Key, float] = {}
        self._stop = threading.Event()
        self._connection = connect(port, "ingest", wire.topic_batch(SITE, GATEWAY))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            for delivery in self._connection.deliveries(0.1):
                batch = msgspec.json.decode(delivery.payload)
                if not batch["rows"]:
                    self.heartbeats += 1
                    self._connection.ack(delivery)
                    continue
                now_s = time.monotonic()
                for row in batch["rows"]:
                    if row["kind"] == "bin":
                        self.arrival_s.setdefault((row["device"], row["boot"], row["seq"]), now_s)
                self.rows.extend(batch["rows"])
                self.batches.append(batch)
                if self.answers:
                    self.ack(batch)
                self._connection.ack(delivery)

    def ack(self, batch: dict[str, Any], **changes: Any) -> None:
        """Answer a batch: poison is dead, the rest stored."""
        answer = {
            "v": 1,
            "spool": batch["spool"],
            "batch": batch["batch"],
            "stored": [row["id"] for row in batch["rows"] if row["kind"] != "poison"],
            "dead": [row["id"] for row in batch["rows"] if row["kind"] == "poison"],
        } | changes
        try:
            self._connection.publish(wire.topic_gw_ack(SITE, GATEWAY), msgspec.json.encode(answer))
        except BrokerUnavailable:
            return  # the gateway sends the batch again

    def keys(self) -> set[Key]:
        """Return the readings that arrived."""
        return {(row["device"], row["boot"], row["seq"]) for row in list(self.rows) if row["kind"] == "bin"}

    def ids_by_key(self) -> dict[Key, set[int]]:
        """Row ids under which each reading arrived."""
        result: dict[Key, set[int]] = {}
        for row in list(self.rows):
            if row["kind"] == "bin":
                result.setdefault((row["device"], row["boot"], row["seq"]), set()).add(row["id"])
        return result

    def close(self) -> None:
        """Disconnect."""
        self._stop.set()
        self._thread.join(2)
        self._connection.stop()


@contextmanager
def closing_all(*things: Any) -> Iterator[None]:
    """Close or stop whatever was started, the last first, also when the test failed."""
    try:
        yield
    finally:
        for thing in reversed(things):
            close: Callable[[], object] = getattr(thing, "close", None) or thing.stop
            close()


def wait_settled(gateway: GatewayProcess, timeout_s: float = 30) -> None:
    """Wait until nothing waits in the spool."""
    wait_until(lambda: gateway.counts()["waiting"] == 0, timeout_s, "the spool to be settled")

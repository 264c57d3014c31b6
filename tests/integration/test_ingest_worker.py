"""The ingest worker as a process, between a real broker and a real store."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from firmware import wire
from ingest.deadletter import SqliteDeadLetters
from ingest.stores import open_store
from square.endpoint import MqttEndpoint
from square.errors import BrokerUnavailable
from square.mqtt import MqttConnection
from square.registry import Registry
from tests.services import Server, free_port, http_ok, start_influxd, start_mosquitto, wait_until
from tests.unit.ingest.batches import BOOT, GATEWAY, NOW_MS, NOW_S, batch, poison, row, status

pytestmark = pytest.mark.service

SITE = "alun-alun-pasuruan"
BATCH_TOPIC = f"resik/{SITE}/gw/{GATEWAY}/batch"
ACK_TOPIC = f"resik/{SITE}/gw/{GATEWAY}/ack"
BINS = [device.id for device in Registry.load(SITE) if device.kind == "bin" and device.status == "active"]
START = (
    "import sys; from pathlib import Path; from ingest.settings import SECTION, IngestSettings; "
    "from ingest.worker import run; from square.settings import load_settings; "
    "sys.exit(run(load_settings(IngestSettings, SECTION, Path(sys.argv[1]))))"
)

Identity = tuple[str, int, int]


class Ingest:
    """The worker process and the files around it."""

    def __init__(self, folder: Path, broker_port: int, store_url: str, **settings: Any) -> None:
        self.folder = folder
        self.store_url = store_url
        self.health_port = free_port()
        self.dead_letter_file = folder / "dead.sqlite3"
        self.config = folder / "resik.toml"
        self.log = folder / "ingest.log"
        values = {
            "site": SITE,
            "broker_url": f"mqtt://127.0.0.1:{broker_port}",
            "store_url": store_url,
            "dead_letter_file": str(self.dead_letter_file),
            "health_port": self.health_port,
        } | settings
        self.config.write_text("[ingest]\n" + "".join(f"{key} = {json.dumps(v)}\n" for key, v in values.items()))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> "Ingest":
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(self.config)], stderr=self.log.open("ab"), cwd=Path(__file__).parents[2]
        )
        if wait:
            wait_until(lambda: http_ok(self.health_url), 15, f"ingest to be healthy: {self.log.read_text()[-500:]}")
        return self

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(15)

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.health_port}/healthz"

    def health(self) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(self.health_url, timeout=2) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def stored(self) -> list[Identity]:
        """Return every stored identity, duplicates included."""
        store = open_store(self.store_url, read_only=True)
        try:
            return list(store.identities("bin", site=SITE, start_ms=NOW_MS - 10**8, end_ms=NOW_MS + 10**9))
        finally:
            store.close()


class Gateway:
    """Sends batches and keeps what was acknowledged."""

    def __init__(self, broker_port: int, name: str = "gateway") -> None:
        self.connection = MqttConnection(
            MqttEndpoint("127.0.0.1", broker_port), name, probe_topic=wire.topic_probe(SITE, name)
        )
        self.connection.subscribe(ACK_TOPIC)
        self.connection.start()
        wait_until(lambda: self.connection.was_heard, 15, "the subscription to acks")
        self.acks: list[dict[str, Any]] = []

    def send(self, payload: bytes) -> None:
        self.connection.publish(BATCH_TOPIC, payload)

    def take(self) -> list[dict[str, Any]]:
        """Take the acks that are there."""
        for delivery in self.connection.deliveries(0.02):
            self.acks.append(json.loads(delivery.payload))
            self.connection.ack(delivery)
        return self.acks

    def wait(self, condition: Callable[[list[dict[str, Any]]], bool], timeout_s: float, what: str) -> None:
        wait_until(lambda: condition(self.take()), timeout_s, what)

    def stored_ids(self) -> set[int]:
        return {row_id for ack in self.take() for row_id in ack["stored"]}

    def dead_ids(self) -> set[int]:
        return {row_id for ack in self.take() for row_id in ack["dead"]}


class Iotcore:
    """The embedded broker of the one-machine stack, in its own process."""

    def __init__(self) -> None:
        iotcore = pytest.importorskip("iotcore", reason="iotcore is not installed: pip install 'resik-kota[stack]'")
        self.port = free_port()
        self._broker = iotcore.Broker(port=self.port, listen="127.0.0.1").start()

    def stop(self) -> None:
        self._broker.stop()


@pytest.fixture(params=["mosquitto", "iotcore"])
def any_broker(request: pytest.FixtureRequest, tmp_path: Path, closing: ExitStack) -> int:
    """Give the port of each kind of broker in turn."""
    server = start_mosquitto(tmp_path / "broker") if request.param == "mosquitto" else Iotcore()
    closing.callback(server.stop)
    return server.port


def embedded(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'points.sqlite3'}"


def influx(server: Server) -> str:
    return f"influx1://127.0.0.1:{server.port}/resik"


def open_ingest(closing: ExitStack, tmp_path: Path, port: int, store_url: str, **settings: Any) -> Ingest:
    worker = Ingest(tmp_path, port, store_url, **settings).start()
    closing.callback(worker.end, signal.SIGKILL)
    return worker


def open_gateway(closing: ExitStack, port: int) -> Gateway:
    gateway = Gateway(port)
    closing.callback(gateway.connection.stop)
    return gateway


def good(row_id: int) -> dict[str, Any]:
    """One good row; the rows go round the bins of the square."""
    return row(row_id, device=BINS[row_id % len(BINS)], ts=NOW_S + row_id % 60, arrived_ms=NOW_MS + 90_000)


def identities(row_ids: Any) -> set[Identity]:
    return {(BINS[row_id % len(BINS)], BOOT, row_id) for row_id in row_ids}


def batches(row_ids: range, size: int = 100) -> list[bytes]:
    ids = list(row_ids)
    return [batch([good(n) for n in ids[i : i + size]], number=i) for i in range(0, len(ids), size)]


def test_readings_are_stored_and_acknowledged(any_broker: int, tmp_path: Path, closing: ExitStack) -> None:
    """Through each broker: every row is acked once and stored once, and the worker ends with 0."""
    worker = open_ingest(closing, tmp_path, any_broker, embedded(tmp_path))
    gateway = open_gateway(closing, any_broker)
    for payload in batches(range(1, 1001)):
        gateway.send(payload)
    gateway.send(batch([status(5000)], number=99))
    gateway.wait(lambda acks: len(acks) == 11, 20, "eleven acks")
    assert gateway.stored_ids() == {*range(1, 1001), 5000}
    assert gateway.dead_ids() == set()
    found = worker.stored()
    assert len(found) == 1000
    assert set(found) == identities(range(1, 1001))
    counts = worker.health()["counts"]
    assert (counts["batches"], counts["rows"], counts["stored"], counts["status_rows"]) == (11, 1001, 1000, 1)
    assert worker.end() == 0


def test_each_ack_follows_the_write(broker: Server, influxd: Server, tmp_path: Path, closing: ExitStack) -> None:
    """At the moment an ack arrives, InfluxDB already answers with every reading that it names."""
    worker = open_ingest(closing, tmp_path, broker.port, influx(influxd))
    gateway = open_gateway(closing, broker.port)
    for number, payload in enumerate(batches(range(1, 501), size=50), 1):
        gateway.send(payload)
        gateway.wait(lambda acks, n=number: len(acks) == n, 10, f"ack {number}")
        assert identities(gateway.stored_ids()) <= set(worker.stored())
    assert len(worker.stored()) == 500


def test_a_batch_sent_three_times_is_stored_once(
    broker: Server, influxd: Server, tmp_path: Path, closing: ExitStack
) -> None:
    """A gateway that missed its ack may repeat: three acks, one point for each reading."""
    worker = open_ingest(closing, tmp_path, broker.port, influx(influxd))
    gateway = open_gateway(closing, broker.port)
    for _ in range(3):
        for payload in batches(range(1, 201)):
            gateway.send(payload)
    gateway.wait(lambda acks: len(acks) == 6, 15, "six acks")
    assert sorted(worker.stored()) == sorted(identities(range(1, 201)))


def test_a_thousand_poison_rows_among_a_thousand_good_ones(broker: Server, tmp_path: Path, closing: ExitStack) -> None:
    """Every good row is stored, every bad one is a dead letter with its reason, and the worker does not notice."""
    worker = open_ingest(closing, tmp_path, broker.port, embedded(tmp_path))
    gateway = open_gateway(closing, broker.port)
    process = worker.process
    rng = random.Random(7)
    makers: list[Callable[[int], Any]] = [
        lambda n: poison(n, b'{"v":1,"boot":%d' % n, device=BINS[n % len(BINS)]),
        lambda n: poison(n, rng.randbytes(6_000), code="too-large", device=BINS[n % len(BINS)]),
        lambda n: good(n) | {"body": {"seq": n, "ts": NOW_S + n % 60, "distance_mm": 10_000 + n}},
        lambda n: good(n) | {"body": [n, [[[]]]]},
        lambda n: good(n) | {"device": "rsk-b999"},
        lambda n: good(n) | {"arrived_ms": NOW_MS - 10**9 - n},
        lambda n: good(n) | {"ts_ms": -n},
        lambda n: {"id": n, "device": "\x00\n,= ", "kind": "bin", "n": n},
    ]
    bad = range(100_001, 101_001)
    mixed = [good(n) for n in range(1, 1001)] + [makers[n % len(makers)](n) for n in bad]
    rng.shuffle(mixed)
    for start in range(0, 2000, 200):
        gateway.send(batch(mixed[start : start + 200], number=start))
    gateway.send(b"\xff\xfe not a batch")
    gateway.send(batch([good(1)], v=2))
    gateway.wait(lambda acks: len(acks) == 10, 20, "ten acks")
    assert gateway.stored_ids() == set(range(1, 1001))
    assert gateway.dead_ids() == set(bad)
    assert sorted(worker.stored()) == sorted(identities(range(1, 1001)))
    wait_until(lambda: worker.health()["counts"]["bad_batches"] == 2, 5, "both bad batches")
    health = worker.health()
    assert health["ok"], health
    counts = health["counts"]
    assert (counts["rows"], counts["stored"], counts["dead_lettered"]) == (2000, 1000, 1000)
    letters = SqliteDeadLetters(worker.dead_letter_file, read_only=True)
    assert sum(letters.counts().values()) == 1000 + 2
    assert set(letters.counts()) == {
        "bad-json", "too-large", "bad-value", "bad-reading", "unknown-device", "clock", "bad-row",
        "bad-batch", "bad-version",
    }  # fmt: skip
    assert all(len(letters.show(found.id).raw) <= 4096 for found in letters.list(limit=500))
    assert process is not None
    assert process.poll() is None


def test_store_down_then_up(broker: Server, influxd: Server, tmp_path: Path, closing: ExitStack) -> None:
    """While InfluxDB is down nothing is acked and the health page says so; a kill meanwhile changes nothing."""
    worker = open_ingest(closing, tmp_path, broker.port, influx(influxd))
    gateway = open_gateway(closing, broker.port)
    gateway.send(batches(range(1, 51))[0])
    gateway.wait(lambda acks: len(acks) == 1, 10, "the first ack")
    influxd.stop()
    for payload in batches(range(51, 1051), size=5):  # more batches than any sane queue, fewer than the broker's window
        gateway.send(payload)
    wait_until(lambda: not worker.health()["ok"], 10, "the health page to notice")
    health = worker.health()
    assert "time-series store" in health["reason"]
    assert health["counts"]["store_ok"] == 0
    wait_until(lambda: worker.health()["counts"]["waiting"] >= 150, 10, "the worker to hold what it cannot store")
    worker.end(signal.SIGKILL)
    said = len(worker.log.read_text())
    worker.start(wait=False)
    wait_until(lambda: "time-series store" in worker.log.read_text()[said:], 15, "the new worker to try")
    assert len(gateway.take()) == 1, "an ack without a store"
    influxd.start()
    # the broker redelivers what the killed worker had not acknowledged
    gateway.wait(lambda _: gateway.stored_ids() == set(range(1, 1051)), 40, "every row to be acked")
    assert sorted(worker.stored()) == sorted(identities(range(1, 1051)))
    wait_until(lambda: worker.health()["ok"], 10, "the health page to recover")


def test_kill_9_five_times_in_mid_flow(broker: Server, tmp_path: Path, closing: ExitStack) -> None:
    """Killed at random moments the worker loses nothing and doubles nothing."""
    worker = open_ingest(closing, tmp_path, broker.port, embedded(tmp_path))
    gateway = open_gateway(closing, broker.port)
    seed = int.from_bytes(os.urandom(2))
    print(f"seed {seed}")  # noqa: T201 - to repeat a failure
    rng = random.Random(seed)
    payloads = batches(range(1, 5001), size=50)
    for part in range(5):
        for payload in payloads[part * 20 : part * 20 + 20]:
            gateway.send(payload)
        time.sleep(rng.uniform(0.0, 0.08))
        worker.end(signal.SIGKILL)
        worker.start(wait=False)
    gateway.wait(lambda _: gateway.stored_ids() == set(range(1, 5001)), 40, "every row to be acked")
    assert sorted(worker.stored()) == sorted(identities(range(1, 5001)))


def test_no_ack_while_dead_letters_cannot_be_kept(broker: Server, tmp_path: Path, closing: ExitStack) -> None:
    """While somebody holds the dead-letter file the batch waits, its good rows included; then both are settled."""
    worker = open_ingest(closing, tmp_path, broker.port, embedded(tmp_path))
    gateway = open_gateway(closing, broker.port)
    holder = sqlite3.connect(worker.dead_letter_file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    gateway.send(batch([good(1), poison(2, b"junk")]))
    wait_until(lambda: not worker.health()["ok"], 15, "the health page to notice")
    assert "dead-letter store" in worker.health()["reason"]
    assert gateway.take() == []
    holder.execute("ROLLBACK")
    gateway.wait(lambda acks: len(acks) == 1, 20, "the ack")
    assert (gateway.stored_ids(), gateway.dead_ids()) == ({1}, {2})


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"store_url": "postgres://x/y"}, "store_url"),
        ({"store_url": "influx2+http://127.0.0.1:1/org/bucket"}, "store_token_file"),
        ({"site": "tidak-ada"}, "tidak-ada"),
        ({"broker_url": "http://x"}, "broker_url"),
        ({"clock_file": "/nonexistent/clock.bin"}, "clock"),
        ({"trace_file": "/dev/null/trace"}, "trace_file"),
        ({"dead_letter_file": "/dev/null/dead.sqlite3"}, "dead_letter_file"),
        ({"broker_ca_file": "/dev/null", "broker_url": "mqtts://127.0.0.1:1"}, "broker_ca_file"),
    ],
)
def test_a_wrong_setting_ends_with_code_2_and_one_sentence(tmp_path: Path, settings: dict[str, Any], word: str) -> None:
    """The operator sees which setting, not a stack trace."""
    worker = Ingest(tmp_path, 1, **({"store_url": embedded(tmp_path)} | settings)).start(wait=False)
    assert worker.process is not None
    assert worker.process.wait(15) == 2
    text = worker.log.read_text()
    assert word in text
    assert "Traceback" not in text


def test_refused_credentials_at_the_start_end_with_code_2(broker: Server, tmp_path: Path, closing: ExitStack) -> None:
    """An InfluxDB that wants a password says so at once, in the words of the setting."""
    server = start_influxd(tmp_path / "influxd", auth=True)
    closing.callback(server.stop)
    query = f"{server.url}/query?q=CREATE%20USER%20a%20WITH%20PASSWORD%20%27b%27%20WITH%20ALL%20PRIVILEGES"
    urllib.request.urlopen(urllib.request.Request(query, method="POST"), timeout=5).close()
    worker = Ingest(tmp_path, broker.port, influx(server)).start(wait=False)
    assert worker.process is not None
    assert worker.process.wait(20) == 2
    assert "store_token_file" in worker.log.read_text()


def test_a_broker_that_refuses_us_ends_with_code_2(tmp_path: Path, closing: ExitStack) -> None:
    """A wrong broker password is for the operator at once, with the setting to look at."""
    server = start_mosquitto(tmp_path / "broker", users={"ingest": "right"})
    closing.callback(server.stop)
    (tmp_path / "password").write_text("wrong")
    worker = Ingest(tmp_path, server.port, embedded(tmp_path), broker_password_file=str(tmp_path / "password"))
    worker.start(wait=False)
    assert worker.process is not None
    assert worker.process.wait(20) == 2
    assert "broker_password_file" in worker.log.read_text()


def test_the_broker_is_killed_three_times(broker: Server, tmp_path: Path, closing: ExitStack) -> None:
    """A gateway that repeats what was not acked loses nothing through a broker that forgets everything."""
    worker = open_ingest(closing, tmp_path, broker.port, embedded(tmp_path))
    gateway = open_gateway(closing, broker.port)
    pending = {json.loads(payload)["batch"]: payload for payload in batches(range(1, 2001), size=20)}
    kills = 0
    deadline = time.monotonic() + 60
    while pending:
        assert time.monotonic() < deadline, f"{len(pending)} batches are still not acked after {kills} kills"
        for payload in list(pending.values())[:10]:
            with suppress(BrokerUnavailable):
                gateway.send(payload)
        time.sleep(0.2)
        for ack in gateway.take():
            pending.pop(ack["batch"], None)
        if kills < 3 and len(pending) < 90 - 30 * kills:
            broker.kill()
            broker.start()
            kills += 1
    assert kills == 3
    assert sorted(worker.stored()) == sorted(identities(range(1, 2001)))


def test_two_workers_share_the_batches(broker: Server, influxd: Server, tmp_path: Path, closing: ExitStack) -> None:
    """A second worker needs no coordination: every batch is acked exactly once in total."""
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        open_ingest(closing, tmp_path / str(number), broker.port, influx(influxd), worker=number)
    gateway = open_gateway(closing, broker.port)
    for payload in batches(range(1, 2001), size=50):
        gateway.send(payload)
    gateway.wait(lambda acks: len(acks) == 40, 20, "forty acks")
    assert gateway.stored_ids() == set(range(1, 2001))
    time.sleep(0.3)
    assert len(gateway.take()) == 40

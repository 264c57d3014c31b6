"""Several ingest workers for one site: they share the batches without knowing of each other, and one may die."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from firmware import wire
from ingest.deadletter import SqliteDeadLetters
from ingest.settings import SECTION, IngestSettings
from ingest.stores import open_store
from ingest.worker import batch_filter
from square.endpoint import MqttEndpoint
from square.errors import SettingsError
from square.mqtt import MqttConnection
from square.settings import load_settings
from tests.integration.gateway_process import GatewayProcess
from tests.integration.test_ingest_worker import (
    BINS,
    SITE,
    Identity,
    Ingest,
    batches,
    embedded,
    identities,
    influx,
    open_gateway,
    open_ingest,
)
from tests.services import Server, wait_until
from tests.unit.ingest.batches import batch, row

pytestmark = pytest.mark.service

BOOT = 77
GROUP = "ingest-nobody-guesses-this"
RESEND_S = 30
FAIR_PART = 0.25


class Fleet:
    """Every bin of the square sends readings through one connection, and keeps a ledger."""

    def __init__(self, closing: ExitStack, port: int) -> None:
        self.sent: set[Identity] = set()
        self._connection = MqttConnection(MqttEndpoint("127.0.0.1", port), "fleet", clean=True)
        self._connection.start()
        self._connection.wait_connected()
        closing.callback(self._connection.stop)
        self._seq = 0

    def send(self, rounds: int) -> None:
        """Have each bin send so many readings, a message each."""
        for _ in range(rounds):
            self._seq += 1
            now_s = int(time.time())
            reading: dict[str, Any] = {"seq": self._seq, "ts": now_s, "distance_mm": 700, "quality": 4}
            for device in BINS:
                self._connection.publish(wire.topic_up(SITE, device, "bin"), wire.encode_up(BOOT, [reading], 1, 50))
                self.sent.add((device, BOOT, self._seq))
            time.sleep(0.01)


def stored_now(worker: Ingest) -> list[Identity]:
    """Return every stored identity of the last hour, duplicates included."""
    store = open_store(worker.store_url, read_only=True)
    now_ms = int(time.time() * 1000)
    try:
        return list(store.identities("bin", site=SITE, start_ms=now_ms - 3_600_000, end_ms=now_ms + 3_600_000))
    finally:
        store.close()


def open_pair(closing: ExitStack, tmp_path: Path, port: int, store_url: str) -> tuple[Ingest, Ingest]:
    """Start two workers that share a group and a file of dead letters."""
    pair = []
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        settings = {"worker": number, "shared_group": GROUP, "dead_letter_file": str(tmp_path / "dead.sqlite3")}
        pair.append(open_ingest(closing, tmp_path / str(number), port, store_url, **settings))
    return pair[0], pair[1]


def test_a_killed_worker_loses_nothing_and_the_other_goes_on(
    broker: Server,
    influxd: Server,
    tmp_path: Path,
    closing: ExitStack,
) -> None:
    """Both have a fair part; kill -9 of one with batches in hand: all stored once, long before the gateway's resend."""
    one, two = open_pair(closing, tmp_path, broker.port, influx(influxd))
    settings = {"BATCH_ROWS": "40", "RESEND_S": str(RESEND_S)}
    gateway = GatewayProcess(tmp_path, broker.port, settings).start()
    closing.callback(gateway.kill)
    fleet = Fleet(closing, broker.port)
    fleet.send(60)
    wait_until(lambda: gateway.counts()["settled_stored"] == len(fleet.sent), 20, "the first part to be stored")
    parts = [worker.health()["counts"]["stored"] for worker in (one, two)]
    repeated = gateway.counts()["batches_copied"] + gateway.counts()["batches_resent"]  # on a machine that is slow
    assert len(fleet.sent) <= sum(parts) <= len(fleet.sent) + 40 * repeated, "each batch went to one of them"
    assert min(parts) > FAIR_PART * sum(parts)

    assert two.process is not None
    two.process.send_signal(signal.SIGSTOP)
    fleet.send(20)
    wait_until(lambda: gateway.counts()["waiting"] > 0, 5, "batches that nobody answers")
    two.process.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    fleet.send(20)
    wait_until(lambda: set(stored_now(one)) == fleet.sent, RESEND_S - 10, "everything in the store")
    assert time.monotonic() - killed_s < RESEND_S - 10
    wait_until(lambda: gateway.counts()["settled_stored"] == len(fleet.sent), 10, "every row to be acknowledged")
    assert gateway.counts()["batches_resent"] >= 1, "the dead one had batches in hand"
    found = stored_now(one)
    assert len(found) == len(set(found)) == len(fleet.sent)
    assert (gateway.counts()["settled_dead"], one.health()["counts"]["dead_lettered"]) == (0, 0)


def test_what_was_subscribed_by_an_earlier_version_is_forgotten(
    broker: Server,
    influxd: Server,
    tmp_path: Path,
    closing: ExitStack,
) -> None:
    """A kept session holds a share of the batches: the only worker still gets and answers each of them once."""
    earlier = MqttConnection(
        MqttEndpoint("127.0.0.1", broker.port), "ingest", probe_topic=wire.topic_probe(SITE, "ingest")
    )
    earlier.subscribe(batch_filter(SITE, "ingest"))
    earlier.start()
    wait_until(lambda: earlier.was_heard, 15, "the earlier session")
    earlier.stop()
    open_ingest(closing, tmp_path, broker.port, influx(influxd))
    gateway = open_gateway(closing, broker.port)
    for payload in batches(range(1, 501), size=50):
        gateway.send(payload)
    gateway.wait(lambda acks: len(acks) >= 10, 15, "ten acks")
    time.sleep(0.3)
    assert len(gateway.take()) == 10


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"worker": 2}, "leave worker unset"),
        ({"shared_group": "ingest-x"}, "shared_group is for several workers"),
        ({"worker": 100}, "worker"),
        ({"shared_group": "crew"}, "shared_group"),
    ],
)
def test_settings_that_do_not_go_together_end_with_code_2(tmp_path: Path, settings: dict[str, Any], word: str) -> None:
    """The embedded store has one writer, and the only worker shares with nobody: one sentence each, nothing written."""
    worker = Ingest(tmp_path, 1, embedded(tmp_path), **settings)
    if word in {"worker", "shared_group"}:
        with pytest.raises(SettingsError, match=word):
            load_settings(IngestSettings, SECTION, worker.config)
        return
    worker.start(wait=False)
    assert worker.process is not None
    assert worker.process.wait(15) == 2
    assert word in worker.log.read_text()
    assert not (tmp_path / "points.sqlite3").exists()


def test_dead_letters_of_two_workers_lie_in_one_file(
    broker: Server,
    influxd: Server,
    tmp_path: Path,
    closing: ExitStack,
) -> None:
    """Rows of unknown devices in many batches, good ones beside them: every letter is kept by whoever had its batch."""
    one, two = open_pair(closing, tmp_path, broker.port, influx(influxd))
    gateway = open_gateway(closing, broker.port)
    for payload in batches(range(1, 201), size=20):
        gateway.send(payload)
    for number in range(40):
        gateway.send(batch([row(1000 + number, device=f"stranger-{number}")], number=1000 + number))
    gateway.wait(lambda acks: len(acks) == 50, 20, "fifty acks")
    assert gateway.dead_ids() == set(range(1000, 1040))
    assert sorted(one.stored()) == sorted(identities(range(1, 201)))
    letters = SqliteDeadLetters(tmp_path / "dead.sqlite3", read_only=True)
    assert letters.counts() == {"unknown-device": 40}
    letters.close()
    parts = [worker.health()["counts"]["dead_lettered"] for worker in (one, two)]
    assert sum(parts) == 40
    assert min(parts) > FAIR_PART * 40

"""The roll-up job inside the worker's process: hours appear, late readings are folded in, kill -9 changes nothing."""

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from ingest.folding import HOUR_MS, floor_hour
from ingest.stores import open_store
from square.clock import ClockDriver
from tests.integration.test_ingest_worker import BINS, SITE, Gateway, Ingest
from tests.services import start_mosquitto, wait_until
from tests.unit.ingest.batches import NOW_MS, NOW_S, batch, row

pytestmark = pytest.mark.service

HOUR_AT_MS = floor_hour(NOW_MS)


def counts(store_url: str) -> dict[int, float]:
    """Return how many readings each hourly point of the first bin was made of, by hours from now."""
    store = open_store(store_url, read_only=True)
    try:
        points = list(store.points("bin_1h", site=SITE, start_ms=0, end_ms=2 * NOW_MS))
        return {(p.ts_ms - HOUR_AT_MS) // HOUR_MS: float(p.fields["distance_mm_count"]) for p in points}
    finally:
        store.close()


def test_hours_appear_by_themselves_and_late_readings_are_folded_in(tmp_path: Path):
    """Readings of now and of six days ago through the broker; the worker is killed before it rolls the last up."""
    with ExitStack() as closing:
        broker = start_mosquitto(tmp_path / "broker")
        closing.callback(broker.stop)
        driver = ClockDriver(tmp_path / "clock.bin")
        driver.set(HOUR_AT_MS / 1000 + 3600 + 1200, 1.0)
        url = f"sqlite:///{tmp_path / 'points.sqlite3'}"
        clock = {"clock_file": str(tmp_path / "clock.bin")}
        worker = Ingest(tmp_path, broker.port, url, rollup_every_s=1, **clock).start()
        closing.callback(lambda: worker.end(signal.SIGKILL))
        gateway = Gateway(broker.port)
        closing.callback(gateway.connection.stop)

        def send(number: int, *offsets_s: int) -> None:
            rows = [
                row(number * 100 + n, device=BINS[0], ts=NOW_S + offset_s, seq=number * 100 + n)
                for n, offset_s in enumerate(offsets_s)
            ]
            gateway.send(batch(rows, number=number))
            gateway.wait(lambda acks: len(acks) >= number, 15, f"ack {number}")

        send(1, -3600, 0, 60)
        wait_until(lambda: counts(url) == {-1: 1.0, 0: 2.0}, 15, "two hours")
        until_s = HOUR_AT_MS / 1000 + 3600
        wait_until(lambda: worker.health()["counts"]["rolled_up_until_s"] == until_s, 15, "the end of the run")
        assert worker.health()["counts"]["rollup_ok"] == 1
        send(2, -6 * 86_400, -3660)
        wait_until(lambda: counts(url) == {-144: 1.0, -1: 2.0, 0: 2.0}, 15, "the late ones")
        worker.end(signal.SIGKILL)
        quiet = Ingest(tmp_path, broker.port, url, rollup_every_s=0, **clock).start()
        send(3, -3720)
        assert quiet.end() == 0
        assert counts(url)[-1] == 2.0
        worker = Ingest(tmp_path, broker.port, url, rollup_every_s=1, **clock).start()
        wait_until(lambda: counts(url) == {-144: 1.0, -1: 3.0, 0: 2.0}, 15, "what was due before the kill")
        assert worker.end() == 0

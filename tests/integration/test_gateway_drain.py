"""After an outage the old rows go up at their pace, over real brokers, and a new reading does not wait for them."""

import time
from pathlib import Path

import pytest

from tests.integration.gateway_process import Fleet, GatewayProcess, Ingest, closing_all, start_broker, wait_settled
from tests.services import wait_until

pytestmark = pytest.mark.service

ROWS_PER_S = 60


def test_new_readings_pass_a_backlog_that_keeps_its_pace(tmp_path: Path) -> None:
    """240 rows of an earlier run at 60 a second: never more within a second, news at once, all there once."""
    broker = start_broker("mosquitto", tmp_path / "broker")
    gateway = GatewayProcess(tmp_path, broker.port, {"BACKLOG_ROWS_PER_S": str(ROWS_PER_S)}).start()
    fleet = Fleet(broker.port, devices=4)
    with closing_all(broker, gateway, fleet):
        for _ in range(2):
            fleet.measure(30)
        wait_until(lambda: fleet.held == 0, 10, "application acks")
        assert gateway.stop() == 0
        ingest = Ingest(broker.port)
        with closing_all(ingest):
            gateway.start()
            wait_until(lambda: bool(ingest.batches), 10, "the newest readings")
            assert {row["seq"] for row in ingest.batches[0]["rows"]} == {60}
            assert gateway.counts()["draining"] == 1
            start_s = time.monotonic()
            fleet.measure()
            news = {(f"rsk-b{number:03d}", 7, 61) for number in range(1, 5)}
            wait_until(lambda: news <= ingest.keys(), 5, "the new readings")
            took_s = time.monotonic() - start_s
            assert took_s < 1.0
            assert len(ingest.keys()) < 200, "the backlog was still on its way"
            wait_until(lambda: len(ingest.keys()) == 244, 20, "the backlog")
            wait_settled(gateway)
            assert all(len(ids) == 1 for ids in ingest.ids_by_key().values())
            assert ingest.keys() == fleet.acked
            backlog_s = sorted(at_s for key, at_s in ingest.arrival_s.items() if key[2] < 60)
            # what left within a second may arrive within a little less
            for first_s in backlog_s:
                assert sum(first_s <= at_s < first_s + 0.8 for at_s in backlog_s) <= ROWS_PER_S
            assert backlog_s[-1] - backlog_s[0] > 2.5

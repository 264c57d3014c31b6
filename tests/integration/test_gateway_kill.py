"""kill -9 of the gateway in the middle of the flow: nothing acked is lost, nothing is stored twice."""

import random
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from tests.integration.gateway_process import Fleet, GatewayProcess, Ingest, closing_all, start_broker, wait_settled
from tests.services import wait_until

pytestmark = pytest.mark.service

KILLS = 5
SEED = 20260101


def missing(ledger: set[tuple[str, int, int]], arrived: set[tuple[str, int, int]]) -> set[tuple[str, int, int]]:
    """Return what was promised and is not there; apart, so that the check itself can be checked."""
    return ledger - arrived


def test_the_check_sees_a_planted_loss() -> None:
    """The oracle is not blind: one missing key is found."""
    assert missing({("a", 1, 1), ("a", 1, 2)}, {("a", 1, 1)}) == {("a", 1, 2)}


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
@pytest.mark.parametrize("is_ingest_up", [True, False], ids=["uplink-up", "uplink-down"])
def test_kill_nine_five_times_mid_flow(kind: str, is_ingest_up: bool, tmp_path: Path) -> None:
    """Every reading that a device was told to forget reaches ingest, under one row id, and settles."""
    random_source = random.Random(SEED)
    broker = start_broker(kind, tmp_path / "broker")
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet = Fleet(broker.port)
    ingest = Ingest(broker.port) if is_ingest_up else None
    flowing = threading.Event()

    def flow() -> None:
        while not flowing.wait(0.02):
            fleet.measure(2)
            if random_source.random() < 0.1:
                fleet.resend()

    producer = threading.Thread(target=flow, daemon=True)
    acked_at_kills = []
    with closing_all(broker, gateway, fleet):
        producer.start()
        for _ in range(KILLS):
            time.sleep(random_source.uniform(0.3, 1.0))
            acked_at_kills.append(len(fleet.acked))
            gateway.kill()
            gateway.start()
        time.sleep(0.3)
        flowing.set()
        producer.join(5)
        fleet.settle(40)
        ingest = ingest or Ingest(broker.port)
        with closing_all(ingest):
            wait_settled(gateway, 40)
            wait_until(lambda: not missing(fleet.acked, ingest.keys()), 10, "every acked reading at ingest")
            doubled = {key: ids for key, ids in ingest.ids_by_key().items() if len(ids) > 1}
            assert not doubled
            assert ingest.keys() == fleet.acked
            rows = len(ingest.rows)
            time.sleep(3)  # longer than resend_s: nothing that settled is sent again
            assert len(ingest.rows) == rows
            assert gateway.stop() == 0
            print(  # noqa: T201 - a run in which nothing happened must be visible
                f"{kind}: {len(fleet.acked)} readings acked (at kills {acked_at_kills}), {len(ingest.rows)} rows sent"
            )
    assert acked_at_kills[0] > 0, "the kills hit a flow"
    assert acked_at_kills == sorted(acked_at_kills)
    connection = sqlite3.connect(gateway.spool_file)
    assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    waiting, total = connection.execute("SELECT (SELECT COUNT(*) FROM waiting), COUNT(*) FROM rows").fetchone()
    connection.close()
    assert (waiting, total) == (0, len(fleet.acked))

"""What the worker says about rows: nothing is unaccounted for, whatever store and broker do."""

from typing import Any

import pytest

from ingest.errors import StoreUnavailable
from ingest.store import Point, Rejected, WriteResult
from ingest.worker import Worker
from square import outage
from square.clock import FixedClock
from square.metrics import COUNTS
from tests.unit.ingest.batches import NOW_S, batch, poison, row, status
from tests.unit.ingest.test_worker import Rig


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Make a rig whose backoff takes no time."""
    monkeypatch.setattr(outage, "BACKOFF_MIN_S", 0.0)
    monkeypatch.setattr(outage, "REFUSED_RETRY_S", 0.0)
    return Rig()


def figures(worker: Worker) -> dict[str, int | float]:
    counts = worker.health().counts
    assert counts["rows_taken"] == (
        counts["stored"] + counts["dead_lettered"] + counts["status_rows"] + counts["rows_in_hand"]
    )
    return counts


def buckets(found: Any) -> dict[str, float]:
    return {sample.labels["le"]: sample.value for sample in found.family().samples if "le" in sample.labels}


def test_each_row_is_stored_dead_a_status_or_in_hand(rig: Rig) -> None:
    """Taken rows are in hand until answered; a rejected one is dead and not stored; a repeat counts again."""
    rig.broker.deliver(batch([row(1), poison(2, b"junk"), status(3), row(4, device="rsk-b999"), row(5)]))
    rig.broker.deliver(b"no batch")
    group = rig.collect()
    assert figures(rig.worker)["rows_in_hand"] == 5
    rig.store.script = [
        StoreUnavailable("away"),
        lambda points: WriteResult(len(points) - 1, (Rejected(0, "store-rejected", "no"),)),
    ]
    rig.worker.settle(group)
    counts = figures(rig.worker)
    assert (counts["stored"], counts["dead_lettered"], counts["status_rows"], counts["rows_in_hand"]) == (1, 3, 1, 0)
    rig.broker.deliver(batch([row(5)]))
    rig.step()
    assert figures(rig.worker)["rows_taken"] == 6


def test_a_stop_leaves_rows_in_hand(rig: Rig) -> None:
    """What is not stored at the end is shown as in hand, never as stored."""
    rig.broker.deliver(batch([row(1), row(2)]))
    group = rig.collect()

    def stop(_points: list[Point]) -> WriteResult:
        rig.worker.stop()
        raise StoreUnavailable("away")

    rig.store.script = [stop]  # type: ignore[list-item]
    rig.worker.settle(group)
    counts = figures(rig.worker)
    assert (counts["stored"], counts["rows_in_hand"]) == (0, 2)


def test_latency_is_wall_time_from_arrival_and_sizes_are_points(rig: Rig) -> None:
    """At thirty times real speed, 60 s of the square are 2 s of waiting; a clock that stands measures nothing."""
    rig.broker.deliver(batch([row(1), row(2)]))
    rig.step()
    assert buckets(rig.worker.latencies)["+Inf"] == 0
    rig.worker._clock = FixedClock(NOW_S + 60, speed=30.0)
    rig.broker.deliver(batch([row(3, arrived_ms=NOW_S * 1000), row(4, arrived_ms=NOW_S * 1000)]))
    rig.step()
    assert buckets(rig.worker.latencies)["1.0"] == 0
    assert buckets(rig.worker.latencies)["2.5"] == 2
    sizes = buckets(rig.worker.write_sizes)
    assert (sizes["1.0"], sizes["10.0"], sizes["+Inf"]) == (0, 2, 2)


def test_the_worker_declares_every_figure_it_shows(rig: Rig) -> None:
    """A new figure on the health page fails here until square.metrics says what it is."""
    assert rig.worker.health().counts.keys() <= COUNTS["ingest"].keys()

"""The engine keeps up with a city."""

import random
import time
from pathlib import Path

from alerts.adapters.database import open_database
from alerts.domain.policy import Policy
from alerts.engine import Engine
from tests.unit.alerts.readings import T0_MS, bin_reading, square_plan

BINS = 1000
ROUNDS = 20
BATCH = 500
FLOOR_PER_S = 1000


def test_a_thousand_readings_a_second_on_sqlite(tmp_path: Path) -> None:
    """20,000 readings of 1,000 bins in gateway-sized batches, ticks included: at least 1,000 a second."""
    database = open_database(f"sqlite:///{tmp_path}/resik.sqlite3", checkpoints=True)
    engine = Engine(database, square_plan(BINS, stations=0, interval_s=60), Policy())
    engine.load(T0_MS)
    rng = random.Random(1)
    readings = [
        bin_reading(minute, rng.uniform(0, 110), asset=f"bin-{k:03}", seq=minute + 1)
        for minute in range(ROUNDS)
        for k in range(1, BINS + 1)
    ]
    started_s = time.perf_counter()
    for start in range(0, len(readings), BATCH):
        batch = readings[start : start + BATCH]
        engine.apply(batch, [], batch[-1].ts_ms)
        engine.tick(batch[-1].ts_ms)
    rate = len(readings) / (time.perf_counter() - started_s)
    database.close()
    assert engine.tally.readings == len(readings)
    assert rate > FLOOR_PER_S, f"{rate:.0f} readings/s"

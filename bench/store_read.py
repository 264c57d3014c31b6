"""Milliseconds per question that the map, the charts and the alert engine ask, per store.

    python -m bench.store_read [--days 14] [--sensors 200]

Fills a SQLite file and a fresh ``influxd`` on loopback with readings every ten minutes plus one reading of 1,000 bins,
then asks each question seven times; median. Compare figures of one run only.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.store_write import START_MS, free_port, influx_environment, readings, server
from ingest.store import TimeSeriesStore
from ingest.stores import open_store

DAY_MS = 86_400_000


def ask(store: TimeSeriesStore, days: int) -> dict[str, tuple[float, int]]:
    """Return the median time [ms] of each question and how many rows it answered."""
    start_ms, end_ms = START_MS, START_MS + days * DAY_MS
    of_one = {"site": "alun-alun", "asset": "bin-0007", "start_ms": start_ms, "end_ms": end_ms}
    fields = ["fill_pct", "temp_c", "battery_mv"]
    day = {"site": "alun-alun", "start_ms": start_ms, "end_ms": start_ms + DAY_MS}
    questions: dict[str, Callable[[], int]] = {
        "latest of 1,000 bins, whole points": lambda: len(store.latest("bin", site="alun-alun")),
        f"{days} days of one bin, 3 fields": lambda: len(store.series("bin", fields=fields, **of_one).ts_ms),
        f"{days} days of one bin, hourly means": lambda: len(
            store.series("bin", fields=fields, every_s=3600, **of_one).ts_ms
        ),
        "one day of all, every point (catch-up)": lambda: sum(1 for _ in store.readings(**day)),
        "one day of all, identities (reconciliation)": lambda: sum(1 for _ in store.identities("bin", **day)),
    }
    answers = {}
    for question, run in questions.items():
        took_ms = []
        for _ in range(7):
            started_s = time.perf_counter()
            rows = run()
            took_ms.append((time.perf_counter() - started_s) * 1e3)
        answers[question] = (statistics.median(took_ms), rows)
    return answers


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--sensors", type=int, default=200)
    options = parser.parse_args()
    if shutil.which("influxd") is None:
        raise SystemExit("influxd is not installed")
    rounds = options.days * 144
    points = [p for p in readings(rounds * 1000) if int(p.tags["asset"][-4:]) < options.sensors]
    points += readings((rounds + 1) * 1000)[-1000:]
    folder = Path(tempfile.mkdtemp(prefix="resik-bench-"))
    port = free_port()
    results = {}
    try:
        with server(["influxd", "-config", os.devnull], port, influx_environment(folder, port)):
            for name, url in (
                ("SQLite file", f"sqlite:///{folder}/points.sqlite3"),
                ("influxd 1.x", f"influx1://127.0.0.1:{port}/bench"),
            ):
                store = open_store(url)
                store.prepare()
                for start in range(0, len(points), 5000):
                    store.write(points[start : start + 5000])
                results[name] = ask(store, options.days)
                store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {len(points)} points, median of 7 [ms]")
    print(f"| question | rows | {' | '.join(results)} |\n|---|---|{'---|' * len(results)}")
    for question, (_, rows) in results["SQLite file"].items():
        print(f"| {question} | {rows} | {' | '.join(f'{r[question][0]:.1f}' for r in results.values())} |")


if __name__ == "__main__":
    main()

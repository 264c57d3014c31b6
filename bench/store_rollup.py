"""Rolling days of readings up into hours and days, beside InfluxQL doing the same inside of the server.

    python -m bench.store_rollup [--days 7] [--sensors 200]

Fills a SQLite file and a fresh ``influxd`` on loopback with readings every ten minutes, then rolls all of it up: our
job over the store port on both, and on ``influxd`` the peer, ``SELECT mean, min, max, count INTO ... GROUP BY
time(1h), "site", "asset"`` and the same by days, which never leaves the server. Then a chart of all days by hours, from
readings and from roll-ups. Compare figures of one run only.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import urllib3

from bench.store_write import START_MS, free_port, influx_environment, readings, server
from ingest.folding import DAY_MS, HOUR_MS, floor_day
from ingest.rollup import OFFSET_S, RollUp
from ingest.store import TimeSeriesStore
from ingest.stores import open_store

SITE = "alun-alun"
FIELDS = ("fill_pct", "distance_mm", "temp_c", "battery_mv", "rssi_dbm")


def cpu_s() -> float:
    """Return the CPU time of this process so far [s]."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def timed(act: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU time of this process [s]."""
    started_s, used_s = time.perf_counter(), cpu_s()
    act()
    return time.perf_counter() - started_s, cpu_s() - used_s


def inside_the_server(base: str, database: str, start_ms: int, end_ms: int) -> None:
    """Let ``influxd`` roll up by itself, hours then days of UTC+7."""
    columns = ", ".join(f'{of}("{name}") AS "{name}_{of}"' for name in FIELDS for of in ("mean", "min", "max", "count"))
    for unit, into in (("1h", "peer_1h"), ("1d, -7h", "peer_1d")):
        statement = (
            f'SELECT {columns}, last("fill_pct") AS "fill_pct_last" INTO "{into}" FROM "bin" '  # noqa: S608
            f'WHERE time >= {start_ms}ms AND time < {end_ms}ms GROUP BY time({unit}), "site", "asset" fill(none)'
        )
        reply = urllib3.request(
            "POST", f"{base}/query", fields={"db": database, "q": statement}, timeout=urllib3.Timeout(read=600)
        )
        assert b"error" not in reply.data, reply.data


def chart_ms(store: TimeSeriesStore, end_ms: int) -> float:
    """Return the time of a chart of all days by hours [ms], best of 7."""

    def ask() -> None:
        found = store.series(
            "bin",
            site=SITE,
            asset="bin-0007",
            fields=FIELDS[:1],
            start_ms=START_MS // HOUR_MS * HOUR_MS,
            end_ms=end_ms,
            every_s=3600,
        )
        assert found.ts_ms

    return min(timed(ask)[0] for _ in range(7)) * 1000


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--sensors", type=int, default=200)
    options = parser.parse_args()
    if shutil.which("influxd") is None:
        raise SystemExit("influxd is not installed")
    points = [p for p in readings(options.days * 144 * 1000) if int(p.tags["asset"][-4:]) < options.sensors]
    end_ms = floor_day(points[-1].ts_ms + DAY_MS, OFFSET_S)
    folder = Path(tempfile.mkdtemp(prefix="resik-bench-"))
    port = free_port()
    rows: list[tuple[str, float, float]] = []
    charts: list[tuple[str, float, float]] = []
    try:
        with server(["influxd", "-config", os.devnull], port, influx_environment(folder, port)) as base:
            for name, url in (
                ("SQLite file", f"sqlite:///{folder}/points.sqlite3"),
                ("influxd 1.x", f"influx1://127.0.0.1:{port}/bench"),
            ):
                store = open_store(url)
                store.prepare()
                for start in range(0, len(points), 5000):
                    store.write(points[start : start + 5000])
                plain_ms = chart_ms(store, end_ms)
                if name.startswith("influxd"):
                    peer = timed(partial(inside_the_server, base, "bench", START_MS, end_ms))
                    rows.append((f"{name}: InfluxQL GROUP BY inside the server (peer)", *peer))
                ours = timed(partial(RollUp(store, SITE).catch_up, end_ms + HOUR_MS))
                rows.append((f"{name}: our job", *ours))
                again = timed(partial(RollUp(store, SITE).roll, START_MS, end_ms, days_until_ms=end_ms))
                rows.append((f"{name}: our job once more, nothing to write", *again))
                store.close()
                store = open_store(url)
                charts.append((name, plain_ms, chart_ms(store, end_ms)))
                store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {len(points)} readings, {options.days} days\n")
    print("| roll-up of all of it | s | readings/s | client CPU us/reading |\n|---|---|---|---|")
    for what, wall_s, used_s in rows:
        print(f"| {what} | {wall_s:.1f} | {len(points) / wall_s / 1000:.0f}k | {used_s / len(points) * 1e6:.1f} |")
    print("\n| chart of one bin, all days by hours, ms | from readings | from roll-ups |\n|---|---|---|")
    for name, plain_ms, rolled_ms in charts:
        print(f"| {name} | {plain_ms:.1f} | {rolled_ms:.1f} |")


if __name__ == "__main__":
    main()

"""The demo and a second start: what a stranger tries first."""

import json

import pytest

from tests.e2e.square import run_resik, running_square
from tests.services import start_influxd, start_postgres, wait_until

pytestmark = pytest.mark.e2e

KEYS = {
    "published",
    "spooled",
    "stored",
    "lost",
    "duplicated",
    "dead_lettered",
    "incidents_opened",
    "tasks_dispatched",
    "latency_p50_ms",
    "latency_p99_ms",
}


def demo(*words, cwd):
    done = run_resik("demo", "--json", *words, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_demo_on_embedded_parts(tmp_path):
    """Nothing lost, nothing twice, work dispatched: on what `make run` starts."""
    report = demo("--for", "25", cwd=tmp_path)
    assert report.keys() >= KEYS
    assert report["published"] == report["spooled"] == report["stored"] > 50
    assert (report["lost"], report["duplicated"], report["dead_lettered"], report["unknown"]) == (0, 0, 0, 0)
    assert report["incidents_opened"] >= 1
    assert report["tasks_dispatched"] >= 1
    assert report["restarts"] == 0
    assert 0 < report["latency_p50_ms"] <= report["latency_p99_ms"]


@pytest.mark.service
def test_demo_on_production_parts(tmp_path):
    """The same verdict on mosquitto, InfluxDB and PostgreSQL, with two ingest workers: only options tell them apart."""
    influxd, postgres = start_influxd(tmp_path / "influxd"), start_postgres(tmp_path / "postgres")
    try:
        report = demo(
            "--for",
            "15",
            "--broker",
            "mosquitto",
            "--store",
            f"influx1://127.0.0.1:{influxd.port}/resik",
            "--database",
            postgres.url,
            "--ingest-workers",
            "2",
            cwd=tmp_path,
        )
    finally:
        influxd.stop()
        postgres.stop()
    assert report["published"] == report["stored"] > 20
    assert (report["lost"], report["duplicated"], report["dead_lettered"], report["unknown"]) == (0, 0, 0, 0)
    assert report["tasks_dispatched"] >= 1


def test_second_start_finds_yesterday(tmp_path):
    """A second start goes on in square time with the tasks, levels and points of the first."""
    options = {"start": "16:30", "speed": 120.0}
    world = {"seed": "3", "initial_fill_min_pct": "80", "initial_fill_max_pct": "97"}
    with running_square(tmp_path / "data", simulate=world, **options) as square:
        wait_until(lambda: square.count("alerts", "tasks_dispatched") > 0, 60, "a task")
        wait_until(lambda: len(square.stored()) > 100, 60, "a hundred points")
        before = square.get("/api/v1/state")
        stopped_s = square.stack.square_now_s()
    points = len(square.stored())
    with running_square(tmp_path / "data", simulate=world, **options) as square:
        after = square.get("/api/v1/state")
        assert after["clock"]["now_ms"] >= stopped_s * 1000
        assert after["clock"]["now_ms"] < (stopped_s + 3600) * 1000
        assert len(square.stored()) >= points
        known = {item["asset_id"] for item in before["bins"] if item["ts_ms"] is not None}
        still = {item["asset_id"] for item in after["bins"] if item["ts_ms"] is not None}
        assert known
        assert known <= still
        assert {item["id"] for item in before["incidents"]} & {item["id"] for item in after["incidents"]}

"""`resik store init` on a real InfluxDB 1.x and on the embedded file."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.store import Point
from ingest.stores import open_admin, open_store
from resik.cli import main
from tests.services import Server, start_influxd

DAY_MS = 86_400_000
_databases = itertools.count()


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_influxd(tmp_path_factory.mktemp("influxd"))
    yield server
    server.stop()


@pytest.fixture(params=["embedded", pytest.param("influx1", marks=pytest.mark.service)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of a store that is not there yet."""
    if request.param == "embedded":
        return f"sqlite:///{tmp_path / 'points.sqlite3'}"
    influxd: Server = request.getfixturevalue("influxd")
    return f"influx1://{influxd.url.removeprefix('http://')}/init_{next(_databases)}"


def init(url: str, *words: str) -> tuple[int, list[str], str]:
    result = CliRunner().invoke(main, ["store", "init", "--url", url, *words])
    return result.exit_code, result.stdout.splitlines(), result.stderr


def kept_d(url: str) -> dict[str, int | None]:
    admin = open_admin(url)
    try:
        return {shelf: held.days for shelf, held in admin.found().items()}
    finally:
        admin.close()


def point(measurement: str, ts_ms: int, **fields: float) -> Point:
    return Point(measurement, {"site": "alun", "asset": "bin-01", "device": "d-1", "zone": ""}, ts_ms, dict(fields))


def test_a_new_store_gets_three_retentions_and_a_second_run_changes_nothing(url: str):
    """Made once, found the second time, and said so each time."""
    code, lines, _ = init(url)
    assert code == 0
    assert [line.split()[0] for line in lines] == ["raw", "hourly", "daily"]
    assert all("made" in line for line in lines)
    assert kept_d(url) == {"raw": 90, "hourly": 1825, "daily": 7300}
    code, lines, _ = init(url)
    assert code == 0
    assert all("there already" in line for line in lines)


def test_shortening_needs_the_word_and_everything_else_is_done_meanwhile(url: str):
    """Exit code 2 names what was left; the longer daily retention is set all the same."""
    init(url)
    code, lines, complaint = init(url, "--raw-days", "30", "--daily-years", "30")
    assert code == 2
    assert "90 hari" in lines[0]
    assert "add --shorten" in complaint
    assert kept_d(url) == {"raw": 90, "hourly": 1825, "daily": 10950}
    code, lines, complaint = init(url, "--raw-days", "30", "--daily-years", "30", "--shorten")
    assert (code, complaint) == (0, "")
    assert "was 90 hari" in lines[0]
    assert kept_d(url)["raw"] == 30


def test_a_store_in_use_keeps_what_it_holds_and_the_worker_goes_on(url: str):
    """A store that ingest made is for ever: nothing is dropped unasked, and points on all shelves can be read."""
    store = open_store(url)
    store.prepare()
    now_ms = int(time.time() * 1000) // DAY_MS * DAY_MS
    store.write([point("bin", now_ms, seq=1, boot=1)])
    store.close()
    code, _, complaint = init(url)
    assert code == 2
    assert "for ever" in complaint
    init(url, "--shorten")
    store = open_store(url)
    store.prepare()
    old_ms = now_ms - 400 * DAY_MS
    points = [point("bin_1h", old_ms, fill_pct_mean=1.0), point("bin_1d", old_ms - 2000 * DAY_MS, fill_pct_mean=2.0)]
    result = store.write([points[0], point("bin", now_ms, seq=2, boot=1), points[1]])
    assert (result.stored, result.rejected) == (3, ())
    for wanted in points:
        found = store.points(wanted.measurement, site="alun", start_ms=0, end_ms=now_ms)
        assert list(found) == [wanted]
    assert len(list(store.readings(site="alun", start_ms=0, end_ms=2 * now_ms))) == 1
    store.close()


@pytest.mark.service
def test_a_reading_beyond_the_raw_retention_is_named_while_its_hour_is_taken(influxd: Server):
    """Each shelf has its own limit, and a rejected point keeps its own position in a mixed batch."""
    url = f"influx1://{influxd.url.removeprefix('http://')}/init_{next(_databases)}"
    init(url)
    store = open_store(url)
    old_ms = int(time.time() * 1000) - 400 * DAY_MS
    result = store.write(
        [point("bin_1h", old_ms, fill_pct_mean=1.0), point("bin", old_ms, seq=1), point("bin_1d", old_ms, x_mean=1.0)]
    )
    assert result.stored == 2
    assert [(r.index, r.code) for r in result.rejected] == [(1, "beyond-retention")]
    store.close()


def test_an_address_without_a_store_is_one_sentence():
    """Exit code 2 for a wrong address, 1 for a server that is away."""
    assert init("influx9://nowhere/x")[0] == 2
    code, _, complaint = init("influx1://127.0.0.1:9/resik")
    assert code == 1
    assert "no answer from InfluxDB 1.x" in complaint


def test_rolling_up_by_hand_says_what_it_did(tmp_path: Path):
    """`resik store rollup`: all there is, then nothing new, then a range again; the worker's file is left alone."""
    url = f"sqlite:///{tmp_path / 'points.sqlite3'}"
    store = open_store(url)
    store.prepare()
    start_ms = 1_767_200_400_000  # 2026-01-01 00:00 WIB
    store.write([point("bin", start_ms + n * 3_600_000, fill_pct=float(n), seq=n) for n in range(48)])

    def rollup(*words: str) -> tuple[int, list[str], str]:
        result = CliRunner().invoke(main, ["store", "rollup", "--url", url, "--site", "alun", *words])
        return result.exit_code, [line.split()[-1] for line in result.stdout.splitlines()], result.stderr

    code, _, complaint = rollup()
    assert code == 1
    assert "another process already writes" in complaint
    store.close()
    assert rollup()[:2] == (0, ["48", "2", "0", "0", rollup()[1][-1]])
    assert rollup("--from", "2026-01-01", "--to", "2026-01-02")[1][:3] == ["0", "0", "25"]
    assert rollup("--from", "2026-01-01T12:00", "--to", "2026-01-01T13:00")[1][:3] == ["0", "0", "2"]
    assert rollup("--utc-offset-min", "30")[0] == 2

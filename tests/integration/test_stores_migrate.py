"""`resik store migrate` between a file and a real InfluxDB 1.x: all arrives, once, and what does not is named."""

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from click.testing import CliRunner, Result

from ingest import migrate
from ingest.errors import StoreRefused, StoreUnavailable
from ingest.folding import DAY_MS, HOUR_MS, floor_day
from ingest.migrate import READINGS, Migration, WatermarkFile
from ingest.rollup import OFFSET_S, RollUp
from ingest.store import FieldValue, Point, TimeSeriesStore
from ingest.stores import open_store
from resik.cli import main
from resik.folder import DataFolder
from square import outage
from square.outage import Outage
from tests.services import Server, start_influxd

SITE = "alun"
DAY0_MS = floor_day(1_767_200_400_000, OFFSET_S)  # 2026-01-01 in Pasuruan
_databases = itertools.count()


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_influxd(tmp_path_factory.mktemp("influxd"))
    yield server
    server.stop()


def influx(server: Server) -> str:
    return f"influx1://{server.url.removeprefix('http://')}/migrate{next(_databases)}"


def readings(days: int = 4) -> list[Point]:
    """Return days of three bins and a station, the second day silent."""
    points = []
    for n in range(days * 24 * 4):
        ts_ms = DAY0_MS + n * HOUR_MS // 4
        if DAY0_MS + DAY_MS <= ts_ms < DAY0_MS + 2 * DAY_MS:
            continue
        base: dict[str, FieldValue] = {"state": "ok", "quality": 4, "flags": 0, "boot": 4_294_967_295, "seq": n + 1}
        for bin_number in range(3):
            tags = {"site": SITE, "asset": f"bin-{bin_number}", "device": f"d-{bin_number}", "zone": "utara"}
            points.append(Point("bin", tags, ts_ms + bin_number, base | {"fill_pct": n % 997 / 7, "temp_c": 30.0}))
        tags = {"site": SITE, "asset": "air-1", "device": "a-1", "zone": ""}
        points.append(Point("air", tags, ts_ms, base | {"pm25_ugm3": n / 3}))
    return points


def filled(url: str) -> TimeSeriesStore:
    store = open_store(url)
    store.prepare()
    store.write(readings())
    RollUp(store, SITE).catch_up(DAY0_MS + 5 * DAY_MS)
    return store


def everything(url: str) -> list[Point]:
    store = open_store(url, read_only=True)
    names = ("bin", "air", "bin_1h", "air_1h", "bin_1d", "air_1d", "rollup_mark")
    points = [p for name in names for p in store.points(name, site=SITE, start_ms=0, end_ms=2 * DAY0_MS)]
    store.close()
    return sorted(points, key=lambda p: (p.measurement, p.ts_ms, p.tags["asset"]))


def run(source: str, target: str, watermark: Path, *words: str) -> Result:
    command = ["store", "migrate", "--from", source, "--to", target, "--site", SITE, "--watermark", str(watermark)]
    return CliRunner().invoke(main, [*command, *words])


@pytest.mark.service
def test_history_goes_to_influxdb_and_back_unchanged(influxd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """File to server to another file: the same readings, hours, days and marks at the end of the journey."""
    monkeypatch.setattr(migrate, "BATCH_POINTS", 200)
    first, second, middle = (
        f"sqlite:///{tmp_path / 'a.sqlite3'}",
        f"sqlite:///{tmp_path / 'b.sqlite3'}",
        influx(influxd),
    )
    filled(first).close()
    there = run(first, middle, tmp_path / "mark.json")
    assert there.exit_code == 0, there.output
    assert "both stores hold the same" in there.stdout
    rows = [line.split() for line in there.stdout.splitlines() if line.startswith("2026-01-0")]
    assert [(row[0][-2:], row[1]) for row in rows] == [
        (day, shelf) for day in ("01", "03", "04") for shelf in ("raw", "hourly", "daily")
    ]
    assert [row[2:7] for row in rows[:3]] == [
        ["384", "384", "0", "0", "0"],
        ["96", "96", "0", "0", "0"],
        ["4", "4", "0", "0", "0"],
    ]
    assert not (tmp_path / "mark.json").exists()
    back = run(middle, second, tmp_path / "mark.json")
    assert back.exit_code == 0, back.output
    assert everything(second) == everything(first)
    assert len(everything(first)) == len(readings()) + 3 * (96 + 4) + len(
        [p for p in everything(first) if p.measurement == "rollup_mark"]
    )


@pytest.mark.service
def test_stores_are_called_by_words(influxd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`--from embedded --to influx`: the file of the stack here, and the server that the settings of ingest name."""
    monkeypatch.chdir(tmp_path)
    folder = DataFolder(tmp_path / "var" / "real", "real").root
    filled(f"sqlite:///{folder / 'points.sqlite3'}").close()
    target, config = influx(influxd), tmp_path / "resik.toml"
    config.write_text(f'[ingest]\nstore_url = "{target}"\n')
    found = run("embedded", "influx", tmp_path / "mark.json", "--config", str(config))
    assert found.exit_code == 0, found.output
    assert everything(target) == everything(f"sqlite:///{folder / 'points.sqlite3'}")
    config.write_text('[ingest]\nstore_url = "sqlite:///own.sqlite3"\n')
    found = run("embedded", "influx", tmp_path / "mark.json", "--config", str(config))
    assert (found.exit_code, "own.sqlite3: write the address" in found.output) == (2, True)


@pytest.mark.service
def test_what_is_lost_or_changed_on_the_way_is_found(influxd: Server, tmp_path: Path):
    """The checker is itself checked: a planted loss, a planted duplicate and a planted value each show on their day."""
    source, target = f"sqlite:///{tmp_path / 'a.sqlite3'}", influx(influxd)
    filled(source).close()
    assert run(source, target, tmp_path / "mark.json", "--rollups", "none").exit_code == 0
    ask = f"{influxd.url}/query?db={target.rpartition('/')[2]}"
    lost = f"DELETE FROM bin WHERE asset = 'bin-1' AND time = {DAY0_MS + 1}ms"  # noqa: S608
    urllib3.request("POST", ask, fields={"q": lost})
    store = open_store(target)
    changed = readings()[4 * 24 * 4]
    doubled = readings()[-1]
    store.write(
        [
            Point(changed.measurement, changed.tags, changed.ts_ms, changed.fields | {"fill_pct": 1.5}),
            Point(doubled.measurement, doubled.tags, doubled.ts_ms - 7, doubled.fields),
        ]
    )
    migration = Migration(
        open_store(source, read_only=True),
        store,
        WatermarkFile(tmp_path / "other.json", source, target, SITE),
        Outage("store", threading.Event()),
    )
    checks = list(migration.check([READINGS]))
    assert [(c.missing, c.surplus, c.different) for c in checks] == [(1, 0, 0), (0, 0, 1), (0, 1, 0)]
    assert not any(check.is_same for check in checks)
    # Calling it again mends the loss and the value; the surplus point stays and is named, with exit code 1.
    again = run(source, target, tmp_path / "mark.json", "--rollups", "none")
    assert again.exit_code == 1
    assert "the stores differ" in again.stderr
    assert [line.split()[4:7] for line in again.stdout.splitlines() if line.startswith("2026")] == [
        ["0", "0", "0"], ["0", "0", "0"], ["0", "1", "0"]
    ]  # fmt: skip
    store.close()


class Wobbly:
    """A store that is away now and then, on either side."""

    def __init__(self, store: TimeSeriesStore, every: int) -> None:
        self._store = store
        self._every = every
        self._calls = 0
        self.written: list[int] = []

    def _perhaps_fail(self) -> None:
        self._calls += 1
        if self._calls % self._every == 0:
            raise StoreUnavailable("away")

    def write(self, points):
        self._perhaps_fail()
        result = self._store.write(points)
        self._perhaps_fail()  # taken, but the answer is lost
        self.written.append(len(points))
        return result

    def readings(self, **what):
        for n, point in enumerate(self._store.readings(**what)):
            if n % 150 == 149:
                self._perhaps_fail()
            yield point

    def __getattr__(self, name):
        return getattr(self._store, name)


def test_both_stores_may_go_away_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Retryable errors of either side are waited for; at the end both hold the same."""
    monkeypatch.setattr(migrate, "BATCH_POINTS", 100)
    monkeypatch.setattr(outage, "BACKOFF_MIN_S", 0.0)
    source = filled(f"sqlite:///{tmp_path / 'a.sqlite3'}")
    target = open_store(f"sqlite:///{tmp_path / 'b.sqlite3'}")
    target.prepare()
    migration = Migration(
        Wobbly(source, 3),  # type: ignore[arg-type]
        Wobbly(target, 3),  # type: ignore[arg-type]
        WatermarkFile(tmp_path / "mark.json", "a", "b", SITE),
        Outage("store", threading.Event()),
    )
    assert migration.copy([READINGS], lambda *_: None).finished
    everywhere = {"site": SITE, "start_ms": 0, "end_ms": 2 * DAY0_MS}
    assert list(target.readings(**everywhere)) == list(source.readings(**everywhere))  # type: ignore[arg-type]
    source.close()
    target.close()


def test_a_run_that_was_cut_off_goes_on_at_its_watermark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stopped after five batches: the next run writes the rest, not all of it again."""
    monkeypatch.setattr(migrate, "BATCH_POINTS", 100)
    source = filled(f"sqlite:///{tmp_path / 'a.sqlite3'}")
    target = open_store(f"sqlite:///{tmp_path / 'b.sqlite3'}")
    target.prepare()
    stop = threading.Event()
    counted: list[int] = []

    def progress(_stream: str, at_ms: int) -> None:
        counted.append(at_ms)
        if len(counted) == 5:
            stop.set()

    def migration(stop: threading.Event) -> Migration:
        noted = WatermarkFile(tmp_path / "mark.json", "a", "b", SITE)
        return Migration(source, target, noted, Outage("store", stop))

    assert not migration(stop).copy([READINGS], progress).finished
    assert json.loads((tmp_path / "mark.json").read_bytes())["at_ms"] == {READINGS: counted[-1]}
    rest = migration(threading.Event()).copy([READINGS], progress)
    assert rest.finished
    assert len(readings()) - 500 <= rest.points < len(readings()) - 490
    assert all(check.is_same for check in migration(threading.Event()).check([READINGS]))
    with pytest.raises(StoreRefused, match="belongs to a migration of alun from a to b"):
        WatermarkFile(tmp_path / "mark.json", "a", "c", SITE)
    (tmp_path / "mark.json").write_text("{}")
    with pytest.raises(StoreRefused, match="no watermark"):
        WatermarkFile(tmp_path / "mark.json", "a", "b", SITE)
    source.close()
    target.close()


def test_a_part_of_the_history_and_roll_ups_made_anew(tmp_path: Path):
    """--since moves one part; --rollups recompute makes the same hours and days from it."""
    source, target = (f"sqlite:///{tmp_path / name}.sqlite3" for name in "ab")
    filled(source).close()
    done = run(source, target, tmp_path / "mark.json", "--since", "2026-01-03", "--rollups", "recompute")
    assert done.exit_code == 0, done.output
    copied = everything(target)
    assert min(p.ts_ms for p in copied) == DAY0_MS + 2 * DAY_MS
    wanted = [p for p in everything(source) if p.ts_ms >= DAY0_MS + 2 * DAY_MS and p.measurement != "rollup_mark"]
    assert [p for p in copied if p.measurement != "rollup_mark"] == wanted


@pytest.mark.service
def test_readings_that_the_target_does_not_keep_are_counted_and_the_run_fails(influxd: Server, tmp_path: Path):
    """Beyond the target's retention is a difference that a person must know of."""
    source, target = f"sqlite:///{tmp_path / 'a.sqlite3'}", influx(influxd)
    filled(source).close()
    years = ["--hourly-years", "0", "--daily-years", "0"]  # the test's own readings grow old
    CliRunner().invoke(main, ["store", "init", "--url", target, "--raw-days", "1", *years])
    done = run(source, target, tmp_path / "mark.json")
    assert done.exit_code == 1
    assert f"{len(readings())} beyond-retention" in done.stdout
    hourly = [line.split() for line in done.stdout.splitlines() if " hourly " in line]
    assert [row[2:7] for row in hourly] == [["96", "96", "0", "0", "0"]] * 3

"""Roll-ups on every kind of store: the same points, and charts that go on when the readings are gone."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from ingest.folding import DAY_MS, HOUR_MS, floor_day
from ingest.rollup import OFFSET_S, LateMarks, RollUp
from ingest.store import FieldValue, Point, Series, TimeSeriesStore
from ingest.stores import open_admin, open_store
from ingest.stores.admin import initialise
from tests.integration.v2_front import V2Front
from tests.services import Server, start_influxd

SITE = "alun"
DAY0_MS = floor_day(1_795_500_000_000, OFFSET_S)
DAYS = 3
FOREVER = {"raw": None, "hourly": None, "daily": None}
_databases = itertools.count()


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_influxd(tmp_path_factory.mktemp("influxd"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def front(influxd: Server) -> Iterator[V2Front]:
    front = V2Front(influxd.url, token="rollup")
    yield front
    front.stop()


class Opened:
    """A prepared store and the way to drop its readings, as retention does."""

    def __init__(self, store: TimeSeriesStore, influx: str = "", database: str = "") -> None:
        self.store = store
        self._influx = influx
        self._database = database

    def drop_readings(self, before_ms: int) -> None:
        if not self._influx:
            self.store.keep("raw", 1)  # type: ignore[attr-defined]
            while self.store.expire(site=SITE, now_ms=before_ms + DAY_MS, rolled_ms=before_ms):
                pass
            return
        statement = f"DELETE FROM bin WHERE time < {before_ms}ms"  # noqa: S608
        reply = urllib3.request("POST", f"{self._influx}/query", fields={"q": statement, "db": self._database})
        assert b"error" not in reply.data


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("influx1", marks=pytest.mark.service),
        pytest.param("influx1-initialised", marks=pytest.mark.service),
        pytest.param("influx2-initialised", marks=pytest.mark.service),
    ]
)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Give each kind of store, with shelves of their own where it says so."""
    if request.param == "embedded":
        url = f"sqlite:///{tmp_path / 'points.sqlite3'}"
        opened = Opened(open_store(url))
    else:
        influxd: Server = request.getfixturevalue("influxd")
        host, database = influxd.url.removeprefix("http://"), f"rollup{next(_databases)}"
        url = f"influx1://{host}/{database}"
        store = open_store(url)
        store.prepare()
        if request.param == "influx1-initialised":
            initialise(open_admin(url), FOREVER)
        if request.param == "influx2-initialised":
            for shelf in ("hourly", "daily"):
                open_store(f"{url}-{shelf}").prepare()
            front: V2Front = request.getfixturevalue("front")
            store = open_store(f"influx2+{front.url}/kota/{database}", secret="rollup")
        opened = Opened(store, influxd.url, database)
    opened.store.prepare()
    yield opened
    opened.store.close()


def reading(ts_ms: int, asset: str = "bin-01", **values: FieldValue) -> Point:
    tags = {"site": SITE, "asset": asset, "device": f"d-{asset}", "zone": "utara"}
    fields: dict[str, FieldValue] = {"state": "ok", "quality": 4, "flags": 0, "boot": 7, "seq": ts_ms // 1000 % 2**31}
    return Point("bin", tags, ts_ms, fields | values)


def readings() -> list[Point]:
    """Return three days of two bins; bin-01 is silent from 8.00 to 12.00 of the first, bin-02 has a temperature."""
    times = [DAY0_MS + m * 60_000 for m in range(0, DAYS * 1440, 20)]
    first = [
        reading(ts_ms, fill_pct=n % 101 / 4)
        for n, ts_ms in enumerate(times)
        if not 8 * HOUR_MS <= ts_ms - DAY0_MS < 12 * HOUR_MS
    ]
    return first + [reading(t, "bin-02", fill_pct=n / 8, temp_c=20 + n % 7 / 2) for n, t in enumerate(times)]


def chart(store: TimeSeriesStore, every_s: int | None, start_ms: int = DAY0_MS, **more: int) -> Series:
    return store.series(
        "bin",
        site=SITE,
        asset="bin-01",
        fields=["fill_pct", "temp_c"],
        start_ms=start_ms,
        end_ms=DAY0_MS + DAYS * DAY_MS,
        every_s=every_s,
        **more,
    )


def same(a: Series, b: Series) -> bool:
    """Whether two answers agree but for the last bits of a mean; bin-01 never measures a temperature."""
    if a.ts_ms != b.ts_ms or a.columns["temp_c"] != b.columns["temp_c"]:
        return False
    return bool(a.columns["fill_pct"] == pytest.approx(b.columns["fill_pct"], rel=1e-12))


def test_roll_ups_are_the_same_points_on_every_store(opened: Opened, tmp_path: Path):
    """Hours and days of any store equal those of a fresh file; the flow of readings does not see them."""
    store = opened.store
    store.write(readings())
    done = RollUp(store, SITE).catch_up(DAY0_MS + DAYS * DAY_MS + HOUR_MS)
    assert (done.hours, done.days) == (2 * 72 - 4, 6)
    reference = open_store(f"sqlite:///{tmp_path / 'reference.sqlite3'}")
    reference.prepare()
    reference.write(readings())
    RollUp(reference, SITE).catch_up(DAY0_MS + DAYS * DAY_MS + HOUR_MS)
    for measurement in ("bin_1h", "bin_1d", "rollup_mark"):
        of = [list(s.points(measurement, site=SITE, start_ms=0, end_ms=2 * DAY0_MS)) for s in (store, reference)]
        assert sorted(of[0], key=str) == sorted(of[1], key=str)
        assert of[0]
    reference.close()
    assert len(list(store.readings(site=SITE, start_ms=0, end_ms=2 * DAY0_MS))) == len(readings())
    assert [p.measurement for p in store.latest("bin", site=SITE)] == ["bin", "bin"]
    assert RollUp(store, SITE).catch_up(DAY0_MS + DAYS * DAY_MS + HOUR_MS).hours == 0


def test_windows_are_the_same_before_and_after_the_roll_up(opened: Opened):
    """Whichever series a window is made of, it is the mean of the readings in it, with the same gaps."""
    store = opened.store
    store.write(readings())
    start_ms = DAY0_MS + 90 * 60_000  # in the middle of an hour
    windows = [(600, 0), (3600, 0), (7200, 0), (86_400, 0), (86_400, OFFSET_S), (2 * 86_400, OFFSET_S)]
    before = [chart(store, every_s, start_ms, offset_s=offset_s) for every_s, offset_s in windows]
    RollUp(store, SITE).catch_up(DAY0_MS + 2 * DAY_MS + 5 * HOUR_MS)
    assert store.rolled(SITE, fresh=True).until_ms == DAY0_MS + 2 * DAY_MS + 4 * HOUR_MS  # type: ignore[attr-defined]
    for (every_s, offset_s), expected in zip(windows, before, strict=True):
        assert same(chart(store, every_s, start_ms, offset_s=offset_s), expected), every_s


def test_charts_go_on_when_the_readings_are_gone(opened: Opened):
    """Two days dropped by age: hours and days as before; without windows, hourly means stand in, gaps stay gaps."""
    store = opened.store
    store.write(readings())
    hours, days = chart(store, 3600), chart(store, 86_400, offset_s=OFFSET_S)
    RollUp(store, SITE).roll(DAY0_MS, DAY0_MS + DAYS * DAY_MS, days_until_ms=DAY0_MS + DAYS * DAY_MS)
    now_ms = DAY0_MS + DAYS * DAY_MS + HOUR_MS
    # The mark alone makes the roll-ups count; written here so that nothing has expired yet.
    tags = {"site": SITE, "asset": "-", "device": "-", "zone": ""}
    store.write([Point("rollup_mark", tags, now_ms - HOUR_MS, {"mark": OFFSET_S})])
    opened.drop_readings(DAY0_MS + 2 * DAY_MS)
    store._rolled.clear()  # type: ignore[attr-defined]
    assert same(chart(store, 3600), hours)
    assert same(chart(store, 86_400, offset_s=OFFSET_S), days)
    plain = chart(store, None)
    edge = plain.ts_ms.index(DAY0_MS + 2 * DAY_MS)
    assert plain.ts_ms[:edge] == hours.ts_ms[:edge]
    assert edge == 44
    assert plain.columns["fill_pct"][:edge] == pytest.approx(hours.columns["fill_pct"][:edge], rel=1e-12)
    assert len(plain.ts_ms) == 44 + 72
    fine = chart(store, 600)
    assert fine.ts_ms[:44] == hours.ts_ms[:44]
    assert len(fine.ts_ms) == 44 + 72


def test_late_readings_of_six_days_ago_reach_charts_and_days(opened: Opened):
    """Stored through the marks, rolled up at the next turn, on each store."""
    store = opened.store
    late = [p for p in readings() if p.ts_ms < DAY0_MS + 2 * HOUR_MS]
    store.write([p for p in readings() if p not in late])
    now_ms = DAY0_MS + 6 * DAY_MS
    job = RollUp(store, SITE)
    job.catch_up(now_ms)
    marked = LateMarks(store, SITE, lambda: now_ms)
    for _ in range(2):  # the second time is a duplicate
        marked.write(late)
        job.catch_up(now_ms)
        days = {
            (p.tags["asset"], p.ts_ms): p.fields["fill_pct_count"]
            for p in store.points("bin_1d", site=SITE, start_ms=0, end_ms=2 * DAY0_MS)
        }
        assert days["bin-01", DAY0_MS] == 60.0
        assert days["bin-02", DAY0_MS] == 72.0


def test_a_year_of_days_needs_no_readings(opened: Opened):
    """Hourly series of a year and daily ones before it: a chart of two years by days is whole."""
    store = opened.store
    tags = {"site": SITE, "asset": "bin-01", "device": "-", "zone": ""}

    def roll_up(measurement: str, ts_ms: int, mean: float, count: float) -> Point:
        values = {"mean": mean, "min": 0.0, "max": 99.0, "count": count}
        return Point(measurement, tags, ts_ms, {f"fill_pct_{name}": value for name, value in values.items()})

    start_ms = DAY0_MS - 730 * DAY_MS
    days = [roll_up("bin_1d", start_ms + d * DAY_MS, float(d % 50), 144.0) for d in range(730)]
    hours = [
        roll_up("bin_1h", start_ms + d * DAY_MS + h * HOUR_MS, float(d % 50), 6.0)
        for d in range(700, 730)
        for h in range(24)
    ]
    mark = Point("rollup_mark", tags, DAY0_MS, {"mark": OFFSET_S})
    store.write([*days, *hours, mark])
    asked = {"site": SITE, "asset": "bin-01", "fields": ["fill_pct"], "start_ms": start_ms, "end_ms": DAY0_MS}
    by_day = store.series("bin", every_s=86_400, offset_s=OFFSET_S, **asked)  # type: ignore[arg-type]
    assert by_day.ts_ms == [start_ms + d * DAY_MS for d in range(730)]
    assert by_day.columns["fill_pct"] == [float(d % 50) for d in range(730)]
    by_hour = store.series("bin", every_s=3600, **asked)  # type: ignore[arg-type]
    assert len(by_hour.ts_ms) == 700 + 30 * 24
    by_utc_day = store.series("bin", every_s=86_400, **asked)  # type: ignore[arg-type]
    assert len(by_utc_day.ts_ms) in {730, 731}
    extremes = store.series("bin_1d", **{**asked, "fields": ["fill_pct_max"]})  # type: ignore[arg-type]
    assert extremes.columns["fill_pct_max"] == [99.0] * 730

"""Every adapter keeps the same promises of the port, each against its real file or server."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.errors import StoreUnavailable
from ingest.store import FieldValue, Point, TimeSeriesStore
from ingest.stores import influxql, open_store
from tests.integration.v2_front import V2Front
from tests.services import Server, start_influxd

HOUR_MS = 3_600_000
T0_MS = 1_795_487_400_000 // HOUR_MS * HOUR_MS
"""A full hour, in the future of some test machines and the past of others: no promise may depend on the wall clock."""
END_MS = T0_MS + 30 * 24 * HOUR_MS
_databases = itertools.count()


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_influxd(tmp_path_factory.mktemp("influxd"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def front(influxd: Server) -> Iterator[V2Front]:
    front = V2Front(influxd.url, token="conformance")
    yield front
    front.stop()


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("influx1", marks=pytest.mark.service),
        pytest.param("influx2", marks=pytest.mark.service),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TimeSeriesStore]:
    """Give a fresh empty store of each kind; 2.x runs through a front that speaks its write address."""
    if request.param == "embedded":
        store = open_store(f"sqlite:///{tmp_path / 'points.sqlite3'}")
    else:
        influxd: Server = request.getfixturevalue("influxd")
        host, database = influxd.url.removeprefix("http://"), f"conformance_{next(_databases)}"
        store = open_store(f"influx1://{host}/{database}")
        if request.param == "influx2":
            store.prepare()  # in 2.x the bucket is the operator's to make
            store.close()
            front: V2Front = request.getfixturevalue("front")
            host = front.url.removeprefix("http://")
            store = open_store(f"influx2+http://{host}/kota/{database}", secret="conformance")
    store.prepare()
    yield store
    store.close()


def bin_point(asset: str = "bin-01", ts_ms: int = T0_MS, *, site: str = "alun", **fields: FieldValue) -> Point:
    base: dict[str, FieldValue] = {"state": "ok", "quality": 4, "flags": 0, "boot": 4_294_967_295, "seq": 1}
    return Point(
        "bin",
        {"site": site, "asset": asset, "device": f"rsk-{asset}", "zone": "utara"},
        ts_ms,
        base | ({"fill_pct": 10.0} if not fields.keys() & {"fill_pct"} else {}) | fields,
    )


def air_point(ts_ms: int, **fields: FieldValue) -> Point:
    return Point(
        "air",
        {"site": "alun", "asset": "air-01", "device": "rsk-air-01", "zone": ""},
        ts_ms,
        {"pm25_ugm3": 35.25, "state": "ok", "quality": 4, "flags": 2, "boot": 9, "seq": 1} | fields,
    )


def all_readings(
    store: TimeSeriesStore, start_ms: int = T0_MS - 90 * 24 * HOUR_MS, end_ms: int = END_MS
) -> list[Point]:
    return list(store.readings(site="alun", start_ms=start_ms, end_ms=end_ms))


def test_a_point_comes_back_exactly_as_written(store: TimeSeriesStore):
    """Values, integer and text types, the empty zone, zero, the maximum of boot and seq, and whole floats survive."""
    points = [
        bin_point(fill_pct=0.0, distance_mm=740.0, temp_c=-4.5, seq=4_294_967_295),
        air_point(T0_MS + 5, pm25_ugm3=1e-9, no2_ppb=-1e6),
    ]
    assert store.write(points).stored == 2
    back = all_readings(store)
    assert back == points
    assert [{k: type(v) for k, v in p.fields.items()} for p in back] == [
        {k: type(v) for k, v in p.fields.items()} for p in points
    ]


def test_writing_twice_changes_nothing(store: TimeSeriesStore):
    """A replay after a lost acknowledgement leaves one point each, also when shuffled."""
    points = [bin_point(f"bin-{n:02d}", T0_MS + m * 60_000 + n, seq=m + 1) for n in range(10) for m in range(10)]
    for batch in (points, points[::-1], points[37:]):
        result = store.write(batch)
        assert (result.stored, result.rejected) == (len(batch), ())
    assert len(all_readings(store)) == 100


def test_the_range_of_series_is_half_open(store: TimeSeriesStore):
    """The first millisecond belongs to the range, the last does not: neighbours neither miss nor repeat a point."""
    store.write([bin_point(ts_ms=T0_MS + n, fill_pct=float(n)) for n in range(4)])
    found = store.series("bin", site="alun", asset="bin-01", fields=["fill_pct"], start_ms=T0_MS + 1, end_ms=T0_MS + 3)
    assert found.ts_ms == [T0_MS + 1, T0_MS + 2]
    assert found.columns == {"fill_pct": [1.0, 2.0]}


def test_series_is_of_one_asset_of_one_site_and_follows_a_changed_device(store: TimeSeriesStore):
    """Neither another asset nor another site leaks in; a new device on the same bin continues its series."""
    swapped = bin_point(ts_ms=T0_MS + 2, fill_pct=30.0)
    swapped.tags["device"] = "rsk-replacement"
    store.write(
        [
            bin_point(ts_ms=T0_MS + 1, fill_pct=20.0),
            swapped,
            bin_point("bin-02", T0_MS + 1, fill_pct=77.0),
            bin_point(ts_ms=T0_MS + 1, site="other", fill_pct=88.0),
        ]
    )
    found = store.series("bin", site="alun", asset="bin-01", fields=["fill_pct"], start_ms=T0_MS, end_ms=END_MS)
    assert found.columns["fill_pct"] == [20.0, 30.0]


def test_missing_values_are_none_and_rows_without_any_value_are_left_out(store: TimeSeriesStore):
    """A column has a place for every time; an unknown or text field is a column of None, integers read as floats."""
    store.write(
        [
            bin_point(ts_ms=T0_MS, fill_pct=1.0, temp_c=30.0),
            bin_point(ts_ms=T0_MS + 1, fill_pct=2.0),
            Point("bin", bin_point().tags, T0_MS + 2, {"state": "no-echo", "seq": 3}),
        ]
    )
    found = store.series(
        "bin",
        site="alun",
        asset="bin-01",
        fields=["temp_c", "fill_pct", "nothing", "state"],
        start_ms=T0_MS,
        end_ms=END_MS,
    )
    assert found.ts_ms == [T0_MS, T0_MS + 1]
    assert found.columns == {
        "temp_c": [30.0, None],
        "fill_pct": [1.0, 2.0],
        "nothing": [None, None],
        "state": [None, None],
    }
    seq = store.series("bin", site="alun", asset="bin-01", fields=["seq"], start_ms=T0_MS, end_ms=END_MS)
    assert seq.columns == {"seq": [1.0, 1.0, 3.0]}
    assert all(isinstance(value, float) for value in seq.columns["seq"])


def test_windows_are_means_from_multiples_of_the_width_and_gaps_stay_gaps(store: TimeSeriesStore):
    """Hour 0 holds 10 and 20 (mean 15), hours 1 and 2 nothing, hour 3 holds 40: two rows, none invented."""
    store.write(
        [
            bin_point(ts_ms=T0_MS + 10 * 60_000, fill_pct=10.0, temp_c=30.0),
            bin_point(ts_ms=T0_MS + 50 * 60_000, fill_pct=20.0),
            bin_point(ts_ms=T0_MS + 3 * HOUR_MS, fill_pct=40.0),
        ]
    )
    found = store.series(
        "bin",
        site="alun",
        asset="bin-01",
        fields=["fill_pct", "temp_c"],
        start_ms=T0_MS + 60_000,
        end_ms=T0_MS + 4 * HOUR_MS,
        every_s=3600,
    )
    assert found.ts_ms == [T0_MS, T0_MS + 3 * HOUR_MS]
    assert found.columns == {"fill_pct": [15.0, 40.0], "temp_c": [30.0, None]}


def test_limit_keeps_the_oldest_rows(store: TimeSeriesStore):
    """Points and windows alike: the first rows of the range, counted after gaps are left out."""
    store.write([bin_point(ts_ms=T0_MS + n * 2 * HOUR_MS, fill_pct=float(n)) for n in range(6)])
    for every_s in (None, 3600):
        found = store.series(
            "bin",
            site="alun",
            asset="bin-01",
            fields=["fill_pct"],
            start_ms=T0_MS,
            end_ms=END_MS,
            every_s=every_s,
            limit=3,
        )
        assert found.columns == {"fill_pct": [0.0, 1.0, 2.0]}


def test_latest_is_the_newest_point_of_each_asset_of_the_site(store: TimeSeriesStore):
    """One point per asset in asset order, whole, whatever the order of arrival; nothing of another site."""
    points = [bin_point(f"bin-{n:02d}", T0_MS + m * HOUR_MS + n, seq=m + 1) for m in (2, 0, 1) for n in (3, 1, 2)]
    store.write([*points, bin_point("bin-09", site="other")])
    latest = store.latest("bin", site="alun")
    assert latest == [bin_point(f"bin-{n:02d}", T0_MS + 2 * HOUR_MS + n, seq=3) for n in (1, 2, 3)]
    store.write([bin_point("bin-02", T0_MS + 5, seq=99)])
    assert store.latest("bin", site="alun") == latest


def test_identities_name_every_stored_point_once(store: TimeSeriesStore):
    """The oracle of reconciliation: exact counts, half-open in time, per measurement."""
    points = [bin_point(f"bin-{n:02d}", T0_MS + m * 60_000 + n, seq=m + 1, boot=n) for n in range(5) for m in range(20)]
    store.write([*points, air_point(T0_MS), bin_point("bin-01", T0_MS + 99, site="other")])
    store.write(points[:50])
    found = list(store.identities("bin", site="alun", start_ms=T0_MS, end_ms=END_MS))
    assert sorted(found) == sorted(
        (p.tags["device"], n, m + 1)
        for p, n, m in zip(points, [n for n in range(5) for _ in range(20)], list(range(20)) * 5, strict=True)
    )
    assert len(list(store.identities("bin", site="alun", start_ms=T0_MS + 4, end_ms=T0_MS + 60_001))) == 2


def test_the_same_reading_at_two_times_is_counted_twice(store: TimeSeriesStore):
    """A duplicate that a broken clock smuggled in must show in the reconciliation, not hide."""
    store.write([bin_point(ts_ms=T0_MS, seq=5), bin_point(ts_ms=T0_MS + 1, seq=5)])
    found = list(store.identities("bin", site="alun", start_ms=T0_MS, end_ms=END_MS))
    assert found == [("rsk-bin-01", 4_294_967_295, 5)] * 2


def test_readings_of_all_measurements_come_in_time_order(store: TimeSeriesStore):
    """Bins and air interleave by event time, half-open, so that the alert engine can catch up."""
    points = [bin_point(f"bin-{n:02d}", T0_MS + m * 1000 + n, seq=m + 1) for n in range(3) for m in range(10)]
    points += [air_point(T0_MS + m * 1000 + 500, seq=m + 1) for m in range(10)]
    store.write(points)
    read = all_readings(store, T0_MS + 1, T0_MS + 9500)
    expected = sorted((p for p in points if T0_MS + 1 <= p.ts_ms < T0_MS + 9500), key=lambda p: p.ts_ms)
    assert read == expected


def test_iterators_read_on_over_page_edges(store: TimeSeriesStore, monkeypatch: pytest.MonkeyPatch):
    """More points of one millisecond than a page holds, and edges inside a millisecond: nothing lost or doubled."""
    monkeypatch.setattr(influxql, "PAGE_ROWS", 8)
    points = [bin_point(f"bin-{n:02d}", T0_MS + m, seq=m + 1, boot=n) for m in range(4) for n in range(20)]
    store.write(points)
    assert len(set(store.identities("bin", site="alun", start_ms=0, end_ms=END_MS))) == 80
    assert len(list(store.identities("bin", site="alun", start_ms=0, end_ms=END_MS))) == 80
    read = all_readings(store)
    assert sorted(read, key=lambda p: (p.ts_ms, p.tags["asset"])) == points
    assert [p.ts_ms for p in read] == sorted(p.ts_ms for p in points)


def test_997_good_points_are_stored_and_3_bad_ones_named(store: TimeSeriesStore):
    """A mixed batch settles at once: two type conflicts and a NaN are rejected by position, all others are there."""
    store.write([bin_point("first", T0_MS - 1)])
    batch = [bin_point(f"bin-{n:04d}", T0_MS + n) for n in range(1000)]
    for index, value in ((0, 5), (500, 5), (999, float("nan"))):
        batch[index] = bin_point(f"bin-{index:04d}", T0_MS + index, fill_pct=value)
    result = store.write(batch)
    assert result.stored == 997
    assert [(r.index, r.code) for r in result.rejected] == [
        (0, "type-conflict"),
        (500, "type-conflict"),
        (999, "bad-field"),
    ]
    assert all(r.reason for r in result.rejected)
    assets = {p.tags["asset"] for p in all_readings(store)}
    assert len(assets) == 998
    assert not assets & {"bin-0000", "bin-0500", "bin-0999"}


def test_an_empty_batch_and_an_empty_store_are_fine(store: TimeSeriesStore):
    """Nothing to write is written; nothing stored reads as empty, not as an error."""
    assert store.write([]).stored == 0
    assert store.latest("bin", site="alun") == []
    assert all_readings(store) == []
    assert list(store.identities("bin", site="alun", start_ms=0, end_ms=END_MS)) == []
    found = store.series("bin", site="alun", asset="bin-01", fields=["fill_pct"], start_ms=0, end_ms=END_MS, every_s=60)
    assert (found.ts_ms, found.columns) == ([], {"fill_pct": []})


def test_hostile_texts_are_only_texts(store: TimeSeriesStore):
    """Quotes, backslashes and keywords in a site, an asset or a field name find themselves and nothing else."""
    hostile = """x' OR "site" != '' -- \\' , = ünï"""
    evil = bin_point(hostile, T0_MS, fill_pct=66.0)
    store.write([bin_point(), evil])
    found = store.series("bin", site="alun", asset=hostile, fields=["fill_pct"], start_ms=T0_MS, end_ms=END_MS)
    assert found.columns == {"fill_pct": [66.0]}
    assert evil in all_readings(store)
    assert store.latest("bin", site="' OR ''='") == []
    assert list(store.readings(site="' OR ''='", start_ms=0, end_ms=END_MS)) == []
    name = 'x" FROM bin; DROP MEASUREMENT bin --'
    found = store.series("bin", site="alun", asset="bin-01", fields=[name, "fill_pct"], start_ms=T0_MS, end_ms=END_MS)
    assert found.columns == {name: [None], "fill_pct": [10.0]}
    assert len(all_readings(store)) == 2


def test_a_closed_or_stopped_store_is_unavailable_not_silent(tmp_path: Path):
    """After the server is gone a write raises 'try again' and loses nothing silently."""
    store = open_store("influx1://127.0.0.1:9/resik")
    with pytest.raises(StoreUnavailable) as gone:
        store.write([bin_point()])
    assert gone.value.retryable
    embedded = open_store(f"sqlite:///{tmp_path / 'p.sqlite3'}")
    embedded.prepare()
    embedded.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        embedded.write([bin_point()])

"""The roll-up job on the embedded file: late readings, duplicates, gaps, restarts, a race, and retention."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.errors import StoreUnavailable
from ingest.folding import DAY_MS, HOUR_MS, floor_day
from ingest.rollup import OFFSET_S, LateMarks, RollUp
from ingest.rollup_task import RollUpTask
from ingest.store import FieldValue, Point, TimeSeriesStore
from ingest.stores.embedded import EmbeddedStore
from ingest.stores.shelves import MARK
from square.metrics import COUNTS

SITE = "alun"
DAY0_MS = floor_day(1_795_500_000_000, OFFSET_S)
MINUTE_MS = 60_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path / "points.sqlite3")
    store.prepare()
    yield store
    store.close()


def reading(ts_ms: int, fill_pct: float, asset: str = "bin-01", **fields: FieldValue) -> Point:
    tags = {"site": SITE, "asset": asset, "device": f"d-{asset}", "zone": "utara"}
    base: dict[str, FieldValue] = {"fill_pct": fill_pct, "state": "ok", "boot": 7, "seq": ts_ms // 1000 % 2**31}
    return Point("bin", tags, ts_ms, base | fields)


def day_of(start_ms: int, asset: str = "bin-01") -> list[Point]:
    """Return a day with a reading every ten minutes: the number of its hour, but at minute 50 ten more."""
    return [
        reading(start_ms + h * HOUR_MS + m * MINUTE_MS, float(h + (10 if m == 50 else 0)), asset)
        for h in range(24)
        for m in range(0, 60, 10)
    ]


def rolled(store: TimeSeriesStore, ending: str, asset: str = "bin-01") -> dict[int, dict[str, FieldValue]]:
    points = store.points(f"bin{ending}", site=SITE, start_ms=0, end_ms=3 * DAY0_MS)
    return {(p.ts_ms - DAY0_MS): p.fields for p in points if p.tags["asset"] == asset}


def at(day: float, hour: float = 0.0) -> int:
    return DAY0_MS + int(day * DAY_MS + hour * HOUR_MS)


def test_hours_are_rolled_up_after_the_allowance_and_days_when_they_are_over(store: EmbeddedStore):
    """At 23.10 the 22nd hour is there and the 23rd is not; the day follows its last hour."""
    store.write(day_of(DAY0_MS))
    job = RollUp(store, SITE)
    done = job.catch_up(at(0, 23 + 1 / 6))
    assert (done.hours, done.days) == (22, 0)
    done = job.catch_up(at(0, 23.25))
    assert (done.hours, done.days, done.until_ms) == (1, 0, at(0, 23))
    done = job.catch_up(at(1, 0.25))
    assert (done.hours, done.days, done.until_ms) == (1, 1, at(1))
    assert rolled(store, "_1h")[5 * HOUR_MS] == {
        "fill_pct_mean": 5 + 10 / 6,
        "fill_pct_min": 5.0,
        "fill_pct_max": 15.0,
        "fill_pct_count": 6.0,
        "fill_pct_last": 15.0,
    }
    day = rolled(store, "_1d")[0]
    assert day["fill_pct_mean"] == pytest.approx(11.5 + 10 / 6)
    assert (day["fill_pct_count"], day["fill_pct_min"], day["fill_pct_max"]) == (144.0, 0.0, 33.0)
    assert day["fill_pct_last"] == 33.0


def test_doing_it_again_writes_nothing(store: EmbeddedStore):
    """Another worker, a restart, a run by hand: the same points, none written twice."""
    store.write(day_of(DAY0_MS))
    RollUp(store, SITE).catch_up(at(1, 1))
    before = rolled(store, "_1h"), rolled(store, "_1d")
    done = RollUp(store, SITE).catch_up(at(1, 1))
    assert (done.hours, done.days) == (0, 0)
    done = RollUp(store, SITE).roll(DAY0_MS, at(1), days_until_ms=at(1))
    assert (done.hours, done.days, done.same) == (0, 0, 25)
    assert (rolled(store, "_1h"), rolled(store, "_1d")) == before


def test_a_part_of_a_day_rolled_up_again_corrects_the_whole_day(store: EmbeddedStore):
    """A range inside of a day, by hand: its hours and, as it is over, its day; not a day that goes on."""
    store.write(day_of(DAY0_MS))
    job = RollUp(store, SITE)
    job.catch_up(at(1, 1))
    store.write([reading(at(0, 5) + 5 * MINUTE_MS, 99.0)])
    done = job.roll(at(0, 5.5), at(0, 5.6), days_until_ms=at(0, 23))
    assert (done.hours, done.days) == (1, 0)
    done = job.roll(at(0, 5.5), at(0, 5.6), days_until_ms=at(1))
    assert (done.hours, done.days) == (0, 1)
    assert rolled(store, "_1d")[0]["fill_pct_max"] == 99.0


def test_a_missing_hour_stays_missing(store: EmbeddedStore):
    """An outage of four hours, and one of two days: no point, not a 0, and the day counts what there is."""
    whole = day_of(DAY0_MS) + day_of(at(3))
    store.write([p for p in whole if not at(0, 8) <= p.ts_ms < at(0, 12)])
    RollUp(store, SITE).catch_up(at(4, 1))
    hours = rolled(store, "_1h")
    assert len(hours) == 20 + 24
    assert not {h * HOUR_MS for h in range(8, 12)} & hours.keys()
    assert set(rolled(store, "_1d")) == {0, 3 * DAY_MS}
    assert rolled(store, "_1d")[0]["fill_pct_count"] == 120.0


def test_a_day_that_ends_in_silence_is_rolled_up(store: EmbeddedStore):
    """Readings until 10.00 and then none for days: the day has its point all the same, once it is over."""
    store.write([p for p in day_of(DAY0_MS) if p.ts_ms < at(0, 10)])
    job = RollUp(store, SITE)
    assert job.catch_up(at(0, 20)).days == 0
    assert job.catch_up(at(2)).days == 1
    assert rolled(store, "_1d")[0]["fill_pct_count"] == 60.0


def test_a_clock_that_was_wrong_leaves_no_hole(store: EmbeddedStore):
    """The job ran with a clock of tomorrow: the mark stays with the readings, and what comes in time is folded in."""
    whole = day_of(DAY0_MS)
    store.write([p for p in whole if p.ts_ms < at(0, 10.5)])
    job = RollUp(store, SITE)
    assert job.catch_up(at(1, 9)).until_ms == at(0, 11)
    marked = LateMarks(store, SITE, lambda: at(0, 10.75))
    marked.prepare()
    marked.write([p for p in whole if p.ts_ms >= at(0, 10.5)])
    job.catch_up(at(1, 9))
    hours, day = rolled(store, "_1h"), rolled(store, "_1d")[0]
    assert {h: of["fill_pct_count"] for h, of in hours.items()} == {h * HOUR_MS: 6.0 for h in range(24)}
    assert day["fill_pct_count"] == 144.0


def test_a_large_site_is_written_in_parts(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch):
    """However many assets there are, only so many points are held; the result is the same."""
    monkeypatch.setattr("ingest.rollup.HELD_POINTS", 3)
    store.write([p for n in range(2) for p in day_of(DAY0_MS, f"bin-0{n + 1}")])
    done = RollUp(store, SITE).catch_up(at(1, 1))
    assert (done.hours, done.days) == (48, 2)
    done = RollUp(store, SITE).roll(DAY0_MS, at(1), days_until_ms=at(1))
    assert (done.hours, done.days, done.same) == (0, 0, 50)


def test_a_late_reading_is_folded_into_its_hour_and_its_day(store: EmbeddedStore):
    """Six days late, written through the marks: hour and day are what they would be had it come in time."""
    late = [p for p in day_of(DAY0_MS) if at(0, 8) <= p.ts_ms < at(0, 9)]
    store.write([p for p in day_of(DAY0_MS) if p not in late])
    job = RollUp(store, SITE)
    job.catch_up(at(1, 1))
    assert 8 * HOUR_MS not in rolled(store, "_1h")
    now_ms = at(6, 3)
    LateMarks(store, SITE, lambda: now_ms).write(late)
    done = job.catch_up(now_ms)
    assert (done.late_hours, done.hours, done.days) == (1, 1, 1)
    assert job.catch_up(now_ms).late_hours == 0
    other = EmbeddedStore(store.path.with_name("other.sqlite3"))
    other.prepare()
    other.write(day_of(DAY0_MS))
    RollUp(other, SITE).catch_up(now_ms)
    assert rolled(store, "_1h") == rolled(other, "_1h")
    assert rolled(store, "_1d") == rolled(other, "_1d")
    other.close()


def test_duplicates_change_nothing(store: EmbeddedStore):
    """A batch that comes again after days is a late write of what is there: done again, and the same."""
    store.write(day_of(DAY0_MS))
    job = RollUp(store, SITE)
    job.catch_up(at(1, 1))
    before = rolled(store, "_1h"), rolled(store, "_1d")
    LateMarks(store, SITE, lambda: at(5)).write(day_of(DAY0_MS)[30:90])
    done = job.catch_up(at(5))
    assert (done.hours, done.days) == (0, 0)
    assert done.late_hours == 10
    assert (rolled(store, "_1h"), rolled(store, "_1d")) == before


def test_readings_in_time_carry_no_marks_and_marks_are_not_counted(store: EmbeddedStore):
    """A mark costs nothing in the usual case; the caller hears of its own points alone."""
    marked = LateMarks(store, SITE, lambda: at(0, 1))
    assert marked.write([reading(at(0, 0.99), 1.0)]).stored == 1
    assert list(store.points("rollup_due", site=SITE, start_ms=0, end_ms=2 * DAY0_MS)) == []
    result = marked.write([reading(at(-1), 1.0), reading(at(-1, 2), float("nan")), reading(at(-1, 4), 3.0)])
    assert (result.stored, [r.index for r in result.rejected]) == (2, [1])
    due = [p.ts_ms - at(-1) for p in store.points("rollup_due", site=SITE, start_ms=0, end_ms=2 * DAY0_MS)]
    assert due == [0, 2 * HOUR_MS, 4 * HOUR_MS]
    assert len(list(store.readings(site=SITE, start_ms=0, end_ms=2 * DAY0_MS))) == 3


def test_a_reading_stored_while_its_hour_is_rolled_up_is_not_forgotten(store: EmbeddedStore):
    """Another worker writes, rolls up and settles the mark between our reading and our writing: we see and redo."""
    store.write(day_of(DAY0_MS))
    late = reading(at(0, 5) + 5 * MINUTE_MS, 99.0)
    overtaken = []

    class Overtaken:
        """The store as a slow worker sees it: before its first write, another worker does everything."""

        def __getattr__(self, name):
            return getattr(store, name)

        def write(self, points):
            if not overtaken:
                overtaken.append(1)
                LateMarks(store, SITE, lambda: at(1, 1)).write([late])
                RollUp(store, SITE).catch_up(at(1, 1))
            return store.write(points)

    RollUp(Overtaken(), SITE).catch_up(at(1, 1))  # type: ignore[arg-type]
    assert rolled(store, "_1h")[5 * HOUR_MS]["fill_pct_max"] == 99.0
    assert rolled(store, "_1d")[0]["fill_pct_count"] == 145.0


def test_what_retention_left_never_replaces_what_was_made_of_more(store: EmbeddedStore):
    """Half of an hour gone by age: rolling it up again keeps the point of the whole hour."""
    store.write(day_of(DAY0_MS))
    job = RollUp(store, SITE)
    job.catch_up(at(1, 1))
    before = rolled(store, "_1h")
    assert store._writer is not None
    store._writer.execute("DELETE FROM points_bin WHERE ts_ms < ?", (at(0, 3) + 30 * MINUTE_MS,))
    done = job.roll(DAY0_MS, at(1), days_until_ms=at(1))
    assert (done.kept, done.same) == (1, 21)
    assert rolled(store, "_1h") == before


def test_a_run_that_is_cut_short_goes_on_where_it_was(store: EmbeddedStore):
    """Told to end after every piece, a new job each time: it arrives, and at the same points."""
    store.write(day_of(DAY0_MS) + day_of(at(1), "bin-02"))
    runs = 0
    while (RollUp(store, SITE, go_on=lambda _s: False).catch_up(at(2, 1)).until_ms or 0) < at(2):
        runs += 1
        assert runs < 20
    assert runs == 7
    assert len(rolled(store, "_1h")) == len(rolled(store, "_1h", "bin-02")) == 24
    assert set(rolled(store, "_1d", "bin-02")) == {DAY_MS}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kept=st.sets(st.integers(0, 287), min_size=1, max_size=80),
    cuts=st.sets(st.integers(1, 47), max_size=6),
    late=st.sets(st.integers(0, 287), max_size=40),
)
def test_any_split_of_the_data_gives_the_same(tmp_path: Path, kept: set[int], cuts: set[int], late: set[int]):
    """Two days, arriving in any two parts and rolled up in any pieces of time: the points of one single run."""
    readings = [p for i, p in enumerate(day_of(DAY0_MS) + day_of(at(1))) if i in kept]
    first = [p for i, p in enumerate(readings) if i not in late]
    one, pieces = EmbeddedStore(tmp_path / "one.sqlite3"), EmbeddedStore(tmp_path / "pieces.sqlite3")
    for path in (one.path, pieces.path):
        path.unlink(missing_ok=True)
        path.with_name(path.name + "-wal").unlink(missing_ok=True)
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
    try:
        one.prepare()
        one.write(readings)
        RollUp(one, SITE).catch_up(at(3))
        pieces.prepare()
        now_ms = at(0)
        marked = LateMarks(pieces, SITE, lambda: now_ms)
        marked.write(first)
        for cut in sorted(cuts):
            now_ms = at(0, cut + 0.5)
            RollUp(pieces, SITE).catch_up(now_ms)
        now_ms = at(3)
        marked.write(readings)
        RollUp(pieces, SITE).catch_up(now_ms)
        assert rolled(pieces, "_1h") == rolled(one, "_1h")
        assert rolled(pieces, "_1d") == rolled(one, "_1d")
    finally:
        one.close()
        pieces.close()


def test_readings_beyond_their_retention_go_once_they_are_rolled_up(store: EmbeddedStore):
    """In small batches, whole hours, never past the mark; hours and days stay; nothing goes without a retention."""
    store.write([p for day in range(5) for p in day_of(at(day))])
    job = RollUp(store, SITE)
    assert job.catch_up(at(5, 1)).expired == 0
    store.keep("raw", 2)
    assert store.expire(site=SITE, now_ms=at(5, 1), rolled_ms=at(1)) == 144  # one day is rolled up: one day goes
    assert store.expire(site="other", now_ms=at(5, 1), rolled_ms=at(5)) == 0
    done = job.catch_up(at(5, 1.5))
    assert done.expired == 2 * 144 + 6
    left = [p.ts_ms for p in store.readings(site=SITE, start_ms=0, end_ms=2 * DAY0_MS)]
    assert left[0] == at(3, 1)
    assert (len(rolled(store, "_1h")), len(rolled(store, "_1d"))) == (120, 5)
    store.keep("hourly", 3)
    job.catch_up(at(5, 1.5))
    assert (len(rolled(store, "_1h")), len(rolled(store, "_1d"))) == (71, 5)


def test_expiry_takes_a_bounded_batch_at_a_time(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch):
    """Readings that arrive meanwhile wait for one small transaction, not for all."""
    monkeypatch.setattr("ingest.stores.embedded.EXPIRE_ROWS", 100)
    store.write([p for day in range(2) for p in day_of(at(day))])
    store.keep("raw", 1)
    counts = []
    while removed := store.expire(site=SITE, now_ms=at(9), rolled_ms=at(2)):
        counts.append(removed)
    assert counts == [100, 100, 88]


def test_the_days_keep_the_offset_of_the_first_run(store: EmbeddedStore):
    """Another offset later would cut the series in two: the store's own goes on."""
    store.write(day_of(DAY0_MS) + day_of(at(1)))
    RollUp(store, SITE).catch_up(at(1, 1))
    RollUp(store, SITE, offset_s=0).catch_up(at(2, 1))
    assert set(rolled(store, "_1d")) == {0, DAY_MS}
    assert store.latest(MARK, site=SITE)[0].fields["mark"] == OFFSET_S
    with pytest.raises(ValueError, match="full hour"):
        RollUp(store, SITE, offset_s=1800)


def test_the_task_survives_a_store_that_is_down_and_says_so(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch):
    """Down, then a fault of ours, then fine: it shows each and goes on at the next turn."""
    store.write(day_of(DAY0_MS))
    task = RollUpTask(store, SITE, lambda: at(1, 1), every_s=1, offset_s=OFFSET_S, late_s=900)
    for error, words in ((StoreUnavailable("away"), "away"), (KeyError("x"), "KeyError")):
        with monkeypatch.context() as patch:
            patch.setattr(store, "points", lambda *_a, _error=error, **_k: (_ for _ in ()).throw(_error))
            task.turn()
        assert words in task.reason
        assert task.health()["rollup_ok"] == 0
    task.turn()
    assert task.health() == {"rollup_ok": 1, "rolled_up_until_s": at(1) / 1000}
    assert set(task.health()) <= set(COUNTS["ingest"])
    assert task.written == 25


def test_the_task_runs_in_its_thread_until_it_is_stopped(store: EmbeddedStore):
    """Started it works by itself, stopped it ends; with 0 it never begins."""
    store.write(day_of(DAY0_MS))
    for every_s in (0, 3600):
        task = RollUpTask(store, SITE, lambda: at(1, 1), every_s=every_s, offset_s=OFFSET_S, late_s=900)
        task.start()
        assert (task._thread is not None) == bool(every_s)
        task.stop()
        assert task._thread is None or not task._thread.is_alive()

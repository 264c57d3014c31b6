"""The embedded file keeps what it acknowledged, and says clearly when it cannot."""

import sqlite3
import threading
from pathlib import Path

import pytest

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import FieldValue, Point
from ingest.stores import schema, sqlite_reads
from ingest.stores.embedded import EmbeddedStore

T0_MS = 1_795_488_752_000


def bin_point(asset: str = "bin-01", *, minute: int = 0, seq: int = 1, device: str = "", **fields: FieldValue) -> Point:
    return Point(
        "bin",
        {"site": "alun", "asset": asset, "device": device or f"dev-{asset}", "zone": "utara"},
        T0_MS + minute * 60_000,
        {"fill_pct": 10.0, "state": "ok", "quality": 4, "flags": 0, "boot": 7, "seq": seq, **fields},
    )


@pytest.fixture
def store(tmp_path: Path):
    store = EmbeddedStore(tmp_path / "points.sqlite3")
    store.prepare()
    yield store
    store.close()


def stored(store: EmbeddedStore) -> list[Point]:
    return list(store.readings(site="alun", start_ms=0, end_ms=2 * T0_MS))


def test_a_commit_survives_a_power_cut_by_configuration(store: EmbeddedStore):
    """WAL with synchronous FULL (2): the write returns after the sync, not before."""
    store.write([bin_point()])
    assert store._writer is not None
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._writer.execute("PRAGMA mmap_size").fetchone() in (None, (0,))


def test_latest_moves_only_forward_by_time_then_seq(store: EmbeddedStore):
    """A late or replayed older point never becomes the newest; at equal times the higher seq wins."""
    newest = bin_point(minute=5, seq=9, fill_pct=50.0)
    store.write([newest])
    store.write([bin_point(minute=4, seq=10, fill_pct=99.0)])
    store.write([bin_point(minute=5, seq=8, device="dev-old", fill_pct=99.0)])
    assert store.latest("bin", site="alun") == [newest]
    swapped = bin_point(minute=5, seq=11, device="dev-new", fill_pct=51.0)
    store.write([swapped])
    assert store.latest("bin", site="alun") == [swapped]


def test_latest_within_one_batch_does_not_depend_on_the_order(store: EmbeddedStore):
    """A batch may arrive shuffled; the newest point of it is the newest of the asset."""
    store.write([bin_point(minute=m, seq=m + 1) for m in (3, 7, 1, 5)])
    assert [p.fields["seq"] for p in store.latest("bin", site="alun")] == [8]


def test_a_copy_within_one_batch_counts_as_stored_and_leaves_one_point(store: EmbeddedStore):
    """Identity is series and time; the later copy wins as it would over two batches."""
    result = store.write([bin_point(fill_pct=1.0), bin_point(fill_pct=2.0)])
    assert (result.stored, result.rejected) == (2, ())
    assert [p.fields["fill_pct"] for p in stored(store)] == [2.0]


def test_a_rewrite_replaces_the_whole_point(store: EmbeddedStore):
    """No field of the first copy shines through the second."""
    store.write([bin_point(temp_c=31.0)])
    store.write([bin_point()])
    assert "temp_c" not in stored(store)[0].fields


def test_bad_points_are_named_and_the_rest_is_stored(store: EmbeddedStore):
    """NaN, a type conflict and a broken tag are rejected by position; a rejected point adds no column."""
    store.write([bin_point()])
    bad_tag = Point("bin", {"site": "alun", "asset": "x"}, T0_MS, {"seq": 1})
    result = store.write(
        [
            bin_point("bin-02"),
            bin_point("bin-03", fill_pct=float("nan")),
            bin_point("bin-04", fill_pct=5, brand_new=1.0),
            bad_tag,
            bin_point("bin-05"),
        ]
    )
    assert result.stored == 2
    assert [(r.index, r.code) for r in result.rejected] == [(1, "bad-field"), (2, "type-conflict"), (3, "bad-tag")]
    assert [p.tags["asset"] for p in stored(store)] == ["bin-01", "bin-02", "bin-05"]
    with sqlite3.connect(store.path) as other:
        assert other.execute("SELECT count(*) FROM field_types WHERE field = 'brand_new'").fetchone() == (0,)


def test_a_full_disk_keeps_nothing_of_the_batch_and_recovers(store: EmbeddedStore):
    """SQLITE_FULL is 'for now': rolled back, retryable, and the same batch goes in once there is room."""
    store.write([bin_point()])
    writer = store._writer
    assert writer is not None
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    batch = [bin_point(f"bin-{n:04d}", new_field=1.0) for n in range(2000)]
    with pytest.raises(StoreUnavailable) as full:
        store.write(batch)
    assert full.value.retryable
    assert len(stored(store)) == 1
    assert len(store.latest("bin", site="alun")) == 1
    writer.execute("PRAGMA max_page_count = 1000000")
    assert store.write(batch).stored == 2000
    assert len(stored(store)) == 2001


def test_a_locked_file_is_unavailable_and_recovers(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch):
    """Another program that holds the write lock delays, it does not break."""
    monkeypatch.setattr(sqlite_reads, "BUSY_TIMEOUT_MS", 1)
    store.close()
    store = EmbeddedStore(store.path)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked"):
        store.write([bin_point()])
    other.execute("ROLLBACK")
    other.close()
    assert store.write([bin_point()]).stored == 1
    store.close()


def test_a_second_writer_is_turned_away_while_readers_are_welcome(store: EmbeddedStore):
    """One writer per file: SQLite's WAL-reset bug needs two; the lock ends with its holder."""
    store.write([bin_point()])
    second = EmbeddedStore(store.path)
    second.prepare()
    assert len(stored(second)) == 1
    with pytest.raises(StoreUnavailable, match="another process already writes"):
        second.write([bin_point(minute=1)])
    store.close()
    assert second.write([bin_point(minute=1)]).stored == 1
    second.close()


def test_a_reader_sees_each_committed_batch_and_never_writes(store: EmbeddedStore):
    """A read-only store follows the writer, columns that appear later included, and refuses to write."""
    reader = EmbeddedStore(store.path, read_only=True)
    reader.prepare()
    store.write([bin_point()])
    assert len(stored(reader)) == 1
    store.write([bin_point(minute=1, weight_kg=3.5)])
    assert stored(reader)[1].fields["weight_kg"] == 3.5
    with pytest.raises(StoreRefused, match="read-only"):
        reader.write([bin_point()])
    reader.close()


def test_a_reader_before_the_file_exists_is_told_to_wait(tmp_path: Path):
    """The dashboard may start before ingest: retryable, and no empty file is left behind."""
    path = tmp_path / "points.sqlite3"
    reader = EmbeddedStore(path, read_only=True)
    with pytest.raises(StoreUnavailable, match="not there yet") as missing:
        reader.prepare()
    assert missing.value.retryable
    assert not path.exists()


def test_a_newer_schema_is_refused(store: EmbeddedStore):
    """An older Resik never touches a newer file: writer and reader say upgrade."""
    store.close()
    with sqlite3.connect(store.path) as other:
        other.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    for read_only in (False, True):
        late = EmbeddedStore(store.path, read_only=read_only)
        with pytest.raises(StoreRefused, match="upgrade Resik"):
            late.prepare()
        late.close()


def test_a_file_of_the_first_schema_is_upgraded_with_all_it_holds(store: EmbeddedStore):
    """What an earlier Resik wrote is read as before, and can be given a retention."""
    store.write([bin_point()])
    store.close()
    with sqlite3.connect(store.path) as other:
        other.execute("DROP TABLE retention")
        other.execute("PRAGMA user_version = 1")
    upgraded = EmbeddedStore(store.path)
    upgraded.prepare()
    assert stored(upgraded) == [bin_point()]
    assert upgraded.retention() == {}
    upgraded.keep("raw", 90)
    assert upgraded.retention() == {"raw": 90}
    upgraded.close()


def test_another_programs_database_is_refused(tmp_path: Path):
    """A SQLite file without our mark is left alone."""
    path = tmp_path / "points.sqlite3"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE notes (text TEXT)")
    other.close()
    store = EmbeddedStore(path)
    with pytest.raises(StoreRefused, match="another program"):
        store.prepare()
    store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    """Text in the place of the file is damage that a person must look at, not a reason to retry."""
    path = tmp_path / "points.sqlite3"
    path.write_text("not a database at all, " * 100)
    with pytest.raises(StoreRefused, match="damaged"):
        EmbeddedStore(path).prepare()


def test_a_damaged_page_is_found_at_start(store: EmbeddedStore):
    """quick_check reads the whole file; the sentence says what to do with it."""
    store.write([bin_point(f"bin-{n:04d}") for n in range(3000)])
    store.close()
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 4096)
    damaged = EmbeddedStore(store.path)
    with pytest.raises(StoreRefused, match="restore the last backup"):
        damaged.prepare()
    damaged.close()


def test_an_unusable_folder_is_refused_with_the_setting(tmp_path: Path):
    """A file where the folder should be is a wrong store_url."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefused, match="store_url"):
        EmbeddedStore(tmp_path / "file" / "points.sqlite3").prepare()


def test_prepare_twice_changes_nothing(store: EmbeddedStore):
    """Starting again on an existing file keeps every point."""
    store.write([bin_point()])
    store.prepare()
    assert len(stored(store)) == 1


def test_many_threads_read_while_one_writes(store: EmbeddedStore):
    """Connections are never shared between threads at the same time; every read sees whole batches of ten."""
    store.write([bin_point(f"bin-{n}") for n in range(10)])
    seen: list[int] = []
    errors: list[Exception] = []

    def read() -> None:
        try:
            for _ in range(20):
                seen.append(len(stored(store)))
                store.latest("bin", site="alun")
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for minute in range(1, 30):
        store.write([bin_point(f"bin-{n}", minute=minute, seq=minute + 1) for n in range(10)])
    for thread in threads:
        thread.join()
    assert errors == []
    assert all(count % 10 == 0 for count in seen)


def test_pages_of_the_iterators_join_without_loss_or_copy(store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch):
    """Many points of one millisecond span a page edge: each still comes once, in time order."""
    monkeypatch.setattr(sqlite_reads, "PAGE_ROWS", 7)
    points = [bin_point(f"bin-{n:02d}", minute=minute, seq=minute + 1) for minute in range(5) for n in range(20)]
    store.write(points)
    read = stored(store)
    assert [p.ts_ms for p in read] == sorted(p.ts_ms for p in points)
    key = lambda p: (p.ts_ms, p.tags["asset"])  # noqa: E731
    assert sorted(read, key=key) == sorted(points, key=key)
    assert len(list(store.identities("bin", site="alun", start_ms=0, end_ms=2 * T0_MS))) == 100


@pytest.mark.parametrize(("fields", "every_s"), [([], None), (["fill_pct"], 0), (["fill_pct"], -60)])
def test_a_senseless_series_request_is_a_bug_of_the_caller(
    store: EmbeddedStore, fields: list[str], every_s: int | None
):
    """No field or no window is a ValueError, not an empty answer."""
    with pytest.raises(ValueError, match=r"field|every_s"):
        store.series("bin", site="alun", asset="bin-01", fields=fields, start_ms=0, end_ms=1, every_s=every_s)


def test_reading_an_unknown_measurement_or_a_hostile_name_finds_nothing(store: EmbeddedStore):
    """Names are bound or checked, never pasted: no table, no error, no injection."""
    store.write([bin_point()])
    hostile = 'bin" UNION SELECT * FROM latest --'
    empty = store.series(hostile, site="alun", asset="bin-01", fields=["fill_pct"], start_ms=0, end_ms=2 * T0_MS)
    assert empty.ts_ms == []
    assert list(store.identities(hostile, site="alun", start_ms=0, end_ms=2 * T0_MS)) == []
    assert store.latest(hostile, site="alun") == []
    fields = ["fill_pct", hostile]
    found = store.series("bin", site="alun", asset="bin-01", fields=fields, start_ms=0, end_ms=2 * T0_MS)
    assert found.columns == {"fill_pct": [10.0], hostile: [None]}

"""The dead-letter store keeps what could not be stored, once, and within bounds."""

import fcntl
import sqlite3
import threading
from pathlib import Path

import pytest

from ingest import deadletter, deadletter_schema
from ingest.deadletter import OVER_QUOTA, Choice, DeadLetter, SqliteDeadLetters
from ingest.deadletter_schema import SCHEMA_VERSION
from ingest.errors import StoreRefused, StoreUnavailable


def letter(raw: bytes = b"x", *, device: str = "rsk-b001", code: str = "bad-json", reason: str = "why") -> DeadLetter:
    return DeadLetter(device, "resik/a/b/up/bin", code, reason, raw)


@pytest.fixture
def store(tmp_path: Path) -> SqliteDeadLetters:
    """Make an empty store with room for 3 letters a device."""
    made = SqliteDeadLetters(tmp_path / "dead.sqlite3", quota_per_device=3)
    made.prepare()
    return made


def test_a_letter_comes_back_whole_from_another_process_view(store: SqliteDeadLetters) -> None:
    """What was put is committed: a second, read-only connection sees all of it."""
    store.put([letter(b"\x00\xff raw")], 1_000)
    reader = SqliteDeadLetters(store.path, read_only=True)
    (listed,) = reader.list()
    assert listed.raw == b""
    shown = reader.show(listed.id)
    assert shown is not None
    assert (shown.device, shown.code, shown.reason, shown.raw) == ("rsk-b001", "bad-json", "why", b"\x00\xff raw")
    assert (shown.count, shown.first_ms, shown.last_ms) == (1, 1_000, 1_000)


def test_the_same_content_is_one_letter_with_a_count(store: SqliteDeadLetters) -> None:
    """A repeat raises the count and the last sight, and keeps the first."""
    store.put([letter(), letter()], 1_000)
    store.put([letter(), letter(b"other")], 2_000)
    other, same = store.list()
    assert (same.count, same.first_ms, same.last_ms) == (3, 1_000, 2_000)
    assert other.count == 1
    assert store.counts() == {"bad-json": 4}


@pytest.mark.parametrize("change", [{"device": "rsk-b002"}, {"code": "clock"}, {"raw": b"y"}])
def test_another_device_code_or_content_is_another_letter(store: SqliteDeadLetters, change: dict) -> None:
    """Nothing is merged that differs in one of the three."""
    store.put([letter(), letter(**change)], 1)
    assert len(store.list()) == 2


def test_a_flooding_device_is_counted_beyond_its_quota(store: SqliteDeadLetters) -> None:
    """Three letters are kept, the other five are one letter with a count; the neighbour is not affected."""
    store.put([letter(b"%d" % n) for n in range(8)] + [letter(b"1", device="rsk-b002")], 1)
    assert store.counts() == {"bad-json": 4, OVER_QUOTA: 5}
    assert [found.count for found in store.list(code=OVER_QUOTA)] == [5]
    assert len(store.list(device="rsk-b002")) == 1
    store.put([letter(b"0")], 2)  # known content still counts on its own letter
    assert store.counts() == {"bad-json": 5, OVER_QUOTA: 5}


def test_raw_is_cut_to_four_kilobytes(store: SqliteDeadLetters) -> None:
    """A large payload cannot fill the disk."""
    store.put([letter(b"z" * 100_000)], 1)
    found = store.show(store.list()[0].id)
    assert found is not None
    assert len(found.raw) == 4096


def test_listing_pages_and_filters(store: SqliteDeadLetters) -> None:
    """Newest first, page by page, without overlap."""
    store.put([letter(b"%d" % n, device=f"rsk-b00{n}") for n in range(5)], 1)
    first = store.list(limit=2)
    second = store.list(limit=2, before_id=first[-1].id)
    assert [found.device for found in first + second] == ["rsk-b004", "rsk-b003", "rsk-b002", "rsk-b001"]
    assert store.list(code="clock") == []
    with pytest.raises(ValueError, match=r"1\.\.500"):
        store.list(limit=0)


def test_purge_deletes_by_age_or_id_and_never_everything_by_accident(store: SqliteDeadLetters) -> None:
    """Old letters go, named letters go, and a call without a choice is an error."""
    store.put([letter(b"old")], 1_000)
    store.put([letter(b"new"), letter(b"newer")], 2_000)
    assert store.purge(before_ms=2_000) == 1
    assert store.delete(Choice(ids=(store.list()[0].id, 999))) == 1
    assert len(store.list()) == 1
    with pytest.raises(ValueError, match="names nothing"):
        store.delete(Choice())


def test_a_choice_means_letters_for_which_all_of_it_holds(store: SqliteDeadLetters) -> None:
    """Device, code, ids and age narrow the choice together; what it does not name stays."""
    store.put([letter(b"1"), letter(b"2", code="clock"), letter(b"3", device="rsk-b002")], 1_000)
    store.put([letter(b"4")], 2_000)
    assert [found.raw for found in store.choose(Choice(device="rsk-b001", code="bad-json"))] == [b"1", b"4"]
    assert [found.raw for found in store.choose(Choice(), after_id=1, limit=2)] == [b"2", b"3"]
    assert store.delete(Choice(code="bad-json", before_ms=2_000)) == 2
    assert store.choose(Choice(ids=())) == []
    assert [found.raw for found in store.choose(Choice())] == [b"2", b"4"]


def test_an_older_file_becomes_one_of_today_and_keeps_its_letters(tmp_path: Path) -> None:
    """A letter of schema version 2 is still there, without what its row said."""
    path = tmp_path / "old.sqlite3"
    with sqlite3.connect(path) as old:
        for script in deadletter_schema._MIGRATIONS[:2]:
            old.executescript(script)
        old.execute(
            "INSERT INTO letters (key, device, topic, code, reason, raw, count, first_ms, last_ms, boot, seq)"
            " VALUES (x'00', 'rsk-b001', 't', 'clock', 'why', x'7b7d', 1, 5, 6, 7, 8)"
        )
        old.execute(f"PRAGMA application_id = {deadletter_schema.APPLICATION_ID}")
        old.execute("PRAGMA user_version = 2")
    old.close()
    store = SqliteDeadLetters(path)
    store.prepare()
    (found,) = store.choose(Choice())
    assert (found.boot, found.seq, found.kind, found.arrived_ms, found.time) == (7, 8, "", None, "")


def test_a_batch_of_letters_is_all_or_nothing(store: SqliteDeadLetters) -> None:
    """When one insert fails, none of the batch is there: it was not acknowledged either."""
    with sqlite3.connect(store.path) as other:
        other.execute(
            "CREATE TRIGGER fail BEFORE INSERT ON letters WHEN new.code = 'boom' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    with pytest.raises(StoreUnavailable, match="nothing is acknowledged"):
        store.put([letter(b"good"), letter(code="boom")], 1)
    assert store.list() == []
    store.put([letter(b"good")], 2)
    assert len(store.list()) == 1


def test_put_is_durable_before_it_returns(store: SqliteDeadLetters) -> None:
    """Every commit is synced: WAL alone would lose it with the power."""
    with store._use() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_locked_file_is_retryable(store: SqliteDeadLetters) -> None:
    """Another writer that holds the file makes the call fail for now, not for good."""
    with store._use() as connection:
        connection.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable) as caught:
        store.put([letter()], 1)
    assert caught.value.retryable
    other.execute("ROLLBACK")
    store.put([letter()], 1)


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at" * 10, None])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A text file and somebody else's database are left alone, with a sentence that names the setting."""
    path = tmp_path / "other.sqlite3"
    if content is None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE mine (x)")
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(StoreRefused, match="dead_letter_file"):
        SqliteDeadLetters(path).prepare()
    assert path.read_bytes()[:100] == before[:100] or content is None


def test_a_newer_schema_is_refused(store: SqliteDeadLetters) -> None:
    """An older Resik does not touch the file of a newer one."""
    with store._use() as connection:
        connection.execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(StoreRefused, match="newer Resik"):
        store.prepare()


VERSION_1 = """
CREATE TABLE letters (
  id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, device TEXT NOT NULL, topic TEXT NOT NULL, code TEXT NOT NULL,
  reason TEXT NOT NULL, raw BLOB NOT NULL, count INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX letters_by_device ON letters (device);
CREATE INDEX letters_by_time ON letters (last_ms);
PRAGMA application_id = 0x52534B44;
PRAGMA user_version = 1;
INSERT INTO letters VALUES (1, x'00', 'rsk-b001', 't', 'clock', 'why', x'01', 4, 10, 20);
"""


def test_a_file_of_version_one_is_brought_forward(tmp_path: Path) -> None:
    """Its letters stay as they are, without identity; new ones get theirs; a second start changes nothing."""
    path = tmp_path / "old.sqlite3"
    with sqlite3.connect(path) as old:
        old.executescript(VERSION_1)
    old.close()
    store = SqliteDeadLetters(path)
    for _ in range(2):
        store.prepare()
    with store._use() as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    (kept,) = store.list()
    assert (kept.code, kept.count, kept.first_ms, kept.last_ms, kept.boot, kept.seq) == ("clock", 4, 10, 20, None, None)
    store.put([DeadLetter("rsk-b001", "t", "clock", "why", b"x", boot=7, seq=9)], 30)
    assert store.identities() == [("rsk-b001", 7, 9)]
    store.close()


def test_identities_name_each_dead_reading_once(store: SqliteDeadLetters) -> None:
    """Repeats and other faults of one reading are one identity; the same body in two boots is two; poison has none."""
    reading = DeadLetter("rsk-b001", "t", "clock", "why", b"body", boot=1, seq=5)
    store.put([reading, reading, letter(b"poison")], 1)
    store.put([DeadLetter("rsk-b001", "t", "clock", "why", b"body", boot=2, seq=5)], 2)
    store.put([DeadLetter("rsk-b002", "t", "bad-value", "why", b"body", boot=1, seq=5)], 2)
    assert store.identities() == [("rsk-b001", 1, 5), ("rsk-b001", 2, 5), ("rsk-b002", 1, 5)]
    reader = SqliteDeadLetters(store.path, read_only=True)
    assert reader.identities() == store.identities()


def test_beyond_the_quota_no_identity_is_claimed(store: SqliteDeadLetters) -> None:
    """The letter that only counts names nobody: it would stand for one reading and mean many."""
    store.put([DeadLetter("rsk-b001", "t", "clock", "why", b"%d" % n, boot=1, seq=n) for n in range(1, 6)], 1)
    assert store.identities() == [("rsk-b001", 1, n) for n in (1, 2, 3)]
    assert store.counts()[OVER_QUOTA] == 2


def test_a_path_that_cannot_be_a_file_is_refused(tmp_path: Path) -> None:
    """A folder where the file should be, or a folder below a file: a person must change the setting."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "folder", tmp_path / "file" / "dead.sqlite3"):
        with pytest.raises(StoreRefused, match="dead_letter_file"):
            SqliteDeadLetters(path).prepare()


def test_a_missing_file_is_unavailable_for_a_reader(tmp_path: Path) -> None:
    """Reading never creates the file."""
    reader = SqliteDeadLetters(tmp_path / "none.sqlite3", read_only=True)
    with pytest.raises(StoreUnavailable, match="not there yet"):
        reader.list()
    assert not (tmp_path / "none.sqlite3").exists()


def test_two_workers_take_turns_at_one_file(tmp_path: Path) -> None:
    """Two writers at once, the same letters and others: every sight is counted, and neither is refused."""
    path = tmp_path / "dead.sqlite3"
    faults: list[Exception] = []

    def work(name: str) -> None:
        letters = SqliteDeadLetters(path)
        try:
            letters.prepare()
            for number in range(50):
                letters.put([letter(device="both"), letter(device=f"{name}-{number}")], 1_000)
        except Exception as error:  # noqa: BLE001 - reported below
            faults.append(error)
        finally:
            letters.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert faults == []
    reader = SqliteDeadLetters(path, read_only=True)
    (shared,) = reader.list(device="both")
    assert shared.count == 100
    assert sum(reader.counts().values()) == 200
    reader.close()


def test_a_worker_that_holds_the_file_too_long_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting has an end: the batch stays with the gateway, and the reason names the file."""
    monkeypatch.setattr(deadletter, "LOCKED_FOR_S", 0.02)
    path = tmp_path / "dead.sqlite3"
    store = SqliteDeadLetters(path)
    store.prepare()
    with path.with_name("dead.sqlite3.lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StoreUnavailable, match="another worker holds it"):
            store.put([letter()], 1_000)
        assert store.counts() == {}  # reading waits for nobody
    store.put([letter()], 1_000)
    assert sum(store.counts().values()) == 1
    store.close()

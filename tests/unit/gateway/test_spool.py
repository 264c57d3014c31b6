"""The spool keeps every promise it makes at commit time."""

import sqlite3
from pathlib import Path

import pytest

from gateway import arrivals, schema
from gateway import spool as spool_module
from gateway.arrivals import HOLE_IS_GAP_AFTER_MS, MAX_RANGES
from gateway.disk import DiskWatch
from gateway.errors import SpoolCorrupt, SpoolError, SpoolFull, SpoolLocked, SpoolTooNew
from gateway.messages import read_message
from gateway.settled import TOGETHER_MS
from gateway.spool import SETTLED_KEEP_MS, Spool
from gateway.tail import ROWS_KEPT, Row
from tests.unit.gateway.fakes import NOW_MS, NOW_S, SITE, mark_of, payload, roomy, untimed, up

DEVICE = "rsk-b001"


def waiting(spool: Spool) -> list[Row]:
    return spool.take_backlog(0, 10_000, 10**9, ())


def reopen(spool: Spool, now_ms: int = NOW_MS) -> Spool:
    spool.close()
    return Spool(spool.path, now_ms=now_ms, disk=roomy(spool.path.parent))


def test_pragmas_are_durable_and_exclusive(spool: Spool) -> None:
    """The file is in WAL mode, syncs each commit fully, and keeps other processes out."""
    read = lambda name: spool._connection.execute(f"PRAGMA {name}").fetchone()[0]  # noqa: E731
    assert read("journal_mode") == "wal"
    assert read("synchronous") == 2  # FULL
    assert read("locking_mode") == "exclusive"


def test_a_second_gateway_on_the_file_is_refused(spool: Spool) -> None:
    """One file has one gateway: the second is told so instead of sharing it."""
    with pytest.raises(SpoolLocked, match="another process"):
        Spool(spool.path, now_ms=NOW_MS)


def test_a_reading_sent_again_is_acked_and_stored_once(spool: Spool) -> None:
    """A repeat gets the same ack as the first time and no second row."""
    first = spool.put([up(DEVICE, 7, [1, 2])])
    again = spool.put([up(DEVICE, 7, [1, 2]), up(DEVICE, 7, [2, 3])])
    assert (first.inserted, again.inserted, again.duplicates) == (2, 1, 3)
    assert [ack.upto for ack in again.acks] == [3]
    assert [row.seq for row in waiting(spool)] == [1, 2, 3]


def test_a_watermark_outlives_its_rows(spool: Spool) -> None:
    """After settling and pruning, a repeat is still known: acked, not stored again, ids not reused."""
    spool.put([up(DEVICE, 7, [1, 2, 4])])
    ids = [row.id for row in waiting(spool)]
    spool.settle(ids, [], NOW_MS)
    assert spool.prune(NOW_MS + SETTLED_KEEP_MS + TOGETHER_MS + 1) == 3
    spool = reopen(spool)
    put = spool.put([up(DEVICE, 7, [1, 2, 4])])
    assert put.inserted == 0
    assert (put.acks[0].upto, put.acks[0].also) == (2, [(4, 4)])
    spool.put([up(DEVICE, 7, [3])])
    assert [row.id for row in waiting(spool)] == [max(ids) + 1]
    spool.close()


def test_settled_rows_stay_48_hours_and_can_be_replayed(spool: Spool) -> None:
    """A restore of the store can be completed: settled rows are kept and wait again on demand."""
    spool.put([up(DEVICE, 7, [1, 2, 3])])
    ids = [row.id for row in waiting(spool)]
    assert spool.settle(ids[:2], ids[2:], NOW_MS) == (2, 1)
    assert spool.prune(NOW_MS + SETTLED_KEEP_MS) == 0
    assert spool.replay_settled(NOW_MS + TOGETHER_MS + 1) == 0, "not what was stored a minute before that"
    assert spool.replay_settled(NOW_MS) == 2, "dead rows do not come back"
    assert [row.id for row in waiting(spool)] == ids[:2]
    assert spool.backlog().waiting == 2


def test_prune_works_in_small_steps_and_never_touches_waiting_rows(spool: Spool) -> None:
    """Old settled rows go, at most `limit` at a time; rows that wait stay however old they are."""
    spool.put([up(DEVICE, 7, list(range(1, 11)))])
    spool.settle([row.id for row in waiting(spool)][:7], [], NOW_MS)
    far = NOW_MS + 100 * SETTLED_KEEP_MS
    assert [spool.prune(far, limit=5), spool.prune(far, limit=5), spool.prune(far, limit=5)] == [5, 2, 0]
    assert len(waiting(spool)) == 3


def test_settle_is_idempotent_and_ignores_unknown_ids(spool: Spool) -> None:
    """A late or forged ack settles nothing twice and nothing that does not exist."""
    spool.put([up(DEVICE, 7, [1])])
    (row,) = waiting(spool)
    assert spool.settle([row.id, row.id, 999], [], NOW_MS) == (1, 0)
    assert spool.settle([row.id], [row.id], NOW_MS) == (0, 0)
    assert spool.backlog().waiting == 0


def test_point_time_is_fixed_at_the_spool(spool: Spool) -> None:
    """A timed reading gets ts * 1000 + (boot + seq) % 1000: 1795488752 s, boot 999, seq 3 -> 2 ms."""
    spool.put([up(DEVICE, 999, [1000])])
    (row,) = waiting(spool)
    assert row.ts_ms == NOW_S * 1000 + (999 + 1000) % 1000
    assert row.time == "device"


def test_an_untimed_reading_keeps_its_time_across_a_restart(spool: Spool) -> None:
    """The anchor is saved once: later readings of the boot follow it even when their message was slow."""
    spool.put([untimed(DEVICE, 7, 1, up_s=90, sent_up_s=100, arrived_ms=NOW_MS)])
    spool = reopen(spool)
    spool.put([untimed(DEVICE, 7, 2, up_s=190, sent_up_s=200, arrived_ms=NOW_MS + 500_000)])
    first, second = waiting(spool)
    assert first.ts_ms == (NOW_S - 10) * 1000 + 8  # booted at NOW - 100 s, measured 90 s later
    assert second.ts_ms == (NOW_S + 90) * 1000 + 9  # the same boot instant, not the later arrival
    assert (first.time, second.time) == ("anchor", "anchor")
    spool.close()


def test_a_fast_clock_without_the_time_does_not_drift_into_the_future(spool: Spool) -> None:
    """1 % fast for ten days, with a restart: no reading is ahead of its arrival by a minute."""
    for hour in range(240):
        arrived_ms = NOW_MS + hour * 3_600_000
        up_s = 100 + hour * 3636
        spool.put([untimed(DEVICE, 7, hour + 1, up_s=up_s, sent_up_s=up_s, arrived_ms=arrived_ms)])
        if hour == 100:
            spool = reopen(spool)
    assert max(row.ts_ms - row.arrived_ms for row in waiting(spool)) < 60_000
    spool.close()


def test_a_step_of_our_own_clock_moves_no_anchor(spool: Spool) -> None:
    """A gateway that wakes up a day behind dates by that clock what comes then, and not the node for ever."""
    spool.put([untimed(DEVICE, 7, 1, up_s=100, sent_up_s=100, arrived_ms=NOW_MS)])
    spool.put([untimed(DEVICE, 7, 2, up_s=200, sent_up_s=200, arrived_ms=NOW_MS + 100_000 - 86_400_000)])
    spool.put([untimed(DEVICE, 7, 3, up_s=300, sent_up_s=300, arrived_ms=NOW_MS + 200_000)])
    assert [row.ts_ms // 1000 for row in waiting(spool)] == [NOW_S, NOW_S + 100 - 86_400, NOW_S + 200]


def test_a_boot_of_a_year_that_doubts_its_clock_is_still_dated(spool: Spool) -> None:
    """Uptime 1 % fast for a year is days ahead of the anchor: what is sent then arrives a moment after it was made."""
    spool.put([untimed(DEVICE, 7, 1, up_s=10, sent_up_s=10, arrived_ms=NOW_MS)])
    year_s = 31_536_000
    up_s = 10 + year_s * 101 // 100
    spool.put([untimed(DEVICE, 7, 2, up_s=up_s - 5, sent_up_s=up_s, arrived_ms=NOW_MS + year_s * 1000)])
    row = waiting(spool)[-1]
    assert -6000 <= row.ts_ms - row.arrived_ms <= 0


def test_each_boot_has_its_own_anchor_and_watermark(spool: Spool) -> None:
    """A reboot starts numbers and time afresh."""
    spool.put([untimed(DEVICE, 7, 1, up_s=5, sent_up_s=5, arrived_ms=NOW_MS)])
    spool.put([untimed(DEVICE, 8, 1, up_s=5, sent_up_s=5, arrived_ms=NOW_MS + 60_000)])
    assert [row.ts_ms // 1000 for row in waiting(spool)] == [NOW_S, NOW_S + 60]


def test_oldest_seq_passes_a_hole_and_counts_the_gap(spool: Spool) -> None:
    """What the device dropped is a visible fact, and the mark does not wait for it."""
    put = spool.put([up(DEVICE, 7, [1, 2, 6], oldest=5)])
    assert (put.acks[0].upto, put.acks[0].also) == (4, [(6, 6)])  # the device still holds 5
    assert (spool.backlog().gaps, spool.backlog().lost) == (1, 2)  # 3 and 4
    assert spool._connection.execute("SELECT from_seq, to_seq, reason FROM gaps").fetchall() == [(3, 4, "lost")]


def test_a_reading_that_overtook_the_news_of_its_loss_is_stored(spool: Spool) -> None:
    """A number inside a passed gap never was stored, so it is no duplicate; the gap shrinks around it."""
    spool.put([up(DEVICE, 7, [10], oldest=10)])
    assert spool.backlog().lost == 9
    put = spool.put([up(DEVICE, 7, [4])])
    assert (put.inserted, put.duplicates) == (1, 0)
    assert spool.put([up(DEVICE, 7, [4])]).duplicates == 1
    gaps = spool._connection.execute("SELECT from_seq, to_seq FROM gaps ORDER BY 1").fetchall()
    assert gaps == [(1, 3), (5, 9)]


def test_a_device_older_than_the_spool_is_no_loss(spool: Spool) -> None:
    """After a spool was replaced, what an earlier file had acked is not reported as lost."""
    booted_before = read_message(f"resik/{SITE}/{DEVICE}/up/bin", payload(7, [10], oldest=10, up_s=3600), NOW_MS + 1000)
    booted_after = read_message(f"resik/{SITE}/rsk-b002/up/bin", payload(7, [10], oldest=10, up_s=1), NOW_MS + 9000)
    spool.put([booted_before, booted_after])
    assert (spool.backlog().before_spool, spool.backlog().lost, spool.backlog().gaps) == (9, 9, 1)


def test_a_hole_becomes_a_gap_after_ten_minutes_and_heals(spool: Spool) -> None:
    """A standing hole is reported, not passed; when the readings come, the report goes away."""
    spool.put([up(DEVICE, 7, [1, 5, 9])])
    assert spool.note_late_gaps(NOW_MS + HOLE_IS_GAP_AFTER_MS - 1) == 0
    assert spool.note_late_gaps(NOW_MS + HOLE_IS_GAP_AFTER_MS) == 2
    assert spool.note_late_gaps(NOW_MS + HOLE_IS_GAP_AFTER_MS + 1) == 0, "counted once"
    assert spool.backlog().late == 6
    assert spool.put([up(DEVICE, 7, [3])]).inserted == 1
    assert spool.backlog().late == 5
    assert spool.put([up(DEVICE, 7, [2, 4, 6, 7, 8])]).inserted == 5
    assert (spool.backlog().gaps, mark_of(spool, DEVICE, 7)) == (0, (9, []))


def test_poison_is_stored_once_however_often_it_comes(spool: Spool) -> None:
    """Unreadable messages are kept by content, with topic and code, and cost one row each."""
    bad = read_message(f"resik/{SITE}/{DEVICE}/up/bin", b"\xff{not json", NOW_MS)
    other = read_message(f"resik/{SITE}/{DEVICE}/up/bin", b"\xff{not json either", NOW_MS)
    put = spool.put([bad, bad, other])
    assert (put.poison, put.duplicates, put.acks) == (2, 1, [])
    first = waiting(spool)[0]
    assert (first.kind, first.boot, first.code, first.body) == ("poison", -1, "bad-json", b"\xff{not json")
    assert first.seq is not None
    assert 0 <= first.seq < 2**63


def test_presence_is_a_row_and_a_repeat_is_not(spool: Spool) -> None:
    """A status counts once per uptime; a last will has no identity and counts each time."""
    status = read_message(f"resik/{SITE}/{DEVICE}/up/status", b'{"v":1,"boot":7,"up_s":5,"fw":"1.0.0"}', NOW_MS)
    will = read_message(f"resik/{SITE}/{DEVICE}/up/will", b'{"v":1,"boot":7}', NOW_MS)
    put = spool.put([status, status, will, will])
    assert (put.presence, put.duplicates, put.acks) == (3, 1, [])
    assert [row.kind for row in waiting(spool)] == ["status", "will", "will"]
    assert spool.put([up(DEVICE, 7, [1])]).acks[0].upto == 1, "presence takes no sequence number"


def test_a_repeat_uses_up_no_id(spool: Spool) -> None:
    """A node that repeats itself all day splits no range: each piece would be looked through every second."""
    status = read_message(f"resik/{SITE}/{DEVICE}/up/status", b'{"v":1,"boot":7,"up_s":5,"fw":"1.0.0"}', NOW_MS)
    bad = read_message(f"resik/{SITE}/{DEVICE}/up/bin", b"\xff{not json", NOW_MS)
    for seq in range(1, 6):
        spool.put([status, bad, up(DEVICE, 7, [seq]), bad, status])
    ids = [row.id for row in waiting(spool)]
    assert ids == list(range(1, 8))
    spool.settle(ids, [], NOW_MS)
    assert [(low, high) for low, high, _ in spool._settled.ranges] == [(1, 7)]


def test_a_device_with_a_thousand_holes_is_held_off(spool: Spool) -> None:
    """Random sequence numbers cannot grow a mark without bound; the message is evidence instead."""
    for start in range(1, MAX_RANGES + 200, 64):
        last = spool.put([up(DEVICE, 7, list(range(2 * start, 2 * start + 128, 2)))])
    assert last.poison == 1
    assert len(mark_of(spool, DEVICE, 7)[1]) <= MAX_RANGES


def test_a_commit_that_fails_leaves_no_trace(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the commit raises, nothing is stored, nothing in memory moved, and the next try is complete."""
    spool.put([up(DEVICE, 7, [1])])

    def fail() -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    monkeypatch.setattr(spool, "_commit", fail)
    with pytest.raises(SpoolError) as caught:
        spool.put([up(DEVICE, 7, [2, 3])])
    assert caught.value.retryable
    monkeypatch.undo()
    assert mark_of(spool, DEVICE, 7) == (1, [])
    put = spool.put([up(DEVICE, 7, [2, 3])])
    assert (put.inserted, put.duplicates, put.acks[0].upto) == (2, 0, 3)
    assert [row.id for row in waiting(spool)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("code", "kind", "retryable"),
    [
        (sqlite3.SQLITE_FULL, SpoolFull, True),
        (sqlite3.SQLITE_IOERR | (3 << 8), SpoolError, True),
        (sqlite3.SQLITE_CORRUPT, SpoolCorrupt, False),
        (sqlite3.SQLITE_NOTADB, SpoolCorrupt, False),
        (sqlite3.SQLITE_BUSY, SpoolLocked, False),
    ],
)
def test_errors_say_whether_waiting_helps(code: int, kind: type[SpoolError], retryable: bool) -> None:
    """SQLite's codes become errors that loops decide by: extended codes count as their family."""
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    spool_error = schema.as_spool_error(error, Path("s"))
    assert type(spool_error) is kind
    assert spool_error.retryable is retryable


def test_low_disk_stops_intake_and_space_starts_it_again(tmp_path: Path) -> None:
    """Below the stop mark nothing goes in; settling still works; intake resumes by itself."""
    free = [500]
    spool = Spool(
        tmp_path / "s.sqlite3", now_ms=NOW_MS, disk=DiskWatch(tmp_path, measure=lambda _f: (10_000_000, free[0]))
    )
    free[0] = 2_000_000
    assert spool.check_space().level == "ok"
    spool.put([up(DEVICE, 7, [1])])
    free[0] = 1_400_000
    assert spool.check_space().level == "warn"
    spool.put([up(DEVICE, 7, [2])])
    free[0] = 400_000
    assert spool.check_space().level == "stop"
    with pytest.raises(SpoolFull):
        spool.put([up(DEVICE, 7, [3])])
    assert spool.settle([1], [], NOW_MS) == (1, 0)
    free[0] = 600_000
    assert spool.check_space().level == "warn"
    assert spool.put([up(DEVICE, 7, [3])]).inserted == 1
    spool.close()


def test_pages_that_sqlite_holds_free_count_as_room() -> None:
    """A spool full of pruned pages has room although the disk says otherwise."""
    watch = DiskWatch(Path(), measure=lambda _folder: (1000, 40))
    assert watch.look().level == "stop"
    assert watch.look(reusable_bytes=200).level == "ok"


@pytest.mark.parametrize("damage", ["header", "page"])
def test_a_damaged_file_is_moved_aside_and_people_are_told(
    spool: Spool, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Damage costs the file, never the process: a new spool with a new id starts and names the old one."""
    for start in range(1, 2000, 64):
        spool.put([up(DEVICE, 7, list(range(start, start + 64)))])
    path, old_id = spool.path, spool.id
    spool.close()
    with path.open("r+b") as file:
        file.seek(0 if damage == "header" else 4096 * 3)
        file.write(b"\xde\xad" * (50 if damage == "header" else 20_000))
    new = Spool(path, now_ms=NOW_MS, disk=roomy(path.parent))
    assert new.id != old_id
    assert new.replaced is not None
    assert new.replaced.exists()
    assert "SPOOL DAMAGED" in caplog.text
    assert new.put([up(DEVICE, 7, [1])]).inserted == 1
    new = reopen(new)
    assert new.replaced is not None, "said until somebody deals with the old file, across restarts"
    new.replaced.unlink()
    assert new.replaced is None
    new.close()


def test_a_newer_schema_is_refused_and_left_untouched(spool: Spool) -> None:
    """A downgrade is told in one sentence and changes nothing."""
    spool._connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    spool.close()
    before = spool.path.read_bytes()
    with pytest.raises(SpoolTooNew, match="schema 99"):
        Spool(spool.path, now_ms=NOW_MS)
    assert spool.path.read_bytes() == before


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    """The gateway does not write its tables into a stranger's file."""
    path = tmp_path / "other.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE holiday (day TEXT)")
    connection.commit()
    connection.close()
    with pytest.raises(SpoolError, match="something else"):
        Spool(path, now_ms=NOW_MS)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """A wrong spool_file names itself and the setting to change."""
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="spool_file"):
        Spool(tmp_path / "file" / "spool.sqlite3", now_ms=NOW_MS)


def test_live_lane_has_the_newest_row_of_each_device_once(spool: Spool) -> None:
    """By time, not by arrival: a device that sends its backlog does not push its newest reading back."""
    spool.put([up("rsk-b001", 7, [5, 6]), up("rsk-b002", 7, [1])])
    spool.put([up("rsk-b001", 7, [1, 2])])
    assert {(row.device, row.seq) for row in spool.take_live(10, 10**9)} == {("rsk-b001", 6), ("rsk-b002", 1)}
    assert spool.take_live(10, 10**9) == []
    spool = reopen(spool)
    assert {(row.device, row.seq) for row in spool.take_live(10, 10**9)} == {("rsk-b001", 6), ("rsk-b002", 1)}
    spool.close()


def test_taking_respects_the_byte_limit_and_forgets_nothing(spool: Spool) -> None:
    """A batch ends before it is too big; what did not fit comes with the next one, in both lanes."""
    spool.put([up(f"rsk-b{n:03d}", 7, [1]) for n in range(10)])
    size = len(waiting(spool)[0].body)
    spool = reopen(spool)
    assert len(spool.take_live(10, 3 * size)) == 3
    assert len(spool.take_live(10, 10**9)) == 7
    rows = spool.take_backlog(0, 10, 3 * size, ())
    assert [row.id for row in rows] == [1, 2, 3]
    assert [row.id for row in spool.take_backlog(3, 3, 10**9, {5, 6})] == [4, 7, 8]
    assert [row.id for row in spool.take_backlog(0, 10, 1, ())] == [1], "one row always fits"
    spool.close()


def test_zero_is_not_missing_in_the_body(spool: Spool) -> None:
    """The body travels as it came: zeros, nulls and unknown fields included."""
    raw = b'{"v":1,"boot":7,"r":[{"seq":1,"ts":0,"distance_mm":0,"fill_pct":null,"x":1.5}]}'
    spool.put([read_message(f"resik/{SITE}/{DEVICE}/up/bin", raw, NOW_MS)])
    (row,) = waiting(spool)
    assert row.body == b'{"seq":1,"ts":0,"distance_mm":0,"fill_pct":null,"x":1.5}'
    assert row.ts_ms == 8, "1970 is passed on; ingest judges it"


def test_dead_rows_leave_at_once_and_stored_ones_stay(spool: Spool) -> None:
    """What the dead-letter store has is not kept twice; a repeat of such a reading is known all the same."""
    spool.put([up(DEVICE, 7, [1, 2])])
    assert spool.settle([1], [2], NOW_MS) == (1, 1)
    assert spool.settle([1], [2], NOW_MS) == (0, 0)
    assert spool._connection.execute("SELECT id FROM rows").fetchall() == [(1,)]
    assert spool.waiting == spool.backlog().waiting == 0
    assert spool.put([up(DEVICE, 7, [2])]).duplicates == 1


def test_an_ack_whose_commit_fails_settles_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory and file are what they were; the same ack settles all of it once the disk takes it."""

    def fail() -> None:
        raise sqlite3.OperationalError

    spool.put([up(DEVICE, 7, [1, 2, 3])])
    with monkeypatch.context() as patched:
        patched.setattr(spool, "_commit", fail)
        with pytest.raises(SpoolError):
            spool.settle([1, 2], [3], NOW_MS)
    assert [row.id for row in waiting(spool)] == [1, 2, 3]
    assert (spool.waiting, spool.totals.stored, spool.totals.dead) == (3, 0, 0)
    assert spool.settle([1, 2], [3], NOW_MS) == (2, 1)
    reopened = reopen(spool)
    assert (waiting(reopened), reopened.waiting) == ([], 0)
    reopened.close()


def test_rows_from_memory_are_those_of_the_file(spool: Spool) -> None:
    """The first look takes what was just written, the second reads it back; a sign of presence is read at once."""
    status = read_message(f"resik/{SITE}/{DEVICE}/up/status", b'{"v":1,"boot":7,"up_s":5,"fw":"1"}', NOW_MS)
    spool.put([up(DEVICE, 7, [1, 2]), status, up(DEVICE, 7, [4, 3])])
    assert len(spool._tail) == 4
    first = waiting(spool)
    assert (len(spool._tail), len(first)) == (0, 5)
    assert first == waiting(spool)
    assert [row.id for row in first] == sorted(row.id for row in first)


def test_rows_that_nobody_takes_do_not_gather_in_memory(spool: Spool) -> None:
    """An uplink that is away for long costs disk, not memory."""
    for start in range(1, 3 * ROWS_KEPT, 64):
        spool.put([up(DEVICE, 7, list(range(start, start + 64)))])
        assert len(spool._tail) <= ROWS_KEPT
    assert [row.seq for row in waiting(spool)] == list(range(1, start + 64))


def test_what_waits_between_settled_rows_is_found_after_a_restart(spool: Spool) -> None:
    """Acks came out of order: the rows between them wait, the newest of them first."""
    spool.put([up(DEVICE, 7, [1, 2, 3, 4, 5, 6])])
    spool.settle([1, 4, 6], [3], NOW_MS)
    spool = reopen(spool)
    assert spool.waiting == spool.backlog().waiting == 2
    assert [row.id for row in spool.take_live(10, 10**6)] == [5]
    assert [row.id for row in waiting(spool)] == [2, 5]
    spool.close()


@pytest.mark.parametrize("call", ["backlog", "check_space", "prune", "note_late_gaps"])
def test_upkeep_speaks_in_errors_of_the_spool(spool: Spool, call: str) -> None:
    """A disk that fails under upkeep is a SpoolError, which waits or ends by its own word, never a raw error."""
    spool.put([up(DEVICE, 7, [1])])
    spool.settle([1], [], NOW_MS)
    spool._connection.close()
    arguments = [NOW_MS + 2 * SETTLED_KEEP_MS] if call in {"prune", "note_late_gaps"} else []
    with pytest.raises(SpoolError):
        getattr(spool, call)(*arguments)


def test_messages_with_too_many_holes_count_as_poison_of_the_device(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share of a device holds for poison that the spool itself makes, too; who has it back is forgotten."""
    monkeypatch.setattr(arrivals, "POISON_BURST", 60)
    monkeypatch.setattr(spool_module, "POISONERS_IN_MEMORY", 0)
    for start in range(1, 1921, 128):
        assert spool.put([up(DEVICE, 7, list(range(start, start + 128, 2)))]).poison == 0
    refused = [up(DEVICE, 7, list(range(10_001 + 128 * n, 10_129 + 128 * n, 2))) for n in range(70)]
    put = spool.put(refused)
    assert (put.poison, put.poison_let_go) == (60, 10)
    spool.prune(NOW_MS + 59 * 60_000)
    assert list(spool._poisoned) == [DEVICE]
    spool.prune(NOW_MS + 61 * 60_000)
    assert spool._poisoned == {}


def test_what_waits_no_more_is_not_looked_through_every_second(spool: Spool) -> None:
    """Dead letters of a replayed spool leave holes between its ranges; each is looked at once until a replay."""
    spool.put([up(DEVICE, 7, list(range(1, 31)))])
    stored = range(1, 31, 2)
    spool.settle(stored, range(2, 31, 2), NOW_MS)
    assert spool.replay_settled(0) == 15
    spool.settle(stored, [], NOW_MS)
    spool.put([up("rsk-b002", 7, [1])])
    spool.backlog()
    statements: list[str] = []
    spool._connection.set_trace_callback(statements.append)
    assert spool.backlog().oldest_arrived_ms == NOW_MS
    spool._connection.set_trace_callback(None)
    assert len(statements) == 3, "where it begins, its arrival, the gaps"
    spool._connection.execute("UPDATE rows SET arrived_ms = 5 WHERE id = 1")
    spool.replay_settled(0)
    assert spool.backlog().oldest_arrived_ms == 5

"""Files of earlier versions go on with everything that they hold."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from gateway import schema
from gateway.arrivals import FIND_REPEAT
from gateway.spool import SETTLED_KEEP_MS, Spool
from gateway.totals import Totals
from tests.unit.gateway.fakes import NOW_MS, roomy, up
from tests.unit.gateway.old_spools import SETTLED_MS, WAITING, old_file
from tests.unit.gateway.test_foreign import CHIRPSTACK, SOURCES, chirpstack

NO_ROOM = 1000, 0
MINUTE_END_MS = (NOW_MS // 60_000 + 1) * 60_000
KEPT = [(1, 1, MINUTE_END_MS), (2, 2, MINUTE_END_MS + 60_000), (3, 4, MINUTE_END_MS), (6, 6, MINUTE_END_MS)]
"""What `SETTLED_MS` is as ranges."""


def opened(path: Path) -> Spool:
    """Return a file opened by the present version."""
    return Spool(path, now_ms=NOW_MS, disk=roomy(path.parent))


def reopened(spool: Spool) -> Spool:
    """Return the same file, opened again."""
    spool.close()
    return opened(spool.path)


@pytest.fixture(params=[1, 2, 3])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a file of an earlier version."""
    return old_file(tmp_path / "spool.sqlite3", request.param)


def identities(spool: Spool) -> list[tuple[int, int]]:
    """Return id and number of every row."""
    return spool._connection.execute("SELECT id, seq FROM rows ORDER BY id").fetchall()


def indexes(spool: Spool) -> set[str]:
    """Return the indexes over the rows."""
    return {row[1] for row in spool._connection.execute("PRAGMA index_list(rows)")}


def columns(spool: Spool) -> list[str]:
    """Return the columns of the rows."""
    return [row[1] for row in spool._connection.execute("PRAGMA table_info(rows)")]


def test_there_is_a_script_for_every_version() -> None:
    """A version without its script would leave files behind."""
    assert len(schema.MIGRATIONS) == schema.SCHEMA_VERSION


def test_a_file_of_an_earlier_version_is_renewed(old: Path, tmp_path: Path) -> None:
    """Rows, ids and identities are what they were; the id of a row that left is not given again."""
    new = opened(old)
    fresh = opened(tmp_path / "fresh.sqlite3")
    assert (indexes(new), columns(new)) == (indexes(fresh), columns(fresh)) == ({"rows_identity"}, columns(new))
    assert "state" not in columns(new)
    fresh.close()
    assert identities(new) == [(seq, seq) for seq in sorted((*SETTLED_MS, *WAITING))]
    assert (new.waiting, new.id) == (len(WAITING), "0123456789abcdef")
    assert [row.id for row in new.take_backlog(0, 10, 10**6, ())] == list(WAITING)
    assert new.put([up("rsk-b001", 7, list(range(1, 10)))]).duplicates == 8
    assert identities(new)[-1] == (9, 9)
    new.close()


def test_what_was_stored_when_is_kept_as_ranges(old: Path) -> None:
    """Rows that were settled in one minute without another between them are one range; each leaves in its time."""
    new = opened(old)
    assert new._settled.ranges == KEPT
    at_ms = MINUTE_END_MS + SETTLED_KEEP_MS
    assert [new.prune(at_ms), new.prune(at_ms + 1), new.prune(at_ms + 60_001)] == [0, 4, 1]
    assert [seq for _, seq in identities(new)] == list(WAITING)
    new.close()


def test_a_row_that_left_does_not_split_the_range_around_it(old: Path) -> None:
    """Every tenth row may have been a dead letter: as many ranges would be copied with each ack, for 48 h."""
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        connection.execute("DELETE FROM rows WHERE id = 5")
    new = opened(old)
    assert (new._settled.ranges, new.waiting) == ([*KEPT[:2], (3, 6, MINUTE_END_MS)], 1)
    assert [row.id for row in new.take_backlog(0, 10, 10**6, ())] == [7]
    new.close()


def test_a_dead_row_that_the_first_version_kept_does_not_wait_again(tmp_path: Path) -> None:
    """It marked such rows with a 2; they leave as stored ones do, and the totals know them."""
    path = old_file(tmp_path / "spool.sqlite3", 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE rows SET state = 2 WHERE id = 6")
    new = opened(path)
    assert (new._settled.ranges, new.waiting) == (KEPT, len(WAITING))
    assert new.totals == Totals(offered=7, spooled=7, stored=4, dead=1)
    new.close()


def test_totals_go_on(tmp_path: Path) -> None:
    """A file that had none begins with what lies in it; both equations hold."""
    first = opened(old_file(tmp_path / "first.sqlite3", 1))
    assert first.totals == Totals(offered=7, spooled=7, stored=5)
    first.close()
    third = opened(old_file(tmp_path / "third.sqlite3", 3))
    assert third.totals == Totals(offered=8, spooled=8, stored=5, dead=1)
    assert third.totals.spooled == third.totals.stored + third.totals.dead + third.waiting
    third.close()


def test_an_empty_old_file_gives_no_id_again(old: Path) -> None:
    """Also when all rows are gone: an old ack must not settle a new row."""
    spool = opened(old)
    spool.settle([], WAITING, NOW_MS)
    spool._connection.execute("DELETE FROM rows")
    spool = reopened(spool)
    spool.put([up("rsk-b001", 7, [9])])
    assert identities(spool) == [(9, 9)]
    spool.close()


def test_without_room_for_a_copy_the_file_stays_and_works(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk keeps nobody from starting: the rows serve as they are, and are renewed when there is room."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "disk_bytes", lambda _folder: NO_ROOM)
        same = opened(old)
    assert "state" in columns(same)
    assert (same.waiting, same._settled.ranges) == (len(WAITING), KEPT)
    foreign = SOURCES.read(CHIRPSTACK, chirpstack(), NOW_MS, is_again=False, is_retained=False)
    assert foreign is not None
    put = same.put([up("rsk-b001", 7, [8, 9]), foreign])
    assert (put.inserted, put.duplicates) == (2, 1)
    assert same.settle([5], [7], NOW_MS) == (1, 1)
    new = reopened(same)
    assert "state" not in columns(new)
    assert new.waiting == 2
    assert new._settled.ranges == [*KEPT[:2], (3, 7, MINUTE_END_MS)]
    new.close()


def test_a_new_file_needs_no_room_for_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to copy: it begins with the present schema."""
    monkeypatch.setattr(schema, "disk_bytes", lambda _folder: NO_ROOM)
    spool = opened(tmp_path / "spool.sqlite3")
    assert "state" not in columns(spool)
    spool.close()


def test_what_waits_can_be_asked_of_the_file_itself(spool: Spool) -> None:
    """The view is for people with a database browser, and for the ledger of a gateway that stands still."""
    spool.put([up("rsk-b001", 7, [1, 2, 3, 4])])
    spool.settle([2, 3], [], NOW_MS)
    assert spool._connection.execute("SELECT id FROM waiting").fetchall() == [(1,), (4,)]


def test_the_index_of_identities_serves_other_makes(spool: Spool) -> None:
    """Looking for a repeat reads no more than its neighbours, however many rows lie there."""
    plan = spool._connection.execute(f"EXPLAIN QUERY PLAN {FIND_REPEAT}", ("@x", 1, 1, 2)).fetchall()
    assert "rows_identity" in plan[0][3]

"""Files of earlier versions go on with everything that they hold."""

from pathlib import Path

import pytest

from gateway import schema
from gateway.arrivals import FIND_REPEAT
from gateway.spool import Spool
from tests.unit.gateway.fakes import NOW_MS, roomy, up
from tests.unit.gateway.test_foreign import CHIRPSTACK, SOURCES, chirpstack

NO_ROOM = 1000, 0


def reopened(spool: Spool) -> Spool:
    """Return the same file, opened by the present version."""
    spool.close()
    return Spool(spool.path, now_ms=NOW_MS, disk=roomy(spool.path.parent))


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    """Return a spool whose file is of version 2, with a reading that waits, one stored, and one that left as dead."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "SCHEMA_VERSION", 2)
        spool = Spool(tmp_path / "spool.sqlite3", now_ms=NOW_MS, disk=roomy(tmp_path))
    assert spool._connection.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone() == ("2",)
    spool.put([up("rsk-b001", 7, [1, 2, 3])])
    spool.settle([1], [3], NOW_MS)
    return spool


def identities(spool: Spool) -> list[tuple[int, int]]:
    """Return id and number of every row."""
    return spool._connection.execute("SELECT id, seq FROM rows ORDER BY id").fetchall()


def indexes(spool: Spool) -> set[str]:
    """Return the indexes over the rows."""
    return {row[1] for row in spool._connection.execute("PRAGMA index_list(rows)")}


def test_a_file_with_an_index_over_readings_is_renewed(old: Spool) -> None:
    """Rows, ids and identities are what they were; the id of a row that left is not given again."""
    new = reopened(old)
    assert indexes(new) == {"rows_identity", "rows_waiting", "rows_settled"}
    assert identities(new) == [(1, 1), (2, 2)]
    assert (new.waiting, new.id) == (1, old.id)
    assert new.put([up("rsk-b001", 7, [1, 2, 3, 4])]).duplicates == 3
    assert identities(new) == [(1, 1), (2, 2), (4, 4)]
    new.close()


def test_an_empty_old_file_gives_no_id_again(old: Spool) -> None:
    """Also when all rows are gone: an old ack must not settle a new row."""
    old.settle([], [2], NOW_MS)
    old._connection.execute("DELETE FROM rows")
    new = reopened(old)
    new.put([up("rsk-b001", 7, [4])])
    assert identities(new) == [(4, 4)]
    new.close()


def test_without_room_for_a_copy_the_file_stays_and_works(old: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk keeps nobody from starting: the file serves as it is, and is renewed when there is room."""
    with monkeypatch.context() as patched:
        patched.setattr(schema, "disk_bytes", lambda _folder: NO_ROOM)
        same = reopened(old)
    assert "rows_identity" not in indexes(same)
    foreign = SOURCES.read(CHIRPSTACK, chirpstack(), NOW_MS, is_again=False, is_retained=False)
    assert foreign is not None
    put = same.put([up("rsk-b001", 7, [3, 4]), foreign])
    assert (put.inserted, put.duplicates) == (2, 1)
    new = reopened(same)
    assert "rows_identity" in indexes(new)
    assert new.waiting == 3
    new.close()


def test_a_new_file_needs_no_room_for_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to copy: it begins with the present schema."""
    monkeypatch.setattr(schema, "disk_bytes", lambda _folder: NO_ROOM)
    spool = Spool(tmp_path / "spool.sqlite3", now_ms=NOW_MS, disk=roomy(tmp_path))
    assert "rows_identity" in indexes(spool)
    spool.close()


def test_the_index_of_identities_serves_other_makes(spool: Spool) -> None:
    """Looking for a repeat reads no more than its neighbours, however many rows lie there."""
    plan = spool._connection.execute(f"EXPLAIN QUERY PLAN {FIND_REPEAT}", ("@x", 1, 1, 2)).fetchall()
    assert "rows_identity" in plan[0][3]

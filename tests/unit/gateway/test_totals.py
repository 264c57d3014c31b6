"""Nothing goes missing between the figures of a spool: two equations, over restarts, crashes and an upgrade."""

import sqlite3
from pathlib import Path

import pytest

from gateway.arrivals import POISON_BURST, Arrivals, PoisonLevel
from gateway.messages import read_message
from gateway.spool import Spool
from gateway.totals import Totals
from tests.unit.gateway.fakes import NOW_MS, SITE, roomy, up


def is_balanced(spool: Spool) -> bool:
    totals = spool.totals
    return (
        totals.offered == totals.duplicates + totals.let_go + totals.spooled
        and totals.spooled + totals.replayed == totals.stored + totals.dead + spool.waiting
    )


def again(spool: Spool, folder: Path) -> Spool:
    spool.close()
    return Spool(folder / "spool.sqlite3", now_ms=NOW_MS, disk=roomy(folder))


def test_every_fate_is_counted_once_and_survives_restarts(spool: Spool, tmp_path: Path) -> None:
    """Readings, repeats, presence, poison, poison let go, stored, dead and replayed rows all keep the balance."""
    status = read_message(f"resik/{SITE}/rsk-b001/up/status", b'{"v":1,"online":true,"boot":7,"up_s":3}', NOW_MS)
    junk = read_message(f"resik/{SITE}/rsk-b001/up/bin", b"junk", NOW_MS)
    spool.put([up("rsk-b001", 7, [1, 2, 3]), up("rsk-b001", 7, [2, 3, 4]), status, status, junk, junk])
    assert spool.totals == Totals(offered=10, duplicates=4, spooled=6)
    spool._poisoned["rsk-b002"] = PoisonLevel(POISON_BURST, NOW_MS)
    spool.put([read_message(f"resik/{SITE}/rsk-b002/up/bin", b"more", NOW_MS)])
    assert spool.totals == Totals(offered=11, duplicates=4, let_go=1, spooled=6)
    ids = [row.id for row in spool.take_backlog(0, 10, 10**6, set())]
    spool.settle(ids[:3], ids[3:4], NOW_MS)
    spool.settle(ids[:3], ids[3:4], NOW_MS)  # an old ack changes nothing
    before = spool.totals
    assert (before.stored, before.dead, spool.waiting) == (3, 1, 2)
    spool = again(spool, tmp_path)
    assert spool.totals == before
    assert is_balanced(spool)
    assert spool.replay_settled(0) == 3
    assert spool.totals.replayed == 3
    assert is_balanced(again(spool, tmp_path))


def test_a_commit_that_fails_counts_nothing(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither memory nor file knows of rows that were rolled back."""
    spool.put([up("rsk-b001", 7, [1])])
    with monkeypatch.context() as patch:
        patch.setattr(Arrivals, "finish", lambda _self: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            spool.put([up("rsk-b001", 7, [2])])
    assert spool.totals == Totals(offered=1, spooled=1)
    assert again(spool, tmp_path).totals == Totals(offered=1, spooled=1)


def test_a_row_that_vanished_from_the_file_shows(spool: Spool, tmp_path: Path) -> None:
    """The balance is no tautology: a loss that is planted into the file breaks it."""
    spool.put([up("rsk-b001", 7, [1, 2, 3])])
    assert is_balanced(spool)
    spool.close()
    with sqlite3.connect(tmp_path / "spool.sqlite3") as thief:
        thief.execute("DELETE FROM rows WHERE seq = 2")
    thief.close()
    robbed = Spool(tmp_path / "spool.sqlite3", now_ms=NOW_MS, disk=roomy(tmp_path))
    assert not is_balanced(robbed)
    robbed.close()

"""Faults of a store, done to a real one: writers are told to try again, and lose nothing by it."""

import pytest
import urllib3

from ingest.errors import StoreUnavailable
from ingest.store import Point
from ingest.stores import open_store
from resik.stack_faults import Locked, StackFaults, Ways, actors_of
from simulators.faults import Fault, FaultScript
from tests.services import start_influxd

pytestmark = pytest.mark.service

TAGS = {"site": "alun", "asset": "bin-0001", "device": "rsk-b0001", "zone": "utara"}
SCRIPT = FaultScript([Fault(100, 200, "store", "down"), Fault(300, 400, "store", "rejects", 1.0)])


class NoChild:
    """Stands for processes that these faults do not touch."""

    pid = None

    def release(self):
        raise AssertionError("nobody was killed")


def point(seq):
    return Point("bin", TAGS, 1_795_000_000_000 + seq, {"fill_pct": 50.0, "boot": 7, "seq": seq})


@pytest.fixture
def influx_url(tmp_path):
    server = start_influxd(tmp_path / "influxd")
    urllib3.request("POST", f"{server.url}/query", fields={"q": "CREATE DATABASE resik"})
    yield f"influx1://{server.url.removeprefix('http://')}/resik"
    server.stop()


def play(ways, tmp_path, url):
    """Write before, during, between and after both faults; return what was told, and what is stored."""
    told = []
    children = {name: NoChild() for name in ("gateway", "ingest")}
    faults = StackFaults(SCRIPT, actors_of(ways, children, tmp_path / "points.sqlite3", None))
    store = open_store(url)
    store.prepare()
    for seq, now_s in enumerate((50, 150, 250, 350, 450), 1):
        faults.look(now_s)
        try:
            store.write([point(seq)])
            told.append("stored")
        except StoreUnavailable:
            told.append("later")
    for seq in (2, 4):
        store.write([point(seq)])
    stored = sorted(seq for _, _, seq in store.identities("bin", site="alun", start_ms=0, end_ms=2_000_000_000_000))
    store.close()
    return told, stored


def test_influxdb_is_away_and_refuses_and_is_back(influx_url, tmp_path):
    """Over the hop a write fails while the store is down or rejects, and what is written again is there once."""
    ways = Ways(SCRIPT, None, influx_url)
    ways.open()
    try:
        told, stored = play(ways, tmp_path, ways.store_url)
    finally:
        ways.close()
    assert told == ["stored", "later", "stored", "later", "stored"]
    assert stored == [1, 2, 3, 4, 5]


def test_the_embedded_store_is_locked_and_open_again(tmp_path, monkeypatch):
    """The same with the file of the embedded store, whose writer waits a little before it gives up."""
    monkeypatch.setattr("ingest.stores.sqlite_reads.BUSY_TIMEOUT_MS", 100)
    url = f"sqlite:///{tmp_path / 'points.sqlite3'}"
    told, stored = play(Ways(SCRIPT, None, url), tmp_path, url)
    assert told == ["stored", "later", "stored", "later", "stored"]
    assert stored == [1, 2, 3, 4, 5]


def test_a_store_that_is_not_there_yet_is_not_made(tmp_path):
    """A lock on a file that nobody has made makes none."""
    path = tmp_path / "points.sqlite3"
    with pytest.raises(FileNotFoundError):
        path.stat()
    actor = Locked(path)
    actor.begin(1.0)
    actor.end()
    assert not path.exists()

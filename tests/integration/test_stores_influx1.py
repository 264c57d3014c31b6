"""InfluxDB 1.x for real: what the server refuses, who it lets in, and what it does to our escapes."""

import base64
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import Point, TimeSeriesStore
from ingest.stores import open_store
from tests.services import Server, start_influxd
from tests.unit.ingest.test_store_line_protocol import POINTS

pytestmark = pytest.mark.service

HOUR_MS = 3_600_000
_trips = itertools.count()


@pytest.fixture(scope="module")
def influxd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_influxd(tmp_path_factory.mktemp("influxd"))
    yield server
    server.stop()


def url(server: Server, database: str, user: str = "") -> str:
    return f"influx1://{user}{server.url.removeprefix('http://')}/{database}"


def ask(server: Server, statement: str, *, user: str = "", password: str = "") -> None:
    headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()} if user else {}
    reply = urllib3.request("POST", f"{server.url}/query", fields={"q": statement}, headers=headers)
    assert reply.status == 200, reply.data
    assert "error" not in json.loads(reply.data)["results"][0], reply.data


def bin_point(number: int, ts_ms: int, **fields: float) -> Point:
    tags = {"site": "alun", "asset": f"bin-{number:04d}", "device": f"rsk-b{number:04d}", "zone": "utara"}
    return Point("bin", tags, ts_ms, {"fill_pct": 50.0, "boot": 7, "seq": 1} | fields)


def test_the_acceptance_batch_is_settled_within_two_seconds(influxd: Server):
    """1 beyond retention, 1 type conflict, 1 bad value, 997 good: 997 stored, 3 named with their own reasons."""
    store = open_store(url(influxd, "acceptance"))
    store.prepare()
    ask(influxd, 'CREATE RETENTION POLICY "short" ON "acceptance" DURATION 2d REPLICATION 1 DEFAULT')
    now_ms = int(time.time() * 1000)
    store.write([bin_point(5000, now_ms)])
    batch = [bin_point(n, now_ms + n) for n in range(1000)]
    batch[10] = bin_point(10, now_ms - 30 * 24 * HOUR_MS)
    batch[500] = bin_point(500, now_ms, fill_pct=50)
    batch[990] = bin_point(990, now_ms, fill_pct=float("inf"))
    started = time.monotonic()
    result = store.write(batch)
    assert time.monotonic() - started < 2
    assert result.stored == 997
    assert [(r.index, r.code) for r in result.rejected] == [
        (10, "beyond-retention"),
        (500, "type-conflict"),
        (990, "bad-field"),
    ]
    found = store.identities("bin", site="alun", start_ms=now_ms - 60 * 24 * HOUR_MS, end_ms=now_ms + HOUR_MS)
    assert len(list(found)) == 998
    store.close()


def test_a_batch_wholly_beyond_retention_costs_one_request(influxd: Server, monkeypatch: pytest.MonkeyPatch):
    """The server's own full count of dropped points is believed: 2,000 late points are not sent 4,000 times."""
    store = open_store(url(influxd, "late"))
    store.prepare()
    ask(influxd, 'CREATE RETENTION POLICY "short" ON "late" DURATION 2d REPLICATION 1 DEFAULT')
    old_ms = int(time.time() * 1000) - 30 * 24 * HOUR_MS
    sent = []
    post = store._post_lines  # type: ignore[attr-defined]
    monkeypatch.setattr(store, "_post_lines", lambda body: (sent.append(body), post(body))[1])
    result = store.write([bin_point(n, old_ms + n) for n in range(2000)])
    assert result.stored == 0
    assert {r.code for r in result.rejected} == {"beyond-retention"}
    assert len(result.rejected) == 2000
    assert len(sent) == 1
    store.close()


def test_prepare_creates_the_database_once_and_a_reader_waits_for_it(influxd: Server):
    """The writer makes what is missing; a reader that comes first is told to try again."""
    reader = open_store(url(influxd, "spaced%20name"), read_only=True)
    with pytest.raises(StoreUnavailable, match="ingest creates it"):
        reader.prepare()
    writer = open_store(url(influxd, "spaced%20name"))
    writer.prepare()
    writer.prepare()
    reader.prepare()
    with pytest.raises(StoreRefused, match="read-only"):
        reader.write([bin_point(1, 1)])
    writer.close()
    reader.close()


def test_a_dropped_database_is_refused_with_the_setting(influxd: Server):
    """404 on a write is a matter for a person: nothing is dead-lettered for it."""
    store = open_store(url(influxd, "gone"))
    store.prepare()
    ask(influxd, 'DROP DATABASE "gone"')
    with pytest.raises(StoreRefused, match=r"database 'gone'.*store_url"):
        store.write([bin_point(1, 1)])
    with pytest.raises(StoreRefused, match=r"database 'gone'.*store_url"):
        store.latest("bin", site="alun")
    store.close()


def test_acknowledged_points_survive_the_kill_of_the_server(tmp_path: Path):
    """After kill -9 and a restart every point that write() returned for is there; in between it is 'try again'."""
    server = start_influxd(tmp_path)
    try:
        store = open_store(url(server, "resik"))
        store.prepare()
        for minute in range(20):
            assert store.write([bin_point(n, minute * 60_000 + n) for n in range(200)]).stored == 200
        server.kill()
        with pytest.raises(StoreUnavailable) as gone:
            store.write([bin_point(1, 1)])
        assert gone.value.retryable
        server.start()
        kept = list(store.identities("bin", site="alun", start_ms=0, end_ms=HOUR_MS))
        assert len(kept) == 4000
        store.close()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server with authentication: admin ``root``, writer ``ani`` (all on ``resik``), ``budi`` (nothing)."""
    server = start_influxd(tmp_path_factory.mktemp("locked"), auth=True)
    ask(server, "CREATE USER root WITH PASSWORD 'akar' WITH ALL PRIVILEGES")
    for statement in (
        "CREATE DATABASE resik",
        "CREATE USER ani WITH PASSWORD 'kunci'",
        "CREATE USER budi WITH PASSWORD 'kosong'",
        "GRANT ALL ON resik TO ani",
    ):
        ask(server, statement, user="root", password="akar")
    yield server
    server.stop()


def test_the_right_password_is_let_in_without_admin_rights(locked: Server):
    """An ordinary user with rights on one database can prepare, write and read: no admin account in production."""
    store = open_store(url(locked, "resik", "ani@"), secret="kunci")
    store.prepare()
    assert store.write([bin_point(1, 1)]).stored == 1
    assert len(store.latest("bin", site="alun")) == 1
    store.close()


@pytest.mark.parametrize(
    ("user", "secret", "sentence"),
    [
        ("ani@", "salah", "does not know these credentials"),
        ("", None, "credentials"),
        ("budi@", "kosong", "grant them"),
    ],
)
def test_wrong_credentials_are_refused_with_the_setting(locked: Server, user: str, secret: str | None, sentence: str):
    """Wrong password, none, or no rights: each names store_token_file, is not retried and does not show the secret."""
    store = open_store(url(locked, "resik", user), secret=secret)
    for act in (store.prepare, lambda: store.write([bin_point(1, 1)])):
        with pytest.raises(StoreRefused, match=sentence) as refused:
            act()
        assert "store_token_file" in str(refused.value)
        assert not refused.value.retryable
        assert secret is None or secret not in str(refused.value)
    store.close()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(POINTS, min_size=50, max_size=50))
def _round_trip(store: TimeSeriesStore, points: list[Point]) -> None:
    site = f"trip-{next(_trips)}"
    # One field name per type: the test is about the texts, not about the schema.
    sent = [
        Point(
            "bin",
            {**p.tags, "site": site},
            1000 + n,
            {{float: "f", int: "seq", str: "state"}[type(v)]: v for v in p.fields.values()},
        )
        for n, p in enumerate(points)
    ]
    assert store.write(sent).rejected == ()
    assert list(store.readings(site=site, start_ms=0, end_ms=HOUR_MS)) == sent


def test_ten_thousand_hostile_points_come_back_unchanged(influxd: Server):
    """Whatever the encoder lets through, a real server reads as it was meant: 200 batches of 50 points."""
    store = open_store(url(influxd, "trips"))
    store.prepare()
    _round_trip(store)
    store.close()

"""Setting up InfluxDB 2.x and 3.x: requests and replies as their documentation writes them.

The fakes hold state and answer by the pages named at each; neither server has been run.
"""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.stores import open_admin, open_store
from ingest.stores.admin import DEFAULT_D, StoreAdmin, initialise

SECRET = "rahasia-sekali"
Answer = tuple[int, Any]


class FakeApi:
    """An HTTP server that answers by ``respond(method, path, query, document)`` and keeps what changed something."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, str, Any]] = []
        self.authorizations: set[str | None] = set()
        self.failing: Answer | None = None
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                document = json.loads(self.rfile.read(length)) if length else None
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                fake.authorizations.add(self.headers.get("Authorization"))
                if document is not None:
                    assert self.headers["Content-Type"] == "application/json"
                    fake.changes.append((self.command, parts.path, document))
                status, body = fake.failing or fake.respond(self.command, parts.path, query, document)
                raw = b"" if body is None else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815 - the base class calls them so

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02), daemon=True)
        self._thread.start()

    def respond(self, method: str, path: str, query: dict[str, str], document: Any) -> Answer:
        raise NotImplementedError

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class Fake2(FakeApi):
    """InfluxDB OSS 2.x: docs.influxdata.com/influxdb/v2/api, pages buckets, dbrps, organizations."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Any]] = {}
        self.dbrps: list[dict[str, Any]] = []
        super().__init__()

    def respond(self, method: str, path: str, query: dict[str, str], document: Any) -> Answer:  # noqa: PLR0911
        if (method, path) == ("GET", "/api/v2/orgs"):
            if query["org"] != "kota":
                return 404, {"code": "not found", "message": f'organization name "{query["org"]}" not found'}
            return 200, {"links": {"self": "/api/v2/orgs"}, "orgs": [{"id": "0a1b", "name": "kota"}]}
        if (method, path) == ("GET", "/api/v2/buckets"):
            assert query["orgID"] == "0a1b"
            found = [bucket for bucket in self.buckets.values() if bucket["name"] == query["name"]]
            if not found:
                return 404, {"code": "not found", "message": f'bucket "{query["name"]}" not found'}
            return 200, {"buckets": found}
        if (method, path) == ("POST", "/api/v2/buckets"):
            bucket = {"id": f"b{len(self.buckets)}", "type": "user", **document}
            self.buckets[bucket["id"]] = bucket
            return 201, bucket
        if method == "PATCH" and path.startswith("/api/v2/buckets/"):
            self.buckets[path.rpartition("/")[2]] |= document
            return 200, self.buckets[path.rpartition("/")[2]]
        if (method, path) == ("GET", "/api/v2/dbrps"):
            return 200, {"content": [d for d in self.dbrps if d["bucketID"] == query["bucketID"]]}
        if (method, path) == ("POST", "/api/v2/dbrps"):
            self.dbrps.append({"id": "d", "virtual": False, **document})
            return 201, self.dbrps[-1]
        return 404, {"code": "not found", "message": "path not found"}


class Fake3(FakeApi):
    """InfluxDB 3: docs.influxdata.com/influxdb3/core/api/database and enterprise/reference/internals/data-retention."""

    def __init__(self, *, core: bool = False) -> None:
        self.core = core
        self.databases: dict[str, int | None] = {"_internal": 7}
        super().__init__()

    def respond(self, method: str, path: str, query: dict[str, str], document: Any) -> Answer:
        if (method, path) == ("GET", "/api/v3/query_sql"):
            assert (query["db"], query["format"]) == ("_internal", "json")
            return 200, [
                {"database_name": name} | ({} if days is None else {"retention_period_ns": days * 86_400 * 10**9})
                for name, days in self.databases.items()
            ]
        assert path == "/api/v3/configure/database"
        if method == "GET":
            assert query["format"] == "json"  # required: the server answers 400 without it
            return 200, [{"iox::database": name} for name in self.databases]
        days = int(document["retention_period"].removesuffix("d")) if "retention_period" in document else None
        if method == "POST":
            if document["db"] in self.databases:
                return 409, {"error": "attempted to create a resource that already exists"}
            self.databases[document["db"]] = days
            return 200, None
        if self.core:
            return 405, {"error": "retention periods are immutable"}
        self.databases[document["db"]] = days
        return 200, None


@pytest.fixture
def fake(request: pytest.FixtureRequest) -> Iterator[FakeApi]:
    made: Callable[[], FakeApi] = request.param
    fake = made()
    yield fake
    fake.stop()


def admin_of(fake: FakeApi, org: str = "kota") -> StoreAdmin:
    if isinstance(fake, Fake2):
        return open_admin(f"influx2+http://{fake.host}/{org}/resik", secret=SECRET)
    return open_admin(f"influx3+http://{fake.host}/resik", secret=SECRET)


def actions(admin: StoreAdmin, *, raw: int | None = 90, shorten: bool = False) -> list[str]:
    return [step.action for step in initialise(admin, {**DEFAULT_D, "raw": raw}, shorten=shorten)]


BOTH = pytest.mark.parametrize("fake", [Fake2, Fake3], indirect=True)


@BOTH
def test_three_containers_are_made_with_their_retention_and_nothing_the_second_time(fake: FakeApi):
    """An empty server gets one container a shelf; a second run finds all of it and changes nothing."""
    assert actions(admin_of(fake)) == ["made"] * 3
    again = admin_of(fake)
    before = len(fake.changes)
    assert actions(again) == ["kept"] * 3
    assert len(fake.changes) == before
    assert {shelf: (held.container, held.days) for shelf, held in admin_of(fake).found().items()} == {
        "raw": ("resik", 90),
        "hourly": ("resik-hourly", 1825),
        "daily": ("resik-daily", 7300),
    }
    assert fake.authorizations == {f"Token {SECRET}" if isinstance(fake, Fake2) else f"Bearer {SECRET}"}


@BOTH
def test_a_retention_is_extended_at_once_and_shortened_only_when_told(fake: FakeApi):
    """90 to 400 days, and to for ever, is done; back to 90 is left alone until shorten is set."""
    actions(admin_of(fake))
    assert actions(admin_of(fake), raw=400)[0] == "extended"
    assert actions(admin_of(fake), raw=None)[0] == "extended"
    assert admin_of(fake).found()["raw"].days is None
    before = len(fake.changes)
    assert actions(admin_of(fake), raw=90)[0] == "refused"
    assert len(fake.changes) == before
    assert actions(admin_of(fake), raw=90, shorten=True)[0] == "shortened"
    assert admin_of(fake).found()["raw"].days == 90


@pytest.mark.parametrize("fake", [Fake2], indirect=True)
def test_each_bucket_without_a_mapping_gets_one_and_a_virtual_one_counts(fake: Fake2):
    """InfluxQL finds a bucket through its DBRP mapping; what 2.x maps by itself is left alone."""
    admin = admin_of(fake)
    initialise(admin, DEFAULT_D)
    fake.dbrps.append({"id": "v", "bucketID": "b1", "database": "resik-hourly", "virtual": True})
    assert admin.finish() == ["dbrp resik/autogen", "dbrp resik-daily/autogen"]
    assert fake.changes[-1] == (
        "POST",
        "/api/v2/dbrps",
        {"orgID": "0a1b", "bucketID": "b2", "database": "resik-daily", "retention_policy": "autogen", "default": True},
    )
    assert admin.finish() == []


@pytest.mark.parametrize("fake", [Fake2], indirect=True)
def test_an_unknown_organisation_is_refused_with_the_setting(fake: Fake2):
    """Nothing is made in another organisation."""
    with pytest.raises(StoreRefused, match=r"no organisation 'desa'.*store_url"):
        initialise(admin_of(fake, "desa"), DEFAULT_D)
    assert fake.changes == []


@pytest.mark.parametrize("fake", [lambda: Fake3(core=True)], indirect=True)
def test_core_says_how_to_get_another_retention(fake: Fake3):
    """Core sets a retention only when it makes a database: the refusal names the way out."""
    actions(admin_of(fake))
    with pytest.raises(StoreRefused, match=r"cannot change the retention of 'resik'.*resik store migrate"):
        actions(admin_of(fake), raw=400)


@BOTH
@pytest.mark.parametrize(
    ("status", "error", "words"),
    [(401, StoreRefused, "token that may"), (403, StoreRefused, "token that may"), (503, StoreUnavailable, "for now")],
)
def test_a_refusal_names_the_rights_and_never_the_secret(fake: FakeApi, status: int, error: type, words: str):
    """The token of an ordinary worker is not enough, and the sentence says so; an overload is retryable."""
    fake.failing = (status, {"code": "unauthorized", "message": "unauthorized access"})
    with pytest.raises(error, match=words) as refused:
        admin_of(fake).found()
    assert SECRET not in str(refused.value)


class LookingBack(FakeApi):
    """InfluxDB 3 Core: it answers a query of three days, and refuses one without a lower bound of time."""

    def respond(self, method: str, path: str, query: dict[str, str], document: Any) -> Answer:
        assert (method, path, document) == ("GET", "/query", None)
        if "time >=" not in query["q"]:
            return 400, {"error": "query would exceed file limit of 432 parquet files"}
        columns, values = ["time", "fill_pct"], [[1000, 10.0], [2000, 20.0]]
        return 200, {
            "results": [{"statement_id": 0, "series": [{"name": "bin", "columns": columns, "values": values}]}]
        }


@pytest.mark.parametrize("fake", [LookingBack], indirect=True)
def test_a_short_chart_works_where_the_server_does_not_look_back_for_roll_ups(fake: LookingBack):
    """A refusal to say how far roll-ups go means that there are none, not that there is no chart."""
    store = open_store(f"influx3+http://{fake.host}/resik", secret=SECRET)
    found = store.series("bin", site="alun", asset="bin-01", fields=["fill_pct"], start_ms=0, end_ms=3000)
    assert (found.ts_ms, found.columns) == ([1000, 2000], {"fill_pct": [10.0, 20.0]})
    store.close()

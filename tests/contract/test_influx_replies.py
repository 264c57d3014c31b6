"""Every documented reply of InfluxDB 1.x, 2.x and 3.x to a write leads to the outcome that keeps custody right."""

import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.errors import StoreRefused, StoreUnavailable
from ingest.store import Point, TimeSeriesStore
from ingest.stores import open_store
from ingest.stores.endpoint import Place, Reply
from ingest.stores.replies import deliver, retry_after_s
from tests.services import require

FOLDER = Path(__file__).parent / "influx_replies"
RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
CASES = [(name, generation) for name, reply in RECORDED.items() for generation in reply["generations"]]
SECRET = "rahasia-sekali"
URLS = {
    "influx1": "influx1://ani@{host}/resik",
    "influx2": "influx2+http://{host}/kota/resik",
    "influx3": "influx3+http://{host}/resik",
}
PATHS = {"influx1": "/write", "influx2": "/api/v2/write", "influx3": "/api/v2/write"}


class FakeInflux:
    """An HTTP server that answers a write with one recorded reply, and keeps the lines that it took."""

    def __init__(self, recorded: dict[str, Any], certificate: Path | None = None) -> None:
        self.lines: set[str] = set()
        self.requests: list[tuple[str, int]] = []
        body = recorded["body"]
        raw = (body if isinstance(body, str) else json.dumps(body)).encode()
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                lines = self.rfile.read(int(self.headers["Content-Length"])).decode().split("\n")
                fake.requests.append((self.path, len(lines)))
                bad = [line for line in lines if "device=bad" in line]
                answers = {"always": True, "bad-line": bool(bad), "over-8-lines": len(lines) > 8}[recorded["when"]]
                if not answers:
                    fake.lines.update(lines)
                    self.send_response(204)
                    self.end_headers()
                    return
                if recorded["status"] == 204:
                    fake.lines.update(lines)
                if recorded["status"] in (400, 422) and "partial write" in raw.decode():
                    fake.lines.update(line for line in lines if line not in bad)
                self.send_response(recorded["status"])
                for name, value in recorded["headers"].items():
                    self.send_header(name, value)
                if recorded["status"] != 204:
                    self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                if recorded["status"] != 204:
                    self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def point(number: int, device: str = "") -> Point:
    tags = {"site": "alun", "asset": f"bin-{number:02d}", "device": device or f"dev-{number:02d}", "zone": ""}
    return Point("bin", tags, 1000 + number, {"fill_pct": 50.0, "boot": 7, "seq": number + 1})


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[tuple[FakeInflux, TimeSeriesStore, dict[str, Any], str]]:
    name, generation = request.param
    fake = FakeInflux(RECORDED[name])
    store = open_store(URLS[generation].format(host=fake.host), secret=SECRET)
    yield fake, store, RECORDED[name], generation
    store.close()
    fake.stop()


@pytest.mark.parametrize("served", CASES, ids="-".join, indirect=True)
def test_a_recorded_reply_has_its_outcome(served: tuple[FakeInflux, TimeSeriesStore, dict[str, Any], str]):
    """Bad lines are named and all others stored; settings are named; 'for now' is retryable; secrets stay unseen."""
    fake, store, recorded, generation = served
    batch = [point(n, device="bad" if n in (3, 11) and recorded["when"] == "bad-line" else "") for n in range(20)]
    if recorded["outcome"] == "stored":
        assert store.write(batch).rejected == ()
        assert len(fake.lines) == 20
    elif recorded["outcome"] == "rejected":
        result = store.write(batch)
        assert result.stored == 18
        assert [(r.index, r.code) for r in result.rejected] == [(3, recorded["code"]), (11, recorded["code"])]
        assert all(recorded["reason"] in r.reason and len(r.reason) <= 300 for r in result.rejected)
        assert len(fake.lines) == 18
        assert len(fake.requests) < 30  # halving, not one request per line and back
    elif recorded["outcome"] == "refused":
        with pytest.raises(StoreRefused) as refused:
            store.write(batch)
        assert recorded["sentence"] in str(refused.value)
        assert SECRET not in str(refused.value)
        assert not refused.value.retryable
        assert len(fake.requests) == 1
    else:
        with pytest.raises(StoreUnavailable) as unavailable:
            store.write(batch)
        assert unavailable.value.retryable
        assert unavailable.value.retry_after_s == recorded["retry_after_s"]
        assert len(fake.requests) == 1
    path, _, query = fake.requests[0][0].partition("?")
    assert path == PATHS[generation]
    assert "precision=ms" in query.split("&")


def test_every_generation_has_every_kind_of_reply():
    """The recorded set itself is complete: stored, rejected, refused and unavailable for each generation."""
    kinds = {(g, r["outcome"]) for r in RECORDED.values() for g in r["generations"]}
    assert kinds == {(g, o) for g in URLS for o in ("stored", "rejected", "refused", "unavailable")}
    assert all(reply["source"] for reply in RECORDED.values())


def test_a_server_that_hangs_up_is_unavailable():
    """A connection cut in the middle of a write is 'try again', for both HTTP clients."""
    with FakeHangUp() as host:
        for generation, url in URLS.items():
            store = open_store(url.format(host=host), secret=SECRET)
            with pytest.raises(StoreUnavailable, match="no answer") as cut:
                store.write([point(1)])
            assert cut.value.retryable, generation
            store.close()


class FakeHangUp(http.server.HTTPServer):
    """Accepts connections and closes them without a word."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
        self._thread = threading.Thread(target=lambda: self.serve_forever(0.02), daemon=True)

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        request.close()

    def __enter__(self) -> str:  # type: ignore[override]
        self._thread.start()
        return f"127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(5)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Make a certificate for 127.0.0.1 that signs itself; key and certificate in one file."""
    pem, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    options = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {key} -out {pem} -days 1"
    subject = ["-subj", "/CN=resik-test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [require("openssl"), *options.split(), *subject],
        check=True,
        capture_output=True,
    )
    pem.write_text(pem.read_text() + key.read_text())
    return pem


@pytest.mark.parametrize("generation", URLS)
def test_an_untrusted_certificate_is_refused_and_a_trusted_one_works(
    generation: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
):
    """A private authority is a matter for a person, not for retries; SSL_CERT_FILE is the way to trust it."""
    fake = FakeInflux(RECORDED["all-204-stored"], certificate)
    url = URLS[generation].replace("+http://", "+https://").replace("influx1://", "influx1+https://")
    try:
        store = open_store(url.format(host=fake.host), secret=SECRET)
        with pytest.raises(StoreRefused, match="SSL_CERT_FILE"):
            store.write([point(1)])
        store.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        store = open_store(url.format(host=fake.host), secret=SECRET)
        assert store.write([point(1)]).stored == 1
        store.close()
    finally:
        fake.stop()


PLACE = Place(server="InfluxDB 1.x at http://h:8086", container="database", name="resik")


def test_halving_finds_every_set_of_bad_lines_exactly():
    """For all 256 patterns of 8 good or bad lines, exactly the bad ones are refused and the good ones stored."""
    for mask in range(256):
        stored: set[str] = set()

        def post(body: bytes, mask: int = mask, stored: set[str] = stored) -> Reply:
            lines = body.decode().split("\n")
            good = [line for line in lines if not mask >> int(line) & 1]
            if len(good) == len(lines):
                stored.update(good)
                return Reply(204)
            return Reply(400, b'{"error":"partial write: nope dropped=0"}')  # stores nothing: the hardest case

        refusals = deliver([str(n) for n in range(8)], post, PLACE)
        assert {r.position for r in refusals} == {n for n in range(8) if mask >> n & 1}
        assert stored == {str(n) for n in range(8) if not mask >> n & 1}


def test_a_fault_in_the_middle_of_halving_settles_nothing():
    """When the server goes down between two halves the whole batch is repeated: no line is given up for it."""
    replies = iter([Reply(400, b'{"error":"partial write: x"}'), Reply(204), Reply(503, b"", "7")])
    with pytest.raises(StoreUnavailable) as unavailable:
        deliver(["a", "b", "c", "d"], lambda _: next(replies), PLACE)
    assert unavailable.value.retry_after_s == 7


@pytest.mark.parametrize(
    ("header", "expected_s"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        ("-3", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(header: str | None, expected_s: float | None):
    """Both forms of RFC 9110 count from now (60 s after 1970 here); nonsense is no advice."""
    assert retry_after_s(header, now_s=60.0) == expected_s

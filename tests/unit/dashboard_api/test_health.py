"""What the health panel says of each part."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from dashboard_api.health import Answer, HealthWatch, ask
from ingest.errors import StoreUnavailable
from tests.services import free_port

PAGE: dict[str, Any] = {}


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = PAGE["body"]
        self.send_response(PAGE["status"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def page_url() -> Iterator[str]:
    """Serve a health page whose answer the test sets."""
    server = HTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/healthz"
    server.shutdown()
    server.server_close()


class FakeStore:
    """A store that answers or not."""

    error: Exception | None = None

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.answers.set()

    def series(self, *_: Any, **__: Any) -> None:
        self.answers.wait(20)
        if self.error:
            raise self.error


def watch(urls: dict[str, str], store: Any = None, now: list[float] | None = None) -> HealthWatch:
    clock = now or [1000.0]
    return HealthWatch(urls, store or FakeStore(), "site", wall_s=lambda: clock[0], monotonic_s=lambda: clock[0])


def entry(report: dict[str, Any], service: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in report["services"] if item["service"] == service)
    return found


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, json.dumps({"ok": True, "reason": ""}).encode(), Answer(ok=True, reason="")),
        (503, json.dumps({"ok": False, "reason": "disk full"}).encode(), Answer(ok=False, reason="disk full")),
        (503, json.dumps({"ok": True, "reason": ""}).encode(), Answer(ok=False, reason="")),
        (200, b"<html>", None),
        (200, b"[]", None),
        (200, b"{}", None),
        (200, b"[" * 70_000, None),
    ],
)
def test_ask_reads_health_pages(page_url: str, status: int, body: bytes, answer: Answer | None) -> None:
    """Both the status and the word must be good; a page that is no health page counts as no answer."""
    PAGE.update(status=status, body=body)
    assert ask(page_url) == answer


def test_silent_service_is_reported_with_its_age(page_url: str) -> None:
    """A service that answered at 1000 s and not since is down with the age in steps of ten: 25 s gives 20."""
    PAGE.update(status=200, body=b'{"ok": true, "reason": ""}')
    now = [1000.0]
    seen = watch({"ingest": page_url}, now=now)
    seen.poll()
    assert entry(seen.report(), "ingest") == {"service": "ingest", "ok": True, "reason": "", "age_s": 0.0}
    PAGE.update(status=200, body=b"gone")
    now[0] = 1025.0
    seen.poll()
    late = entry(seen.report(), "ingest")
    assert (late["ok"], late["age_s"]) == (False, 20.0)
    assert late["reason"]


def test_service_that_never_answered_has_no_age() -> None:
    """Nobody listens there: not ok, age unknown rather than zero."""
    seen = watch({"gateway": f"http://127.0.0.1:{free_port()}/healthz"})
    assert entry(seen.report(), "gateway")["ok"] is False
    seen.poll()
    assert entry(seen.report(), "gateway")["age_s"] is None
    assert entry(seen.report(), "gateway")["ok"] is False


def test_engine_page_may_lie_the_heartbeat_counts(page_url: str) -> None:
    """An engine whose page is well but which evaluated nothing for 121 s is down."""
    PAGE.update(status=200, body=b'{"ok": true, "reason": ""}')
    now = [1000.0]
    seen = watch({"alerts": page_url}, now=now)
    seen.poll()
    seen.note_heartbeats([{"service": "alerts", "wall_s": 1000.0 - 119, "at_ms": 0, "detail": {}}])
    assert entry(seen.report(), "alerts")["ok"] is True
    seen.note_heartbeats([{"service": "alerts", "wall_s": 1000.0 - 121, "at_ms": 0, "detail": {}}])
    assert entry(seen.report(), "alerts")["ok"] is False


def test_stores_are_named() -> None:
    """Each store has its own line, and one bad part makes the whole not ok."""
    store = FakeStore()
    seen = watch({}, store)
    seen.note_relational(Answer(ok=True, reason=""))
    seen.note_heartbeats([{"service": "alerts", "wall_s": 1000.0, "at_ms": 0, "detail": {}}])
    seen.poll()
    assert seen.report()["ok"] is True
    store.error = StoreUnavailable("no route")
    broken = watch({}, store)
    broken.poll()
    assert entry(broken.report(), "time-series") == {
        "service": "time-series",
        "ok": False,
        "reason": "no route",
        "age_s": 0.0,
    }
    assert broken.report()["ok"] is False


def test_store_that_hangs_holds_up_nothing(page_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that never answers is reported after 5 s, while the services are asked on; it comes back by itself."""
    monkeypatch.setattr("dashboard_api.health.TIMEOUT_S", 0.05)
    PAGE.update(status=200, body=b'{"ok": true, "reason": ""}')
    store, now = FakeStore(), [1000.0]
    store.answers.clear()
    seen = watch({"ingest": page_url}, store, now)
    seen.poll()
    now[0] = 1006.0
    seen.poll()
    assert entry(seen.report(), "time-series")["reason"] == "tidak menjawab (no answer)"
    assert entry(seen.report(), "ingest") == {"service": "ingest", "ok": True, "reason": "", "age_s": 0.0}
    store.answers.set()
    seen.poll()
    assert entry(seen.report(), "time-series")["ok"] is True

"""What every request passes: names, origins, body size, headers."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from dashboard_api.app import create_app
from dashboard_api.guard import MAX_BODY_BYTES, content_security_policy
from tests.unit.dashboard_api.test_routes import REFUSALS, assert_error
from tests.unit.dashboard_api.world import TOKENS, World


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.7:8080", "", "resik.example"])
def test_foreign_host_names_are_refused(client: TestClient, host: str) -> None:
    """A name that was rebound to this address reaches no route, not even the public ones."""
    for path in ("/api/v1/state", "/healthz", "/"):
        assert_error(client.get(path, headers={"host": host}), 403, "unknown-host")


def test_configured_host_name_is_served(world: World) -> None:
    """A name from allowed_hosts works, with any port."""
    services = world.services()
    app = create_app(world.settings(allowed_hosts=("resik.example",)), services)
    with TestClient(app, base_url="http://resik.example:8443") as client:
        assert client.get("/api/v1/site").status_code == 200
    services.close()


def test_two_host_headers_are_refused(client: TestClient) -> None:
    """Repeating the header does not smuggle a second name in."""
    reply = client.get("/api/v1/site", headers=[("host", "localhost"), ("host", "evil.example")])
    assert_error(reply, 403, "unknown-host")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/incidents/1/ack"),
        ("POST", f"/api/v1/crew/{TOKENS['pagi-1']}/tasks/1/accept"),
        ("GET", "/api/v1/stream"),
        ("GET", f"/api/v1/crew/{TOKENS['pagi-1']}/stream"),
    ],
)
def test_foreign_pages_cannot_write_or_listen(client: TestClient, method: str, path: str) -> None:
    """A page of another site, a sandboxed frame and another port of this machine are refused."""
    for origin in ("http://evil.example", "null", "http://localhost:3000"):
        assert_error(client.request(method, path, headers={"origin": origin}), 403, "foreign-origin")


def test_own_page_can_write(client: TestClient, world: World) -> None:
    """The same origin passes."""
    ident = world.add_incident()
    reply = client.post(f"/api/v1/incidents/{ident}/ack", json={"who": "Rini"}, headers={"origin": "http://localhost"})
    assert reply.status_code == 200


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 422), (MAX_BODY_BYTES + 1, 413)])
def test_body_limit(client: TestClient, size: int, status: int) -> None:
    """64 kB are read (and found to be no JSON), one byte more is refused."""
    reply = client.post("/api/v1/incidents/1/ack", content=b"x" * size, headers={"content-type": "application/json"})
    assert_error(reply, status)


def test_body_limit_without_a_length(client: TestClient) -> None:
    """A body that does not announce its size is cut off at the limit as well."""

    def chunks() -> Iterator[bytes]:
        for _ in range(17):
            yield b"x" * 4096

    assert_error(client.post("/api/v1/incidents/1/ack", content=chunks()), 413, "body-too-large")


def test_headers_are_on_every_answer(client: TestClient) -> None:
    """Success, refusal and page alike carry the policy: no sniffing, no framing, no referrer, own scripts only."""
    answers = [client.request(method, path) for method, path, _status in REFUSALS]
    answers += [client.get(path) for path in ("/", "/api/v1/state", "/healthz", "/petugas/x")]
    answers.append(client.get("/healthz", headers={"host": "evil.example"}))
    for reply in answers:
        headers = reply.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in headers


def test_policy_names_the_tile_host_only() -> None:
    """Street tiles open their own host for images and requests, nothing else and no other host."""
    policy = content_security_policy("https://tile.example:8443/{z}/{x}/{y}.png")
    assert "img-src 'self' data: blob: https://tile.example:8443;" in policy
    assert "connect-src 'self' https://tile.example:8443;" in policy
    assert policy.count("https:") == 2
    assert "https" not in content_security_policy(None)


def test_api_answers_are_not_cached(client: TestClient) -> None:
    """What a crew or the office sees is never kept by a cache on the way."""
    for path in ("/api/v1/state", f"/api/v1/crew/{TOKENS['pagi-1']}", "/healthz", "/api/v1/nothing/x"):
        assert client.get(path).headers["cache-control"] == "no-store", path

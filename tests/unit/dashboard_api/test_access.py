"""Host names, origins, roles and the limit on unknown links."""

import pytest
from fastapi import FastAPI

from dashboard_api.access import ROLES, FailureLimit, HostRule, host_name, is_loopback
from dashboard_api.app import check_roles, create_app, routes_of
from dashboard_api.deps import new_router
from dashboard_api.errors import DashboardStartError, TooManyError
from dashboard_api.settings import DashboardSettings


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST:8080", "localhost"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8080", "::1"),
        ("[::1]", "::1"),
        ("resik.example.", "resik.example"),
        ("", None),
        ("a b", None),
        ("localhost:port", None),
        ("[::1", None),
        ("[::1]x", None),
        ("localhost@evil.example", None),
    ],
)
def test_host_name_reads_the_header(header: str, name: str | None) -> None:
    """A port, a final dot and capitals do not matter; anything malformed names nobody."""
    assert host_name(header) == name


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104
        ("resik.example", False),
        ("::", False),
    ],
)
def test_is_loopback(host: str, expected: bool) -> None:
    """Only addresses of this machine count; a name that could point anywhere does not."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("origin", "host", "fetch_site", "allowed"),
    [
        (None, "localhost:8080", None, True),  # curl
        (None, "localhost:8080", "same-origin", True),
        (None, "localhost:8080", "none", True),  # typed into the address bar
        (None, "localhost:8080", "cross-site", False),
        (None, "localhost:8080", "same-site", False),
        ("http://localhost:8080", "localhost:8080", "same-origin", True),
        ("http://localhost", "localhost", None, True),
        ("https://resik.example", "resik.example", None, True),
        ("http://[::1]:8080", "[::1]:8080", None, True),
        ("http://localhost:9999", "localhost:8080", None, False),  # another program on this machine
        ("http://evil.example", "localhost:8080", None, False),
        ("http://evil.example:8080", "evil.example:8080", None, False),  # rebound name
        ("null", "localhost:8080", None, False),  # sandboxed frame, local file
        ("", "localhost:8080", None, False),
        ("http://localhost:99999999", "localhost:8080", None, False),
        ("ftp://localhost", "localhost", None, False),
    ],
)
def test_origin_must_be_this_server(origin: str | None, host: str, fetch_site: str | None, allowed: bool) -> None:
    """Writes and streams come from a page of this very server or from a program, from nobody else's page."""
    rule = HostRule(["resik.example"])
    assert rule.allows_origin(origin, host, fetch_site) is allowed


def test_failures_refill_with_time() -> None:
    """Two failures are free, the third must wait; at 60 a minute one second buys one more. Others are not touched."""
    now = [0.0]
    limit = FailureLimit(burst=2, per_minute=60, monotonic_s=lambda: now[0])
    limit.failed("a")
    limit.failed("a")
    with pytest.raises(TooManyError) as refused:
        limit.failed("a")
    assert refused.value.retry_after_s == pytest.approx(1.0)
    limit.failed("b")
    now[0] = 1.0
    limit.failed("a")
    with pytest.raises(TooManyError):
        limit.failed("a")


def test_failures_of_many_addresses_stay_bounded() -> None:
    """A flood from ever new addresses does not grow the memory without end."""
    limit = FailureLimit()
    for number in range(6000):
        limit.failed(str(number))
    assert len(limit._left) <= 4096


def test_every_route_declares_a_role() -> None:
    """The table of roles and the routes of the application are the same set."""
    assert set(routes_of(create_app(DashboardSettings()).routes)) == set(ROLES)


def test_undeclared_route_stops_the_start() -> None:
    """A route that was forgotten in the table is a start error, not an open door."""
    router = new_router("office")

    @router.get("/api/v1/secret")
    def secret() -> None:
        """Never served."""

    with pytest.raises(DashboardStartError, match=r"/api/v1/secret.*ROLES"):
        check_roles(router.routes)


def test_route_that_skips_the_role_stops_the_start() -> None:
    """A route whose router does not ask for roles is refused even when the table has it."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.get("/api/v1/site")
    def site() -> None:
        """Never served."""

    with pytest.raises(DashboardStartError, match="does not ask for its role"):
        check_roles(app.routes)

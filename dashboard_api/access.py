"""Who may call what: one table of roles, and the checks of host name, origin and crew link.

Until accounts exist the office has no login. What protects it is the address: the server binds to
loopback unless told otherwise, and a browser page of another site reaches nothing, because the ``Host``
header must name this server (DNS rebinding) and the ``Origin`` of writes and streams must be this server.
A crew's credential is the secret in its link.
"""

import ipaddress
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from enum import StrEnum
from urllib.parse import urlsplit

from dashboard_api.errors import TooManyError

TOKEN = re.compile(r"[A-Za-z0-9_-]{16,128}")
"""What a crew's secret may look like; anything else is unknown without a look-up."""

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_TRACKED_ADDRESSES = 4096


class Role(StrEnum):
    """Who a route is for."""

    PUBLIC = "public"
    OFFICE = "office"
    CREW = "crew"


ROLES: dict[tuple[str, str], Role] = {
    ("GET", "/"): Role.OFFICE,
    ("GET", "/petugas/{token}"): Role.CREW,
    ("GET", "/assets/{path:path}"): Role.PUBLIC,
    ("GET", "/{file}"): Role.PUBLIC,
    ("GET", "/healthz"): Role.PUBLIC,
    ("GET", "/api/openapi.json"): Role.OFFICE,
    ("GET", "/api/v1/site"): Role.OFFICE,
    ("GET", "/api/v1/state"): Role.OFFICE,
    ("GET", "/api/v1/stream"): Role.OFFICE,
    ("GET", "/api/v1/history"): Role.OFFICE,
    ("POST", "/api/v1/incidents/{incident_id}/ack"): Role.OFFICE,
    ("GET", "/api/v1/crew/{token}"): Role.CREW,
    ("GET", "/api/v1/crew/{token}/stream"): Role.CREW,
    ("POST", "/api/v1/crew/{token}/tasks/{task_id}/accept"): Role.CREW,
    ("POST", "/api/v1/crew/{token}/tasks/{task_id}/done"): Role.CREW,
}
"""Method and path template -> role. A route that is not here answers nobody (deny by default)."""


def host_name(host_header: str) -> str | None:
    """Return the lower-case host name of a ``Host`` header without its port, or None if it is malformed."""
    host = host_header.strip().lower()
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        if not bracket or (port and not re.fullmatch(r":\d{1,5}", port)):
            return None
        return name
    name, _, port = host.partition(":")
    if not re.fullmatch(r"[a-z0-9.-]{1,253}", name) or (port and not re.fullmatch(r"\d{1,5}", port)):
        return None
    return name.rstrip(".") or None


def is_loopback(host: str) -> bool:
    """Whether binding to ``host`` is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HostRule:
    """Which host names and origins belong to this server.

    Parameters
    ----------
    extra_names : iterable of str
        Names beside the loopback ones under which people reach the server.
    """

    def __init__(self, extra_names: Iterable[str] = ()) -> None:
        self._names = _LOOPBACK_NAMES | {name.strip().lower().strip("[]") for name in extra_names}

    def allows_host(self, host_header: str | None) -> bool:
        """Whether a ``Host`` header names this server."""
        return host_header is not None and host_name(host_header) in self._names

    def allows_origin(self, origin: str | None, host_header: str | None, fetch_site: str | None) -> bool:
        """Whether a write or a stream comes from a page of this server, or from no page at all.

        A browser always sends ``Origin`` across sites; programs such as curl send none.
        """
        if origin is None:
            return fetch_site in (None, "same-origin", "none")
        try:
            parts = urlsplit(origin)
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
            name = parts.hostname
        except ValueError:
            return False
        if name not in self._names or host_header is None or parts.scheme not in ("http", "https"):
            return False
        _, _, host_port = host_header.rpartition(":") if not host_header.endswith("]") else ("", "", "")
        default = {"http": 80, "https": 443}[parts.scheme]
        own_port = int(host_port) if host_port.isdigit() else default
        return host_name(host_header) == name and own_port == port


class FailureLimit:
    """Token bucket of failed attempts per client address.

    Only failures cost: a phone behind the same carrier address as an attacker keeps working.

    Parameters
    ----------
    burst : int
        Failures that are free at once.
    per_minute : float
        Failures per minute that are free in the long run.
    monotonic_s : callable
        Monotonic wall time [s].
    """

    def __init__(
        self, *, burst: int = 10, per_minute: float = 10.0, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = float(burst)
        self._rate_per_s = per_minute / 60.0
        self._monotonic_s = monotonic_s
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (tokens, at)

    def failed(self, address: str) -> None:
        """Count one failure.

        Raises
        ------
        TooManyError
            When the address has used up its failures.
        """
        now = self._monotonic_s()
        tokens, at = self._left.pop(address, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._rate_per_s)
        allowed = tokens >= 1.0
        self._left[address] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._left) > _MAX_TRACKED_ADDRESSES:
            self._left.popitem(last=False)
        if not allowed:
            wait_s = (1.0 - tokens) / self._rate_per_s
            raise TooManyError(
                "too-many-failures",
                "Terlalu banyak tautan tidak dikenal dari alamat ini. Tunggu sebentar, lalu buka tautan yang benar.",
                "Too many unknown links from this address. Wait a little, then open the right link.",
                where="crew link",
                retry_after_s=wait_s,
            )

"""The outermost layer: host and origin checks, body limit, response headers, errors without details.

Plain ASGI, so that it costs little on every request and leaves streams alone.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard_api.access import HostRule
from dashboard_api.errors import ApiError, BadRequestError, ForbiddenError, TooLargeError, error_response

_log = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
BODY_DEADLINE_S = 10.0
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def content_security_policy(tiles_url: str | None) -> str:
    """Return the policy of every page: own files only, plus the host of the street tiles if there is one.

    MapLibre runs its worker from a blob and fetches tiles through ``connect``.
    """
    tiles = ""
    if tiles_url:
        parts = urlsplit(tiles_url)
        tiles = f" {parts.scheme}://{parts.netloc}"
    return "; ".join(
        (
            "default-src 'self'",
            "script-src 'self'",
            "worker-src 'self' blob:",
            "style-src 'self'",
            "font-src 'self'",
            f"img-src 'self' data: blob:{tiles}",
            f"connect-src 'self'{tiles}",
            "manifest-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class Guard:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app : ASGIApp
        What is guarded.
    hosts : HostRule
        Host names and origins that belong to this server.
    tiles_url : str | None
        URL template of the street tiles; their host enters the content security policy.
    """

    def __init__(self, app: ASGIApp, *, hosts: HostRule, tiles_url: str | None) -> None:
        self._app = app
        self._hosts = hosts
        self._headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-frame-options", b"DENY"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), microphone=(), geolocation=(self)"),
            (b"content-security-policy", content_security_policy(tiles_url).encode("latin-1")),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        try:
            self._check_names(scope)
            if scope["method"] in _WRITES:
                receive = await _bounded_body(scope, receive)
            await self._app(scope, receive, send_with_headers)
        except ApiError as error:
            await error_response(error, where="request")(scope, receive, send_with_headers)
        except Exception:
            # The traceback goes to the log; the caller learns nothing about the inside.
            _log.exception("unexpected error on %s %s", scope["method"], _route_of(scope))
            if started:
                raise
            unexpected = ApiError(
                "internal",
                "Terjadi kesalahan di server. Coba lagi; bila berulang, beri tahu pengelola sistem.",
                "The server made a mistake. Try again; if it repeats, tell the operator.",
            )
            await error_response(unexpected, where=_route_of(scope))(scope, receive, send_with_headers)

    def _check_names(self, scope: Scope) -> None:
        headers = _first_headers(scope)
        host = headers.get(b"host")
        if not self._hosts.allows_host(host):
            raise ForbiddenError(
                "unknown-host",
                "Nama alamat ini bukan milik server. Tambahkan ke allowed_hosts bila memang benar.",
                "This host name does not belong to the server. Add it to allowed_hosts if it should.",
                where="Host",
            )
        is_stream = scope["path"].endswith("/stream")
        if (scope["method"] in _WRITES or is_stream) and not self._hosts.allows_origin(
            headers.get(b"origin"), host, headers.get(b"sec-fetch-site")
        ):
            raise ForbiddenError(
                "foreign-origin",
                "Permintaan ini datang dari situs lain dan ditolak.",
                "This request comes from another site and is refused.",
                where="Origin",
            )


def _first_headers(scope: Scope) -> MutableMapping[bytes, str]:
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in found and name in (b"host", b"origin"):
            found[name] = ""  # a repeated header matches nothing
        elif name not in found:
            found[name] = value.decode("latin-1")
    return found


def _route_of(scope: Scope) -> str:
    """Path template of the request: a raw path may hold a crew's secret and never enters the log."""
    return str(getattr(scope.get("route"), "path", "unmatched path"))


async def _bounded_body(scope: Scope, receive: Receive) -> Callable[[], Awaitable[Message]]:
    """Read the whole body, at most MAX_BODY_BYTES within BODY_DEADLINE_S, and return a receive that replays it."""
    too_large = TooLargeError(
        "body-too-large",
        f"Isi permintaan lebih besar dari {MAX_BODY_BYTES // 1024} kB.",
        f"The request body is larger than {MAX_BODY_BYTES // 1024} kB.",
        where="body",
    )
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if length.isdigit() and int(length) > MAX_BODY_BYTES:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    more = True
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BadRequestError(
                        "body-cut-off", "Permintaan terputus.", "The request was cut off.", where="body"
                    )
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                more = message.get("more_body", False)
                if size > MAX_BODY_BYTES:
                    raise too_large
    except TimeoutError as error:
        raise BadRequestError(
            "body-too-slow",
            "Isi permintaan datang terlalu lambat. Coba lagi.",
            "The request body arrived too slowly. Try again.",
            where="body",
        ) from error
    body: dict[str, Any] | None = {"type": "http.request", "body": b"".join(chunks), "more_body": False}

    async def replay() -> Message:
        nonlocal body
        if body is not None:
            message, body = body, None
            return message
        return await receive()

    return replay

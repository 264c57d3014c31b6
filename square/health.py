"""A small health page for every process.

``GET /healthz`` answers 200 or 503 with what the process knows of itself, so that a supervisor, a monitoring
system and the office page ask every process the same question. ``GET /metrics`` says the same to Prometheus.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from square.errors import SettingsError
from square.metrics import Histogram, exposition, families

_log = logging.getLogger(__name__)


class Health(msgspec.Struct, frozen=True):
    """What a process says of itself.

    Attributes
    ----------
    service : str
        Its name.
    ok : bool
        Whether it does its work at the moment.
    reason : str
        One sentence: what is wrong, or an empty string.
    counts : dict[str, int | float]
        Counters since start and gauges, by name.
    """

    service: str
    ok: bool
    reason: str
    counts: dict[str, int | float]


class HealthServer:
    """Serves ``/healthz`` and ``/metrics`` on loopback from a thread of its own.

    Parameters
    ----------
    port : int | None
        Loopback port; None makes every method do nothing.
    snapshot : Callable[[], Health]
        Called for each request, from the server's thread: it MUST be quick and MUST NOT block on I/O. What its
        figures mean stands in :data:`square.metrics.COUNTS`.
    histograms : Sequence[Histogram]
        What else the process measures.
    pages : Mapping[str, Callable[[], Any]] | None
        Further pages by path, each as a function that gives what is shown as JSON; the same rules hold for it.

    Raises
    ------
    SettingsError
        If the port is taken.
    """

    def __init__(
        self,
        port: int | None,
        snapshot: Callable[[], Health],
        histograms: Sequence[Histogram] = (),
        *,
        pages: Mapping[str, Callable[[], Any]] | None = None,
    ) -> None:
        self._server: ThreadingHTTPServer | None = None
        if port is None:
            return

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/healthz":
                    health = snapshot()
                    self._answer(200 if health.ok else 503, msgspec.json.encode(health), "application/json")
                elif self.path == "/metrics":
                    health = snapshot()
                    found = families(health.service, ok=health.ok, counts=health.counts, histograms=histograms)
                    self._answer(200, *exposition(found, self.headers.get("Accept", "")))
                elif pages is not None and (page := pages.get(self.path)) is not None:
                    self._answer(200, msgspec.json.encode(page()), "application/json")
                else:
                    self.send_error(404)

            def _answer(self, status: int, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as above
                _log.debug("health: " + format, *args)

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise SettingsError(
                f"the health port {port} cannot be opened ({error.strerror}): choose another health_port"
            ) from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

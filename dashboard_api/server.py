"""Runs the application under uvicorn: own socket, own signals, streams that end when the server does."""

import asyncio
import errno
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from alerts.errors import DatabaseError
from dashboard_api.app import create_app
from dashboard_api.deps import Parts
from dashboard_api.errors import DashboardStartError
from dashboard_api.services import open_services
from dashboard_api.settings import DashboardSettings
from ingest.errors import StoreError
from square.errors import SettingsError, SquareError
from square.health import Health, HealthServer
from square.process import EXIT_FAULT, EXIT_OK, EXIT_SETTINGS

_log = logging.getLogger(__name__)

_BACKLOG: Final = 512
_SEND_BUFFER_BYTES: Final = 128 * 1024
_DEAD_PEER_MS: Final = 30_000


class _Server(uvicorn.Server):
    """Ends the event streams first: they would otherwise hold up the shutdown until its time-out."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._own_app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        parts = getattr(self._own_app.state, "parts", None)
        if parts is not None:
            parts.hub.close()
        await super().shutdown(sockets)


class _NoDroppedStreams(logging.Filter):
    """Uvicorn calls a stream that we cut off an application error; :mod:`dashboard_api.sse` logs it already."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "without completing response" not in record.getMessage()


def run(settings: DashboardSettings) -> int:
    """Serve until SIGTERM or SIGINT.

    Parameters
    ----------
    settings : DashboardSettings
        Checked settings.

    Returns
    -------
    int
        0 after an orderly stop, 1 when a store is unavailable or the server failed, 2 when a person must
        change a setting; one sentence on standard error says which.
    """
    try:
        listener = listen(settings.host, settings.port)
    except DashboardStartError as error:
        return _refuse(error, EXIT_SETTINGS)
    with listener:
        try:
            services = open_services(settings)
        except SquareError as error:
            return _refuse(error, EXIT_SETTINGS)
        except (DatabaseError, StoreError) as error:
            return _refuse(error, EXIT_FAULT if error.retryable else EXIT_SETTINGS)
        try:
            app = create_app(settings, services)
            health = HealthServer(settings.health_port, partial(health_of, app))
            try:
                return _serve(settings, app, listener)
            finally:
                health.close()
        except SettingsError as error:
            return _refuse(error, EXIT_SETTINGS)
        finally:
            services.close()


def health_of(app: FastAPI) -> Health:
    """Return what the health port shows. Called from another thread; only reads."""
    parts: Parts | None = getattr(app.state, "parts", None)
    if parts is None:
        return Health("dashboard", ok=False, reason="starting", counts={})
    answers = {"relational": parts.watch.relational, "time_series": parts.watch.time_series}
    bad = [f"{name}: {answer.reason}" for name, answer in answers.items() if not answer.ok]
    counts: dict[str, int | float] = {
        "streams": parts.hub.clients,
        "event_id": parts.board.event_id,
        **parts.hub.counts,
        **{f"{name}_ok": int(answer.ok) for name, answer in answers.items()},
    }
    return Health("dashboard", ok=not bad, reason="; ".join(bad), counts=counts)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket whose connections give up on peers that do not read.

    Raises
    ------
    DashboardStartError
        When the address is taken or not of this machine.
    """
    name = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise DashboardStartError(
            f"dashboard host {host} is not known ({error}): correct host in [dashboard]"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every connection: what a client does not read stays small, and a client that reads nothing
        # for half a minute is cut off by the kernel (tcp(7), TCP_USER_TIMEOUT).
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise DashboardStartError(
                f"port {port} of {host} is in use: stop the other program, or set another port in [dashboard] "
                "or RESIK_DASHBOARD_PORT"
            ) from error
        raise DashboardStartError(
            f"cannot listen on {host} port {port} ({error.strerror}): correct host and port in [dashboard]"
        ) from error
    return listener


def _serve(settings: DashboardSettings, app: FastAPI, listener: socket.socket) -> int:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,  # its lines would hold the crews' secret links
        server_header=False,
        proxy_headers=settings.behind_proxy,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
        timeout_keep_alive=30,
        lifespan="on",
        ws="none",
    )
    logging.getLogger("uvicorn.error").addFilter(_NoDroppedStreams())
    server = _Server(config, app)
    _log.info("listening on http://%s:%d", settings.host, listener.getsockname()[1])
    with _quiet_signals():
        asyncio.run(server.serve(sockets=[listener]))
    return EXIT_OK if server.started else EXIT_FAULT


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """Keep the process alive when uvicorn raises the signal again after its shutdown: run returns a code."""

    def nothing(_signal: int, _frame: FrameType | None) -> None:
        return None

    try:
        before = {number: signal.signal(number, nothing) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: uvicorn leaves the signals alone as well
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse(error: Exception, code: int) -> int:
    print(f"resik dashboard: {error}", file=sys.stderr)  # noqa: T201 - the operator reads this, not the log
    return code

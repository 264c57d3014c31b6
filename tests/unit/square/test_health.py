"""The health page of a process."""

import json
import urllib.error
import urllib.request

import pytest

from square.errors import SettingsError
from square.health import Health, HealthServer
from tests.services import free_port


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_status_follows_ok():
    """200 while well, 503 with the reason while not, 404 elsewhere."""
    state = {"ok": True}
    port = free_port()
    server = HealthServer(
        port, lambda: Health("gateway", state["ok"], "" if state["ok"] else "disk full", {"spooled": 3})
    )
    url = f"http://127.0.0.1:{port}/healthz"
    assert get(url)[0] == 200
    state["ok"] = False
    status, body = get(url)
    assert status == 503
    assert json.loads(body) == {"service": "gateway", "ok": False, "reason": "disk full", "counts": {"spooled": 3}}
    assert get(f"http://127.0.0.1:{port}/")[0] == 404
    with pytest.raises(SettingsError, match=f"health port {port} cannot be opened"):
        HealthServer(port, lambda: Health("x", True, "", {}))
    server.close()


def test_no_port_serves_nothing():
    """Without a port there is no server to close."""
    HealthServer(None, lambda: Health("x", True, "", {})).close()

"""Many devices against a stack of their own: each reading is in the store once."""

import json

import pytest

from tests.e2e.square import run_resik

pytestmark = pytest.mark.e2e


def simulate_load(*words, folder):
    return run_resik("simulate", "load", *words, cwd=folder, timeout_s=150)


def test_every_reading_of_a_load_is_stored_once(tmp_path):
    """Fifty devices, each with its own connection and password, send 200 readings a second for two seconds."""
    words = ["--devices", "50", "--rate", "200", "--seconds", "2", "--broker", "embedded", "--json"]
    done = simulate_load(*words, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert (figures["devices"], figures["connected"], figures["refused"]) == (50, 50, 0)
    assert figures["made"] == figures["acked"] == figures["store"]["stored"] == 400
    assert [figures["store"][key] for key in ("lost", "duplicated", "dead_lettered", "unknown")] == [0] * 4
    assert figures["conserved"] is True
    assert {"broker", "gateway", "ingest", "load"} <= figures["store"]["cpu_us"].keys()


def test_a_broker_that_is_not_there_is_told(tmp_path):
    """An address where nobody answers ends with one sentence that names it."""
    done = simulate_load("--broker", "mqtt://127.0.0.1:9", "--seconds", "1", folder=tmp_path)
    assert done.returncode == 1
    assert "no MQTT broker answers at mqtt://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_more_devices_than_the_plan_has_are_told(tmp_path):
    """The shipped site has 54 devices; 60 of them cannot be asked for."""
    done = simulate_load("--broker", "mqtt://127.0.0.1:9", "--devices", "60", folder=tmp_path)
    assert done.returncode == 2
    assert "60 devices were asked for and the site has 54" in done.stderr

"""The simulator as a process of its own: it starts, measures, drains, stops on a signal and goes on where it was."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulators.service import NOT_DRAINED
from square.clock import ClockDriver
from tests.fakes.ledger import read_ledger
from tests.fakes.stub_gateway import StubGateway, broker_with_acl, gateway_thread
from tests.services import free_port, http_ok, wait_until

pytestmark = pytest.mark.service
SITE = "alun-alun-pasuruan"
NOW_S = 1_795_500_000.0
_START = "import sys; from simulators.service import run; from simulators.settings import SimulatorSettings; "
_START += "from square.settings import load_settings; sys.exit(run(load_settings(SimulatorSettings, 'simulator')))"


@pytest.fixture
def square(tmp_path):
    """Give a broker with users, secret files and a running square clock at 60 x."""
    from square.registry import Registry

    devices = [p.device.id for p in Registry.load(SITE).placements()]
    passwords = {device: f"secret-{device}" for device in devices}
    (tmp_path / "secrets").mkdir()
    for device, password in passwords.items():
        (tmp_path / "secrets" / device).write_text(password)
    broker = broker_with_acl(tmp_path / "broker", passwords, SITE)
    driver = ClockDriver(tmp_path / "clock.bin")
    driver.set(NOW_S, 60.0)
    yield broker, devices
    driver.close()
    broker.stop()


def start(tmp_path: Path, broker, **options) -> tuple[subprocess.Popen, int]:
    port = free_port()
    settings = {
        "site": SITE,
        "clock_file": tmp_path / "clock.bin",
        "health_port": port,
        "broker_url": broker.url,
        "secrets_dir": tmp_path / "secrets",
        "ledger_file": tmp_path / "ledger.csv",
        "state_file": tmp_path / "world.json",
        "bin_interval_s": 60,
        "air_interval_s": 60,
        "resend_after_s": 1.0,
    } | options
    environment = os.environ | {f"RESIK_SIMULATOR_{key.upper()}": str(value) for key, value in settings.items()}
    process = subprocess.Popen([sys.executable, "-c", _START], env=environment)
    wait_until(lambda: process.poll() is not None or http_ok(f"http://127.0.0.1:{port}/healthz"), 20, "the simulator")
    return process, port


def finish(process: subprocess.Popen) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(15)


def test_a_limited_run_drains_and_ends(tmp_path, square):
    """After duration_s the process waits for all acks and ends with 0; ledger and gateway agree by identity."""
    broker, devices = square
    gateway = StubGateway(broker.port, "secret-gateway", site=SITE)
    with gateway_thread(gateway):
        process, _ = start(tmp_path, broker, duration_s=4)
        assert process.wait(40) == 0
    published = {(e.device, e.boot, e.seq) for e in read_ledger(tmp_path / "ledger.csv")}
    assert published == set(gateway.stored)
    assert {device for device, _, _ in published} == set(devices)
    assert len(published) >= 3 * len(devices)


def test_without_a_gateway_a_limited_run_says_so(tmp_path, square):
    """Readings that nobody acknowledged at the deadline give their own exit code and stay in the state file."""
    broker, devices = square
    process, _ = start(tmp_path, broker, duration_s=2, drain_s=1)
    assert process.wait(40) == NOT_DRAINED
    queues = json.loads((tmp_path / "world.json").read_text())["queues"]
    assert set(queues) == set(devices)


def test_a_stopped_world_goes_on(tmp_path, square):
    """SIGTERM ends with 0 and saves; what was un-acked is delivered by the next start, whose boots are new."""
    broker, devices = square
    process, _ = start(tmp_path, broker)
    wait_until(lambda: len(read_ledger(tmp_path / "ledger.csv")) >= len(devices), 20, "a first round")
    assert finish(process) == 0
    first = {(e.device, e.boot, e.seq) for e in read_ledger(tmp_path / "ledger.csv")}
    saved = json.loads((tmp_path / "world.json").read_text())
    gateway = StubGateway(broker.port, "secret-gateway", site=SITE)
    with gateway_thread(gateway):
        process, _ = start(tmp_path, broker, duration_s=3)
        assert process.wait(40) == 0
    assert first <= set(gateway.stored)
    boots = {boot for _, boot, _ in gateway.stored}
    assert len(boots) == 2 * len(devices)
    again = json.loads((tmp_path / "world.json").read_text())
    assert again["runs"] == saved["runs"] + 1
    assert again["world"]["model"]["at_s"] > saved["world"]["model"]["at_s"]


def test_health_tells_when_nodes_are_away(tmp_path, square):
    """The health page counts conservation and turns red in words when the broker is gone for long."""
    broker, devices = square
    gateway = StubGateway(broker.port, "secret-gateway", site=SITE)
    with gateway_thread(gateway):
        process, port = start(tmp_path, broker)
        try:
            import httpx

            def health():
                return httpx.get(f"http://127.0.0.1:{port}/healthz").json()

            wait_until(lambda: health()["counts"]["acked"] >= len(devices), 20, "acks")
            counts = health()["counts"]
            assert counts["connected"] == len(devices)
            assert counts["made"] == counts["acked"] + counts["waiting"] + counts["dropped"]
            broker.stop()
            wait_until(lambda: health()["counts"]["connected"] == 0, 10, "the nodes to notice")
            assert f"{len(devices)} of {len(devices)} nodes are not connected" in health()["reason"]
        finally:
            began = time.monotonic()
            assert finish(process) == 0
            assert time.monotonic() - began < 10

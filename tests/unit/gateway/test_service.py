"""The process around the parts: what makes it end, and what it says of itself."""

import doctest
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway import clock, service, watermark
from gateway.service import Gateway, run
from gateway.settings import GatewaySettings
from gateway.spool import Spool
from square.errors import SettingsError
from square.process import EXIT_FAULT, EXIT_OK, EXIT_SETTINGS


def settings(folder: Path, **values: Any) -> GatewaySettings:
    return GatewaySettings(broker_url="mqtt://127.0.0.1:1", spool_file=folder / "spool.sqlite3", **values)


def run_until(folder: Path, stop: threading.Event, **values: Any) -> int:
    """Run the service in a thread, as signals are for the main thread only; return its exit code."""
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(settings(folder, **values), stop)))
    thread.start()
    thread.join(20)
    return codes[0]


@pytest.mark.parametrize("part", ["intake", "forwarder"])
@pytest.mark.parametrize("end", ["raises", "returns"])
def test_a_worker_that_ends_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, end: str
) -> None:
    """A process that looks alive and does nothing is the worst failure: a dead worker is exit code 1."""

    def broken(*_arguments: object) -> None:
        if end == "raises":
            raise ZeroDivisionError

    build = Gateway.__init__

    def built(self: Gateway, *arguments: Any) -> None:
        build(self, *arguments)
        monkeypatch.setattr(getattr(self, part), "run", broken)

    monkeypatch.setattr(Gateway, "__init__", built)
    assert run_until(tmp_path, threading.Event()) == EXIT_FAULT


def test_asked_to_stop_it_ends_well_even_without_a_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker is no reason to end; a stop is."""
    monkeypatch.setattr(service, "TICK_S", 0.01)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    assert run_until(tmp_path, stop) == EXIT_OK


def test_what_cannot_be_used_is_one_sentence_and_exit_code_two(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """A spool that another gateway holds and a site that does not exist end the start, without a traceback."""
    spool = Spool(tmp_path / "spool.sqlite3", now_ms=0)
    assert run_until(tmp_path, threading.Event()) == EXIT_SETTINGS
    spool.close()
    assert run_until(tmp_path, threading.Event(), site=str(tmp_path / "nowhere")) == EXIT_SETTINGS
    said = capfd.readouterr().err + caplog.text
    assert "held by another process" in said
    assert "nowhere" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("uplink_url", [None, "mqtt://127.0.0.1:1", "mqtt://localhost:1", "mqtt://city.example"])
def test_the_uplink_is_always_a_connection_of_its_own(tmp_path: Path, uplink_url: str | None) -> None:
    """Acks of ingest wait behind no message of a device, and no name of one broker makes one client id twice."""
    gateway = Gateway(settings(tmp_path, uplink_url=uplink_url), threading.Event())
    gateway.spool.close()
    assert gateway._uplink is not gateway._edge
    assert (gateway._edge.client_id, gateway._uplink.client_id) == ("gateway-gw-utama", "gateway-gw-utama-uplink")
    assert list(gateway._edge._filters) == ["resik/alun-alun-pasuruan/+/up/+"]
    assert list(gateway._uplink._filters) == ["resik/alun-alun-pasuruan/gw/gw-utama/ack"]
    assert str(gateway._uplink.endpoint) == {
        None: "mqtt://127.0.0.1:1",
        "mqtt://city.example": "mqtt://city.example:1883",
    }.get(uplink_url, uplink_url)


def test_each_side_has_its_own_credentials(tmp_path: Path) -> None:
    """The uplink's count on either broker; without them one broker gets the same twice, and another one none."""
    for name in ("edge", "city"):
        (tmp_path / name).write_text(f"{name}-word")
    own = {"uplink_username": "gateway-uplink", "uplink_password_file": tmp_path / "city"}

    def uplink(**values: Any) -> tuple[str | None, str | None]:
        gateway = Gateway(settings(tmp_path, broker_password_file=tmp_path / "edge", **values), threading.Event())
        gateway.spool.close()
        assert (gateway._edge.endpoint.username, gateway._edge.endpoint.password) == ("gateway", "edge-word")
        return gateway._uplink.endpoint.username, gateway._uplink.endpoint.password

    assert uplink() == ("gateway", "edge-word")
    assert uplink(**own) == ("gateway-uplink", "city-word")
    assert uplink(uplink_url="mqtt://city.example", **own) == ("gateway-uplink", "city-word")
    assert uplink(uplink_url="mqtt://city.example") == (None, None)


def test_a_wrong_uplink_url_is_called_by_its_name(tmp_path: Path) -> None:
    """Nobody looks for the fault in broker_url."""
    with pytest.raises(SettingsError, match=r"^uplink_url"):
        Gateway(settings(tmp_path, uplink_url="http://city"), threading.Event())


def test_two_gateways_of_a_square_use_different_probe_topics(tmp_path: Path) -> None:
    """Each gateway talks to itself under its own id."""
    topics = set()
    for name in ("gw-satu", "gw-dua"):
        gateway = Gateway(settings(tmp_path, gateway_id=name), threading.Event())
        gateway.spool.close()
        topics |= {gateway._edge._probe_topic, gateway._uplink._probe_topic}
    assert topics == {f"resik/alun-alun-pasuruan/sv/{name}/probe" for name in ("gw-satu", "gw-dua")}


@pytest.mark.parametrize("side", ["_edge", "_uplink"])
def test_a_deaf_connection_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    """A network thread that is dead is exit code 1: the supervisor starts the gateway again."""
    monkeypatch.setattr(service, "TICK_S", 0.01)
    build = Gateway.__init__

    def built(self: Gateway, *arguments: Any) -> None:
        build(self, *arguments)
        monkeypatch.setattr(getattr(self, side), "is_deaf", lambda: True)

    monkeypatch.setattr(Gateway, "__init__", built)
    assert run_until(tmp_path, threading.Event()) == EXIT_FAULT


def test_no_heartbeat_while_devices_cannot_be_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway with a full disk or without the device broker vouches for nobody's silence."""
    gateway = Gateway(settings(tmp_path), threading.Event())
    gateway.spool.close()
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(gateway._uplink, "publish", lambda topic, _payload, qos: sent.append((topic, qos)))
    assert not gateway._beat(b"x")
    monkeypatch.setattr(gateway._edge, "is_healthy", lambda: True)
    assert gateway._beat(b"x")
    gateway.intake.stopped_because = "disk full"
    assert not gateway._beat(b"x")
    assert sent == [("resik/alun-alun-pasuruan/gw/gw-utama/batch", 0)]


def test_health_holds_what_conservation_needs(tmp_path: Path) -> None:
    """Every counter that a balance from outside needs is there, and a broker that is away is a reason."""
    gateway = Gateway(settings(tmp_path), threading.Event())
    health = gateway.health()
    gateway.spool.close()
    assert not health.ok
    assert "broker" in health.reason
    wanted = {"received", "spooled", "duplicates", "poison", "gaps", "acked_to_device", "forwarded", "settled_stored"}
    wanted |= {"settled_dead", "waiting", "oldest_waiting_age_s", "disk_free_pct", "edge_connected", "uplink_connected"}
    assert wanted <= health.counts.keys()


@pytest.mark.parametrize("module", [clock, watermark])
def test_examples_in_docstrings_are_true(module: Any) -> None:
    """Every worked example gives what it says."""
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0

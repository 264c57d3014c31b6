"""TLS of a node on real MicroPython against real mosquitto: proved, or nothing is sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import certificates
from tests.fakes.certificates import Certificates
from tests.fakes.hostile_broker import HostileBroker
from tests.firmware.net.talk import SHORT_S, talk
from tests.services import Server, start_mosquitto

pytestmark = pytest.mark.service

LARGEST = 2_900
"""Payload that with topic and heads still fits the longest packet that a node takes."""
GOOD_STEPS = ["dns", "link", "connack", "suback", "puback", "ping"]
WHY = {
    "wrong-ca": "not correctly signed by the trusted CA",
    "wrong-name": "does not match with the expected CN",
    "expired": "has expired",
    "not-yet-valid": "in the future",
    "self-signed": "not correctly signed by the trusted CA",
}


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates.make(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def good(papers: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = start_mosquitto(tmp_path_factory.mktemp("good"), tls=papers.servers["good"])
    yield server
    server.stop()


def plan(papers: Certificates, port: int, **more: object) -> dict[str, object]:
    return {"port": port, "ca": str(papers.ca_der), "name": certificates.NAME, **more}


def test_a_proved_broker_is_used(papers: Certificates, good: Server) -> None:
    """With the right root and name every step completes in order, in the heap of a node."""
    (report,) = talk(plan(papers, good.port))
    assert report["ok"]
    assert report["steps"] == GOOD_STEPS
    assert report["heard"] == [1, 100]
    assert report["peak"] < 40_000


def test_the_address_may_be_the_name(papers: Certificates, good: Server) -> None:
    """A certificate for an address proves a broker that has no name."""
    (report,) = talk(plan(papers, good.port, name=""))
    assert report["ok"]


@pytest.mark.parametrize("wrong", certificates.WRONG)
def test_a_wrong_certificate_is_refused(papers: Certificates, good: Server, wrong: str, tmp_path: Path) -> None:
    """Nothing reaches the broker, the refusal is told apart from a bad line, and the good broker works afterwards."""
    server = start_mosquitto(tmp_path, tls=papers.servers[wrong])
    try:
        first, then = talk(plan(papers, server.port, id="never-seen"), plan(papers, good.port))
    finally:
        server.stop()
    assert first["error"] == "TlsRefused"
    assert first["refused"]
    assert not first["retryable"]
    assert first["steps"] == ["dns"]
    assert first["why"] == " ".join(first["why"].split())  # one line, fit for a status
    assert WHY[wrong] in first["why"]
    log = (tmp_path / "mosquitto.log").read_text()
    assert "New connection" in log
    assert "never-seen" not in log
    assert then["ok"]


@pytest.mark.parametrize("name", ["broker.resik.test.evil.test", "resik.test", "127.0.0.2"])
def test_a_name_that_is_not_in_the_certificate_is_refused(papers: Certificates, good: Server, name: str) -> None:
    """A longer, a shorter and a neighbouring name do not match."""
    (report,) = talk(plan(papers, good.port, name=name))
    assert report["error"] == "TlsRefused"


@pytest.mark.parametrize(
    ("behaviour", "error", "step"),
    [
        ("tls-close", "LinkError", "link"),
        ("tls-half", "LinkError", "link"),
        ("reset", "LinkError", "link"),
        ("tls-silent", "LinkError", "link"),
        ("tls-plain", "TlsRefused", "tls"),
        ("tls-old", "TlsRefused", "tls"),
    ],
)
def test_a_handshake_that_ends_early(papers: Certificates, good: Server, behaviour: str, error: str, step: str) -> None:
    """Closed, reset, silent, in plain text or of an old version: over in the deadline, never spoken to without TLS."""
    with HostileBroker(behaviour) as broker:
        first, then = talk(plan(papers, broker.port, limits_s=SHORT_S), plan(papers, good.port))
        assert not [packet for packet in broker.received if packet[0] == 0x10]
    assert (first["error"], first["step"]) == (error, step)
    assert first["steps"] == ["dns"]
    assert first["ms"] < 2000
    assert first["sockets"] == 0
    assert then["ok"]


@pytest.mark.parametrize("content", [b"", b"\x30\x82\x01\x00", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_broken_root_is_a_refusal(papers: Certificates, good: Server, tmp_path: Path, content: bytes) -> None:
    """An empty, cut or mistaken ca.der never means less verification."""
    (tmp_path / "ca.der").write_bytes(content)
    (report,) = talk(plan(papers, good.port) | {"ca": str(tmp_path / "ca.der")})
    assert report["error"] == "TlsRefused"
    assert report["steps"] == []


def test_no_tls_only_to_this_machine() -> None:
    """Without a context the client does not even look up another host."""
    (report,) = talk({"port": 1883, "host": "192.0.2.1"})
    assert report["error"] == "TlsRefused"
    assert report["steps"] == []


def test_a_plain_client_gets_nothing_from_a_tls_broker(good: Server) -> None:
    """A node set up without TLS fails at a TLS broker: nobody switches by himself."""
    (report,) = talk({"port": good.port, "limits_s": (2, 1)})
    assert report["error"] == "LinkError"
    assert "connack" not in report["steps"]


def test_large_messages_and_many_over_tls(papers: Certificates, good: Server) -> None:
    """Messages of the largest size pass both ways, one after the other, without growing memory."""
    (report,) = talk(plan(papers, good.port, size=LARGEST, repeats=8))
    assert report["ok"]
    assert report["heard"] == [8, 8 * LARGEST]
    assert report["peak"] < 60_000

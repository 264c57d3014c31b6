"""What whole-node tests share: a broker for each file, and a gateway that hears its nodes."""

from collections.abc import Iterator

import pytest

from tests.fakes import certificates
from tests.firmware.node import rig
from tests.services import Server, free_port, port_open, start_mosquitto, wait_until


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return an open mosquitto on loopback; nodes of one file share it under names of their own."""
    server = start_mosquitto(tmp_path_factory.mktemp("broker"))
    yield server
    server.stop()


@pytest.fixture
def gateway(broker: Server) -> Iterator[rig.Gateway]:
    """Return a gateway that acknowledges everything, until the test says otherwise."""
    found = rig.Gateway(broker.port)
    yield found
    found.close()


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> certificates.Certificates:
    """Return a root and servers, good and wrong."""
    return certificates.make(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def tls_broker(
    papers: certificates.Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, int]]:
    """Return mosquitto with a good certificate, and the port of a plain listener for the gateway of the test."""
    folder = tmp_path_factory.mktemp("tls")
    server = start_mosquitto(folder, tls=papers.servers["good"])
    server.stop()
    plain = free_port()
    with (folder / "mosquitto.conf").open("a") as conf:
        conf.write(f"listener {plain} 127.0.0.1\n")
    server.start()
    wait_until(lambda: port_open(plain), 10, "the plain listener")
    yield server, plain
    server.stop()

"""What whole-node tests share: a broker for each file, and a gateway that hears its nodes."""

from collections.abc import Iterator

import pytest

from tests.firmware.node import rig
from tests.services import Server, start_mosquitto


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

"""What tests with real servers share: a broker and a store of their own, ended with the test."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.services import Server, start_influxd, start_mosquitto


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """End what a test has started, in reverse order."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def broker(tmp_path: Path, closing: ExitStack) -> Server:
    """Give a mosquitto."""
    server = start_mosquitto(tmp_path / "broker")
    closing.callback(server.stop)
    return server


@pytest.fixture
def influxd(tmp_path: Path, closing: ExitStack) -> Server:
    """Give an InfluxDB 1.x."""
    server = start_influxd(tmp_path / "influxd")
    closing.callback(server.stop)
    return server

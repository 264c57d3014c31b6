"""Fixtures of the dashboard's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from dashboard_api.app import create_app
from tests.unit.dashboard_api.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Return real stores in a temporary folder."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, as the server does."""
    return "asyncio"


@pytest.fixture
def client(world: World) -> Iterator[TestClient]:
    """Return a client of the whole application on the world's stores."""
    services = world.services()
    with TestClient(
        create_app(world.settings(), services), base_url="http://localhost", raise_server_exceptions=False
    ) as opened:
        yield opened
    services.close()

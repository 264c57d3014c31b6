"""The dashboard on PostgreSQL, and while PostgreSQL is away."""

import http.client
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.test_dashboard_server import Dashboard, Stream
from tests.services import Server, start_postgres, wait_until
from tests.unit.dashboard_api.world import BIN, TOKENS, World

pytestmark = pytest.mark.service


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Server]:
    """Start an empty PostgreSQL."""
    server = start_postgres(tmp_path / "postgres")
    yield server
    server.stop()


@pytest.fixture
def dashboard(tmp_path: Path, postgres: Server) -> Iterator[Dashboard]:
    """Return a dashboard on it."""
    folder = tmp_path / "dashboard"
    folder.mkdir()
    made = Dashboard(folder, world=World(folder, postgres.url))
    yield made
    made.close()


def test_change_and_crew_step_on_postgres(dashboard: Dashboard) -> None:
    """A reading reaches the stream, and a crew's step reaches stream and state."""
    with closing(Stream(dashboard.port)) as stream:
        stream.until("clock")
        dashboard.world.set_bin(BIN, 90.0)
        assert stream.until("bin")["level"] == "full"
        ident = dashboard.world.add_task()
        with closing(http.client.HTTPConnection("127.0.0.1", dashboard.port, timeout=5)) as connection:
            connection.request("POST", f"/api/v1/crew/{TOKENS['pagi-1']}/tasks/{ident}/accept")
            assert connection.getresponse().status == 200
        while stream.until("task")["state"] != "accepted":
            pass
    assert [task["state"] for task in dashboard.get("/api/v1/state")["tasks"]] == ["accepted"]


def test_database_outage_is_shown_and_passes(dashboard: Dashboard, postgres: Server) -> None:
    """Without the database the map stays with its ages and says what is wrong; afterwards the stream goes on."""
    dashboard.world.set_bin(BIN, 30.0)
    with closing(Stream(dashboard.port)) as stream:
        wait_until(lambda: dashboard.get("/healthz")["ok"], 10, "health")
        dashboard.world.database.close()
        postgres.stop()
        wait_until(lambda: not dashboard.get("/healthz")["stores"]["relational"]["ok"], 20, "the outage to be seen")
        wait_until(lambda: not dashboard.get("/api/v1/state")["health"]["ok"], 10, "the outage in the state")
        state = dashboard.get("/api/v1/state")
        assert next(b for b in state["bins"] if b["asset_id"] == BIN)["fill_pct"] == 30.0
        error = dashboard.get(f"/api/v1/crew/{TOKENS['pagi-1']}")["error"]
        assert error["code"] == "database-unavailable"
        postgres.start()
        wait_until(lambda: dashboard.get("/healthz")["stores"]["relational"]["ok"], 30, "the database to be back")
        dashboard.world.set_bin(BIN, 60.0)
        while stream.until("bin")["fill_pct"] != 60.0:
            pass

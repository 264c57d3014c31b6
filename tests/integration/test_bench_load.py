"""The bench of many connections counts what it says: every reading is stored once, and the load's own CPU is in it."""

import pytest

from bench import load
from tests.services import require

pytestmark = pytest.mark.service


def test_every_reading_of_many_connections_is_counted_once(tmp_path):
    """Thirty devices for a second: all are connected, acknowledged and stored, and each process has used something."""
    require("mosquitto")
    require("influxd")
    found = load.many(tmp_path, 30, 1.0, 1000)
    assert (found["devices"], found["connected"]) == (30, 30)
    assert found["made"] > 30
    assert (found["unacked"], found["lost"], found["duplicated"]) == (0, 0, 0)
    assert found["cpu_us"].keys() == {"mosquitto", "influxd", "gateway", "ingest", "load"}
    assert all(cpu_us > 0 for cpu_us in found["cpu_us"].values())

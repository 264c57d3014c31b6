"""The firmware itself as the source of data, through the whole chain."""

import json

import pytest

from tests.e2e.square import run_resik
from tests.firmware.micropython import require_micropython
from tests.services import require

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("broker", ["embedded", pytest.param("mosquitto", marks=pytest.mark.service)])
def test_every_reading_of_real_nodes_is_stored_once(tmp_path, broker):
    """Eleven nodes, one of them air, live an hour with the real firmware: nothing is lost, doubled or made up."""
    require_micropython()
    if broker == "mosquitto":
        require("mosquitto")
    words = ["--real-nodes", "11", "--hours", "1", "--broker", broker, "--json", "--data", str(tmp_path / "nodes")]
    done = run_resik("simulate", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["nodes"] == 11
    assert result["readings_made"] == result["stored"] >= 11 * 6
    assert [result[key] for key in ("lost", "duplicated", "unknown", "dead_lettered", "crashed", "resets")] == [0] * 6
    assert 0 < result["rss_mib"] < 200


def test_kinds_that_do_not_exist_are_named():
    """A wrong kind ends with one sentence and the choice, before anything starts."""
    done = run_resik("simulate", "--real-nodes", "1", "--kinds", "bin,cat", timeout_s=60)
    assert done.returncode == 2
    assert "write bin, air, or bin,air" in done.stderr

"""Which data folder a command looks into when none is named, and services that have none."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.messages import read_message
from gateway.spool import Spool
from resik.cli import main
from resik.errors import StackError
from resik.folder import DataFolder
from resik.inspection import find_data
from square.clock import WallClock, now_ms
from tests.unit.gateway.fakes import SITE, payload, roomy


@pytest.mark.parametrize("name", ["simulated", "real", "scenario-haul"])
def test_the_only_folder_is_found(tmp_path, monkeypatch, name):
    """What `resik up` made here, scenarios included, needs no name."""
    monkeypatch.chdir(tmp_path)
    DataFolder(tmp_path / "var" / name, "real" if name == "real" else "simulated")
    assert find_data(None).resolve() == tmp_path / "var" / name


def test_of_several_one_must_be_named(tmp_path, monkeypatch):
    """Two folders: both are named in the question; none: the way to make one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StackError, match="make run"):
        find_data(None)
    for name in ("simulated", "scenario-haul"):
        DataFolder(tmp_path / "var" / name, "simulated")
    with pytest.raises(StackError, match="var/simulated or var/scenario-haul"):
        find_data(None)
    assert find_data(tmp_path / "var" / "simulated") == tmp_path / "var" / "simulated"


def test_a_configured_gateway_sends_again_what_was_stored(tmp_path: Path) -> None:
    """Its file of settings names the spool; what was stored waits again, and a wrong name is one sentence."""
    file, now = tmp_path / "own" / "spool.sqlite3", now_ms(WallClock())
    file.parent.mkdir()
    spool = Spool(file, now_ms=now, disk=roomy(tmp_path))
    spool.put([read_message(f"resik/{SITE}/rsk-b001/up/bin", payload(1, [1, 2, 3]), now)])
    spool.settle([row.id for row in spool.take_live(10, 10_000)], [], now)
    before = spool.waiting
    spool.close()
    config = tmp_path / "resik.toml"
    config.write_text(f'[gateway]\nsite = "alun-alun-pasuruan"\nspool_file = "{file}"\n')
    words = ["gateway", "resend", "--config", str(config), "--hours", "1"]
    found = CliRunner().invoke(main, words)
    assert (found.exit_code, found.output.split()[0]) == (0, str(3 - before))
    assert before < 3, "something was stored"
    file.unlink()
    found = CliRunner().invoke(main, words)
    assert (found.exit_code, str(file) in found.output) == (2, True)
    found = CliRunner().invoke(main, [*words, "--data", str(tmp_path)])
    assert "not both" in found.output

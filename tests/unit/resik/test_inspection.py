"""Which data folder a command looks into when none is named."""

import pytest

from resik.errors import StackError
from resik.folder import DataFolder
from resik.inspection import find_data


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

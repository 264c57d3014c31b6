"""The data folder: secrets, kinds, and one stack at a time."""

import stat

import pytest

from resik.errors import StackError
from resik.folder import DataFolder, check_unused, fresh_replay_folder


def test_secrets_are_distinct_private_and_kept(tmp_path):
    """Each principal has its own secret, readable by the owner only, the same on the next start."""
    folder = DataFolder(tmp_path, "simulated")
    passwords = folder.credentials(["gateway", *(f"rsk-b{n:03}" for n in range(100))])
    assert len(set(passwords.values())) == 101
    assert all(len(word) >= 43 for word in passwords.values())
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.secrets.iterdir()} == {0o600}
    assert DataFolder(tmp_path, "simulated").credentials(["gateway"])["gateway"] == passwords["gateway"]


def test_an_empty_secret_is_made_again(tmp_path):
    """A secret that a crash left empty is replaced: an empty password would let anybody in."""
    folder = DataFolder(tmp_path, "simulated")
    (folder.secrets / "rsk-b001").write_text("")
    assert len(folder.credentials(["rsk-b001"])["rsk-b001"]) >= 43


def test_kinds_do_not_mix(tmp_path):
    """A folder of a simulated square refuses to become a real one, and says what to do."""
    DataFolder(tmp_path, "simulated")
    with pytest.raises(StackError, match=r"holds a simulated square.*--data"):
        DataFolder(tmp_path, "real")


def test_second_lock_is_refused_until_the_first_is_let_go(tmp_path):
    """Two stacks never share a folder."""
    first, second = DataFolder(tmp_path, "real"), DataFolder(tmp_path, "real")
    first.lock()
    with pytest.raises(StackError, match="in use by process"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_only_a_replays_folder_is_cleared(tmp_path):
    """A folder that a replay did not make is never emptied; its own is."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(StackError, match="is no replay's folder"):
        fresh_replay_folder(mine)
    assert (mine / "thesis.txt").exists()
    old = fresh_replay_folder(tmp_path / "replay")
    (old.root / "points.sqlite3").write_text("old")
    assert not (fresh_replay_folder(tmp_path / "replay").root / "points.sqlite3").exists()


def test_a_run_of_its_own_wants_an_empty_folder(tmp_path):
    """Nothing, a new name and an empty folder will do; a file, and a folder with something in it, will not."""
    (tmp_path / "empty").mkdir()
    for fine in (None, tmp_path / "new", tmp_path / "empty"):
        check_unused(fine, "a demo")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for bad in (tmp_path, tmp_path / "file"):
        with pytest.raises(StackError, match="a demo needs a folder of its own"):
            check_unused(bad, "a demo")

"""A scratch folder is gone with its maker, and never before."""

import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from square.scratch import scratch_folder

HOLD = """
from square.scratch import scratch_folder
with scratch_folder("t-") as folder:
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the place where temporary folders go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def maker(room: Path) -> subprocess.Popen[str]:
    """Start a process that holds a folder."""
    return subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_folder_is_gone_afterwards(room: Path) -> None:
    """Whatever is in it, and although its block fails."""

    def fail() -> None:
        with scratch_folder("t-") as folder:
            (folder / "deep" / "er").mkdir(parents=True)
            assert folder.parent == room
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(room.iterdir()) == []


def test_the_next_maker_sweeps_only_what_a_killed_one_left(room: Path, maker: subprocess.Popen[str]) -> None:
    """A folder stays as long as its maker lives; folders of other purposes, and of nobody, stay in any case."""
    assert maker.stdout is not None
    held = Path(maker.stdout.readline().strip())
    (room / "t-of-nobody").mkdir()
    (room / "u-other").mkdir()
    with scratch_folder("t-"):
        assert held.is_dir()
    maker.send_signal(signal.SIGKILL)
    maker.wait(10)
    assert held.is_dir()
    with scratch_folder("t-") as folder:
        assert sorted(room.iterdir()) == sorted([folder, room / "t-of-nobody", room / "u-other"])


def test_makers_that_start_together_keep_their_folders(room: Path) -> None:
    """Each sweeps while the others make: no folder is lost while it is held."""

    def use(_number: int) -> bool:
        with scratch_folder("t-") as folder:
            (folder / "mine").write_text("x")
            with scratch_folder("t-"):
                return (folder / "mine").exists()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(200)))
    assert list(room.iterdir()) == []

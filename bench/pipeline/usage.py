"""CPU time and memory of processes, from Linux's /proc."""

import contextlib
import os
import time
from pathlib import Path

from resik.process import cpu_s

QUIET_PCT = 10
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def machine_s() -> tuple[float, float]:
    """Busy and whole CPU time of the machine since it started, all cores [s]."""
    fields = [int(field) for field in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / _TICKS_PER_S, sum(fields) / _TICKS_PER_S


def peak_rss_mib(pid: int) -> float:
    """Most memory that a process ever held [MiB]."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def wait_for_quiet(within_s: float) -> None:
    """Wait until the machine has little to do for a second, but not longer than ``within_s``."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        busy_s, whole_s = machine_s()
        time.sleep(1.0)
        now_busy_s, now_whole_s = machine_s()
        if (now_busy_s - busy_s) * 100 < QUIET_PCT * (now_whole_s - whole_s):
            return


class Usage:
    """What named processes use from one moment on."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}
        self._before_s: dict[str, float] = {}
        self._machine_s = machine_s()

    def watch(self, name: str, pid: int) -> None:
        """Count this process under this name from now on."""
        self._pids[name] = pid
        self._before_s[name] = cpu_s(pid)

    def leave(self, name: str) -> None:
        """Count it no more."""
        self._pids.pop(name, None)

    def reset(self) -> None:
        """Begin to count CPU time anew."""
        self._machine_s = machine_s()
        for name, pid in self._pids.items():
            self._before_s[name] = cpu_s(pid)

    def others_pct(self) -> float:
        """Return how much of the machine anybody else used since :meth:`reset` [%]."""
        busy_s, whole_s = (now - before for now, before in zip(machine_s(), self._machine_s, strict=True))
        return max(0.0, (busy_s - sum(self.cpu_s().values())) / max(whole_s, 0.01) * 100)

    def cpu_s(self) -> dict[str, float]:
        """CPU time of each process since :meth:`reset`."""
        used = {}
        for name, pid in self._pids.items():
            with contextlib.suppress(OSError):  # it has just ended
                used[name] = cpu_s(pid) - self._before_s[name]
        return used

    def peak_rss_mib(self) -> dict[str, float]:
        """Most memory of each process so far."""
        return {name: peak_rss_mib(pid) for name, pid in self._pids.items()}

"""CPU time and memory of processes, from Linux's /proc."""

import contextlib
import os
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of a process with all its threads [s, in steps of 10 ms]."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def peak_rss_mib(pid: int) -> float:
    """Most memory that a process ever held [MiB]."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Usage:
    """What named processes use from one moment on."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}
        self._before_s: dict[str, float] = {}

    def watch(self, name: str, pid: int) -> None:
        """Count this process under this name from now on."""
        self._pids[name] = pid
        self._before_s[name] = cpu_s(pid)

    def leave(self, name: str) -> None:
        """Count it no more."""
        self._pids.pop(name, None)

    def reset(self) -> None:
        """Begin to count CPU time anew."""
        for name, pid in self._pids.items():
            self._before_s[name] = cpu_s(pid)

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

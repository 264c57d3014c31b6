"""Ports for processes that are started here."""

import random
import socket
import sys
from collections import deque

from resik.errors import StackError

LOW, HIGH = 20_000, 32_000
"""Below the range from which Linux takes ports for outgoing connections (ip(7)): a port found free stays free."""
_TRIES = 200
_given: set[int] = set()
"""Ports that were handed out here: whoever got one may not have bound it yet."""
_marks: deque[socket.socket] = deque()
"""Marks of the last of them, which keep other processes of ours from handing them out, too. They are names without a
file (unix(7)) and go with the process."""
_MARKS_MAX = 100
"""A port that is older than so many others is bound by now; each mark is an open file."""


def _mark(port: int) -> None:
    """Mark a port as handed out, where there are such names.

    Raises
    ------
    OSError
        If another process did.
    """
    if not sys.platform.startswith("linux"):
        return
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0resik-port-{port}")
    except OSError:
        mark.close()
        raise
    _marks.append(mark)
    if len(_marks) > _MARKS_MAX:
        _marks.popleft().close()


def free_port() -> int:
    """Return a loopback port that nobody uses at the moment, and that no living process of ours was given.

    Raises
    ------
    StackError
        If none of many tries was free.
    """
    for port in random.SystemRandom().sample(range(LOW, HIGH), _TRIES):
        if port in _given:
            continue
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
                _mark(port)
            except OSError:
                continue
            _given.add(port)
            return port
    raise StackError(f"no free port between {LOW} and {HIGH} on this machine: end some of its programs")


def claim_port(port: int, what: str, remedy: str) -> None:
    """Check that a loopback port is free.

    Raises
    ------
    StackError
        If somebody listens there already.
    """
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackError(f"port {port} for {what} is taken ({error.strerror}): {remedy}") from error

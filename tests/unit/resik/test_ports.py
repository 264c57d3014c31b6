"""Ports that are handed out: free, and to nobody twice."""

import subprocess
import sys

import pytest

from resik import ports


def test_a_port_is_handed_out_once():
    """No process gets a port a second time, bound or not."""
    found = [ports.free_port() for _ in range(200)]
    assert len(set(found)) == len(found)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs names of sockets without a file")
def test_two_processes_are_not_given_the_same(monkeypatch):
    """Out of ten ports two processes get different ones, although nobody has bound any yet."""
    monkeypatch.setattr(ports, "LOW", 19_990)
    monkeypatch.setattr(ports, "HIGH", 20_000)
    monkeypatch.setattr(ports, "_TRIES", 10)
    code = (
        "from resik import ports; ports.LOW, ports.HIGH, ports._TRIES = 19_990, 20_000, 10;"
        "print(*[ports.free_port() for _ in range(4)], flush=True); input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    theirs = {int(word) for word in other.stdout.readline().split()}
    ours = {ports.free_port() for _ in range(4)}
    other.communicate("\n", timeout=10)
    assert len(theirs) == len(ours) == 4
    assert not theirs & ours

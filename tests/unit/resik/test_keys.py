"""Keys of a terminal: one by one, without Enter, and sequences are no keys."""

import os
import pty
import termios
import time

import pytest

from resik.keys import Keys


@pytest.fixture
def terminal(monkeypatch):
    master, slave = pty.openpty()
    with os.fdopen(slave, "r") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        yield master, slave
    os.close(master)


def read_all(keys):
    found = []
    while (key := keys.wait(0.05)) is not None:
        found.append(key)
    return found


def test_keys_come_one_by_one_and_unseen(terminal):
    """Three keys are three keys, none is echoed, and afterwards the terminal is as before."""
    master, slave = terminal
    before = termios.tcgetattr(slave)
    with Keys() as keys:
        os.write(master, b"f7 ")
        assert read_all(keys) == ["f", "7", " "]
        os.set_blocking(master, False)
        with pytest.raises(BlockingIOError):
            os.read(master, 10)
    assert termios.tcgetattr(slave) == before


@pytest.mark.parametrize("sequence", [b"\x1b[A", b"\x1bOP", b"\x1b[15~", b"\x1b[1;5C", b"\x1bx"])
def test_sequences_are_no_keys_and_swallow_none(terminal, sequence):
    """Arrows, function keys and Alt are passed over; the key behind them counts."""
    master, _ = terminal
    with Keys() as keys:
        os.write(master, sequence + b"q")
        assert keys.wait(1.0) is None
        assert keys.wait(1.0) == "q"


def test_escape_alone_is_a_key(terminal):
    """Escape by itself is what closes a menu."""
    master, _ = terminal
    with Keys() as keys:
        os.write(master, b"\x1b")
        assert keys.wait(1.0) == "\x1b"


def test_waiting_takes_no_longer_than_it_was_told(terminal):
    """No key, None, after the time."""
    begun_s = time.monotonic()
    with Keys() as keys:
        assert keys.wait(0.05) is None
    assert 0.05 <= time.monotonic() - begun_s < 2


def test_without_a_terminal_there_are_no_keys(monkeypatch, tmp_path):
    """A file is no keyboard: waiting only waits."""
    (tmp_path / "keys").write_text("qqq", encoding="utf-8")
    with (tmp_path / "keys").open(encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        with Keys() as keys:
            assert keys.wait(0.01) is None

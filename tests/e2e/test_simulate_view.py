"""`resik simulate` on a terminal: real key presses on a pseudo-terminal, and what the screen says to them."""

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from fcntl import ioctl

import pytest

pytestmark = pytest.mark.e2e

COMMAND = [sys.executable, "-P", "-m", "resik", "simulate"]
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]")


class Terminal:
    """A program on a pseudo-terminal of 120 x 40."""

    def __init__(self, *words, **environment):
        self.master, self.slave = pty.openpty()
        ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [*COMMAND, *words],
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            env={**os.environ, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        self.raw = ""

    def press(self, keys):
        os.write(self.master, keys.encode())

    def see(self, wanted, within_s=25):
        """Wait until the screen says it; what was said before counts no more."""
        until_s = time.monotonic() + within_s
        while wanted not in _CODES.sub("", self.raw):
            assert time.monotonic() < until_s, f"{wanted!r} did not come: {_CODES.sub('', self.raw)[-3000:]}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.raw += os.read(self.master, 65_536).decode("utf-8", "replace")
        self.raw = ""

    def end(self, within_s=20):
        until_s = time.monotonic() + within_s
        while self.process.poll() is None and time.monotonic() < until_s:
            if select.select([self.master], [], [], 0.1)[0]:
                self.raw += os.read(self.master, 65_536).decode("utf-8", "replace")
        while select.select([self.master], [], [], 0.2)[0]:
            self.raw += os.read(self.master, 65_536).decode("utf-8", "replace")
        return self.process.poll()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():
    opened = []

    def start(*words, **environment):
        opened.append(Terminal(*words, **environment))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_keys_do_what_the_foot_of_the_screen_says(terminal):
    """Pause, speed, a fault by its digit, emptying, the scenario, quitting; the terminal is left as it was."""
    screen = terminal("--scenario", "quiet-tuesday", "--speed", "3600", "--seed", "5")
    screen.see("Quiet Tuesday")
    screen.see("×3600")
    screen.press(" ")
    screen.see("jeda / paused")
    screen.press(" ")
    screen.see("jalan / running")
    screen.press("+")
    screen.see("laju / speed ×7200")
    screen.press("--")
    screen.see("laju / speed ×1800")
    screen.press("f")
    screen.see("tekan angka / press a digit")
    screen.press("7")
    screen.see("gangguan / faults (1): uplink cut")
    screen.press("e")
    screen.see("dikosongkan dari / emptied from")
    screen.press("s")
    screen.see("An ordinary day without event")
    screen.press("\x1b[A")  # an arrow is no key of ours
    screen.press("sq")
    assert screen.end() == 0
    assert "menit tong meluap / overflow" in screen.raw
    assert "Traceback" not in screen.raw
    assert termios.tcgetattr(screen.slave) == screen.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_whoever_stops_it_gets_the_terminal_as_it_was(terminal, number):
    """Interrupted in the middle or told to end, it ends with code 130 and gives the terminal back."""
    screen = terminal()
    screen.see("Night of Jumat Legi")
    screen.process.send_signal(number)
    assert screen.end() == 130
    assert "Traceback" not in screen.raw
    assert termios.tcgetattr(screen.slave) == screen.before


def test_without_a_terminal_a_scenario_is_lines(tmp_path):
    """The same command in a pipe prints an hour a line; with --json the same figures again, for the same seed."""
    scenario = tmp_path / "short.toml"
    scenario.write_text(
        'schema = 1\nid = "short"\nname_id = "Sebentar"\nname_en = "Short"\nabout_id = "Tiga jam."\n'
        'about_en = "Three hours."\nday = 2026-11-24\nstart = "15:00"\nhours = 3\n',
        encoding="utf-8",
    )
    first, figures = (
        subprocess.run(
            [*COMMAND, "--scenario", str(scenario), *more], capture_output=True, text=True, timeout=100, check=True
        ).stdout
        for more in ([], ["--json"])
    )
    assert len([line for line in first.splitlines() if "penuh / full" in line]) == 3
    found = json.loads(figures)
    assert (found["scenario"], found["policy"], found["seed"]) == ("short", "threshold", 1)
    assert f"{found['figures']['crew_minutes']:,.1f} min" in first


def test_settings_and_options_do_not_mix(terminal):
    """A simulator that is told where its broker is, is a service: options of the view are refused with the remedy."""
    screen = terminal("--scenario", "quiet-tuesday", RESIK_SIMULATOR_BROKER_URL="mqtt://127.0.0.1:1")
    assert screen.end() == 2
    assert "leave the options out" in screen.raw


def test_a_scenario_or_policy_that_does_not_exist_is_told(terminal):
    """One sentence that names what there is."""
    screen = terminal("--scenario", "no-such")
    assert screen.end() == 2
    assert "quiet-tuesday" in screen.raw
    other = terminal("--policy", "clever")
    assert other.end() == 2
    assert "threshold" in other.raw
    assert "Traceback" not in other.raw

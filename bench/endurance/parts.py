"""Real processes: broker, InfluxDB, gateway and ingest, each killed and started again at will."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.influxd import configuration as influxd_text
from resik.process import ask_health

START_WITHIN_S = 60.0
END_WITHIN_S = 15.0
POLL_S = 0.02
"""Between two looks [s]."""


class NotHere(Exception):  # noqa: N818 - a result, not an error
    """Something that a check needs is missing on this machine; the text says what."""


class Trouble(Exception):  # noqa: N818 - a result, not an error
    """A check cannot go on; the text says why."""


def program(name: str) -> str:
    """Return the path of a program, or raise `NotHere`."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotHere(f"{name} is not installed (`make services` as root on Debian)")
    return found


def wait_for(condition: Callable[[], bool], within_s: float, what: str) -> float:
    """Return after how many seconds `condition` held; raise `Trouble` when it does not in time."""
    started_s = time.monotonic()
    while not condition():
        if time.monotonic() - started_s > within_s:
            raise Trouble(f"{what}: not within {within_s:g} s")
        time.sleep(POLL_S)
    return time.monotonic() - started_s


def listens(port: int) -> bool:
    """Whether a loopback port accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.3).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:  # noqa: S310 - http to loopback
            return bool(200 <= reply.status < 300)
    except (OSError, urllib.error.URLError):
        return False


class Part:
    """A process that keeps port and files when it is started again. It ends with us.

    Parameters
    ----------
    name : str
        For logs and reports.
    command : list[str]
        What to run.
    log : Path
        Where its words go, appended.
    ready : Callable[[], bool]
        Whether it does its work by now.
    environment : Mapping[str, str]
        On top of our own.
    health_port : int | None
        Of its health page.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        log: Path,
        ready: Callable[[], bool],
        *,
        environment: Mapping[str, str] | None = None,
        health_port: int | None = None,
    ) -> None:
        self.name = name
        self.command = command
        self.log = log
        self.health_port = health_port
        self._ready = ready
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it; do not wait. Call from the main thread: the process ends with the thread that started it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "resik.tether", *self.command],
                env={**os.environ, **self._environment, "RESIK_TETHER_PARENT": str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> float:
        """Wait until it works; return how long that took [s]."""
        started_s = time.monotonic()
        while not self._ready():
            if not self.is_running:
                raise Trouble(f"{self.name} ended by itself: {self.last_words()}")
            if time.monotonic() - started_s > START_WITHIN_S:
                raise Trouble(f"{self.name} did not start within {START_WITHIN_S:g} s: {self.last_words()}")
            time.sleep(POLL_S)
        return time.monotonic() - started_s

    def start(self) -> float:
        """Start it and wait until it works; return how long that took [s]."""
        self.launch()
        return self.wait_ready()

    def kill(self) -> None:
        """End it with SIGKILL, as the kernel would when memory runs out."""
        assert self._process is not None
        if not self.is_running:
            raise Trouble(f"{self.name} ended by itself before it was killed: {self.last_words()}")
        self._process.kill()
        self._process.wait(END_WITHIN_S)

    def stop(self) -> None:
        """End it politely, then not."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)  # also what runs under a tracer
        try:
            self._process.wait(END_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_WITHIN_S)

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def counts(self) -> dict[str, float]:
        """Return the counts of its health page; empty while it does not answer."""
        health = ask_health(self.health_port) if self.health_port is not None else None
        return dict(health.counts) if health is not None else {}

    def is_well(self) -> bool:
        """Whether its health page says that it does its work."""
        health = ask_health(self.health_port) if self.health_port is not None else None
        return health is not None and health.ok

    def reason(self) -> str:
        """Return what its health page complains of; empty while it does not answer."""
        health = ask_health(self.health_port) if self.health_port is not None else None
        return health.reason if health is not None else ""

    def rss_mib(self, *, peak: bool = False) -> float:
        """Return the memory that it holds, or the most that it ever held [MiB]; 0 where the system does not tell."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:" if peak else "VmRSS:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def last_words(self) -> str:
        """Return the end of its log."""
        try:
            return self.log.read_text(errors="replace")[-800:].strip()
        except OSError:
            return ""


def start_all(*parts: Part) -> None:
    """Start several parts at once and wait until each works."""
    for part in parts:
        part.launch()
    for part in parts:
        part.wait_ready()


def mosquitto(
    folder: Path, port: int, name: str, *, tls: tuple[int, Path, Path] | None = None, in_flight: int = 1_000
) -> Part:
    """Make a broker with the limits that Resik asks for, and the persistence that mosquitto has by default.

    Parameters
    ----------
    folder : Path
        Where configuration, state and log are.
    port : int
        Plain listener on loopback.
    name : str
        Name of the part.
    tls : tuple[int, Path, Path] | None
        Port, certificate and key of a second listener.
    in_flight : int
        Deliveries that a client may leave unacknowledged.
    """
    room = folder / name
    room.mkdir(parents=True, exist_ok=True)
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "max_queued_messages 0",
        f"max_inflight_messages {in_flight}",
        "set_tcp_nodelay true",
        "persistence true",
        f"persistence_location {room}/",
        "user root" if os.geteuid() == 0 else "",
    ]
    if tls is not None:
        lines += [f"listener {tls[0]} 127.0.0.1", f"certfile {tls[1]}", f"keyfile {tls[2]}"]
    configuration = room / "mosquitto.conf"
    configuration.write_text("\n".join(lines) + "\n")
    ports = [port] if tls is None else [port, tls[0]]
    return Part(
        name,
        [program("mosquitto"), "-c", str(configuration)],
        folder / f"{name}.log",
        lambda: all(listens(number) for number in ports),
    )


def influxd(folder: Path, data: Path, port: int, rpc_port: int) -> Part:
    """Make an InfluxDB 1.x on loopback with its files in `data`."""
    file = folder / "influxd.toml"
    file.write_text(influxd_text(data, port=port, rpc_port=rpc_port))
    return Part(
        "influxd",
        [program("influxd"), "-config", str(file)],
        folder / "influxd.log",
        lambda: answers(f"http://127.0.0.1:{port}/ping"),
    )


def readings_judged(alerts: Part) -> int:
    """Return how many readings an alert engine has judged since its start, each counted once."""
    counts = alerts.counts()  # a batch that is sent again, or as a copy, is known by then
    return int(counts.get("readings", 0) - counts.get("duplicates", 0))

"""What one run plays on: a broker and a store of its own, in a folder of its own, gone afterwards.

Each contestant gets fresh ones, so that no session, series or compaction of another is in its way.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlencode

from bench.pipeline import fleet
from bench.pipeline.usage import Usage
from resik.ports import free_port
from resik.process import Child, last_words

ROOT = Path(__file__).parents[2]
DATABASE = "bench"
READY_WITHIN_S = 30.0


PYTHON_ENVIRONMENT = {"PYTHONPATH": str(ROOT)}
"""Lets a process find this package, which is never installed, from any working folder."""


class BenchError(RuntimeError):
    """A part did not do what a measurement needs; the text says which and why."""


def find(program: str) -> str:
    """Return the path of a server program."""
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if found is None:
        raise BenchError(f"{program} is not installed: run `make services` as root on Debian, or install it")
    return found


def module_command(module: str, *words: str) -> list[str]:
    """Return the command line of a module of this package."""
    return [sys.executable, "-m", f"bench.pipeline.{module}", *words]


def wait_for(condition: Callable[[], bool], what: str, within_s: float = READY_WITHIN_S) -> None:
    """Return once ``condition()`` holds."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise BenchError(f"gave up after {within_s:.0f} s waiting for {what}")
        time.sleep(0.02)


def answers(port: int) -> bool:
    """Whether something accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.3).close()
    except OSError:
        return False
    return True


class Store:
    """What InfluxDB 1.x holds, asked directly, not through the code under test."""

    def __init__(self, port: int) -> None:
        self.port = port

    def query(self, text: str, *, kind: str = "application/json") -> bytes:
        """Ask InfluxQL; return the body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = urlencode({"q": text, "db": DATABASE, "epoch": "ms"})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": kind}
        connection.request("POST", "/query", body, headers)
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        if reply.status != 200:
            raise BenchError(f"the store answers {reply.status}: {data[:200]!r}")
        return data

    def rows(self) -> int:
        """Count the readings that can be read."""
        return self._count("SELECT count(seq) FROM bin")

    def rows_of(self, device: str) -> int:
        """Count the readings of one device; with a thousand of them that costs the store a thousandth."""
        return self._count(f"SELECT count(seq) FROM bin WHERE device = '{device}'")  # noqa: S608 - a name of ours

    def _count(self, text: str) -> int:
        results = json.loads(self.query(text))["results"][0]
        return int(results["series"][0]["values"][0][1]) if "series" in results else 0

    def identities(self) -> Iterator[fleet.Identity]:
        """Yield device and ``seq`` of every row."""
        table = self.query("SELECT seq FROM bin GROUP BY device", kind="application/csv")
        for line in table.decode().splitlines()[1:]:
            _, tags, _, seq = line.split(",")
            yield tags.removeprefix("device="), int(seq)

    def write(self, line: str) -> None:
        """Write one line of our own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", f"/write?db={DATABASE}&precision=ms", line.encode())
        status = connection.getresponse().status
        connection.close()
        assert status == 204, status


class Stage:
    """Broker, store, and the processes of one run.

    Parameters
    ----------
    folder : Path
        Empty; logs and data go there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.usage = Usage()
        self.broker_port = free_port()
        self.store = Store(free_port())
        self.write_port = self.store.port
        """Where contestants that speak the API of 1.x write: the store, or the tap before it."""
        self.hop_port: int | None = None
        self.site_folder = folder / "site"
        self.site = fleet.build_site(self.site_folder)
        self._children: list[Child] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str] | None = None,
        health_port: int | None = None,
    ) -> Child:
        """Start a process that ends with us, and count what it uses."""
        child = Child(name, command, environment or {}, self.folder / f"{name}.log", health_port)
        self._children.append(child)
        child.start()
        assert child.pid is not None
        self.usage.watch(name, child.pid)
        return child

    def stop(self, child: Child) -> None:
        """End one process."""
        self.usage.leave(child.name)
        self._children.remove(child)
        child.stop()

    def check(self) -> None:
        """See that everything that was started still runs.

        Raises
        ------
        BenchError
            With its last words, if a process has ended.
        """
        for child in self._children:
            if child.exit_code is not None:
                raise BenchError(f"{child.name} ended with code {child.exit_code}: {last_words(child.log)}")

    def open(self) -> None:
        """Start broker and store."""
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text(
            f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n"
            "max_inflight_messages 1000\nset_tcp_nodelay true\npersistence false\nlog_type error\n"
        )
        self.start("mosquitto", [find("mosquitto"), "-c", str(configuration)])
        self.start("influxd", [find("influxd"), "-config", os.devnull], self._store_environment())
        for name, port in (("mosquitto", self.broker_port), ("influxd", self.store.port)):
            wait_for(lambda port=port: answers(port), name)  # type: ignore[misc]
        self.store.query(f"CREATE DATABASE {DATABASE}")

    def open_hop(self, times: Path | None = None) -> None:
        """Start the hop for the API of 2.x; with ``times`` it is the tap that every write goes through."""
        self.hop_port = free_port()
        command = module_command("hop", "--port", str(self.hop_port), "--to", str(self.store.port))
        self.start("hop", [*command, "--times", str(times)] if times is not None else command, PYTHON_ENVIRONMENT)
        wait_for(lambda: answers(cast("int", self.hop_port)), "the hop")
        if times is not None:
            self.write_port = self.hop_port

    def _store_environment(self) -> dict[str, str]:
        return {
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{free_port()}",
            "INFLUXDB_META_DIR": str(self.folder / "influx" / "meta"),
            "INFLUXDB_DATA_DIR": str(self.folder / "influx" / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(self.folder / "influx" / "wal"),
            "INFLUXDB_DATA_QUERY_LOG_ENABLED": "false",
            "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{self.store.port}",
            "INFLUXDB_HTTP_LOG_ENABLED": "false",
            "INFLUXDB_MONITOR_STORE_ENABLED": "false",
        }

    def close(self) -> None:
        """End everything, the last started first."""
        for child in reversed(self._children):
            child.stop()


@contextlib.contextmanager
def open_stage(parent: Path) -> Iterator[Stage]:
    """Give a stage in a new folder below ``parent`` and clear it away afterwards."""
    folder = parent / f"run-{time.monotonic_ns()}"
    folder.mkdir(parents=True)
    stage = Stage(folder)
    try:
        stage.open()
        yield stage
    finally:
        stage.close()
        shutil.rmtree(folder, ignore_errors=True)


class Helper:
    """A program of this package with orders on its standard input and JSON on its output."""

    def __init__(self, module: str, *words: str) -> None:
        self._process = subprocess.Popen(
            module_command(module, *words),
            env={**os.environ, **PYTHON_ENVIRONMENT},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._name = module

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def expect(self, word: str) -> None:
        """Wait for a line."""
        line = self._output.readline().strip()
        if line != word:
            raise BenchError(f"{self._name} said {line!r} and not {word!r} (exit code {self._process.poll()})")

    def tell(self) -> None:
        """Give the sign to begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def end(self) -> None:
        """Tell it to end; one that ends by itself needs no telling."""
        self._process.send_signal(signal.SIGTERM)

    def result(self) -> dict[str, Any]:
        """Wait for its end, and return its last line."""
        lines = self._output.read().strip().splitlines()
        if self._process.wait(30) or not lines:
            raise BenchError(f"{self._name} ended with code {self._process.returncode}")
        return cast("dict[str, Any]", json.loads(lines[-1]))

    def stop(self) -> None:
        """End it, whatever its state."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

"""The dashboard as its own process: real sockets, real signals, real stores."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from alerts.adapters.log import add_change
from square.clock import ClockDriver
from tests.services import free_port, port_open, wait_until
from tests.unit.dashboard_api.world import BIN, START_S, TOKENS, World

RUN = (
    "import os, sys; from pathlib import Path; from dashboard_api.server import run; from dashboard_api import sse; "
    "sse.RECHECK_S = float(os.environ.get('RESIK_TEST_RECHECK_S', sse.RECHECK_S)); "
    "from dashboard_api.settings import DashboardSettings; from square.settings import load_settings; "
    "from square.logs import configure_logging; configure_logging('dashboard', 'INFO'); "
    "sys.exit(run(load_settings(DashboardSettings, 'dashboard', Path(sys.argv[1]))))"
)


class Dashboard:
    """A running dashboard process on a world of its own."""

    def __init__(self, folder: Path, *, world: World | None = None, **settings: Any) -> None:
        self.world = world or World(folder)
        self.driver = ClockDriver(folder / "clock.bin")
        self.driver.set(START_S, 1.0)
        self.port = free_port()
        values = {
            "database_url": self.world.database_url,
            "store_url": self.world.store_url,
            "clock_file": str(folder / "clock.bin"),
            "port": self.port,
        } | settings
        self.config = folder / "resik.toml"
        lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)]
        for key, table in ((k, v) for k, v in values.items() if isinstance(v, dict)):
            lines += [f"[dashboard.{key}]", *(f"{name} = {json.dumps(url)}" for name, url in table.items())]
        self.config.write_text("[dashboard]\n" + "\n".join(lines) + "\n", encoding="utf-8")
        self.log = (folder / "log").open("wb")
        self.process = self.start()
        wait_until(lambda: port_open(self.port), 20, "the dashboard to listen")

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process."""
        return subprocess.Popen([sys.executable, "-c", RUN, str(self.config)], stdout=self.log, stderr=self.log)

    def get(self, path: str) -> Any:
        """Return the JSON at a path."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())

    def stop(self) -> None:
        """End the process."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def close(self) -> None:
        """End the process and release the files."""
        self.stop()
        self.log.close()
        self.driver.close()
        self.world.close()


class Stream:
    """A reader of one event stream."""

    def __init__(self, port: int, path: str = "/api/v1/stream", last_id: int | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200

    def event(self) -> tuple[str, int | None, Any] | None:
        """Return the next event, None at the end of the stream."""
        fields: dict[str, str] = {}
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if text and not text.startswith(":"):
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "data" in fields:
                ident = int(fields["id"]) if "id" in fields else None
                return fields["event"], ident, json.loads(fields["data"])
            elif not text:
                fields.clear()  # the greeting has an id and no event
        return None

    def until(self, name: str) -> Any:
        """Return the data of the next event of a kind."""
        while found := self.event():
            if found[0] == name:
                return found[2]
        pytest.fail(f"the stream ended before {name}")

    def close(self) -> None:
        """Cut the connection."""
        self.connection.close()


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Dashboard]:
    """Return a running dashboard."""
    made = Dashboard(tmp_path)
    yield made
    made.close()


def test_stream_greets_with_clock_and_health(dashboard: Dashboard) -> None:
    """A new client knows at once what time it is on the square and what does not run."""
    with closing(Stream(dashboard.port)) as stream:
        clock = stream.until("clock")
        assert clock["simulated"] is True
        assert clock["speed"] == 1.0
        assert {entry["service"] for entry in stream.until("health")["services"]} >= {"database", "time-series"}


def test_change_arrives_within_a_second(dashboard: Dashboard) -> None:
    """From the commit of a reading's state to the client: 250 ms of tailing plus little."""
    with closing(Stream(dashboard.port)) as stream:
        stream.until("clock")
        dashboard.world.set_bin(BIN, 87.0)
        committed_s = time.monotonic()
        state = stream.until("bin")
        assert time.monotonic() - committed_s < 1.0
        assert (state["asset_id"], state["fill_pct"], state["level"]) == (BIN, 87.0, "full")


def test_speed_and_ageing_are_told(dashboard: Dashboard) -> None:
    """A new speed is told at once, and a value that grows stale by it too."""
    dashboard.world.set_bin(BIN, ts_ms=int(START_S * 1000) - 1_150_000)  # stale in 50 s
    with closing(Stream(dashboard.port)) as stream:
        dashboard.driver.set(START_S + 5, 60.0)
        while stream.until("clock")["speed"] != 60.0:
            pass
        while not stream.until("bin")["stale"]:
            pass


def test_resume_over_real_connections_misses_nothing(dashboard: Dashboard) -> None:
    """300 changes, a client that is cut off every few events: the ids grow and the final picture is the state."""
    choice = random.Random(20261124)
    bins = [asset.id for asset in dashboard.world.site.bins]
    total = 300

    def write() -> None:
        which = random.Random(7)
        for number in range(total):
            dashboard.world.set_bin(which.choice(bins), float(number % 101))
            time.sleep(0.005)  # several passes of the server's loop, or one batch would hold everything

    writer = threading.Thread(target=write)
    picture: dict[str, float] = {}
    last_id, connections, target = 0, 0, dashboard.world.services().desk.last_event_id() + total
    writer.start()
    while last_id < target:
        connections += 1
        with closing(Stream(dashboard.port, last_id=last_id)) as stream:
            for _ in range(choice.randint(1, 12)):
                found = stream.event()
                assert found is not None
                name, ident, data = found
                assert name != "reset"
                if ident is not None:
                    assert ident > last_id
                    last_id = ident
                if name == "bin":
                    picture[data["asset_id"]] = data["fill_pct"]
                if last_id >= target:
                    break
    writer.join()
    assert connections > 5
    state = {b["asset_id"]: b["fill_pct"] for b in dashboard.get("/api/v1/state")["bins"] if b["ts_ms"] is not None}
    assert picture == state


def test_client_that_does_not_read_is_dropped(dashboard: Dashboard) -> None:
    """A client that never reads is cut off; one that reads, and resumes if cut, gets all 6000 changes meanwhile."""
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", dashboard.port))
    stuck.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    seen: set[int] = set()
    total = 6000
    cuts = 0
    first = Stream(dashboard.port)  # open before the first change

    def read() -> None:
        nonlocal cuts
        last_id: int | None = None
        stream = first
        while len(seen) < total:
            found = stream.event()
            if found is None:  # a reader that the machine held up is cut off too, and does what a browser does
                cuts += 1
                stream.close()
                stream = Stream(dashboard.port, last_id=last_id)
                continue
            last_id = found[1] if found[1] is not None else last_id
            if found[0] == "task":
                seen.add(found[2]["id"])
        stream.close()

    with closing(stuck):
        world = dashboard.world
        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        task: dict[str, Any] = {"crew_id": None, "state": "open", "closed_ms": None, "detail": "x" * 200}
        for start in range(0, total, 200):
            with world.database.writing() as connection:
                for ident in range(start, start + 200):
                    payload = task | {"id": ident}
                    add_change(connection, world.site.id, 0, kind="task", entity_id=str(ident), payload=payload)
        reader.join(30)
        assert len(seen) == total
        wait_until(
            lambda: dashboard.get("/healthz")["counts"]["clients_dropped"] == cuts + 1, 20, "the stuck client to go"
        )


def test_stop_does_not_wait_for_streams(dashboard: Dashboard) -> None:
    """With streams open, SIGTERM ends the process in order within seconds, and the streams end cleanly."""
    with closing(Stream(dashboard.port)) as one, closing(Stream(dashboard.port)) as two:
        one.until("clock")
        two.until("clock")
        began_s = time.monotonic()
        dashboard.process.send_signal(signal.SIGTERM)
        assert dashboard.process.wait(10) == 0
        assert time.monotonic() - began_s < 4
        while one.event() is not None:
            pass


def test_restart_resumes(dashboard: Dashboard) -> None:
    """A client that was connected before a restart gets what changed meanwhile, not a reset."""
    with closing(Stream(dashboard.port)) as stream:
        stream.until("clock")
        dashboard.world.set_bin(BIN, 10.0)
        while (found := stream.event()) and found[0] != "bin":
            pass
    assert found is not None
    dashboard.process.send_signal(signal.SIGTERM)
    dashboard.process.wait(10)
    dashboard.world.set_bin(BIN, 20.0)
    dashboard.process = dashboard.start()
    wait_until(lambda: port_open(dashboard.port), 20, "the dashboard to listen again")
    with closing(Stream(dashboard.port, last_id=found[1])) as stream:
        name, _ident, data = stream.event() or ("end", None, None)
        assert (name, data["fill_pct"]) == ("bin", 20.0)


def test_busy_port_is_one_clear_sentence(dashboard: Dashboard) -> None:
    """A second server on the same port says so in one line and exits with 2."""
    second = subprocess.run(
        [sys.executable, "-c", RUN, str(dashboard.config)], capture_output=True, text=True, timeout=30, check=False
    )
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert f"port {dashboard.port} of 127.0.0.1 is in use" in second.stderr


@pytest.mark.parametrize(
    ("key", "value", "code", "words"),
    [
        ("SITE", "no-such-site", 2, "no-such-site"),
        ("STORE_URL", "mongodb://x", 2, "store_url is wrong"),
        ("DATABASE_URL", "sqlite:////no/such/folder/x", 2, "does not exist"),
        ("CLOCK_FILE", "/no/such/clock", 2, "clock"),
        ("HOST", "192.0.2.1", 2, "cannot listen on 192.0.2.1"),
    ],
)
def test_wrong_settings_are_one_clear_sentence(tmp_path: Path, key: str, value: str, code: int, words: str) -> None:
    """Each setting that cannot work ends the start with its exit code and a sentence, without a traceback."""
    file = tmp_path / "resik.toml"
    file.write_text(f"[dashboard]\nport = {free_port()}\nallow_remote = true\n", encoding="utf-8")
    environment = os.environ | {
        "RESIK_DASHBOARD_DATABASE_URL": f"sqlite:///{tmp_path}/resik.sqlite3",
        f"RESIK_DASHBOARD_{key}": value,
    }
    ended = subprocess.run(
        [sys.executable, "-c", RUN, str(file)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=environment,
    )
    assert ended.returncode == code, ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_crew_stream_and_log_keep_the_secret(dashboard: Dashboard) -> None:
    """A crew's stream carries its own tasks only, and its link is in no line of the log."""
    token = TOKENS["pagi-1"]
    with closing(Stream(dashboard.port, f"/api/v1/crew/{token}/stream")) as stream:
        stream.until("clock")
        dashboard.world.add_task("pagi-2")
        own = dashboard.world.add_task("pagi-1")
        assert stream.until("task")["id"] == own
        dashboard.world.reassign(own, "pagi-2")
        assert stream.until("reset") == {"reason": "reassigned"}
    dashboard.get(f"/api/v1/crew/{token}")
    dashboard.stop()
    assert token not in (dashboard.world.folder / "log").read_text()


def test_renewed_link_ends_the_stream(dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crew whose link was renewed stops hearing of its work: a new request is 404, an open stream ends."""
    monkeypatch.setenv("RESIK_TEST_RECHECK_S", "0.3")
    dashboard.stop()
    dashboard.process = dashboard.start()
    wait_until(lambda: port_open(dashboard.port), 20, "the dashboard to listen again")
    token = TOKENS["pagi-1"]
    with closing(Stream(dashboard.port, f"/api/v1/crew/{token}/stream")) as stream:
        stream.until("clock")
        dashboard.world.services().desk.renew_crew_link("pagi-1", "test", 0)
        while stream.event() is not None:
            pass
    assert dashboard.get(f"/api/v1/crew/{token}")["error"]["code"] == "unknown-link"

"""Real servers for tests: each on its own port and folder, ended by pid when the test is done.

A program that is not installed skips the test with a printed reason; `make test` installs them as root on Debian.
"""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bench.influxd import configuration as influxd_text
from resik.ports import free_port

__all__ = ["Server", "free_port", "http_ok", "port_open", "require", "wait_until"]


def require(program: str) -> str:
    """Return the path of a program, or skip the test and say which one is missing."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/sbin")]
    found = shutil.which(program) or next((str(f / program) for f in folders if (f / program).exists()), None)
    if found is None:
        pytest.skip(f"{program} is not installed: run `make services` as root on Debian, or install it")
    return found


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return once ``condition()`` holds; fail the test after ``timeout_s`` naming ``what``."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"timed out after {timeout_s:g} s waiting for {what}")
        time.sleep(0.02)


def port_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=0.3).close()
    except OSError:
        return False
    return True


def http_ok(url: str) -> bool:
    """Whether a GET of ``url`` answers with a 2xx status."""
    try:
        with urllib.request.urlopen(url, timeout=1) as reply:
            return bool(200 <= reply.status < 300)
    except (OSError, urllib.error.URLError):
        return False


@dataclass
class Server:
    """A running server program. ``restart`` keeps its port and folder."""

    name: str
    command: list[str]
    folder: Path
    host: str
    port: int
    ready: Callable[[], bool]
    url: str = ""
    user: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        """Start and wait until it answers."""
        log = (self.folder / f"{self.name}.log").open("ab")
        self.process = subprocess.Popen(
            self.command,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            user=self.user,
            env={**os.environ, **self.environment},
        )
        deadline = time.monotonic() + 30
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                pytest.fail(f"{self.name} did not start: {(self.folder / f'{self.name}.log').read_text()[-2000:]}")
            time.sleep(0.02)
        return self

    def stop(self, sig: int = signal.SIGTERM) -> None:
        """End the process that we started, whatever its state."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self.process = None

    def kill(self) -> None:
        """End it as a power cut would."""
        self.stop(signal.SIGKILL)

    def reload(self) -> None:
        """Send SIGHUP."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)


def start_mosquitto(
    folder: Path,
    *,
    users: Mapping[str, str] | None = None,
    acl: str | None = None,
    persistence: bool = True,
    tls: tuple[Path, Path] | None = None,
) -> Server:
    """Start mosquitto on loopback with the limits that Resik asks of a production broker.

    Parameters
    ----------
    folder : Path
        Where configuration, password file and state live.
    users : Mapping[str, str] | None
        User names and passwords; None lets everybody in.
    acl : str | None
        Text of an access list; None lets every user do everything.
    persistence : bool
        Whether sessions outlive a restart.
    tls : tuple[Path, Path] | None
        Certificate and key (PEM) of the listener, which then speaks TLS only; None for a plain one.
    """
    program = require("mosquitto")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    lines = [
        f"listener {port} 127.0.0.1",
        *([] if tls is None else [f"certfile {tls[0]}", f"keyfile {tls[1]}"]),
        "max_queued_messages 0",
        "max_inflight_messages 1000",
        "set_tcp_nodelay true",
        f"persistence {'true' if persistence else 'false'}",
        f"persistence_location {folder}/",
        "user root" if os.geteuid() == 0 else "",
    ]
    if users is None:
        lines.append("allow_anonymous true")
    else:
        passwords = folder / "passwords"
        passwords.write_text("".join(f"{name}:{word}\n" for name, word in users.items()))
        passwords.chmod(0o600)
        subprocess.run([require("mosquitto_passwd"), "-U", str(passwords)], check=True)
        lines += ["allow_anonymous false", f"password_file {passwords}", "use_username_as_clientid false"]
    if acl is not None:
        (folder / "acl").write_text(acl)
        (folder / "acl").chmod(0o600)
        lines.append(f"acl_file {folder / 'acl'}")
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    return Server(
        "mosquitto",
        [program, "-c", str(folder / "mosquitto.conf")],
        folder,
        "127.0.0.1",
        port,
        lambda: port_open(port),
        f"mqtt{'' if tls is None else 's'}://127.0.0.1:{port}",
    ).start()


def start_influxd(folder: Path, *, auth: bool = False) -> Server:
    """Start InfluxDB 1.x on loopback."""
    program = require("influxd")
    folder.mkdir(parents=True, exist_ok=True)
    port, rpc_port = free_port(), free_port()
    (folder / "influxd.toml").write_text(influxd_text(folder, port=port, rpc_port=rpc_port, auth=auth))
    url = f"http://127.0.0.1:{port}"
    return Server(
        "influxd",
        [program, "-config", str(folder / "influxd.toml")],
        folder,
        "127.0.0.1",
        port,
        lambda: http_ok(url + "/ping"),
        url,
    ).start()


def start_victoria(folder: Path) -> Server:
    """Start VictoriaMetrics, which answers the InfluxDB 2.x write path."""
    program = require("victoria-metrics")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        program,
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={folder / 'data'}",
        "-retentionPeriod=100y",
        "-influxSkipSingleField=false",
    ]
    return Server("victoria-metrics", command, folder, "127.0.0.1", port, lambda: http_ok(url + "/health"), url).start()


def start_postgres(folder: Path) -> Server:
    """Start PostgreSQL with an empty database ``resik``; ``url`` is ready for SQLAlchemy with psycopg."""
    initdb, postgres = require("initdb"), require("postgres")
    folder.mkdir(parents=True, exist_ok=True)
    user, room = None, folder
    if os.geteuid() == 0:
        # PostgreSQL refuses to run as root, and pytest closes its own folders to everybody else
        user = "postgres"
        room = Path(tempfile.mkdtemp(prefix="resik-postgres-"))
        atexit.register(shutil.rmtree, room, ignore_errors=True)
        os.chown(room, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    data = room / "data"
    subprocess.run(
        [initdb, "-D", str(data), "-U", "resik", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"],
        check=True,
        user=user,
        cwd=room,
        stdout=subprocess.DEVNULL,
    )
    port = free_port()
    command = [postgres, "-D", str(data), "-p", str(port), "-h", "127.0.0.1", "-k", str(room), "-F"]

    def ready() -> bool:
        import psycopg

        try:
            psycopg.connect(f"postgresql://resik@127.0.0.1:{port}/postgres", connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True

    server = Server("postgres", command, room, "127.0.0.1", port, ready, user=user).start()
    import psycopg

    with psycopg.connect(f"postgresql://resik@127.0.0.1:{port}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE resik")
    server.url = f"postgresql+psycopg://resik@127.0.0.1:{port}/resik"
    return server

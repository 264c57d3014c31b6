"""Mistakes of a person at the terminal: one clear sentence, a non-zero exit, nothing left running."""

import shutil
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from square.site import shipped_site
from tests.e2e.square import run_resik
from tests.services import free_port, start_influxd, start_mosquitto

pytestmark = pytest.mark.e2e


def resik(*words: str, cwd: Path, timeout_s: float = 60, **environment: str) -> tuple[int, str]:
    """Run the command and return its exit code and everything that it printed."""
    done = run_resik(*words, cwd=cwd, timeout_s=timeout_s, **environment)
    return done.returncode, done.stdout + done.stderr


def one_sentence(output: str) -> str:
    """Return the complaint: the last line, which must be no part of a traceback."""
    assert "Traceback" not in output
    return output.strip().splitlines()[-1]


def test_malformed_site_file(tmp_path):
    """A site file with a fault is named with its line, and nothing starts."""
    site = tmp_path / "site"
    shutil.copytree(shipped_site("alun-alun-pasuruan"), site)
    lines = (site / "devices.toml").read_text().splitlines()
    number = next(i for i, line in enumerate(lines) if line.startswith("asset ="))
    lines[number] = 'asset = "bin-that-is-not-there"'
    (site / "devices.toml").write_text("\n".join(lines) + "\n")
    code, output = resik("up", "--site", str(site), cwd=tmp_path)
    assert code == 2
    assert f"devices.toml:{number + 1}" in one_sentence(output)
    code, output = resik("site", "check", str(site), cwd=tmp_path)
    assert code == 1
    assert f"devices.toml:{number + 1}" in output
    assert "bin-that-is-not-there" in output


def test_site_that_does_not_exist(tmp_path):
    """A wrong name lists what there is."""
    code, output = resik("up", "--site", "nowhere", cwd=tmp_path)
    assert code == 2
    assert "alun-alun-pasuruan" in one_sentence(output)


@pytest.mark.parametrize("command", [("gateway", "run"), ("up",)])
def test_unknown_configuration_key(tmp_path, command):
    """A misspelt key is named with its file."""
    section = "gateway" if command[0] == "gateway" else "stack"
    (tmp_path / "resik.toml").write_text(f"[{section}]\nprot = 8080\n")
    code, output = resik(*command, "--config", "resik.toml", cwd=tmp_path)
    assert code == 2
    assert "unknown key 'prot'" in one_sentence(output)


def test_busy_port(tmp_path):
    """A taken port is named, with the option that chooses another."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        code, output = resik("up", "--port", str(port), cwd=tmp_path)
    assert code == 2
    assert f"port {port} for the map is taken" in one_sentence(output)
    assert "--port" in one_sentence(output)


@pytest.mark.parametrize("service", ["gateway", "ingest", "alerts"])
def test_missing_broker(tmp_path, service):
    """A service without a broker says where it looked and leaves, so that its supervisor can try again."""
    code, output = resik(
        service,
        "run",
        cwd=tmp_path,
        **{
            f"RESIK_{service.upper()}_BROKER_URL": f"mqtt://127.0.0.1:{free_port()}",
            f"RESIK_{service.upper()}_BROKER_WAIT_S": "0.5",
        },
    )
    assert code == 1
    assert "no MQTT broker answers at mqtt://127.0.0.1:" in output
    assert "Traceback" not in output


@pytest.mark.service
def test_wrong_influxdb_password(tmp_path):
    """InfluxDB 1.x refuses: the sentence names the setting to change, and the whole stack does not start."""
    server = start_influxd(tmp_path / "influxd", auth=True)
    try:
        (tmp_path / "token").write_text("wrong")
        code, output = resik(
            "up",
            "--port",
            str(free_port()),
            "--store",
            f"influx1://resik@127.0.0.1:{server.port}/resik",
            "--store-token-file",
            "token",
            cwd=tmp_path,
        )
    finally:
        server.stop()
    assert code == 2
    assert "store_token_file" in one_sentence(output)


class _Refusing(BaseHTTPRequestHandler):
    """Answers everything as InfluxDB 2.x answers a wrong token."""

    def _refuse(self) -> None:
        body = b'{"code":"unauthorized","message":"unauthorized access"}'
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _refuse  # noqa: N815 - the names are the standard library's

    def log_message(self, *_args: object) -> None:
        """Stay silent."""


@pytest.mark.service
def test_wrong_influxdb_token(tmp_path):
    """InfluxDB 2.x refuses a token: ingest leaves with the code that says a person must act."""
    broker = start_mosquitto(tmp_path / "broker")
    server = HTTPServer(("127.0.0.1", 0), _Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    (tmp_path / "token").write_text("wrong")
    try:
        code, output = resik(
            "ingest",
            "run",
            cwd=tmp_path,
            RESIK_INGEST_BROKER_URL=broker.url,
            RESIK_INGEST_STORE_URL=f"influx2+http://127.0.0.1:{server.server_port}/org/bucket",
            RESIK_INGEST_STORE_TOKEN_FILE="token",
            RESIK_INGEST_DEAD_LETTER_FILE=str(tmp_path / "dead.sqlite3"),
        )
    finally:
        server.shutdown()
        broker.stop()
    assert code == 2
    assert "token" in one_sentence(output)


def test_two_stacks_on_one_folder(tmp_path):
    """The second stack on a data folder is refused before it touches anything."""
    from resik.errors import StackError
    from resik.folder import DataFolder

    folder = DataFolder(tmp_path / "data", "simulated")
    folder.lock()
    code, output = resik("up", "--data", str(tmp_path / "data"), "--port", str(free_port()), cwd=tmp_path)
    assert code == 2
    assert "is in use by process" in one_sentence(output)
    with pytest.raises(StackError, match="holds a simulated square"):
        DataFolder(tmp_path / "data", "real")

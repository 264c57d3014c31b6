"""The broker of a stack: loopback for the services, TLS for real nodes, and both kinds of broker check credentials."""

import asyncio
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from firmware import wire
from resik.brokers import embedded_command
from resik.cli import main
from simulators.errors import LinkError, LinkRefused
from simulators.mqtt_link import open_link
from tests.fakes.stub_gateway import until
from tests.services import Server, free_port, http_ok, port_open, require, wait_until
from tests.unit.square.small_site import write_site

pytestmark = [pytest.mark.e2e, pytest.mark.service]

NODE, NEIGHBOUR = "rsk-b001", "rsk-b002"


def listening_addresses(port: int) -> set[str]:
    """Return the addresses on which this machine accepts connections at a port, as the kernel writes them."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if int(number, 16) == port and line.split()[3] == "0A":  # LISTEN
                found.add(address)
    return found


LOOPBACK = {"0100007F"}


class Node:
    """A node by hand, with its secret and the root that it pins."""

    def __init__(self, data: Path, name: str, port: int) -> None:
        self.name, self.port = name, port
        self.word = (data / "secrets" / name).read_text()
        self.tls = ssl.create_default_context(cafile=str(data / "broker" / "tls" / "ca.crt"))
        self.acked = 0
        self.is_lost = False
        self.link = None

    def take(self, _topic: str, payload: bytes) -> None:
        self.acked = wire.decode_ack(payload)[1]

    def end(self) -> None:
        self.is_lost = True

    async def connect(self) -> "Node":
        self.is_lost = False
        self.link = await open_link(
            "127.0.0.1", self.port, self.name, username=self.name, password=self.word, will=None,
            on_message=self.take, on_lost=self.end, tls=self.tls,
        )  # fmt: skip
        await self.link.subscribe([wire.topic_down("small", self.name, "ack")])
        return self

    async def report(self, seq: int) -> None:
        """Send a reading and wait for the application ack."""
        reading = {"seq": seq, "ts": int(time.time()), "distance_mm": 700}
        await self.link.publish(wire.topic_up("small", self.name, "bin"), wire.encode_up(9, [reading]).encode())
        await until(lambda: self.acked >= seq, 15, f"the ack of {self.name}")


def broker(data: Path, *words: str) -> str:
    result = CliRunner().invoke(main, ["broker", *words, "--data", str(data)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def square(tmp_path):
    """Run `resik up --real` with mosquitto and a TLS listener; give its data folder and TLS port."""
    require("mosquitto")
    data, site = tmp_path / "real", write_site(tmp_path / "site")
    port, plain, tls = free_port(), free_port(), free_port()
    process = subprocess.Popen(
        [
            sys.executable, "-P", "-m", "resik", "up", "--real", "--broker", "mosquitto", "--site", str(site), "--data",
            str(data), "--port", str(port), "--broker-port", str(plain), "--listen", f"127.0.0.1:{tls}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: http_ok(f"http://127.0.0.1:{port}/healthz"), 40, "the map")
        yield data, plain, tls
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert f"mqtts://127.0.0.1:{tls}" in output.replace("\n", "")


def test_real_nodes_by_tls_and_one_of_them_is_shut_out(square):
    """A node on TLS gets its reading acknowledged; revoked, it is cut while its neighbour and the services go on."""
    data, plain, tls = square

    async def scenario():
        node, neighbour = await Node(data, NODE, tls).connect(), await Node(data, NEIGHBOUR, tls).connect()
        await node.report(1)
        await neighbour.report(1)
        await asyncio.to_thread(broker, data, "revoke", NODE)
        assert node.is_lost
        with pytest.raises(LinkRefused):
            await node.connect()
        await neighbour.report(2)
        assert not neighbour.is_lost
        await asyncio.to_thread(broker, data, "grant", NODE)
        back = await Node(data, NODE, tls).connect()
        await back.report(2)

    asyncio.run(scenario())
    assert listening_addresses(plain) == LOOPBACK
    assert "salah" not in broker(data, "check")
    log = (data / "logs" / "gateway.log").read_text()
    assert "lost" not in log, "the gateway never lost its connections"


def test_the_embedded_broker_checks_credentials_on_loopback_only(tmp_path):
    """It lets nobody in without the right password, listens nowhere else, and its file is private."""
    port = free_port()
    command = embedded_command(tmp_path, port=port, passwords={"rsk-b001": "one-word", "gateway": "other-word"})
    assert (tmp_path / "broker.toml").stat().st_mode & 0o077 == 0
    server = Server("embedded", command, tmp_path, "127.0.0.1", port, lambda: port_open(port)).start()

    async def enter(name, word):
        link = await open_link(
            "127.0.0.1", port, name or "x", username=name, password=word, will=None,
            on_message=lambda *_: None, on_lost=lambda: None, clean=True,
        )  # fmt: skip
        link.close()

    async def scenario():
        await enter("rsk-b001", "one-word")
        for name, word in (("rsk-b001", "other-word"), ("rsk-b001", ""), ("rsk-b002", "one-word"), (None, None)):
            with pytest.raises(LinkError):
                await enter(name, word)

    try:
        asyncio.run(scenario())
        assert listening_addresses(port) == LOOPBACK
    finally:
        server.stop()

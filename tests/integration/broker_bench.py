"""A mosquitto made by `resik broker`, and asyncio clients that play its users."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from click.testing import CliRunner

from resik.broker_files import BrokerFolder, hashed
from resik.cli import main
from simulators.mqtt_link import MqttLink, open_link
from tests.services import Server, free_port, port_open, require
from tests.unit.square.small_site import PLAN, TEXTS, write_site

SITE = "small"


def site_with(folder: Path, bins: int) -> Path:
    """Write the small site with so many more bins, each with a device `rsk-n0001`, ..."""
    write_site(folder)
    plan = json.loads(PLAN)
    template = next(feature for feature in plan["features"] if feature["properties"]["id"] == "bin-001")
    devices = TEXTS["devices.toml"]
    for number in range(1, bins + 1):
        feature = json.loads(json.dumps(template))
        feature["properties"]["id"] = f"bin-n{number:04}"
        plan["features"].append(feature)
        devices += (
            f'\n[[device]]\nid = "rsk-n{number:04}"\nkind = "bin"\nasset = "bin-n{number:04}"\n'
            'model = "test"\nstatus = "active"\n'
        )
    (folder / "plan.geojson").write_text(json.dumps(plan))
    (folder / "devices.toml").write_text(devices)
    return folder


class BrokerBench:
    """One broker folder with its own site; `init` words on top."""

    def __init__(self, root: Path, *words: str, bins: int = 0) -> None:
        require("mosquitto")
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.site = site_with(root / "site", bins)
        self.folder = BrokerFolder(root / "broker")
        self.port, self.tls_port = free_port(), free_port()
        self.server: Server | None = None
        self.run(
            "init", "--site", str(self.site), "--port", str(self.port), "--listen", f"127.0.0.1:{self.tls_port}",
            "--self-signed", "127.0.0.1", "--self-signed", "localhost", *words,
        )  # fmt: skip

    def run(self, *words: str, code: int = 0) -> str:
        """Run `resik broker ... --out`; return what it printed."""
        result = CliRunner().invoke(main, ["broker", *words, "--out", str(self.folder.root)])
        assert result.exit_code == code, result.output
        return result.output

    def secret(self, name: str) -> str:
        """Return the secret of a user."""
        return (self.folder.root / "secrets" / name).read_text()

    def add_users(self, words: dict[str, str], acl: str = "") -> None:
        """Let users in behind the back of the generator: before the start, or followed by a reload."""
        with self.folder.passwords.open("a") as file:
            file.writelines(f"{name}:{hashed(word)}\n" for name, word in words.items())
        with self.folder.acl.open("a") as file:
            file.write(acl)

    def start(self) -> "BrokerBench":
        """Start mosquitto as an operator would."""
        self.server = Server(
            "mosquitto",
            [require("mosquitto"), "-c", str(self.folder.configuration)],
            self.root,
            "127.0.0.1",
            self.port,
            lambda: port_open(self.port) and port_open(self.tls_port),
        ).start()
        return self

    def stop(self) -> None:
        """End it."""
        if self.server is not None:
            self.server.stop()

    @property
    def log(self) -> str:
        """What mosquitto said."""
        return (self.root / "mosquitto.log").read_text()

    def trust(self) -> ssl.SSLContext:
        """Return a context that pins the root of this broker."""
        return ssl.create_default_context(cafile=str(self.folder.papers.root))

    async def link(self, name: str, word: str | None = None, *, tls: bool = False, **options: object) -> "User":
        """Connect a user with its secret, on loopback or by TLS."""
        user = User(name)
        user.link = await open_link(
            "127.0.0.1",
            self.tls_port if tls else self.port,
            str(options.pop("client_id", name)),
            username=name,
            password=self.secret(name) if word is None else word,
            will=None,
            on_message=user.take,
            on_lost=user.end,
            tls=self.trust() if tls else None,
            **options,
        )
        return user

    @asynccontextmanager
    async def links(self, names: Iterable[str], words: dict[str, str]) -> AsyncIterator[dict[str, "User"]]:
        """Connect several users at once, and disconnect them after the block."""
        users = await asyncio.gather(*(self.link(name, words.get(name)) for name in names))
        try:
            yield {user.name: user for user in users}
        finally:
            for user in users:
                user.link.close()


class User:
    """One connection and what came by it."""

    link: MqttLink

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[tuple[str, bytes]] = []
        self.lost_at: float | None = None

    def take(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, payload))

    def end(self) -> None:
        self.lost_at = time.monotonic()

"""Messages of a network server through a real broker, gateway and ingest: each stored once, whatever is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ingest.deadletter import SqliteDeadLetters
from ingest.errors import StoreUnavailable
from ingest.stores import open_store
from square.access import access_list
from square.mqtt import MqttConnection
from tests.integration.gateway_process import PASSWORDS, GatewayProcess, connect, start_broker
from tests.services import start_mosquitto, wait_until
from tests.unit.square.foreign_messages import chirpstack
from tests.unit.square.small_site import write_site

pytestmark = pytest.mark.service

TOPIC = "application/17c82e96/device/{}/event/up"
FILTER = "application/+/device/+/event/up"
MAKES = f'[{{"format":"chirpstack","filter":"{FILTER}"}}]'
LISTED, FORGOTTEN = "70b3d57ed0001234", "70b3d57ed0005678"
_MAIN = (
    "import sys; from ingest.worker import run; from ingest.settings import SECTION, IngestSettings; "
    "from square.settings import load_settings; sys.exit(run(load_settings(IngestSettings, SECTION)))"
)


def register(folder: Path, device: str, foreign: str) -> None:
    """Say that a device of the small site is a Dragino sensor."""
    file = folder / "site" / "devices.toml"
    line = f'id = "{device}"\n'
    file.write_text(
        file.read_text().replace(line, f'{line}foreign = "{foreign}"\ncodec = "dragino-ldds75"\n'), encoding="utf-8"
    )


class Chain:
    """Broker, gateway, ingest and a network server that publishes."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        write_site(folder / "site")
        register(folder, "rsk-b001", LISTED)
        settings = {"SITE": str(folder / "site"), "MAKES": MAKES}
        if kind == "mosquitto":  # with the access list that a production broker has
            users = {**PASSWORDS, "gateway-uplink": PASSWORDS["gateway"]}
            services = ("gateway", "gateway-uplink", "ingest", "fleet")
            acl = access_list("small", [], services, {"fleet": FILTER})
            self.broker = start_mosquitto(folder / "broker", users=users, acl=acl)
            settings |= {"UPLINK_USERNAME": "gateway-uplink", "UPLINK_PASSWORD_FILE": str(folder / "gateway-password")}
        else:
            self.broker = start_broker(kind, folder / "broker")
        self.gateway = GatewayProcess(folder, self.broker.port, settings).start()
        self.ingest: subprocess.Popen[bytes] | None = None
        self.server: MqttConnection = connect(self.broker.port, "fleet")
        self.start_s = int(datetime.now(UTC).timestamp()) - 500

    def start_ingest(self) -> None:
        password = self.folder / "ingest-password"
        password.write_text(PASSWORDS["ingest"])
        values = {
            "SITE": str(self.folder / "site"),
            "BROKER_URL": f"mqtt://127.0.0.1:{self.broker.port}",
            "BROKER_PASSWORD_FILE": str(password),
            "STORE_URL": f"sqlite:///{self.folder / 'points.sqlite3'}",
            "DEAD_LETTER_FILE": str(self.folder / "dead.sqlite3"),
        }
        environment = os.environ | {f"RESIK_INGEST_{key}": value for key, value in values.items()}
        log = (self.folder / "ingest.log").open("ab")
        self.ingest = subprocess.Popen([sys.executable, "-c", _MAIN], env=environment, stdout=log, stderr=log)

    def stop_ingest(self) -> None:
        if self.ingest is not None:
            self.ingest.send_signal(signal.SIGTERM)
            self.ingest.wait(10)

    def publish(self, eui: str, f_cnt: int, **changes: Any) -> None:
        """Publish a frame of 1,000 mm + counter, measured one second after the one before."""
        data = bytes.fromhex("0e1c") + (1000 + f_cnt).to_bytes(2, "big") + b"\0"
        at = datetime.fromtimestamp(self.start_s + f_cnt, UTC).isoformat()
        message = chirpstack(data=data, fCnt=f_cnt, time=at, deviceInfo={"devEui": eui}, **changes)
        self.server.publish(TOPIC.format(eui), message).wait_for_publish(10)

    def stored(self) -> list[tuple[str, float]]:
        """Return device and distance of every stored point, in time order."""
        if not (self.folder / "points.sqlite3").exists():
            return []
        store = open_store(f"sqlite:///{self.folder / 'points.sqlite3'}")
        try:
            points = store.points("bin", site="small", start_ms=0, end_ms=10**13)
            return [(point.tags["device"], float(point.fields["distance_mm"])) for point in points]
        except StoreUnavailable:
            return []  # ingest is about to make it
        finally:
            store.close()

    def letters(self) -> dict[str, int]:
        if not (self.folder / "dead.sqlite3").exists():
            return {}
        reader = SqliteDeadLetters(self.folder / "dead.sqlite3", read_only=True)
        try:
            return reader.counts()
        except StoreUnavailable:
            return {}  # as above
        finally:
            reader.close()

    def close(self) -> None:
        self.server.stop()
        self.stop_ingest()
        self.gateway.stop()
        self.broker.stop()


@pytest.fixture(params=["mosquitto", "embedded"])
def chain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chain]:
    made = Chain(tmp_path, request.param)
    try:
        yield made
    finally:
        made.close()


def test_every_frame_is_stored_once_over_kills_and_repeats(chain: Chain) -> None:
    """Published twice, with a kill -9 of the gateway in between and no ingest yet: 40 frames, 40 points."""
    for f_cnt in range(20):
        chain.publish(LISTED, f_cnt)
    chain.gateway.kill()
    for f_cnt in range(20, 40):
        chain.publish(LISTED, f_cnt)  # the broker holds them for the gateway's session
    chain.gateway.start()
    for f_cnt in range(40):
        chain.publish(LISTED, f_cnt)  # the network server delivers everything again
    chain.start_ingest()
    wait_until(lambda: len(chain.stored()) >= 40, 30, "the points")
    wait_until(lambda: chain.gateway.counts()["waiting"] == 0, 20, "the spool to be settled")
    assert chain.stored() == [("rsk-b001", 1000.0 + f_cnt) for f_cnt in range(40)]
    assert chain.letters() == {}
    counts = chain.gateway.counts()
    assert (counts["acked_to_device"], counts["gaps"], counts["poison"]) == (0, 0, 0)


def test_a_sensor_that_is_registered_later_gets_its_history(chain: Chain) -> None:
    """Its frames wait as dead letters under the maker's identity; registered and tried again they are points."""
    chain.start_ingest()
    for f_cnt in range(5):
        chain.publish(FORGOTTEN, f_cnt)
    wait_until(lambda: chain.letters() == {"unknown-device": 5}, 30, "the dead letters")
    chain.stop_ingest()
    register(chain.folder, "rsk-b002", FORGOTTEN)
    (chain.folder / "resik.toml").write_text(
        f'[ingest]\nsite = "{chain.folder / "site"}"\ndead_letter_file = "{chain.folder / "dead.sqlite3"}"\n'
    )
    chain.start_ingest()
    words = [
        "-m",
        "resik",
        "deadletters",
        "replay",
        "--code",
        "unknown-device",
        "--config",
        chain.folder / "resik.toml",
    ]
    done = subprocess.run(
        [sys.executable, "-P", *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("5 tersimpan / stored")
    assert chain.stored() == [("rsk-b002", 1000.0 + f_cnt) for f_cnt in range(5)]
    assert chain.letters() == {}

"""Updates of whole nodes: whatever happens, a node ends on a version that works, and says which one truthfully.

They have the heap of every node here, 96 KB, over TLS, too.
"""

import base64
import functools
import json
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from firmware import wire
from firmware.core.config import complete
from firmware.core.slots import PIECE_BYTES
from resik import release
from tests.fakes import certificates
from tests.firmware.node import rig
from tests.services import Server

pytestmark = pytest.mark.service

NEW = 20_000
CRASHING = "def run():\n    raise KeyError('a bad day')\n"


@functools.cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.cache
def bundle(kind: str = "bin", version: int = NEW, *, signed_by: str = "us", crashes: bool = False) -> bytes:
    """Return a real update, by somebody, that works or not."""
    signer = key() if signed_by == "us" else ec.generate_private_key(ec.SECP256R1())
    if not crashes:
        return release.build_application(kind, version, signer)
    files = dict(release.compile_files({"firmware/app.py": CRASHING, "firmware/__init__.py": ""}))
    return release.build(files, kind=kind, version=version, key=signer)


class Office(rig.Gateway):
    """A gateway that has an update for one node: it offers it after each status and answers what is asked for."""

    def __init__(
        self, port: int, device: str, data: bytes, *, kind: str = "bin", version: int = NEW, update_type: str = "app"
    ) -> None:
        self.device, self.data = device, data
        self.offer = {"v": 1, "offer": version, "type": update_type, "class": kind, "size": len(data)}
        self.is_offering = False
        self.parts = 0
        self.is_serving = True
        super().__init__(port)

    def _on_message(self, client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        super()._on_message(client, data, message)
        kind = message.topic.rsplit("/", 1)[1]
        if kind == "status" and self.is_offering:
            self.send(self.device, "ota", self.offer)
        elif kind == "ota":
            wanted = wire.decode_ota_up(message.payload)
            part = self.data[wanted["at"] : wanted["at"] + wanted["n"]]
            self.parts += 1
            if not self.is_serving:
                return
            self.send(
                self.device,
                "ota",
                {
                    "v": 1, "ver": wanted["ver"], "at": wanted["at"], "of": self.offer["size"],
                    "data": base64.b64encode(part).decode(),
                },
            )  # fmt: skip

    @property
    def status(self) -> dict:
        """What the node said last."""
        return self.statuses[-1][1]


LONG = {"interval_s": 3600, "night_interval_s": 3600, "awake_max_s": 600, "watchdog_s": 600}


def make(folder: Path, office: Office, port: int) -> rig.RealNode:
    """Return a node that trusts us, with one reading behind it and the update on offer."""
    return with_offer(rig.node(folder, rig.config(office.device, **LONG), port=port), office)


def with_offer(node: rig.RealNode, office: Office) -> rig.RealNode:
    """Give a new node our key and a first reading; then the update is on offer."""
    node.folder.write("ota.pub", release.public_bytes(key()))
    node.boot()
    office.is_offering = True
    return node


def live(node: rig.RealNode, office: Office, boots: int = 14) -> dict:
    """Let the node live for a while and return what it says then; it must have gone on measuring."""
    before = len(office.readings)
    for _ in range(boots):
        node.boot()
        if office.status.get("ota") in {"confirmed", "rolled-back"} or office.status.get("ota", "").startswith(
            "refused"
        ):
            break
    for _ in range(2):
        node.boot()
    assert len(office.readings) > before, node.folder.serial.read_text()[-3000:]
    return office.status


def test_a_good_update(tmp_path: Path, broker: Server) -> None:
    """The node loads it, runs it on trial, keeps it after an application ack, and says so."""
    office = Office(broker.port, "rsk-ota-good", bundle())
    try:
        node = make(tmp_path / "node", office, broker.port)
        assert office.status["fw"] == "1.0.0"
        status = live(node, office)
        assert (status["fw"], status["ota"], status["ota_ver"]) == ("2.0.0", "confirmed", NEW)
        assert {status["boot"] for _, status in office.statuses} == {office.status["boot"]}, "still the same boot"
    finally:
        office.close()


def test_a_node_that_stays_awake_keeps_an_update_at_once(tmp_path: Path, broker: Server) -> None:
    """The first round of a new version ends with its ack: a supply that fails an hour later takes nothing back."""
    office = Office(broker.port, "rsk-ota-awake", bundle())
    try:
        settings = rig.config(office.device, sleep="awake", **LONG)
        node = with_offer(rig.node(tmp_path / "node", settings, port=broker.port), office)
        for _ in range(8):
            if node.boot().outcome == "reset":
                break
        boot = node.boot()
        assert boot.ended_ms - boot.began_ms < 60_000
        assert [node.folder.nvs()[name] for name in ("ver", "trial")] == [NEW, 0]
        node.boot(lost_ms=30_000)
        status = live(node, office, 2)
        assert (status["fw"], status["ota"]) == ("2.0.0", "confirmed")
    finally:
        office.close()


@pytest.mark.parametrize("why", ["signature", "version", "truncated", "class", "hash"])
def test_an_update_that_is_refused(tmp_path: Path, broker: Server, why: str) -> None:
    """Of somebody else, older, cut off, for another kind, or damaged: refused by name; the old version goes on."""
    data = bundle(signed_by="somebody") if why == "signature" else bundle("air") if why == "class" else bundle()
    version = 9_000 if why == "version" else NEW
    office = Office(broker.port, f"rsk-ota-{why}", data, version=version)
    if why == "truncated":
        office.data = data[:-4000]
        office.offer["size"] = len(data) - 4000
    if why == "hash":
        office.data = data[:-1] + bytes([data[-1] ^ 1])
    try:
        node = make(tmp_path / "node", office, broker.port)
        status = live(node, office)
        assert (status["fw"], status["ota"], status["ota_ver"]) == ("1.0.0", f"refused-{why}", version)
    finally:
        office.close()


def test_an_update_that_crashes(tmp_path: Path, broker: Server) -> None:
    """After three starts without an ack the node is back on the version that worked, and says what it left."""
    office = Office(broker.port, "rsk-ota-crash", bundle(crashes=True))
    try:
        node = make(tmp_path / "node", office, broker.port)
        status = live(node, office)
        assert (status["fw"], status["ota"], status["ota_ver"]) == ("1.0.0", "rolled-back", NEW)
        assert status["crashes"] >= 3
        assert "KeyError" in status["crash"]
    finally:
        office.close()


def test_power_cuts_at_each_5_percent_and_at_first_boot(tmp_path: Path, broker: Server) -> None:
    """The supply fails at each 5 % of the download and at the first start: the update arrives all the same."""
    office = Office(broker.port, "rsk-ota-cuts", bundle())
    try:
        node = make(tmp_path / "node", office, broker.port)
        share = len(office.data) // PIECE_BYTES // 20
        cuts = 0
        for _ in range(80):
            due = office.parts + share
            boot = node.start(kill_when=lambda line, due=due: line == "@FEED" and office.parts >= due)
            while boot not in rig.spawner().wait(30):
                pass
            ended = node.finish(boot)
            if ended.outcome == "killed":
                cuts += 1
            if office.status.get("ota") == "trial" or (ended.outcome == "reset" and cuts >= 10):
                break
        assert cuts >= 15
        node.boot(lost_ms=300)
        node.power_cut()
        status = live(node, office)
        assert (status["fw"], status["ota"]) == ("2.0.0", "confirmed")
    finally:
        office.close()


def test_an_offer_that_nobody_serves(tmp_path: Path, broker: Server) -> None:
    """One part a wake is asked for, in ever fewer wakes; once parts come again, the update arrives."""
    office = Office(broker.port, "rsk-ota-deaf", bundle())
    office.is_serving = False
    try:
        node = make(tmp_path / "node", office, broker.port)
        for _ in range(24):
            boot = node.boot()
            assert boot.ended_ms - boot.began_ms < 15_000, "one part, not three"
        assert 2 <= office.parts <= 6
        office.is_serving = True
        assert live(node, office, 40)["ota"] == "confirmed"
    finally:
        office.close()


@pytest.mark.parametrize("characters", [3, 32])
@pytest.mark.parametrize("kind", ["bin", "air"])
def test_an_update_over_tls(
    tmp_path: Path, papers: certificates.Certificates, tls_broker: tuple[Server, int], kind: str, characters: int
) -> None:
    """Beside TLS there is less memory: every part gets through all the same, once, whatever the node's name takes."""
    server, plain = tls_broker
    office = Office(plain, kind.ljust(characters, "x"), bundle(kind), kind=kind)
    parts = rig.BIN_PARTS if kind == "bin" else rig.AIR_PARTS
    try:
        node = rig.tls_node(tmp_path / "node", papers, office.device, server.port, kind=kind, parts=parts, **LONG)
        status = live(with_offer(node, office), office)
        assert (status["fw"], status["ota"], status["ota_ver"]) == ("2.0.0", "confirmed", NEW)
        asked_once = -(-len(office.data) // PIECE_BYTES)
        assert office.parts <= asked_once + 2
    finally:
        office.close()


IMAGE_VERSION = 12_900


def image() -> bytes:
    """Return what begins like an image of the interpreter, and is not a whole number of blocks long."""
    return b"\xe9" + bytes(at * at % 251 for at in range(9 * 4096 + 700))


def partition(node: rig.RealNode) -> tuple[int, list[str]]:
    """Return which firmware partition runs, and the states of both."""
    found = json.loads((node.folder.path / "ota.json").read_text())
    return found["running"], found["states"]


def test_an_image_over_tls(tmp_path: Path, papers: certificates.Certificates, tls_broker: tuple[Server, int]) -> None:
    """An image is kept by a node that has little memory left beside TLS when the ack comes that it waits for."""
    server, plain = tls_broker
    data = release.build_image(image(), "air", IMAGE_VERSION, key())
    office = Office(plain, "img", data, kind="air", version=IMAGE_VERSION, update_type="image")
    try:
        node = rig.tls_node(
            tmp_path / "node", papers, office.device, server.port, kind="air", parts=rig.AIR_PARTS, **LONG
        )
        status = live(with_offer(node, office), office)
        assert (status["fw"], status["ota"], status["ota_ver"]) == ("1.0.0", "confirmed", IMAGE_VERSION)
        assert partition(node) == (1, ["valid", "valid"])
    finally:
        office.close()


@pytest.mark.parametrize("is_heard", [True, False], ids=["acked", "never-acked"])
def test_an_image_of_the_interpreter(tmp_path: Path, broker: Server, *, is_heard: bool) -> None:
    """It goes into the idle partition and stays once it gets an ack; else the bootloader goes back; told truly."""
    data = release.build_image(image(), "bin", IMAGE_VERSION, key())
    office = Office(broker.port, f"rsk-img-{is_heard}".lower(), data, version=IMAGE_VERSION, update_type="image")
    try:
        node = make(tmp_path / "node", office, broker.port)
        for _ in range(12):
            if node.boot().outcome == "reset":
                break
        written = (node.folder.path / "ota_1.bin").read_bytes()
        assert written[: len(image())] == image()
        if not is_heard:
            office.answer = lambda *_: None
            node.boot()
            office.answer = office.acknowledge
        status = live(node, office, 4)
        outcome = "confirmed" if is_heard else "rolled-back"
        assert (status["fw"], status["ota"], status["ota_ver"]) == ("1.0.0", outcome, IMAGE_VERSION)
        running, states = partition(node)
        assert (running, states[1]) == ((1, "valid") if is_heard else (0, "aborted"))
    finally:
        office.close()


@pytest.mark.parametrize("kind", ["bin", "air"])
def test_a_full_flash_has_room_for_an_update(tmp_path: Path, broker: Server, kind: str) -> None:
    """On 240 blocks lie two versions of which no file stays, and a full ring: the update fits, power cuts included."""
    office = Office(broker.port, f"rsk-full-{kind}", bundle(kind), kind=kind)
    try:
        settings = rig.config(office.device, kind, **LONG)
        node = rig.node(tmp_path / "node", settings, port=broker.port)
        folder = node.folder.flash
        for file in sorted((folder / "a").rglob("*.mpy")):
            copy = folder / "b" / file.relative_to(folder / "a")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes()[::-1])
        (folder / "ring").mkdir()
        for number in range(complete(settings)["queue_kib"] // 4):
            (folder / "ring" / f"{number:08x}").write_bytes(bytes(2048))
        node.folder.write("ota.pub", release.public_bytes(key()))
        node.folder.burn(rig.spawner())
        with_offer(node, office)
        cuts = []
        for operations in (20, 200, 700):
            node.boot()
            cuts.append(node.boot(cut=operations).outcome)
        assert "cut" in cuts
        status = live(node, office, 20)
        assert (status["fw"], status["ota"], status["ota_ver"]) == ("2.0.0", "confirmed", NEW)
    finally:
        office.close()

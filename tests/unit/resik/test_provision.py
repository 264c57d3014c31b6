"""Making a node: name, secret, registry, and nothing left of what failed."""

import json
import stat
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding

from resik import node_bundle, provision
from resik.errors import StackError
from resik.label import qr_text
from resik.node_config import DEFAULT_PARTS, PARTS, parts_of
from square.site import load_site
from tests.unit.resik.node_bench import WIFI_WORD, Bench, certificate


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Set up a person's desk; compiling and the node's own check are left to the integration tests."""
    monkeypatch.setattr(node_bundle, "check_configuration", lambda *_: {})
    monkeypatch.setattr(
        node_bundle, "write_program", lambda flash, *_: (flash / "main.py").write_text("import loader\n")
    )
    return Bench(tmp_path)


def run(*words: str):
    return CliRunner().invoke(provision.provision, list(words))


def test_a_thousand_secrets_are_distinct():
    """Each is 256 bits in 43 characters of the URL-safe alphabet, and none comes twice."""
    made = {provision.new_secret() for _ in range(1000)}
    assert len(made) == 1000
    assert all(len(word) == 43 and word.isascii() and word.replace("-", "").replace("_", "").isalnum() for word in made)


@pytest.mark.parametrize(
    ("kind", "taken", "wanted"),
    [
        ("bin", [], "rsk-b001"),
        ("bin", ["rsk-b001", "rsk-b048", "rsk-a06"], "rsk-b049"),
        ("bin", ["rsk-b999"], "rsk-b1000"),
        ("air", ["rsk-a06", "rsk-b048", "gateway"], "rsk-a07"),
        ("air", ["rsk-a01", "rsk-a09"], "rsk-a10"),
    ],
)
def test_ids_go_on_after_the_highest(kind, taken, wanted):
    """The next id is above every one that was ever listed: gaps are not filled."""
    assert provision.next_device_id(kind, taken) == wanted


def test_a_node_is_made_and_registered(bench):
    """The bundle is complete, the registry has the node as its last entry, and the site loads with it."""
    result = run(*bench.words())
    assert result.exit_code == 0, result.output
    assert {path.name for path in bench.out.iterdir()} >= {"flash", "label.pdf", "bundle.json"}
    config = json.loads((bench.out / "flash" / "config.json").read_text())
    assert (config["device"], config["site"], config["kind"]) == ("rsk-b010", "small", "bin")
    assert (config["broker_host"], config["broker_port"], config["broker_tls"]) == ("broker.example", 8883, True)
    assert (config["wifi_ssid"], config["wifi_psk"]) == ("alun-alun", WIFI_WORD)
    assert config["near_full_mm"] == 351  # 980 - 0.85 * (980 - 240)
    assert (config["interval_s"], config["utc_offset_min"]) == (600, 420)
    device = load_site(bench.site).devices[-1]
    assert (device.id, device.asset, device.status) == ("rsk-b010", "bin-003", "active")


def test_comments_and_lines_of_the_registry_stay(bench):
    """The file only grows: what was there is its beginning."""
    before = bench.registry.read_text()
    run(*bench.words())
    assert bench.registry.read_text().startswith(before.rstrip("\n"))


def test_the_secret_is_private_and_never_shown(bench):
    """Readable by the owner only, in a folder closed to others; nothing shown or printed holds it or the Wi-Fi word."""
    result = run(*bench.words(data=bench.root / "data"))
    secret = (bench.out / "flash" / "secret").read_text()
    assert len(secret) == 43
    for path in (bench.out / "flash" / "secret", bench.out / "flash" / "config.json", bench.out / "bundle.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(bench.out.stat().st_mode) == 0o700
    assert secret not in result.output
    assert WIFI_WORD not in result.output
    assert secret not in qr_text("small", "rsk-b010")
    for path in bench.out.rglob("*"):
        if path.is_file() and path.name not in {"secret", "config.json"}:
            assert secret.encode() not in path.read_bytes()
            assert WIFI_WORD.encode() not in path.read_bytes()


def test_a_local_stack_gets_the_same_secret(bench):
    """With --data the password file of the local broker's user is the node's secret, readable by the owner only."""
    assert run(*bench.words(data=bench.root / "data")).exit_code == 0
    path = bench.root / "data" / "secrets" / "rsk-b010"
    assert path.read_text() == (bench.out / "flash" / "secret").read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_root_is_converted_to_der(bench):
    """PEM and DER give the same bytes on the flash."""
    run(*bench.words())
    der = (bench.out / "flash" / "ca.der").read_bytes()
    assert der[:1] == b"\x30"
    path = bench.root / "ca.der"
    path.write_bytes(der)
    assert node_bundle.root_as_der(path) == der == node_bundle.root_as_der(bench.ca)


def test_wrong_roots_are_refused(tmp_path):
    """A leaf, an expired root, two roots and a text are each refused with their reason."""
    path = tmp_path / "ca.pem"
    pem = certificate().public_bytes(Encoding.PEM)
    for content, reason in (
        (certificate(authority=False).public_bytes(Encoding.PEM), "not the certificate of an authority"),
        (certificate(days=-1).public_bytes(Encoding.PEM), "expired on"),
        (pem + pem, "holds 2 certificates"),
        (b"hello", "no certificate"),
        (b"-----BEGIN nonsense", "no certificate"),
    ):
        path.write_bytes(content)
        with pytest.raises(StackError, match=reason):
            node_bundle.root_as_der(path)


FAULTS = {
    "asset": ({"asset": "bin-777"}, "is not in plan.geojson"),
    "kind": ({"kind": "air", "parts": "sht31"}, "no place for a node of kind air"),
    "occupied": ({"asset": "bin-001"}, "has the active device rsk-b001: add --replace"),
    "id taken": ({"device": "rsk-b000"}, "given out already"),
    "id wrong": ({"device": "RSK"}, "devices.toml"),
    "plain": ({"broker": "mqtt://broker.example:1883"}, "loopback only"),
    "address": ({"broker": "broker.example"}, "is no address of a broker"),
    "port": ({"broker": "mqtts://broker.example:99999"}, "the port is no number"),
    "no root": ({"ca": None}, "name its root with --ca"),
    "part": ({"parts": "jsn+warp"}, "has no part 'warp'"),
    "two rangers": ({"parts": "jsn+vl53l1x"}, "second part for 'distance'"),
    "shipped": ({"site": "alun-alun-pasuruan"}, "ships with Resik"),
    "no such site": ({"site": "/nowhere"}, "no such folder"),
    "version": ({"firmware_version": "one"}, "no version"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mistake_leaves_nothing(bench, fault, monkeypatch):
    """Every mistake ends with code 2, its reason in one sentence, and every file as it was."""
    if fault == "version":
        monkeypatch.undo()
        monkeypatch.setattr(node_bundle, "check_configuration", lambda *_: {})
    changes, reason = FAULTS[fault]
    before = bench.snapshot()
    result = run(*bench.words(**changes))
    assert result.exit_code == 2, result.output
    assert reason in result.output
    assert bench.snapshot() == before
    assert not list((bench.root / "out").glob("*")) if (bench.root / "out").exists() else True


@pytest.mark.parametrize("place", ["label_pdf", "registry", "rename"])
def test_a_failure_at_any_step_leaves_nothing(bench, place, monkeypatch):
    """The label, the registry or the last rename fails: no secret, no entry, no half bundle is left."""
    before = bench.snapshot()

    def fail(*_args, **_kwargs):
        raise StackError("planted")

    if place == "label_pdf":
        monkeypatch.setattr(provision, "label_pdf", fail)
    elif place == "registry":
        real = provision._replace_text
        calls = []

        def once(path, text):
            calls.append(path)
            real(path, text)
            if len(calls) == 1:
                fail()

        monkeypatch.setattr(provision, "_replace_text", once)
    else:
        monkeypatch.setattr(Path, "rename", fail)
    result = run(*bench.words(data=bench.root / "data"))
    assert result.exit_code == 2
    assert "planted" in result.output
    after = {name: text for name, text in bench.snapshot().items() if not name.endswith("data/kind")}
    assert after == before
    assert list((bench.root / "out").iterdir()) == []


def test_a_full_disk_is_one_sentence(bench, monkeypatch):
    """The system refuses a write: no traceback, and every file as it was."""
    before = bench.snapshot()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(node_bundle, "write_manifest", full)
    result = run(*bench.words())
    assert (result.exit_code, "No space left on device; nothing was changed" in result.output) == (2, True)
    assert bench.snapshot() == before


def test_an_existing_bundle_is_not_touched(bench):
    """A second run into the same folder is refused; a second node gets its own id and secret."""
    run(*bench.words())
    before = bench.snapshot()
    assert "exists already" in run(*bench.words()).output
    assert bench.snapshot() == before


def test_replacing_retires_the_old_device(bench):
    """The old entry becomes retired on its own line, the new one is active on the asset; ids are never used again."""
    result = run(*bench.words(asset="bin-002", replace=True))
    assert result.exit_code == 0, result.output
    devices = {device["id"]: device for device in tomllib.loads(bench.registry.read_text())["device"]}
    assert devices["rsk-b002"]["status"] == "retired"
    assert devices["rsk-b002"]["interval_s"] == 60
    assert devices["rsk-b001"]["status"] == "active"
    assert (devices["rsk-b010"]["asset"], devices["rsk-b010"]["status"]) == ("bin-002", "active")
    assert "# who sits where" in bench.registry.read_text()


def test_a_shipped_site_is_copied_first(bench):
    """--site-copy makes a folder of one's own and registers there; a failure takes the copy away again."""
    copy = bench.root / "mine"
    words = bench.words(site="alun-alun-pasuruan", site_copy=copy, asset="bin-048", replace=True)
    assert run(*bench.words(site="alun-alun-pasuruan", site_copy=copy, asset="bin-048")).exit_code == 2
    assert not copy.exists()
    result = run(*words)
    assert result.exit_code == 0, result.output
    listed = {device.id for device in load_site("alun-alun-pasuruan").devices}
    made = load_site(copy).devices[-1]
    assert made.asset == "bin-048"
    assert made.id not in listed


def test_ids_of_the_data_folder_count_as_given_out(bench):
    """A secret of a node that left the registry keeps its id from being used again."""
    secrets = bench.root / "data" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "rsk-b020").write_text("old")
    assert run(*bench.words(data=bench.root / "data")).exit_code == 0
    assert load_site(bench.site).devices[-1].id == "rsk-b021"


@pytest.mark.parametrize("kind", PARTS)
def test_parts_have_pins_of_their_own(kind):
    """Every part alone and the default set give roles, and no two of them use one pin unless they share a bus."""
    everything = {}
    for name in PARTS[kind]:
        assert parts_of(kind, name)
        for role, entry in PARTS[kind][name].items():
            everything[f"{role}-{entry.get('type', role)}"] = entry
    assert "battery" in parts_of(kind, "battery")
    assert parts_of(kind, DEFAULT_PARTS[kind])
    pins = {}
    for name, entry in everything.items():
        role = name.split("-", maxsplit=1)[0]
        for key in ("pin", "trig", "echo", "int", "set", "scl", "sda", "tx", "rx"):
            if key in entry:
                assert pins.setdefault(entry[key], role) == role, (name, key)


def test_settings_of_a_base_file_win_over_defaults_but_not_over_identity(bench):
    """--config chooses parts and intervals; who the node is comes from the command line."""
    base = bench.root / "base.json"
    base.write_text(json.dumps({"interval_s": 900, "device": "rsk-b777", "parts": {"battery": {"pin": 34}}}))
    assert run(*bench.words(config=base)).exit_code == 0
    config = json.loads((bench.out / "flash" / "config.json").read_text())
    assert (config["interval_s"], config["device"]) == (900, "rsk-b010")
    assert config["parts"] == {"battery": {"pin": 34}}

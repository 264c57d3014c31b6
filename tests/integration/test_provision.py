"""Making a node for real: the node's own check, the bytecode compiler, the hash tool of mosquitto, and the broker."""

import json
import shutil
import socket
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from paho.mqtt import client as mqtt

from resik import node_bundle
from resik.flash import flash
from resik.node_config import PARTS, Place, configuration, parts_of
from resik.power import power
from resik.provision import provision
from square.site import load_site
from tests.unit.resik.node_bench import WIFI_WORD, Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Make one node, for the tests that only look."""
    bench = Bench(tmp_path_factory.mktemp("desk"))
    result = CliRunner().invoke(provision, bench.words(data=bench.root / "data"))
    assert result.exit_code == 0, result.output
    return bench


def test_the_flash_holds_all_that_a_node_needs(bench):
    """Starter, loader, the application in slot a as bytecode, configuration, secret and root; well below 256 KiB."""
    root = bench.out / "flash"
    names = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert names >= {"boot.py", "main.py", "loader.mpy", "config.json", "secret", "ca.der", "a/version"}
    code = [name for name in names if name.startswith("a/firmware/")]
    assert {"a/firmware/app.mpy", "a/firmware/wire.mpy", "a/firmware/core/bins.mpy"} <= set(code)
    assert all(name.endswith(".mpy") for name in code)
    assert all((root / name).read_bytes()[:1] == b"M" for name in code)
    assert sum((root / name).stat().st_size for name in names) < 256 * 1024


def test_the_bundle_passes_its_own_check(bench):
    """What was made is whole, and a dry run of flashing it prints commands without a secret."""
    assert node_bundle.read_bundle(bench.out).device == "rsk-b010"
    result = CliRunner().invoke(flash, ["--port", "/dev/ttyUSB0", "--bundle", str(bench.out), "--dry-run"])
    assert result.exit_code == 0, result.output
    assert (bench.out / "flash" / "secret").read_text() not in result.output
    assert WIFI_WORD not in result.output


def test_the_battery_life_of_what_was_made(bench):
    """`resik power` knows the configuration: 122 readings a day at its site's intervals, and a life in days."""
    path = str(bench.out / "flash" / "config.json")
    energy = json.loads(CliRunner().invoke(power, ["--config", path, "--json"]).output)
    assert energy["wakes"] == 122
    assert energy["total"] == energy["radio"] + energy["measure"] + energy["fan"] + energy["sleep"]
    fewer = json.loads(CliRunner().invoke(power, ["--config", path, "--json", "--wakes-per-day", "24"]).output)
    assert fewer["days"] > energy["days"] > 0
    text = CliRunner().invoke(power, ["--config", path]).output
    assert f"sekitar {energy['days']} hari" in text


@pytest.mark.parametrize(("kind", "parts"), [(kind, name) for kind in PARTS for name in PARTS[kind]])
def test_every_part_passes_the_nodes_check(bench, tmp_path, kind, parts):
    """The pins that `--parts` writes are accepted by the node's own check, one part at a time."""
    site = load_site(bench.site)
    place = Place(bench.site, site, site.assets["bin-003" if kind == "bin" else "air-01"], kind)
    config = configuration(
        place, "rsk-x01", broker="mqtts://broker.example", wifi_ssid="s", wifi_psk="password",
        base={"parts": parts_of(kind, parts)},
    )  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    node_bundle.check_configuration(path)


def test_a_wrong_setting_leaves_nothing(tmp_path):
    """A setting that the node would refuse is refused here, by name, before anything is registered."""
    bench = Bench(tmp_path)
    base = tmp_path / "base.json"
    base.write_text(json.dumps({"interval_s": -5, "wether": 1, "parts": {"battery": {"pin": 34}}}))
    before = bench.snapshot()
    result = CliRunner().invoke(provision, bench.words(config=base))
    assert result.exit_code == 2
    assert "interval_s" in result.output
    assert "wether" in result.output
    assert WIFI_WORD not in result.output
    assert bench.snapshot() == before


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.service
def test_a_mosquitto_elsewhere_lets_the_node_in(bench, tmp_path):
    """The line for the password file is a hash of the node's secret: with it the secret gets in, another does not."""
    broker = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if broker is None or shutil.which("mosquitto_passwd") is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    secret = (bench.out / "flash" / "secret").read_text()
    entry = (bench.out / "broker-entry.txt").read_text()
    assert entry.startswith("rsk-b010:$")
    assert secret not in entry
    passwords, port = tmp_path / "passwords", _free_port()
    passwords.write_text(entry)
    passwords.chmod(0o600)
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\nuser root\npassword_file {passwords}\n")
    process = subprocess.Popen([broker, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def is_let_in(word: str) -> bool | None:
        """Return what the broker answers, None when it does not answer yet."""
        answers: list[bool] = []
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "rsk-b010")
        client.username_pw_set("rsk-b010", word)
        client.on_connect = lambda *words: answers.append(not words[3].is_failure)
        try:
            client.connect("127.0.0.1", port)
        except OSError:
            return None
        deadline = time.monotonic() + 10
        while not answers and time.monotonic() < deadline:
            client.loop(0.05)
        client.disconnect()
        return answers[0] if answers else None

    try:
        deadline = time.monotonic() + 10
        while is_let_in(secret) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert is_let_in(secret) is True
        assert is_let_in(secret + "x") is False
    finally:
        process.terminate()
        process.wait(10)


def test_two_at_once_get_two_nodes(tmp_path):
    """Two people provision at the same moment: two ids, two entries, a registry that loads."""
    bench = Bench(tmp_path)
    script = "import sys; from resik.provision import provision; provision(sys.argv[1:])"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, *bench.words(out=tmp_path / f"node-{number}", asset=asset, replace=True)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for number, asset in enumerate(("bin-003", "bin-002"))
    ]  # fmt: skip
    said = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    devices = [json.loads((tmp_path / f"node-{n}" / "bundle.json").read_text())["device"] for n in range(2)]
    assert sorted(devices) == ["rsk-b010", "rsk-b011"]
    text = bench.registry.read_text()
    assert all(f'"{device}"' in text for device in devices)

"""A node as `resik provision` makes it boots, is let in by a broker, and its reading arrives."""

import shutil
import time

import pytest
from click.testing import CliRunner

from resik.provision import provision
from tests.firmware.node import rig
from tests.services import start_mosquitto
from tests.unit.resik.node_bench import Bench

ACCESS = "user gateway\ntopic readwrite #\npattern write resik/+/%u/up/+\npattern read resik/+/%u/down/+\n"
"""The two lines that docs/hardware.md asks of a broker, beside the gateway's own."""


@pytest.mark.service
def test_a_provisioned_node_is_heard(tmp_path):
    """The flash of the bundle runs unchanged; a broker that got the line of the bundle lets it in, not before."""
    starter = rig.spawner()
    broker = start_mosquitto(tmp_path / "broker", users={"gateway": "a-gateway-word"}, acl=ACCESS)
    gateway = rig.Gateway(broker.port, ("gateway", "a-gateway-word"))
    try:
        bench = Bench(tmp_path, ("site.toml", 'id = "small"', f'id = "{rig.SITE}"'))
        words = bench.words(broker=f"mqtt://127.0.0.1:{broker.port}", ca=None, parts=None)
        result = CliRunner().invoke(provision, words)
        assert result.exit_code == 0, result.output
        folder = rig.NodeFolder(tmp_path / "node")
        shutil.copytree(bench.out / "flash", folder.flash)
        folder.set_world(distance_mm=740, temp_c=30, tilt_deg=2, battery_mv=3900)
        node = rig.RealNode(folder, starter, unix_ms=int(time.time()) * 1000)

        refused = node.boot()
        assert refused.outcome == "sleep", refused.text
        assert gateway.readings == []

        with (tmp_path / "broker" / "passwords").open("a") as passwords:
            passwords.write((bench.out / "broker-entry.txt").read_text())
        broker.reload()
        heard = node.boot()
        assert heard.outcome == "sleep", heard.text
        gateway.until(lambda it: len(it.readings) >= 2, "both readings")
        assert {device for device, _, _ in gateway.readings} == {"rsk-b010"}
        reading = gateway.readings[-1][2]
        assert (reading["state"], reading["quality"]) == ("ok", 4)
        assert abs(reading["distance_mm"] - 740) <= 10
        assert (reading["temp_cdeg"], reading["battery_mv"]) == (3000, 3900)
        secret = (bench.out / "flash" / "secret").read_text()
        assert secret not in refused.text + heard.text
    finally:
        gateway.close()
        broker.stop()

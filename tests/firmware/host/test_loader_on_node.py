"""The real boot.py, main.py and loader on real MicroPython with an imitated ESP32: a small application in each slot."""

from pathlib import Path

import pytest

from resik import release
from simulators.real_folder import NodeFolder
from simulators.real_node import RealNode
from tests.firmware import micropython
from tests.firmware.node import rig

GOOD = "import machine\n\n\ndef run():\n    print('runs', 10300)\n    machine.deepsleep(600000)\n"
CRASHING = "def run():\n    raise KeyError('nothing here')\n"
BROKEN = "import a_module_that_no_node_has\n"
HUNGRY = "DATA = bytearray(10000000)\n"


def _node(tmp_path: Path, newer: str) -> RealNode:
    """Make a node that runs 1.3.0 in slot a and has 1.4.0 in slot b, not confirmed."""
    micropython.require_mpy_cross()
    root = release.device_files()
    loader = release.compile_files({"loader.py": root.pop("loader.py")})
    files: dict[str, str | bytes] = {**root, **loader}
    for slot, version, source in (("a", 10300, GOOD), ("b", 10400, newer)):
        made = release.compile_files({"firmware/__init__.py": "", "firmware/app.py": source})
        files |= {f"{slot}/{path}": data for path, data in made.items()}
        files[f"{slot}/version"] = f"{version}\n"
    folder = NodeFolder.make(tmp_path / "node", {}, files=files)
    return RealNode(folder, rig.spawner(), unix_ms=rig.NOON_S * 1000)


@pytest.mark.parametrize(
    ("newer", "starts"), [(CRASHING, 3), (BROKEN, 0), (HUNGRY, 0)], ids=["crash loop", "import error", "out of memory"]
)
def test_a_bad_version_ends_on_the_old_one(tmp_path, newer, starts):
    """Whatever is wrong with the new version, the old one runs after at most three starts, and NVS says both."""
    node = _node(tmp_path, newer)
    for start in range(starts):
        boot = node.boot()
        assert (boot.outcome, boot.sleep_ms) == ("sleep", 60_000 << start), boot.text
        assert "nothing here" in boot.text
    for _ in range(2):
        boot = node.boot()
        assert (boot.outcome, boot.sleep_ms) == ("sleep", 600000), boot.text
        assert "runs 10300" in boot.lines
    values = node.folder.nvs()
    assert (values["slot"], values["ver"], values["bad"], values["trial"]) == (0, 10300, 10400, 0)
    assert (node.folder.flash / "crash.txt").read_text().split("\n")[0] == str(max(starts, 1))

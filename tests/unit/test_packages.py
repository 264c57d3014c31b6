"""Packages are where they should be, and the firmware stays a leaf."""

import ast
import importlib
import os
import sysconfig
from pathlib import Path

import pytest

PACKAGES = ("firmware", "square", "gateway", "ingest", "alerts", "dashboard_api", "simulators", "resik")
ROOT = Path(__file__).parents[2]


def location(name: str) -> Path:
    return Path(importlib.import_module(name).__file__).parent


@pytest.mark.parametrize("name", PACKAGES)
def test_package_is_ours(name):
    """Generic names such as `alerts` must come from this distribution, not from somebody else's."""
    expected = Path(sysconfig.get_paths()["purelib"]) if os.environ.get("RESIK_TEST_WHEEL") else ROOT
    assert location(name) == expected / name


@pytest.mark.parametrize("name", [name for name in PACKAGES if name not in {"firmware", "simulators"}])
def test_servers_use_only_the_wire_module(name):
    """No server module imports anything of the firmware but `firmware.wire`."""
    wrong = []
    for path in location(name).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "firmware":
                names = {alias.name for alias in node.names}
                if node.module != "firmware.wire" and names != {"wire"}:
                    wrong.append(f"{path}:{node.lineno}")
            elif isinstance(node, ast.Import):
                wrong += [f"{path}:{node.lineno}" for a in node.names if a.name.split(".")[0] == "firmware"]
    assert not wrong


def test_wire_imports_nothing_that_a_node_lacks():
    """The wire module runs on MicroPython: json alone."""
    tree = ast.parse((location("firmware") / "wire.py").read_text())
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert imported <= {"json", "struct", "binascii"}
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def test_the_web_client_is_in_the_package():
    """What people see is part of the installation: both pages and their hashed assets."""
    static = location("dashboard_api") / "static"
    assert (static / "index.html").exists(), "run `make web` first"
    assert (static / "petugas.html").exists()
    assert list((static / "assets").glob("*.js"))


def test_the_shipped_site_is_in_the_package():
    """A square to start with is part of the installation."""
    assert (location("square") / "sites" / "alun-alun-pasuruan" / "plan.geojson").exists()

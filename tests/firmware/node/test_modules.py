"""Unloading of modules on a node."""

from pathlib import Path

from tests.firmware.micropython import ROOT
from tests.firmware.node import rig

ONE = """\
TEXT = "as ever"
def told():
    return TEXT
"""
MAIN = """\
import sys
from firmware import modules
import firmware.one, firmware.parts.two
one, two = firmware.one, firmware.parts.two
%s
print([name for name in sorted(sys.modules) if name.startswith("firmware")], hasattr(firmware, "one"))
for module in (one, two):
    try:
        print(module.told())
    except AttributeError:
        print("taken apart")
"""


def run(folder: Path, statement: str) -> tuple[str, ...]:
    """Load two modules, run a statement, and return what is left of them."""
    node = rig.script(folder / "node", MAIN % statement)
    for name in ("__init__", "modules"):
        node.folder.write(f"firmware/{name}.py", (ROOT / "firmware" / f"{name}.py").read_bytes())
    for name in ("one", "parts/two"):
        node.folder.write(f"firmware/{name}.py", ONE)
    node.folder.write("firmware/parts/__init__.py", "")
    return node.boot().lines


def test_what_is_dropped_is_taken_apart(tmp_path: Path) -> None:
    """It is loaded anew by the next import, and what still holds it keeps nothing of its content."""
    left = "['firmware', 'firmware.modules', 'firmware.parts'] False"
    assert run(tmp_path, 'modules.drop("one", "parts.")') == (left, "taken apart", "taken apart")


def test_what_is_forgotten_still_works_for_who_holds_it(tmp_path: Path) -> None:
    """A task that ends later finds what its module needs; names that are not loaded are no error."""
    left = "['firmware', 'firmware.modules', 'firmware.parts'] False"
    assert run(tmp_path, 'modules.forget("one", "parts.two", "three")') == (left, "as ever", "as ever")

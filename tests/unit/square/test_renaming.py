"""Names that modules of a node share become short ones, and no name that anything else knows."""

import ast
from pathlib import Path

import pytest

from resik import release
from square.renaming import renaming
from square.shortening import shorten
from tests.firmware import micropython

ROOT = Path(__file__).parents[3]
PARTS = """
import json

TABLE = "lowest_mv=3 highest_mv=4"


class Part:
    def __init__(self, cupboard, lowest_mv):
        self.cupboard = cupboard
        self.lowest_mv = lowest_mv
        self.reading_count = 0

    def take_reading(self, amount=1):
        self.reading_count += amount
        return json.dumps({"count": self.reading_count}, separators=(",", ":"))


def separators():
    return "mine"
"""
USER = """
from firmware.parts import Part, separators


def total_text(cupboard):
    part = Part(cupboard, lowest_mv=1)
    part.take_reading(amount=2)
    cupboard.disconnect()
    return part.take_reading(), separators(), getattr(part, "lowest_mv")
"""


def _from_stub(path: Path) -> set[str]:
    """Return the functions, classes and attributes that a type stub names."""
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return found


@pytest.mark.parametrize("kind", release.KINDS)
def test_no_name_of_the_device_changes(kind: str) -> None:
    """What machine, network, esp32, onewire, time and gc of an ESP32 offer keeps its name."""
    short = set(renaming(release.application_files(kind)))
    assert len(short) > 200
    known = set[str]()
    for name in ("machine", "network", "esp32", "onewire", "time", "gc"):
        stubs = [*(ROOT / "typings").glob(f"{name}.pyi"), *(ROOT / "typings" / name).glob("*.pyi")]
        assert stubs, name
        known.update(*(_from_stub(stub) for stub in stubs))
    assert {"disconnect", "deepsleep", "readfrom_mem", "get_blob"} <= known
    assert not short & known


def test_no_name_of_the_interpreter_changes(tmp_path: Path) -> None:
    """What MicroPython's own types and modules offer, asyncio and TLS among them, keeps its name."""
    script = tmp_path / "names.py"
    script.write_text(
        "names = ('asyncio', 'asyncio.core', 'asyncio.stream', 'asyncio.funcs', 'asyncio.event', 'asyncio.lock',"
        " 'json', 'sys', 'gc', 'os', 'binascii', 'time', 'socket', 'struct', 'hashlib', 'errno', 'ssl', 'io',"
        " 'builtins')\n"
        "for module in [__import__(name, None, None, ('x',)) for name in names]:\n"
        "    for name in dir(module):\n"
        "        print(name, *dir(getattr(module, name)))\n"
        "for thing in (b'', bytearray(), '', 1, (), [], {}, set(), OSError(1), memoryview(b''), open(__file__)):\n"
        "    print(*dir(thing))\n"
    )
    result = micropython.run(script)
    assert result.returncode == 0, result.stderr
    known = set(result.stdout.split())
    assert {"wait_for", "readinto", "wrap_socket", "crc32"} <= known
    for kind in release.KINDS:
        assert not set(renaming(release.application_files(kind))) & known


def test_texts_and_foreign_names_stay() -> None:
    """Words of texts, names of the standard library and of the device stay; what is our own goes, everywhere."""
    sources = {"firmware/parts.py": PARTS, "firmware/user.py": USER}
    short = renaming(sources)
    assert {"Part", "cupboard", "take_reading", "reading_count", "amount", "total_text"} <= set(short)
    assert not {"lowest_mv", "separators", "dumps", "disconnect", "count", "self"} & set(short)
    assert len(set(short.values())) == len(short)
    space: dict[str, object] = {}
    made = shorten(sources)
    exec(made["firmware/parts.py"], space)  # noqa: S102 - the text above
    user = made["firmware/user.py"].replace("from firmware.parts import", "#")
    exec(user, space)  # noqa: S102 - the text above

    class Board:
        calls = 0

        def disconnect(self) -> None:
            self.calls += 1

    board = Board()
    assert space[short["total_text"]](board) == ('{"count":3}', "mine", 1)  # type: ignore[operator]
    assert board.calls == 1


def test_the_loader_finds_what_it_calls() -> None:
    """Neither the loader's own names change nor those by which it calls the application, with it or without it."""
    loader = release.device_files()["loader.py"]
    sources = release.application_files("bin")
    for together in (sources, {**sources, "firmware/device/loader.py": loader}):
        assert not {"run", "store", "app", "crash", "core"} & set(renaming(together))
    assert shorten({"firmware/device/loader.py": loader})["firmware/device/loader.py"].count("def main():") == 1


def test_a_name_inside_of_an_f_string_stays() -> None:
    """It is no token before Python 3.12, so a module that has one keeps all of its names."""
    sources = {"firmware/a.py": 'def wonderful(value_here):\n    return f"{value_here}"\n'}
    assert renaming(sources) == {}

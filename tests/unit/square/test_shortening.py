"""Shorter sources of a node mean what the longer ones meant, line by line."""

import ast
import re
from pathlib import Path

import pytest

import firmware
from square.shortening import shorten
from square.slimming import slim

SOURCES = Path(firmware.__file__).parent
FIRMWARE = {
    f"firmware/{path.relative_to(SOURCES)}": path.read_text()
    for path in sorted(SOURCES.rglob("*.py"))
    if path.name != "check.py"
}
SOURCE = '''
"""A module."""
_LIMIT = 7
SHARED = 9
ON_NODE = False


class Thing:
    def __init__(self, start, step):
        self._total = start
        self.step = step

    def _more(self, times):
        return [self._total + self.step * one for one in range(times)]

    def more(self, times=_LIMIT):
        def inner(step):
            return step + times + SHARED
        return self._more(times), inner(step=3)


def name():
    if not ON_NODE:
        return "host"
    return "node"
'''


def run(source: str) -> dict[str, object]:
    space: dict[str, object] = {}
    exec(source, space)  # noqa: S102 - the text above
    return space


def test_the_meaning_stays() -> None:
    """Values, defaults, closures and keywords are what they were; private names and constants are gone."""
    short = shorten({"firmware/a.py": SOURCE, "firmware/b.py": "from firmware.a import SHARED\n"}, shared=False)[
        "firmware/a.py"
    ]
    for text in (SOURCE, short):
        thing = run(text)["Thing"](100, 2)
        assert thing.more(2) == ([100, 102], 14)
        assert thing.more()[1] == 19
    assert "_total" not in short
    assert "_LIMIT" not in short
    assert "SHARED = 9" in short
    assert "step=3" in short


def test_a_flag_of_the_interpreter_is_settled() -> None:
    """On a node the branch of the host is never taken, and the compiler can leave it out."""
    short = shorten({"firmware/a.py": SOURCE}, shared=False)["firmware/a.py"]
    assert run(SOURCE)["name"]() == "host"
    assert run(short)["name"]() == "node"


def test_a_private_name_of_another_module_is_refused() -> None:
    """Two modules that both use `x._total` would call it differently afterwards: that stops the build."""
    with pytest.raises(ValueError, match="_total"):
        shorten({"firmware/a.py": SOURCE, "firmware/b.py": "def spy(thing):\n    return thing._total\n"})


def test_every_line_stays_where_it_was() -> None:
    """A traceback of a node names lines of the real sources: functions begin and end where they did."""
    short = slim(FIRMWARE)
    for path, text in FIRMWARE.items():
        if path == "firmware/wire.py":
            continue
        before, after = (
            [(node.lineno, node.end_lineno) for node in ast.walk(ast.parse(one)) if isinstance(node, ast.FunctionDef)]
            for one in (text, short[path])
        )
        assert before == after, path


def test_the_errors_of_the_wire_keep_their_codes() -> None:
    """Only the sentences go: every WireError of the sources still has its code."""
    short = slim(FIRMWARE, shared=False)["firmware/wire.py"]
    raised = re.findall(r"raise WireError\((.*?)\)", short)
    assert len(raised) > 20
    assert all(re.fullmatch(r'("[a-z-]+"|\w+), ""', one) for one in raised)

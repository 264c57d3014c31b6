"""Sources of nodes lose what no node uses, and nothing else."""

import ast

import pytest

from firmware.core import wiring
from resik import release
from square import slimming

SOURCE = '''"""A module."""

import json

A = 1
"""What A is."""

TABLE = {}
for _key in (1, 2):
    TABLE[_key] = A
LONELY = {}
LONELY[1] = 2


def used():
    return _helper()


def _helper():
    return TABLE


def unused():
    return json.dumps(LONELY)
'''


def test_what_is_used_stays_with_all_that_it_needs():
    """A used function keeps its helper, that its table, that the loop that fills it, and that its constant."""
    slim = slimming.strip(SOURCE, {"used"})
    space: dict = {}
    exec(slim, space)  # noqa: S102 - the text above
    assert space["used"]() == {1: 1, 2: 1}
    assert "unused" not in space
    assert "LONELY" not in slim


def test_lines_keep_their_numbers():
    """A traceback of a node names lines of the source: what is left out leaves empty lines."""
    where = {node.name: node.lineno for node in ast.parse(SOURCE).body if isinstance(node, ast.FunctionDef)}
    slim = {
        node.name: node.lineno
        for node in ast.parse(slimming.strip(SOURCE, {"used"})).body
        if isinstance(node, ast.FunctionDef)
    }
    assert slim == {name: where[name] for name in ("used", "_helper")}


def test_the_wire_module_of_a_node():
    """A node keeps what its modules use and loses what only servers use."""
    sources = release.application_files("bin")
    needed = set().union(*(slimming._used_of_wire(text) for path, text in sources.items() if path != slimming.WIRE))
    slim = slimming.strip(sources[slimming.WIRE], needed)
    kept = {node.name for node in ast.parse(slim).body if isinstance(node, ast.FunctionDef)}
    assert {"decode_ack", "decode_ota_down", "topic_up"} <= kept
    assert not kept & {"encode_ack", "decode_envelope", "parse_topic", "decode_status"}
    space: dict = {}
    exec(slim, space)  # noqa: S102 - our own module
    assert needed <= set(space)
    assert set(slimming.slim(sources)) == set(sources)


def test_without_a_wire_module_nothing_changes():
    """Sources without the wire module come back as they are."""
    assert slimming.slim({"a.py": "x = 1\n"}) == {"a.py": "x = 1\n"}


@pytest.mark.parametrize(("kind", "other"), [("bin", "air"), ("air", "bin")])
def test_a_node_knows_the_parts_of_its_kind(kind, other):
    """Parts of the other kind, whose readings it could not judge, are not in its table; all of its own are."""
    slim = slimming.slim(release.application_files(kind), shared=False)
    space: dict = {}
    exec(slim["firmware/core/wiring.py"], space)  # noqa: S102 - our own module
    assert set(space["PARTS"]) == {path for path in wiring.PARTS if not path.startswith(f"{other}/")}

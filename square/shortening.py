"""Shorter sources for nodes, made just before they are compiled: what a node holds in memory is code, above all.

The meaning stays, and so does every line, so that the compiler and a simulated node name lines of the source:

* private names (``_name``, which no other module touches) become ``_a``, ``_b``, ... in every module. MicroPython keeps
  each distinct name in a table for ever, and most modules have such names of their own;
* so do parameters and local variables, where no call names them as a keyword;
* integer constants of a module become numbers where it uses them, and flags that say on which interpreter it runs are
  settled, so that the compiler leaves the other branch out;
* names that modules share become short ones, where that is safe (`square.renaming`);
* errors of ``firmware/wire.py`` lose their sentences: a node acts by the code alone.
"""

import ast
import builtins
import io
import keyword
import re
import string
import tokenize
from collections.abc import Iterator, Mapping

from square.renaming import FIXED, renaming

_WIRE = "firmware/wire.py"
_FLAGS = {"ON_NODE": True, "_ON_CPYTHON": False}
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")

_Edit = tuple[int, int, int, int, str]
"""First line and column, line and column after, and what comes in between instead."""


def shorten(sources: Mapping[str, str], *, shared: bool = True) -> dict[str, str]:
    """Return the sources, path by path, made shorter.

    Parameters
    ----------
    sources
        Every module that the node will hold, by path such as ``firmware/core/bins.py``.
    shared
        Whether names that modules share become short, too.

    Raises
    ------
    ValueError
        If a module touches a private name of another one: the two would no longer agree on it.
    """
    sources = {path: settled(text) for path, text in sources.items()}
    sources = {path: _without_sentences(text) if path == _WIRE else text for path, text in sources.items()}
    words = {path: _words(text) for path, text in sources.items()}
    private = {path: _private_names(ast.parse(text)) for path, text in sources.items()}
    owned = set[str]().union(*private.values())
    for path, text in sources.items():
        if stolen := {name for name in words[path] & owned - private[path] if f".{name}" in text}:
            raise ValueError(f"{path} touches private names of another module: {', '.join(sorted(stolen))}")
        elsewhere = set[str]().union(*(found for other, found in words.items() if other != path))
        sources[path] = _folded(text, private[path], elsewhere)
    if shared:
        short = renaming(sources)
        sources = {path: text if path.startswith(FIXED) else with_names(text, short) for path, text in sources.items()}
    keywords = set[str]().union(*(_keywords(ast.parse(text)) for text in sources.values()))
    return {path: _shorter(text, private[path], keywords) for path, text in sources.items()}


def with_names(text: str, short: Mapping[str, str]) -> str:
    """Return a source with other names; it is the caller's word that they mean the same everywhere."""
    return _edited(
        text,
        [
            (*token.start, *token.end, short[token.string])
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.NAME and token.string in short
        ],
    )


def _words(text: str) -> set[str]:
    """Return every name that the code of a module has."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def _edited(text: str, edits: list[_Edit]) -> str:
    """Apply edits that do not overlap; each keeps the number of lines."""
    lines = text.split("\n")
    for top, left, bottom, right, new in sorted(edits, reverse=True):
        rest = lines[bottom - 1][right:]
        filling = [new] + [""] * (bottom - top)
        filling[0] = lines[top - 1][:left] + filling[0]
        filling[-1] += rest
        lines[top - 1 : bottom] = filling
    return "\n".join(lines)


def _whole(node: ast.stmt | ast.expr, new: str = "") -> _Edit:
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    top = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    return top, node.col_offset, node.end_lineno, node.end_col_offset, new


# -- private names and constants ------------------------------------------------------------------


def _private_names(tree: ast.Module) -> set[str]:
    """Return the private names that a module defines: functions, classes, attributes it sets, variables."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return {name for name in found if name.startswith("_") and not name.startswith("__") and name != "_"}


def _short_names() -> Iterator[str]:
    for first in ("", *string.ascii_letters):
        for last in string.ascii_letters:
            yield f"_{first}{last}"


def _constants(tree: ast.Module) -> dict[str, tuple[int, ast.Assign]]:
    """Return the integer constants of a module that are bound once."""
    bound: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            bound[node.id] = bound.get(node.id, 0) + 1
        elif isinstance(node, ast.arg):
            bound[node.arg] = bound.get(node.arg, 0) + 1
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and type(node.value.value) is int:
            target = node.targets[0]
            if isinstance(target, ast.Name) and _CONSTANT.fullmatch(target.id) and bound[target.id] == 1:
                found[target.id] = (node.value.value, node)
    return found


def _keywords(tree: ast.Module) -> set[str]:
    """Return the names that calls use as keywords, and those of parameters that may well be: they have a default."""
    found = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg is not None}
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            optional = node.args[len(node.args) - len(node.defaults) :]
            found.update(one.arg for one in [*node.kwonlyargs, *optional])
    return found


def _locals(tree: ast.Module, taken: set[str]) -> dict[tuple[int, int], str]:
    """Return where parameters and local variables stand, and what they are called; none that is also a global name.

    One that is called the same in two functions is so afterwards, too, and nested functions see what they saw.
    """
    globals_ = set(dir(builtins)) | taken
    names: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            globals_.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            globals_.add(node.name)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            globals_.update(node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name is not None:
            globals_.add(node.name)  # its place is no node of its own
        elif isinstance(node, ast.arg):
            names[node.arg] = names.get(node.arg, 0) + 1
    for outside in _outside_functions(tree):
        globals_.update(node.id for node in ast.walk(outside) if isinstance(node, ast.Name))
    local = [name for name in sorted(names, key=lambda name: (-names[name], name)) if name not in globals_]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | globals_ | set(names)
    free = (name for name in _short_names() if name[1:] not in used and name[1:] not in keyword.kwlist)
    short = {name: new[1:] for name, new in zip(local, free, strict=False) if len(new) <= len(name)}
    places = {}
    for node in ast.walk(tree):
        name = node.arg if isinstance(node, ast.arg) else node.id if isinstance(node, ast.Name) else None
        if name in short and isinstance(node, ast.arg | ast.Name):
            places[node.lineno, node.col_offset] = short[name]
    return places


def _outside_functions(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the parts of a module that run when it is loaded, class bodies included."""
    stack: list[ast.AST] = list(tree.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from (one for one in [*node.args.defaults, *node.args.kw_defaults] if one is not None)
        elif isinstance(node, ast.ClassDef):
            stack.extend(node.body)
        elif any(isinstance(inner, ast.FunctionDef | ast.Lambda) for inner in ast.walk(node)):
            stack.extend(ast.iter_child_nodes(node))
        else:
            yield node


def _is_open(tree: ast.Module) -> bool:
    """Whether every name of a module is a token: those inside of f-strings are none."""
    return not any(isinstance(node, ast.JoinedStr) for node in ast.walk(tree))


def _folded(text: str, private: set[str], elsewhere: set[str]) -> str:
    """Put the numbers of a module in the places of its constants; one that others name stays as well."""
    tree = ast.parse(text)
    if not _is_open(tree):
        return text
    constants = _constants(tree)
    edits = [_whole(node, "pass") for name, (_, node) in constants.items() if name in private or name not in elsewhere]
    edits += [
        _whole(node, str(constants[node.id][0]))
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in constants
    ]
    return _edited(text, edits)


def _shorter(text: str, private: set[str], keywords: set[str]) -> str:
    tree = ast.parse(text)
    if not _is_open(tree):
        return text
    short = dict(zip(sorted(private), _short_names(), strict=False))
    local = _locals(tree, keywords | private)
    edits = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line, column = token.start
        if token.type != tokenize.NAME:
            continue
        place = line, len(token.line[:column].encode())
        if place in local:
            edits.append((line, column, line, token.end[1], local[place]))
        elif token.string in short:
            edits.append((line, column, line, token.end[1], short[token.string]))
    return _edited(text, edits)


def _without_sentences(text: str) -> str:
    """Take the sentence out of each ``WireError(code, sentence)``."""
    return _edited(
        text,
        [
            _whole(call.args[1], '""')
            for call in ast.walk(ast.parse(text))
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "WireError"
            and len(call.args) == 2  # noqa: PLR2004
        ],
    )


def settled(text: str) -> str:
    """Put the value of a flag where it decides an ``if``, and nothing into the branch that is never taken."""
    edits = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.If):
            continue
        is_negated = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
        name = node.test.operand if isinstance(node.test, ast.UnaryOp) else node.test
        if isinstance(name, ast.Name) and name.id in _FLAGS:
            is_so = _FLAGS[name.id] != is_negated
            edits.append(_whole(node.test, str(is_so)))
            edits += [_whole(one, "pass") for one in (node.orelse if is_so else node.body)]
    return _edited(text, edits)

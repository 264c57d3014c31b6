"""Short names for what the modules of a node share: functions, classes, attributes and parameters.

Each module of bytecode has its own table of the names that it uses, and the interpreter keeps every distinct name for
ever. One name becomes the same short one in all modules. Whatever anything else might know by its name stays:

* what occurs in a text of the sources, whole or as a word: settings, fields of messages, names for ``getattr``;
* what Python, its standard library or the device's own modules call so;
* modules and packages, and what the loader calls.
"""

import ast
import asyncio
import binascii
import builtins
import errno
import gc
import hashlib
import io
import json
import keyword
import os
import re
import socket
import ssl
import string
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from types import ModuleType

_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")

_FOREIGN: tuple[ModuleType, ...] = (
    asyncio, binascii, builtins, errno, gc, hashlib, io, json, os, socket, ssl, struct, sys, time,
)  # fmt: skip

_DEVICE = frozenset(
    _WORD.findall(
        "active any board commit config connect datetime deepsleep disconnect duty feed freq get_blob get_i32 info "
        "init isconnected label memory out_buf pull read_uv readblocks readbyte readfrom readfrom_into readfrom_mem "
        "readfrom_mem_into readinto reset reset_cause scan self set_blob set_boot set_i32 sleep_ms ssid start status "
        "stop timeout value wake_reason writeblocks writebyte writeto writeto_mem Stream"
    )
)
"""Names of the device's modules that a module of the node might choose, too; a test compares with their stubs."""

_LOADER = frozenset({"run", "store"})
"""What ``firmware/device/loader.py``, which no update changes, calls by name."""

FIXED = "firmware/device/"
"""What lies here is not replaced together with the rest: it and what it names keep their names."""

_LEAST = 4
"""Shorter names gain nothing."""


def renaming(sources: Mapping[str, str]) -> dict[str, str]:
    """Return the short name of each name that may have one.

    Parameters
    ----------
    sources
        Every module that the node will hold, by path.
    """
    trees = [ast.parse(text) for path, text in sources.items() if not path.startswith(FIXED)]
    seen = Counter[str]()
    kept = _reserved() | _known_elsewhere(trees)
    for path, text in sources.items():
        kept.update(_WORD.findall(path))
        if path.startswith(FIXED):
            kept.update(_WORD.findall(text))
    for tree in trees:
        names = set(_names(tree))
        seen.update(names)
        if any(isinstance(node, ast.JoinedStr) for node in ast.walk(tree)):
            kept |= names  # a name inside of it is no token
    own = set[str]().union(*(_defined(tree) for tree in trees))
    own = {name for name in own - kept if len(name) >= _LEAST and not name.startswith("_")}
    for tree in trees:
        own -= _foreign_keywords(tree, own)
    taken = set(seen) | kept
    free = (name for name in _short_names() if name not in taken)
    order = sorted(own, key=lambda name: (-seen[name] * len(name), name))
    return {name: new for name, new in zip(order, free, strict=False) if len(new) < len(name)}


def _short_names() -> Iterator[str]:
    for length in (1, 2):
        for letters in product(string.ascii_letters, repeat=length):
            yield "".join(letters)


def _reserved() -> set[str]:
    """Return the names that interpreter and device give a meaning."""
    names = set(keyword.kwlist) | set(keyword.softkwlist) | _DEVICE | _LOADER
    for module in _FOREIGN:
        names.update(dir(module))
        for thing in vars(module).values():
            if isinstance(thing, type):
                names.update(dir(thing))
    return names


def _known_elsewhere(trees: list[ast.Module]) -> set[str]:
    """Return the words of all texts but docstrings, and the names of modules that are imported."""
    found = set[str]()
    for tree in trees:
        remarks = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and id(node) not in remarks:
                value = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
                if isinstance(value, str):
                    found.update(_WORD.findall(value))
            elif isinstance(node, ast.Import):
                found.update(word for alias in node.names for word in _WORD.findall(f"{alias.name} {alias.asname}"))
            elif isinstance(node, ast.ImportFrom):
                found.update(_WORD.findall(node.module or ""))
                if (node.module or "").split(".")[0] != "firmware":
                    found.update(alias.name for alias in node.names)
    return found


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.alias):
            yield from (node.asname or node.name).split(".")
        elif isinstance(node, ast.keyword | ast.ExceptHandler):
            name = node.arg if isinstance(node, ast.keyword) else node.name
            if name is not None:
                yield name


def _defined(tree: ast.Module) -> set[str]:
    """Return what a module defines: functions, classes, their parameters, what it sets on ``self`` or at its top."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
            found.add(node.attr)
    for body in [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]:
        for statement in body:
            if isinstance(statement, ast.Assign):
                found.update(target.id for target in statement.targets if isinstance(target, ast.Name))
    return found


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _foreign_keywords(tree: ast.Module, own: set[str]) -> set[str]:
    """Return the keywords of calls that are not known to be calls of our own."""
    found = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = (
                called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
            )
            if name not in own:
                found.update(word.arg for word in node.keywords if word.arg is not None)
    return found

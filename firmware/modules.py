"""Modules are in memory while they are at work: the heap of a node does not hold all of them at once."""

import gc
import sys

WIPE_DEPTH = 12
PACKAGE = "firmware."
"""Names below are without it: one text less in each module that unloads others."""

_ON_NODE = sys.implementation.name == "micropython"
"""Other tests of a process on CPython still hold what would be unloaded."""


def forget(*names):
    """Unload modules of the application; a name with a dot at its end means all that lie in that package."""
    for name in names:
        _unload(PACKAGE + name, None)
    wipe()


def empty(*names):
    """Unload modules of which nothing is in use, and collect."""
    drop(*names)
    wipe()


def drop(*names):
    """Unload modules of which nothing is in use, and take them apart.

    Memory is looked through for what may be an address: a word that was left on the stack now and then keeps one
    object, and with it the whole module, for the rest of a wake.
    """
    for name in names:
        _unload(PACKAGE + name, dict.clear)


def _unload(name, clear):
    if not _ON_NODE:
        return
    if name[-1] == ".":
        for one in [one for one in sys.modules if one.startswith(name)]:
            _unload(one, clear)
        return
    module = sys.modules.pop(name, None)
    if module is not None:
        if clear:
            clear(module.__dict__)
        at = name.rfind(".")
        package = sys.modules.get(name[:at])
        if package is not None and hasattr(package, name[at + 1 :]):
            delattr(package, name[at + 1 :])


def wipe(depth=WIPE_DEPTH):
    """Collect, after overwriting what earlier calls left on the stack below the caller.

    The collector takes that for references and keeps what it names: a whole module, when it comes to the worst.
    """
    if depth:
        wipe(depth - 1)
    elif _ON_NODE:
        gc.collect()

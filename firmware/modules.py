"""Modules are in memory while they are at work: the heap of a node does not hold all of them at once."""

import gc
import sys

WIPE_DEPTH = 12
PACKAGE = "firmware."
"""Names below are without it: one text less in each module that unloads others."""


def forget(*names):
    """Unload modules of the application; a name with a dot at its end means all that lie in that package."""
    if sys.implementation.name != "micropython":
        return  # other tests of the same process still hold their classes
    for short in names:
        name = PACKAGE + short
        if short[-1] == ".":
            for one in [one for one in sys.modules if one.startswith(name)]:
                _drop(one)
        elif name in sys.modules:
            _drop(name)
    wipe()


def wipe(depth=WIPE_DEPTH):
    """Collect, after overwriting what earlier calls left on the stack below the caller.

    The collector takes that for references and keeps what it names: a whole module, when it comes to the worst.
    """
    if depth:
        wipe(depth - 1)
    else:
        gc.collect()


def empty(*names):
    """Unload modules of which nothing is in use, and take them apart.

    Memory is looked through for what may be an address: a word that was left on the stack now and then keeps one
    object, and with it the whole module, for the rest of a wake.
    """
    if sys.implementation.name == "micropython":
        for name in names:
            module = sys.modules.get(PACKAGE + name)
            for one in dir(module) if module else ():
                if one[:2] != "__":
                    delattr(module, one)
    forget(*names)


def _drop(name):
    del sys.modules[name]
    at = name.rfind(".")
    package = sys.modules.get(name[:at])
    if package is not None and hasattr(package, name[at + 1 :]):
        delattr(package, name[at + 1 :])

"""Modules are in memory while they are at work: the heap of a node does not hold all of them at once."""

import gc
import sys


def forget(*names):
    """Unload modules; a name with a dot at its end means all that lie in that package."""
    if sys.implementation.name != "micropython":
        return  # other tests of the same process still hold their classes
    for name in names:
        if name[-1] == ".":
            for one in [one for one in sys.modules if one.startswith(name)]:
                _drop(one)
        elif name in sys.modules:
            _drop(name)
    gc.collect()


def _drop(name):
    del sys.modules[name]
    at = name.rfind(".")
    package = sys.modules.get(name[:at])
    if package is not None and hasattr(package, name[at + 1 :]):
        delattr(package, name[at + 1 :])

"""Where the loader starts: one boot of a node, from what survived the last one to the next sleep or reset."""

import asyncio

from firmware.modules import drop, wipe


def run():
    """Live one boot. What comes back as an exception is a crash, which the loader notes."""
    asyncio.get_event_loop().set_exception_handler(_on_exception)
    life = _begin()
    wipe()
    asyncio.run(life)


def _begin():
    # A function of its own: what a frame has touched stays in memory until it is left.
    from firmware import start

    life = start.begin()
    drop("start", "core.crash")
    return life


def _on_exception(_loop, context):
    """Crash: with half of its tasks a node is worse off than after a reset."""
    raise context["exception"]

"""What a node with a lasting supply does between two readings: it stays connected and listens.

For the next reading it restarts through a short sleep: each round has a fresh heap, and no fault lives for weeks.
"""

import asyncio

NAP_S = 80
"""It naps so long at most before it shows that it lives [s]."""

PING_S = 300
"""So long after the last word it makes sure that the link still lives."""

RESTART_MS = 1000


async def listen(node):
    """Listen until the next round begins, or until there is something to do that needs a boot of its own."""
    while not node.has_chores and not node.may_load():
        left_ms = node.round_s() * 1000 - node.keeper.elapsed_ms() - RESTART_MS
        if left_ms <= 0:
            return
        await _nap(node, left_ms)


async def _nap(node, left_ms):
    nap_s = min(left_ms / 1000, NAP_S, node.settings.active.watchdog_s // 2)
    uplink = node.uplink
    if uplink is None or not uplink.link.is_open():
        await asyncio.sleep(nap_s)
    elif await uplink.hear(nap_s):
        await node.talk()
        await node.obey()
    elif node.keeper.elapsed_ms() - node.talked_ms > PING_S * 1000:
        from firmware.net import LinkError

        try:
            await uplink.link.ping()
            node.talked_ms = node.keeper.elapsed_ms()
        except LinkError as error:
            node.failed(error)
    node.progress("idle")

"""The life of a node with a lasting supply: one round after the other, connected in between."""

import asyncio
import gc

NAP_S = 80
"""It naps so long at most before it shows that it lives [s]."""

PING_S = 300
"""So long after the last word it makes sure that the link still lives."""

ROOM_BYTES = 30000
"""What sensors, their drivers and judges need at most: with less it hangs up to measure."""


async def stay(node):
    """Go on for ever."""
    while True:
        begun_ms = node.keeper.elapsed_ms()
        gc.collect()
        if node.board.heap_free() < ROOM_BYTES:
            await node.leave()
        if await node.measure():
            await node.talk()
        await node.obey()
        if node.has_chores or node.may_load():
            node.sleep(node.round_s() * 1000)
        while True:
            left_ms = begun_ms + node.round_s() * 1000 - node.keeper.elapsed_ms()
            if left_ms <= 0:
                break
            await _nap(node, left_ms)


async def _nap(node, left_ms):
    """Wait for a while with an ear for what comes down; what came is done at once."""
    nap_s = min(left_ms / 1000, NAP_S, node.settings.active.watchdog_s // 2)
    uplink = node.uplink
    if uplink is None or not uplink.link.is_open():
        await asyncio.sleep(nap_s)
    elif await uplink.hear(nap_s):
        await node.talk()
        await node.obey()
        if node.has_chores:
            node.sleep(0)
    elif node.keeper.elapsed_ms() - node.talked_ms > PING_S * 1000:
        from firmware.net import LinkError

        try:
            await uplink.link.ping()
            node.talked_ms = node.keeper.elapsed_ms()
        except LinkError as error:
            node.failed(error)
    node.progress("idle")

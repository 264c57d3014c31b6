"""What was ordered from above is done here, or written down for a boot that has the memory for it."""

import asyncio
import json

from firmware.core.files import replace
from firmware.wire import U32_MAX

TODO = "/todo"
"""What the next boot does before anything else: an object of config and update, each as it came."""


async def do(node):
    """Do all that waits; the readings are safe by now."""
    orders = node.orders
    for second in range(orders.identify_s):
        for on in (True, False):
            node.board.led(on)
            await asyncio.sleep(0.5)
        if second % 10 == 0:
            node.progress("identify")
    orders.identify_s = 0
    record = node.record
    for boot, first in orders.resend:
        node.queue.rewind(boot, first)
        # Also when that was none: they may wait since an earlier order, of which a power cut left no note.
        record.again_boot = 0 if record.again_to and boot != record.again_boot else boot
        record.again_to = node.queue.last_seq(record.again_boot) or U32_MAX
    orders.resend = []
    if orders.config or orders.update:
        todo = {"config": orders.config, "update": orders.update}
        orders.config = orders.update = None
        replace(node.files, TODO, json.dumps(todo).encode())
        node.has_chores = True
    if orders.reboot:
        await node.leave()
        node.end()
        node.board.reset()

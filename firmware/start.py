"""Makes the node of this boot from what is on its flash and in the memory that survived."""

import sys

from firmware.core import crash, memory
from firmware.core.files import Files
from firmware.progress import Progress
from firmware.settings import Settings
from firmware.timekeeping import Timekeeper


def begin():
    """Return the coroutine that is the life of this boot."""
    files = Files()
    settings = Settings(files)
    config = settings.active
    from firmware.hal.esp32 import Board

    board = Board(config.parts)
    progress = Progress(board.watchdog(config.watchdog_s).feed)
    record = memory.unpack(board.rtc_read())
    if record is not None and record.loads:
        from firmware.chores import Chores

        return Chores(files, board, settings, record, Timekeeper(board, record, config.floor_s), progress).run()

    from firmware.core.queue import FlashQueue
    from firmware.node import Node
    from firmware.orders import Orders

    queue = FlashQueue(files, "/q", config.queue_kib * 512, 2048)
    record = recall(record, board, queue)
    keeper = Timekeeper(board, record, config.floor_s)
    orders = Orders(board.nvs, settings, record, keeper.up_s)
    node = Node(board, files, settings, queue, record, keeper, orders, about(board, files), progress)
    return node.wake(board.reset_cause() == "deep-sleep" and board.wake_reason() == "pin")


def recall(record, board, queue):
    """Go on with the boot of the record, or begin one with a number that no reading on flash has."""
    if record is None:
        boot = board.random_u32()
        while queue.last_seq(boot):
            boot = board.random_u32()
        return memory.Record(boot)
    # A reset between the two leaves a reading on flash that the record does not know.
    record.next_seq = max(record.next_seq, queue.last_seq(record.boot) + 1)
    return record


def about(board, files):
    """Return what the status says of this boot and does not change in it."""
    number = getattr(sys.implementation, "_mpy", 0)
    version = board.nvs.get("ver", 0)
    code, count = crash.load(files)
    return {
        "fw": "%d.%d.%d" % (version // 10000, version // 100 % 100, version % 100),
        "mpy": "%d.%d" % (number & 0xFF, number >> 8 & 3),
        "reset": board.reset_cause(),
        "crash": code or None,
        "crashes": count,
    }

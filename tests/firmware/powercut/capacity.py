# ruff: noqa: T201, PTH123, SIM115, I001 - runs on MicroPython; the figures are its output
"""Fills and drains a queue on a chip of a node's size, in a node's heap: what it costs in time, RAM and erases.

Usage: `capacity.py IMAGE READINGS KIB ACK`; the chip is a file, because the heap could not hold it. ACK 1 acks and
flushes after each reading, as a node does whose gateway answers.
"""

import gc
import json
import sys
import time
import vfs

from tests.firmware.both.rooted import Rooted
from firmware.core.queue import FlashQueue

BLOCK_BYTES = 4096
BLOCKS = 240


class Chip:
    def __init__(self, path):
        self.file = open(path, "w+b")
        for _ in range(BLOCKS):
            self.file.write(b"\xff" * BLOCK_BYTES)
        self.erased = [0] * BLOCKS
        self.reads = 0

    def readblocks(self, block, buffer, offset=0):
        self.reads += 1
        self.file.seek(block * BLOCK_BYTES + offset)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(block * BLOCK_BYTES + offset)
        self.file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 6:
            self.erased[argument] += 1
        return {4: BLOCKS, 5: BLOCK_BYTES}.get(operation, 0)


def body_of(seq):
    """Make a reading of the usual size."""
    return (
        b'{"seq":%d,"ts":%d,"distance_mm":740,"temp_cdeg":3120,"tilt_deg":2,"battery_mv":3710,"rssi_dbm":-67,'
        b'"quality":4,"state":"ok"}' % (seq, 1795488752 + seq * 600)
    )


def main(path, readings, kib, ack):
    chip = Chip(path)
    vfs.VfsLfs2.mkfs(chip)
    vfs.mount(vfs.VfsLfs2(chip), "/chip")
    files = Rooted("/chip")
    chip.erased = [0] * BLOCKS
    queue = FlashQueue(files, "/q", kib * 1024)
    for seq in range(1, readings + 1):
        assert queue.append(7, seq, body_of(seq))
        if ack:
            assert queue.ack(7, seq) == 1
            queue.flush()
    erases, worst = sum(chip.erased), max(chip.erased)
    queue = None
    gc.collect()
    before = gc.mem_alloc()
    chip.reads = 0
    begin = time.ticks_us()
    queue = FlashQueue(files, "/q", kib * 1024)
    open_us = time.ticks_us() - begin
    open_reads = chip.reads
    gc.collect()
    ram = gc.mem_alloc() - before
    waiting, dropped = queue.waiting, queue.dropped
    drained, expected = 0, dropped + 1
    while True:
        window = queue.window(7900, 64)
        if window is None:
            break
        _, bodies, first = window
        assert first == expected
        for body in bodies:
            assert body == body_of(expected)
            expected += 1
        drained += queue.ack(7, expected - 1)
        queue.flush()
    print(json.dumps({
        "erases": erases, "worst": worst, "open_us": open_us, "open_reads": open_reads,
        "ram": ram, "waiting": waiting, "dropped": dropped,
        "drained": drained, "left": queue.waiting,
    }))  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

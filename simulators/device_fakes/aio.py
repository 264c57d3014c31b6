"""Lets asyncio live in virtual time: timers are skipped, sockets get a fair chance to answer first."""

import asyncio
import os

import utime
import virtual

PATIENT_MS = 30000  # nearer timers are taken for deadlines of a protocol, farther ones for idling
IDLE_MS = 3  # real; what idling waits for a message before it is skipped
SLICE_MS = 10  # real; waits are counted in slices, so that a process that was not scheduled did not wait

_pace = 20  # virtual milliseconds of a deadline for one real millisecond of waiting
_poll = asyncio.core.IOQueue.wait_io_event


def begin():
    """Begin a boot."""
    global _pace
    _pace = int(os.getenv("RESIK_PACE") or 20)


def _wait(self, dt):
    """Wait for sockets up to `dt` virtual milliseconds (-1: until one is ready), or skip the time."""
    virtual.check()
    if dt == 0:
        return _poll(self, 0)
    left = virtual.dog_left_ms()
    if dt < 0:
        if left is None:
            return _poll(self, -1)
        dt = left + 1
    elif left is not None and left < dt:
        dt = left + 1
    if self.map:
        real_ms = dt // _pace if dt <= PATIENT_MS else IDLE_MS
        before = len(self.map)
        queue = asyncio.core._task_queue
        head = queue.peek()
        while True:
            step = min(SLICE_MS, real_ms)
            begun = utime.ticks_ms()
            _poll(self, step)
            if queue.peek() is not head or len(self.map) != before:
                return  # something is ready
            dt -= utime.ticks_ms() - begun
            real_ms -= max(step, 1)
            if dt <= 0:
                return
            if real_ms <= 0:
                break
    virtual.advance_us(dt * 1000)


asyncio.core.IOQueue.wait_io_event = _wait
asyncio.core.ticks = virtual.loop_ms

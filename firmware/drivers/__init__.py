"""One file per sensor; the bus or pin is passed in.

Every `read` is a coroutine, answers integers with their unit in the name, and raises SensorError alone.
"""

import asyncio


class SensorError(Exception):
    """No usable value; `code` says why.

    One of no-answer, bad-crc, bad-frame, all-zero, power-on, out-of-range, no-echo, stuck.
    """

    def __init__(self, code):
        super().__init__(code)
        self.code = code


async def _sleep_ms(duration_ms):
    await asyncio.sleep(duration_ms / 1000)


# MicroPython has its own, which takes no detour over a float of 32 bits and so is never a millisecond short.
sleep_ms = getattr(asyncio, "sleep_ms", None) or _sleep_ms

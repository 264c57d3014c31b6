# ruff: noqa: T201 - runs on MicroPython: the report is its output
"""Asks a time server: arguments are its port, the floor [s] and the limit [ms]. Prints the answer, or the error."""

import asyncio
import sys

from firmware.net import LinkError, ntp


async def ask(port, floor_s, limit_ms):
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep_ms(10)

    steps = []
    other = asyncio.create_task(turn())
    try:
        print("time", await ntp.query("127.0.0.1", floor_s, limit_ms / 1000, port, steps.append))
    except LinkError as error:
        print("error", error)
    other.cancel()
    print("turns", turns)
    print("steps", " ".join(steps))


asyncio.run(ask(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))

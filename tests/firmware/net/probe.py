# ruff: noqa: T201, PTH123, ASYNC230, C901, PLR0915 - runs on MicroPython: no pathlib, and the report is its output
"""Conversations with brokers of any kind, one after the other in one process with the heap of a node.

Argument: a folder with the bytecode of `firmware` and plans.json, a list of plans: port, and optionally host, id,
ca (path of a DER root), name, limits_s (link, answer), size, repeats, packet_id, again, raise (what the callback
raises), idle (wait until the link breaks). Prints one line of JSON for each conversation.
"""

import asyncio
import gc
import json
import sys
import time

sys.path.insert(0, sys.argv[1])

from firmware.net import LinkError, TlsRefused, mqtt, stream


class Peak:
    """The most that was in use whenever somebody looked."""

    def __init__(self):
        self.bytes = 0

    def look(self):
        gc.collect()
        self.bytes = max(self.bytes, gc.mem_alloc())


async def converse(plan, peak):
    steps = []
    heard = [0, 0]
    result = {}
    limits = plan.get("limits_s") or (10, 10)

    def on_message(topic, payload):
        heard[0] += 1
        heard[1] += len(payload)
        peak.look()
        if plan.get("raise") == "memory":
            raise MemoryError
        if plan.get("raise") == "flash":
            raise OSError(28)
        if plan.get("raise") == "real-memory":
            bytearray(200000)

    def on_progress(step):
        steps.append(step)
        peak.look()

    begun = time.ticks_ms()
    client = None
    try:
        context = None
        if plan.get("ca"):
            with open(plan["ca"], "rb") as file:
                context = stream.context(file.read())
        client = mqtt.MqttClient(
            plan.get("host", "127.0.0.1"),
            plan["port"],
            plan.get("id", "node-1"),
            user=plan.get("user"),
            password=plan.get("password"),
            will=("a/will", b"{}"),
            tls=context,
            server_name=plan.get("name", ""),
            on_message=on_message,
            on_progress=on_progress,
            link_s=limits[0],
            answer_s=limits[1],
        )
        client.packet_id = plan.get("packet_id", 0)
        result["session"] = await client.connect()
        await client.subscribe(["a/#"])
        for _ in range(plan.get("repeats", 1)):
            await client.publish("a/b", b"x" * plan.get("size", 100))
        if plan.get("again"):
            await client.publish("a/b", b"again", again=True)
        await client.ping()
        if plan.get("idle"):
            while client.error is None:
                await asyncio.sleep_ms(5)
            result["was_up"] = client.is_up()
            result["was_held"] = client._stream is not None
            await client.ping()
        result["ok"] = True
        result["live"] = live()
        await client.disconnect()
    except LinkError as error:
        result["error"] = type(error).__name__
        result["step"] = error.step
        result["why"] = error.why
        result["retryable"] = error.retryable
        result["refused"] = isinstance(error, TlsRefused)
    except Exception as error:  # noqa: BLE001 - what the client did not expect is reported as it is
        result["error"] = type(error).__name__
    result["ms"] = time.ticks_diff(time.ticks_ms(), begun)
    result["steps"] = steps
    result["heard"] = heard
    result["strays"] = client.strays if client else 0
    result["skipped"] = client.skipped if client else 0
    result["is_up"] = client.is_up() if client else False
    client = None
    await asyncio.sleep_ms(0)
    result["left"] = live()
    result["sockets"] = len(asyncio.core._io_queue.map)
    return result


def live():
    gc.collect()
    return gc.mem_alloc()


def main(plans):
    base = live()
    for plan in plans:
        peak = Peak()
        result = asyncio.run(converse(plan, peak))
        result["peak"] = peak.bytes - base
        result["left"] -= base
        print(json.dumps(result))


if __name__ == "__main__":
    with open(sys.argv[1] + "/plans.json") as plans_file:
        main(json.load(plans_file))

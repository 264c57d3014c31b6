"""Goes on with an update: part by part, for as long as a wake may last and no reading is due.

Each step has only the modules that it needs in memory: what came down is judged before the link is loaded.
"""

import asyncio
import gc
import json

from firmware import wire
from firmware.chores import TODO
from firmware.core.files import replace
from firmware.core.slots import put

PART_WAIT_S = 10
MISSES_MAX = 7
"""Wakes without an answer in a row that still double the wait: 2^7 wakes of 10 minutes are most of a day."""

MARGIN_S = 5
TRIES = 3
"""A part that gets lost on its way, or finds no memory, is asked for so often in one wake."""


def prepare(boot, update):
    """Do what needs no link: look at an offer, judge what waits on flash, restart into what is whole.

    `boot` is the boot that does it (chores.Chores). Returns what takes the parts that are missing, None without any.
    """
    from firmware.update import Updater

    board = boot.board
    updater = Updater(boot.files, board.nvs, board.partition, boot.settings.active, lambda: boot.progress("verify"))
    updater.battery_mv = boot.record.battery_mv or None
    if update:
        updater.take(update)
    intake = updater.look()
    if updater.apply():
        boot.save()
        board.reset()
    return intake


class Fetch:
    """`intake` takes the parts (see intake)."""

    def __init__(self, boot, intake):
        self._boot = boot
        self._intake = intake
        self._heard = asyncio.Event()
        config = boot.settings.active
        self._topic = wire.topic_down(config.site, config.device, "ota")

    def _on_message(self, topic, payload):
        if topic != self._topic:
            return
        try:
            message = wire.decode_ota_down(payload)
        except wire.WireError:
            return
        get = self._boot.board.nvs.get
        version = get("want", 0)
        if "data" in message:
            data = message.pop("data")
            intake = self._intake
            if not intake or message["ver"] != version or (message["at"], len(data)) != intake.next():
                return  # late or twice: answered, each later part would come twice, too
            self._heard.set()
            if message["of"] == get("wsize", 0):
                intake.take(data)
                return
        elif message.get("offer") == version:
            return
        self._heard.set()
        self._intake = None  # other news: there is no memory for them beside a link
        replace(self._boot.files, TODO, json.dumps({"update": message}).encode())

    def _next(self):
        return self._intake and self._intake.next()

    async def run(self):
        """Load what can be loaded. True when there is something to judge."""
        boot = self._boot
        left_s = min(boot.settings.active.awake_max_s, boot.record.next_up_s - boot.keeper.up_s()) - MARGIN_S
        if left_s > PART_WAIT_S:
            boot.settings.active.values["parts"] = boot.board.parts = None
            await self._connected(left_s)
        return not self._next()

    async def _connected(self, left_s):
        from firmware.link import Link
        from firmware.net import LinkError

        boot = self._boot
        link = Link(boot.board, boot.files, boot.settings, boot.record, boot.keeper, boot.progress, self._on_message)
        try:
            await asyncio.wait_for(self._load(link), left_s)
        except (LinkError, OSError, ValueError, asyncio.TimeoutError) as error:
            print("update", error)  # noqa: T201 - for whoever watches the serial line
        await link.leave()

    async def _load(self, link):
        boot = self._boot
        await link.join()
        await link.open(("ota",))
        nvs = boot.board.nvs
        version = nvs.get("want", 0)
        misses = nvs.get("otamis", 0)
        tries = 1  # before anything was answered: an offer that nobody serves must not empty the battery
        # counted before it is asked: a part clears it
        put(nvs, ("otamis", min(misses + 1, MISSES_MAX)))
        while True:
            want = self._next()
            if not want:
                return
            gc.collect()
            self._heard.clear()
            request = wire.encode_ota_up(boot.record.boot, version, want[0], want[1])
            await link.publish("ota", request.encode())
            try:
                await asyncio.wait_for(self._heard.wait(), PART_WAIT_S)
            except asyncio.TimeoutError:
                pass
            if self._next() == want:
                tries -= 1
                if not tries:
                    return
                continue
            tries = TRIES
            put(nvs, ("otamis", 0))
            boot.progress("block")

"""Goes on with an update: part by part, for as long as a wake may last and no reading is due.

Each step has only the modules that it needs in memory: the head of an update is judged before the link is loaded.
"""

import asyncio
import gc

from firmware import wire
from firmware.core.slots import put
from firmware.modules import empty, forget
from firmware.update import Updater

PART_WAIT_S = 10
MISSES_MAX = 7
"""Wakes without an answer in a row that still double the wait: 2^7 wakes of 10 minutes are most of a day."""

MARGIN_S = 5
TRIES = 3
"""A part that gets lost on its way, or finds no memory, is asked for so often in one wake."""


class Fetch:
    """`boot` is the boot that does it (chores.Chores)."""

    def __init__(self, boot):
        self._boot = boot
        self._heard = asyncio.Event()
        config = boot.settings.active
        self._topic = wire.topic_down(config.site, config.device, "ota")
        self._updater = Updater(boot.files, boot.board.nvs, boot.board.partition, config, self._feed)
        self._updater.battery_mv = boot.record.battery_mv or None

    def _feed(self):
        self._boot.progress("verify")

    def _on_message(self, topic, payload):
        if topic == self._topic:
            want = self._updater.wanted()
            try:
                self._updater.take(wire.decode_ota_down(payload))
            except wire.WireError:
                return
            if self._updater.wanted() != want:  # else late or twice: answered, each later part would come twice, too
                self._heard.set()

    def prepare(self, update):
        """Look at an offer, and judge a head that waits on flash."""
        if update:
            self._updater.take(update)
        self._updater.judge_parked()
        self._updater.wanted()  # looks at what is on flash
        forget("core.p256")

    async def run(self):
        """Load what can be loaded, and restart into what is complete. True when there is a head to judge."""
        boot = self._boot
        updater = self._updater
        left_s = min(boot.settings.active.awake_max_s, boot.record.next_up_s - boot.keeper.up_s()) - MARGIN_S
        if updater.wanted() and left_s > PART_WAIT_S:
            updater.is_linked = True
            boot.settings.active.values["parts"] = boot.board.parts = None
            if updater.has_stage:
                empty("core.manifest")  # not needed again before the next boot
            await self._connected(left_s)
        elif updater.apply():
            boot.save()
            boot.board.reset()
        return updater.parked

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
        updater = self._updater
        boot = self._boot
        await link.join()
        await link.open(("ota",))
        nvs = boot.board.nvs
        misses = nvs.get("otamis", 0)
        tries = 1  # before anything was answered: an offer that nobody serves must not empty the battery
        # counted before it is asked: a part clears it
        put(nvs, ("otamis", min(misses + 1, MISSES_MAX)))
        while True:
            want = updater.wanted()
            if want is None:
                return
            gc.collect()
            self._heard.clear()
            request = wire.encode_ota_up(boot.record.boot, want["ver"], want["at"], want["n"])
            await link.publish("ota", request.encode())
            try:
                await asyncio.wait_for(self._heard.wait(), PART_WAIT_S)
            except asyncio.TimeoutError:
                pass
            if updater.wanted() == want:
                tries -= 1
                if not tries:
                    return
                continue
            tries = TRIES
            put(nvs, ("otamis", 0))
            boot.progress("block")

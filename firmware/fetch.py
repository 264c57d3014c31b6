"""Goes on with an update: part by part, for as long as a wake may last and no reading is due."""

import asyncio

from firmware import wire
from firmware.link import Link
from firmware.net import LinkError
from firmware.update import Updater

PART_WAIT_S = 10
PART_TRIES = 3
MARGIN_S = 5


class Fetch:
    """`boot` is the boot that does it (chores.Chores)."""

    def __init__(self, boot):
        self._boot = boot
        self._heard = asyncio.Event()
        config = boot.settings.active
        self._topic = wire.topic_down(config.site, config.device, "ota")
        self._link = Link(
            boot.board, boot.files, boot.settings, boot.record, boot.keeper, boot.progress, self._on_message
        )
        self._updater = Updater(boot.files, boot.board.nvs, boot.board.partition, config, self._feed)
        self._updater.battery_mv = boot.record.battery_mv or None

    def _feed(self):
        self._boot.progress("verify")

    def _on_message(self, topic, payload):
        if topic == self._topic:
            try:
                self._updater.take(wire.decode_ota_down(payload))
            except wire.WireError:
                return
            self._heard.set()

    async def run(self, update):
        """Look at an offer, load what can be loaded, and restart into what is complete."""
        boot = self._boot
        updater = self._updater
        if update:
            updater.take(update)
        time_s = min(boot.settings.active.awake_max_s, boot.record.next_up_s - boot.keeper.up_s()) - MARGIN_S
        if updater.wanted() and time_s > PART_WAIT_S:
            try:
                await asyncio.wait_for(self._load(), time_s)
            except (LinkError, OSError, ValueError, asyncio.TimeoutError) as error:
                print("update", error)  # noqa: T201 - for whoever watches the serial line
            await self._link.leave()
        if updater.ready() and updater.apply():
            boot.save()
            boot.board.reset()

    async def _load(self):
        updater = self._updater
        boot = self._boot
        if await self._link.join():
            await self._link.open(("ota",))
        tries = 0
        furthest = -1
        while tries < PART_TRIES:
            want = updater.wanted()
            if want is None:
                return
            tries += 1
            self._heard.clear()
            request = wire.encode_ota_up(boot.record.boot, want["ver"], want["at"], want["n"])
            await self._link.publish("ota", request.encode())
            try:
                await asyncio.wait_for(self._heard.wait(), PART_WAIT_S)
            except asyncio.TimeoutError:
                continue
            if want["at"] > furthest and updater.wanted() != want:
                furthest = want["at"]  # one that begins again and again gets nowhere
                tries = 0
                boot.progress("block")

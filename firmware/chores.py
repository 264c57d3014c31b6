"""A boot for what a normal one has no memory for: a new configuration, an update. Then it sleeps on."""

import json

from firmware.core import memory, slots
from firmware.core.files import discard, read
from firmware.modules import empty

TODO = "/todo"


class Chores:
    """`record` says when the next reading is due, and how the battery was."""

    def __init__(self, files, board, settings, record, keeper, progress):
        self.files = files
        self.board = board
        self.settings = settings
        self.record = record
        self.keeper = keeper
        self.progress = progress

    async def run(self):
        """Do what is to do; MUST be run once for each time that it was asked for."""
        # First: a crash in here must not come back for ever. A configuration that is lost in it is heard once more.
        self.record.loads = self.record.seen_cfg = 0
        self.save()
        update = self._look_at_todo()
        if update or slots.under_way(self.board.nvs):
            from firmware import fetch

            intake = fetch.prepare(self, update)
            empty("update", "staging", "core.manifest", "core.p256")
            self.record.loads = 1 if intake and await fetch.Fetch(self, intake).run() else 0
        left_s = 1 if self.record.loads else self.record.next_up_s - self.keeper.up_s()
        left_ms = max(1, left_s) * 1000
        self.record.sleep_s = left_ms // 1000
        self.save()
        self.board.deep_sleep(left_ms)

    def _look_at_todo(self):
        """Take a configuration; return an offer of an update, or None."""
        try:
            todo = json.loads(read(self.files, TODO) or b"{}")
        except ValueError:
            todo = {}
        discard(self.files, TODO)
        if todo.get("config"):
            self.settings.offer(todo["config"])
        return todo.get("update")

    def save(self):
        """Put the record into RTC memory, with the clocks of now."""
        self.keeper.mark()
        self.board.rtc_write(memory.pack(self.record))

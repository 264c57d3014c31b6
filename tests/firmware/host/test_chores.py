"""A boot for chores: what is lost in a crash comes again, and the crash does not."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from firmware.chores import TODO, Chores
from firmware.core import memory
from firmware.orders import Orders
from tests.firmware.host.update_bench import Flash, Nvs, Power

RETAINED = b'{"v":1,"cfg":7,"set":{"interval_s":300}}'


class Settings:
    """Takes a configuration, or ends as a node without memory does."""

    def __init__(self, crashes):
        self.crashes = crashes
        self.version = 0
        self.refused = 0

    def offer(self, message):
        if self.crashes:
            raise MemoryError
        self.version = message["cfg"]


class Board:
    def __init__(self):
        self.nvs = Nvs(Power())
        self.kept = b""
        self.slept_ms = None

    def rtc_write(self, data):
        self.kept = data

    def deep_sleep(self, ms):
        self.slept_ms = ms


@pytest.mark.parametrize("crashes", [False, True])
def test_a_configuration_is_heard_again_after_a_crash(crashes):
    """The retained message is looked at once more by the next boot; one that was taken is no news to it."""
    record = memory.Record(7)
    record.loads, record.next_up_s = 1, 600
    settings = Settings(crashes)
    board = Board()
    orders = Orders(board.nvs, settings, record, lambda: 0)
    orders.take("config", RETAINED)
    assert orders.config is not None
    flash = Flash(Power())
    flash.files[TODO] = json.dumps({"config": orders.config, "update": None}).encode()
    keeper = SimpleNamespace(mark=lambda: None, up_s=lambda: 0)
    chores = Chores(flash, board, settings, record, keeper, lambda _step: None)
    if crashes:
        with pytest.raises(MemoryError):
            asyncio.run(chores.run())
        settings.crashes = False
    else:
        asyncio.run(chores.run())
        assert board.slept_ms == 600_000
    next_boot = memory.unpack(board.kept)
    assert (next_boot.loads, TODO in flash.files) == (0, False)
    orders = Orders(board.nvs, settings, next_boot, lambda: 0)
    orders.take("config", RETAINED)
    assert (orders.config is not None) == crashes
    if crashes:
        assert orders.config == {"cfg": 7, "set": {"interval_s": 300}}

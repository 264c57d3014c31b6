"""A contact or switch: water contact, lid, heat and tilt switches."""

from firmware.drivers import SensorError, sleep_ms

_AGREE = 5
_EVERY_MS = 4
_TRIES = 50  # 200 ms


class Contact:
    """`pin()` gives the level; `active` is the level that means yes."""

    def __init__(self, pin, active, sleep_ms=sleep_ms):
        self._pin = pin
        self._active = active
        self._sleep_ms = sleep_ms

    async def read(self):
        """Return True when active, once the level has not changed for 16 ms."""
        level = self._pin()
        agree = 1
        for _ in range(_TRIES):
            await self._sleep_ms(_EVERY_MS)
            now = self._pin()
            agree = agree + 1 if now == level else 1
            level = now
            if agree == _AGREE:
                return level == self._active
        raise SensorError("bad-frame")  # it chatters: a loose wire tells nothing

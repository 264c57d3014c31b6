"""Ultrasonic rangers with trigger and echo lines: JSN-SR04T, HC-SR04."""

from firmware.drivers import SensorError, sleep_ms

_TRIGGER_US = 25  # older JSN-SR04T boards want 20
_LIMIT_US = 40000  # 40 ms, as the wait is a busy one
_BETWEEN_MS = 60  # an echo of the ping before must have died away
_RELEASE_MS = 60  # a JSN-SR04T without echo holds its line high about so long, an HC-SR04 38 ms
_SHORTEST_US = 100  # 17 mm: a glitch on the cable
_LONGEST_US = 36000  # 6.2 m: longer is the pulse of a module that heard nothing


class Ultrasonic:
    """Lines are callables: `trigger(level)`, `pulse_us(limit_us)` -> us, -1 or -2, `wait_us(us)`, `echo()` -> level."""

    def __init__(self, trigger, pulse_us, wait_us, echo=None, sleep_ms=sleep_ms):
        self._trigger = trigger
        self._pulse_us = pulse_us
        self._wait_us = wait_us
        self._echo = echo
        self._sleep_ms = sleep_ms

    async def read(self, pings):
        """Return one item for each ping: echo_us, or the code of what went wrong."""
        found = []
        for ping in range(pings):
            if ping:
                await self._sleep_ms(_BETWEEN_MS)
            try:
                found.append(await self._ping())
            except SensorError as error:
                found.append(error.code)
        return found

    async def _ping(self):
        if self._echo and self._echo():
            await self._sleep_ms(_RELEASE_MS)
            if self._echo():
                raise SensorError("stuck")  # high without a ping: a short, or a dead module
        self._trigger(1)
        self._wait_us(_TRIGGER_US)
        self._trigger(0)
        return check(self._pulse_us(_LIMIT_US))


def check(echo_us):
    """Return the echo time, or raise what its value means."""
    if echo_us == -2:
        raise SensorError("no-answer")  # the line never rose: no module
    if echo_us < 0 or echo_us >= _LONGEST_US:
        raise SensorError("no-echo")
    if echo_us < _SHORTEST_US:
        raise SensorError("out-of-range")
    return echo_us

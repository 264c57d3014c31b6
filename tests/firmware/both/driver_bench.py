"""A bench for drivers: a clock that jumps, and parts on fake buses. Runs on both interpreters."""

import sys

from firmware.drivers import SensorError

_PARTS = __file__.replace("\\", "/").rsplit("/tests/", 1)[0] + "/simulators/device_fakes/parts"
if _PARTS not in sys.path:
    sys.path.append(_PARTS)  # at the end: models never shadow a module of the interpreter

import catalog  # noqa: E402 - found through the line above


def run(coroutine):
    """Run a coroutine that waits for nothing but the bench's own clock."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("waits for something real")


def code_of(action, *arguments):
    """Return the code of the SensorError that a function or coroutine raises."""
    try:
        value = action(*arguments)
        if hasattr(value, "send"):
            value = run(value)
    except SensorError as error:
        return error.code
    raise AssertionError("gave %r" % (value,))


class Bench:
    """A world with one clock; what is put on its bus shares both."""

    def __init__(self, **world):
        self.world = world
        self.now = 0
        self.parts = {}

    def now_ms(self):
        return self.now

    async def sleep_ms(self, duration_ms):
        assert duration_ms <= 1000
        self.now += duration_ms

    def add(self, part_type, role="", **spec):
        """Make a part; an I2C part answers on the bench's bus at its usual address."""
        part = catalog.make(part_type, self.world, self.now_ms, role, spec)
        if part_type in catalog.I2C_ADDR:
            self.parts[catalog.I2C_ADDR[part_type]] = part
        return part

    # the I2C bus

    def writeto(self, addr, data):
        if addr not in self.parts:
            raise OSError(19)
        self.parts[addr].write(bytes(data))

    def readfrom_into(self, addr, buffer):
        if addr not in self.parts:
            raise OSError(19)
        buffer[:] = self.parts[addr].read(len(buffer))


class Uart:
    """The line between a node and a part that sends by itself."""

    def __init__(self, bench, part):
        self.bench = bench
        self.part = part
        self.waiting = b""

    def any(self):
        self.waiting += self.part.produce(self.bench.now)
        return len(self.waiting)

    def read(self):
        data, self.waiting = self.waiting, b""
        return data or None

    def write(self, data):
        self.part.write(data)
        return len(data)


class Script:
    """An I2C device that answers reads with prepared bytes and keeps what was written."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.written = []

    def writeto(self, _addr, data):
        self.written.append(bytes(data))

    def readfrom_into(self, _addr, buffer):
        buffer[:] = self.answers.pop(0)

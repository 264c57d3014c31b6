"""A device on an I2C bus, whose failures are SensorError."""

from firmware.drivers import SensorError

# MicroPython answers 110, the ESP-IDF 116, when a line stays low.
_TIMED_OUT = (110, 116)


class Device:
    """Plain writes and reads; every part here keeps its pointer over the stop condition between the two."""

    def __init__(self, i2c, addr):
        self._i2c = i2c
        self._addr = addr

    def write(self, data):
        """Send bytes in one transaction."""
        self._call(self._i2c.writeto, data)

    def read(self, count):
        """Receive `count` bytes in one transaction."""
        buffer = bytearray(count)
        self._call(self._i2c.readfrom_into, buffer)
        return buffer

    def read_at(self, pointer, count):
        """Set the register pointer (bytes), then read."""
        self.write(pointer)
        return self.read(count)

    def _call(self, transfer, buffer):
        try:
            transfer(self._addr, buffer)
            return
        except OSError as error:
            code = "stuck" if error.args and error.args[0] in _TIMED_OUT else "no-answer"
        raise SensorError(code)

"""SHT31 temperature and humidity (Sensirion SHT3x-DIS datasheet)."""

from firmware.drivers import SensorError, sleep_ms
from firmware.drivers.i2c import Device
from firmware.drivers.sensirion import command, ratio, words

_MEASURE = 0x2400  # high repeatability, no clock stretching: a stretched clock would hold the bus of the others
_MEASURE_MS = 16  # at most 15.5


class SHT31:
    """One measurement for each read; draws nothing in between."""

    def __init__(self, i2c, addr=0x44, sleep_ms=sleep_ms):
        self._device = Device(i2c, addr)
        self._sleep_ms = sleep_ms

    async def read(self):
        """Measure and return (temp_cdeg, rh_cpct)."""
        self._device.write(command(_MEASURE))
        await self._sleep_ms(_MEASURE_MS)
        return convert(self._device.read(6))


def convert(data):
    """Six bytes of answer to (temp_cdeg, rh_cpct)."""
    if len(data) != 6:
        raise SensorError("bad-frame")
    raw_temp, raw_rh = words(data)
    temp_cdeg = ratio(raw_temp, 17500) - 4500
    if not -4000 <= temp_cdeg <= 12500:
        raise SensorError("out-of-range")
    return temp_cdeg, ratio(raw_rh, 10000)

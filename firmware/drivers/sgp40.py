"""SGP40 gas sensor, raw signal only (Sensirion SGP40 datasheet).

The VOC index wants a sample a second for hours; a node that sleeps between readings can only give the raw ticks.
"""

from firmware.drivers import SensorError, sleep_ms
from firmware.drivers.i2c import Device
from firmware.drivers.sensirion import command, words

_MEASURE_RAW = 0x260F
_HEATER_OFF = 0x3615
_MEASURE_MS = 30
_SETTLE_MS = 170  # the plate is cold when it was off; the first raw value of a heating plate means nothing


class SGP40:
    """The heater stays on between reads until `off`."""

    def __init__(self, i2c, addr=0x59, sleep_ms=sleep_ms):
        self._device = Device(i2c, addr)
        self._sleep_ms = sleep_ms
        self._warm = False

    async def read(self, temp_cdeg=None, rh_cpct=None):
        """Return voc_raw [ticks], compensated when both temperature and humidity are known."""
        request = command(_MEASURE_RAW, *compensation(temp_cdeg, rh_cpct))
        if not self._warm:
            await self._ask(request)
            await self._sleep_ms(_SETTLE_MS)
            self._warm = True
        return await self._ask(request)

    def off(self):
        """Switch the heater off: 3 mA less."""
        self._device.write(command(_HEATER_OFF))
        self._warm = False

    async def _ask(self, request):
        self._device.write(request)
        await self._sleep_ms(_MEASURE_MS)
        return convert(self._device.read(3))


def compensation(temp_cdeg, rh_cpct):
    """Return the humidity and temperature words of the command; its defaults are 50 % and 25 C."""
    if temp_cdeg is None or rh_cpct is None:
        return 0x8000, 0x6666
    rh_cpct = min(max(rh_cpct, 0), 10000)
    temp_cdeg = min(max(temp_cdeg, -4500), 13000)
    return (rh_cpct * 65535 + 5000) // 10000, ((temp_cdeg + 4500) * 65535 + 8750) // 17500


def convert(data):
    """Three bytes of answer to voc_raw."""
    if len(data) != 3:
        raise SensorError("bad-frame")
    voc_raw = words(data)[0]
    if not 0 < voc_raw < 65535:
        raise SensorError("out-of-range")
    return voc_raw

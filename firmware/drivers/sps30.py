"""SPS30 particle sensor over I2C (Sensirion SPS30 datasheet).

Asks for floats, which every firmware of the sensor knows and which resolve more than its whole micrograms; they become
integers here without any float arithmetic.
"""

from firmware.drivers import SensorError, sleep_ms
from firmware.drivers.i2c import Device
from firmware.drivers.sensirion import command, words

_START = 0x0010
_FLOATS = 0x0300
_STOP = 0x0104
_READY = 0x0202
_VALUES = 0x0300
_CLEAN = 0x5607
_AUTO_CLEAN = 0x8004
_WEEK_S = 604800
_COMMAND_MS = 20
_SAMPLE_MS = 1000
_LIMIT_NGM3 = 5000000  # specified to 1,000 ug/m3; far beyond is a fault


class SPS30:
    """Start, wait until the values are good, read, stop."""

    def __init__(self, i2c, addr=0x69, sleep_ms=sleep_ms):
        self._device = Device(i2c, addr)
        self._sleep_ms = sleep_ms

    async def start(self):
        """Start fan and laser, anew if they run. Values are good 8 s later, in clean air 30 s."""
        try:
            self._device.write(command(_START, _FLOATS))
        except SensorError:
            await self.stop()  # the node restarted while the sensor measured: it refuses a second start
            self._device.write(command(_START, _FLOATS))
        await self._sleep_ms(_COMMAND_MS)

    async def stop(self):
        """Back to idle: 0.3 mA instead of 60."""
        self._device.write(command(_STOP))
        await self._sleep_ms(_COMMAND_MS)

    async def clean(self):
        """Blow the fan out for 10 s. MUST be measuring. Due every week for a sensor whose supply is switched off."""
        self._device.write(command(_CLEAN))
        await self._sleep_ms(_COMMAND_MS)

    async def auto_clean(self, every_s=_WEEK_S):
        """Set how often it cleans itself while it has power; 0 = never. Only while idle."""
        self._device.write(command(_AUTO_CLEAN, every_s >> 16, every_s & 0xFFFF))
        await self._sleep_ms(_COMMAND_MS)

    async def auto_clean_s(self):
        """Return how often it cleans itself."""
        self._device.write(command(_AUTO_CLEAN))
        await self._sleep_ms(_COMMAND_MS)
        high, low = words(self._device.read(6))
        return high << 16 | low

    async def read(self):
        """Return (pm1_ngm3, pm25_ngm3, pm10_ngm3) of the newest sample, at most a second old."""
        for _ in range(25):
            if words(self._device.read_at(command(_READY), 3))[0] & 1:
                return convert(self._device.read_at(command(_VALUES), 24))
            await self._sleep_ms(_SAMPLE_MS // 20)
        raise SensorError("no-answer")


def convert(data):
    """PM1, PM2.5, PM4 and PM10 as float words to (pm1_ngm3, pm25_ngm3, pm10_ngm3)."""
    if len(data) != 24:
        raise SensorError("bad-frame")
    found = words(data)
    return tuple(nanograms(found[at], found[at + 1]) for at in (0, 2, 6))


def nanograms(high, low):
    """Two words of an IEEE 754 float [ug/m3] to an integer [ng/m3]."""
    exponent = high >> 7 & 0xFF
    if high & 0x8000 or exponent == 255:
        if high == 0x8000 and not low:
            return 0
        raise SensorError("out-of-range")  # negative, infinite or not a number
    mantissa = (high & 0x7F | 0x80) << 16 | low
    shift = 150 - exponent
    if shift > 40:
        return 0  # below 1e-4 ng/m3, and zero itself
    if shift < 0:
        raise SensorError("out-of-range")  # above 16 g/m3
    value_ngm3 = (mantissa * 1000 + (1 << shift >> 1)) >> shift
    if value_ngm3 > _LIMIT_NGM3:
        raise SensorError("out-of-range")
    return value_ngm3

"""A voltage behind a divider: battery, or the raw output of a gas cell."""

from firmware.drivers import SensorError

_SAMPLES = 16
_TRIM = 2
_LIMIT_UV = 3300000  # the supply of the converter


class Voltage:
    """`adc.read_uv()` is calibrated; ratio_milli is 1000 times input over pin voltage."""

    def __init__(self, adc, ratio_milli):
        self._adc = adc
        self._ratio_milli = ratio_milli

    async def read(self):
        """Return mV: the mean of 16 samples without the two lowest and highest."""
        found = sorted([self._adc.read_uv() for _ in range(_SAMPLES)])[_TRIM:-_TRIM]
        pin_uv = sum(found) // len(found)
        if not 0 <= pin_uv <= _LIMIT_UV:
            raise SensorError("out-of-range")
        return (pin_uv // 10 * self._ratio_milli + 50000) // 100000

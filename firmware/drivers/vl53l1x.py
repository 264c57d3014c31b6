"""VL53L1X time-of-flight ranger (ST datasheet; registers as in UM2510, the manual of ST's own small driver)."""

from firmware.drivers import SensorError, sleep_ms
from firmware.drivers.i2c import Device

_FIRMWARE_STATUS = 0x00E5
_MODEL_ID = 0x010F
_CONFIGURATION_AT = 0x002D
_READY = 0x0031
_PERIOD = 0x006C
_CLEAR = 0x0086
_START = 0x0087
_RESULT = 0x0089
_OSCILLATOR = 0x00DE
_PERIOD_MS = 120  # MUST be longer than the budget of 100 ms in the configuration

# Registers 0x2D..0x87 as ST publishes them (STSW-IMG009): long distance mode, budget 100 ms, interrupt
# active high on a new sample. Most are "not user-modifiable". The second and third byte are 1 here: pull-ups
# at the 2.8 V of every breakout board, not at 1.8 V. The last two clear the event and keep it stopped.
_CONFIGURATION = (
    b"\x00\x01\x01\x01\x02\x00\x02\x08\x00\x08\x10\x01\x01\x00\x00\x00\x00\xff\x00\x0f\x00\x00\x00\x00\x00\x20\x0b\x00"
    b"\x00\x02\x0a\x21\x00\x00\x05\x00\x00\x00\x00\xc8\x00\x00\x38\xff\x01\x00\x08\x00\x00\x01\xcc\x0f\x01\xf1\x0d\x01"
    b"\x68\x00\x80\x08\xb8\x00\x00\x00\x00\x0f\x89\x00\x00\x00\x00\x00\x00\x00\x01\x0f\x0d\x0e\x0e\x00\x00\x02\xc7\xff"
    b"\x9b\x00\x00\x00\x01\x00\x00"
)


class VL53L1X:
    """Set up at the first read, and again after a failure."""

    def __init__(self, i2c, addr=0x29, sleep_ms=sleep_ms):
        self._device = Device(i2c, addr)
        self._sleep_ms = sleep_ms
        self._is_set_up = False

    async def read(self, pings):
        """Return one item for each ping (120 ms): distance_mm, or the code of what went wrong."""
        if not self._is_set_up:
            await self._set_up()
        found = []
        self._is_set_up = False  # unless it lasts to the end: a part that lost power needs its configuration again
        self._set(_START, b"\x40")
        for _ in range(pings):
            data = await self._result()
            try:
                found.append(decode(data))
            except SensorError as error:
                found.append(error.code)
        self._set(_START, b"\x00")
        self._is_set_up = True
        return found

    async def _set_up(self):
        for _ in range(20):
            if self._get(_FIRMWARE_STATUS, 1)[0] & 1:
                break
            await self._sleep_ms(2)
        else:
            raise SensorError("power-on")  # it boots in 1.2 ms
        if self._get(_MODEL_ID, 2) != b"\xea\xcc":
            raise SensorError("bad-frame")
        self._set(_START, b"\x00")  # it still ranges when the node restarted alone
        self._set(_CONFIGURATION_AT, _CONFIGURATION)
        oscillator = self._get(_OSCILLATOR, 2)
        clock = (oscillator[0] & 0x03) << 8 | oscillator[1]
        period = clock * _PERIOD_MS * 43 // 40
        self._set(_PERIOD, bytes((period >> 24, period >> 16 & 0xFF, period >> 8 & 0xFF, period & 0xFF)))
        # the first range calibrates the reference; after it that search is cut short
        self._set(_START, b"\x40")
        await self._result()
        self._set(_START, b"\x00")
        self._set(0x0008, b"\x09")
        self._set(0x000B, b"\x00")

    async def _result(self):
        for _ in range(40):
            await self._sleep_ms(10)
            if self._get(_READY, 1)[0] & 1:
                data = self._get(_RESULT, 15)
                self._set(_CLEAR, b"\x01")
                return data
        raise SensorError("no-answer")

    def _set(self, register, data):
        self._device.write(bytes((register >> 8, register & 0xFF)) + data)

    def _get(self, register, count):
        return self._device.read_at(bytes((register >> 8, register & 0xFF)), count)


def decode(data):
    """Fifteen bytes from register 0x89 to distance_mm."""
    if len(data) != 15:
        raise SensorError("bad-frame")
    status = data[0] & 0x1F
    if status in (4, 5):
        raise SensorError("no-echo")  # too little signal; or a target beyond the range
    if status != 9:
        raise SensorError("out-of-range")  # noisy, wrapped around, closer than it can see, or a hardware fault
    distance_mm = data[13] << 8 | data[14]
    if not 0 < distance_mm <= 8000:
        raise SensorError("out-of-range")
    return distance_mm

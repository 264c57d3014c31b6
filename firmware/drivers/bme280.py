"""BME280 temperature, humidity and pressure: one forced measurement at a time (Bosch BME280 datasheet)."""

from firmware.drivers import SensorError, sleep_ms
from firmware.drivers.i2c import Device

_ID_REGISTER = 0xD0
_ID = 0x60
_CALIBRATION_1 = 0x88
_CALIBRATION_2 = 0xE1
_STATUS = 0xF3
_DATA = 0xF7
_MEASURE_MS = 10  # at most 9.3 with every oversampling at 1


class BME280:
    """One measurement for each read; the constants are fetched once."""

    def __init__(self, i2c, addr=0x76, sleep_ms=sleep_ms):
        self._device = Device(i2c, addr)
        self._sleep_ms = sleep_ms
        self._calibration = None

    async def read(self):
        """Measure and return (temp_cdeg, rh_cpct, pressure_pa)."""
        if self._calibration is None:
            if self._get(_ID_REGISTER, 1)[0] != _ID:
                raise SensorError("bad-frame")  # a BMP280 says 0x58 and has no humidity
            await self._until_clear(0x01)  # the calibration is being copied after a reset
            self._calibration = calibration(self._get(_CALIBRATION_1, 26), self._get(_CALIBRATION_2, 7))
        # humidity x1 MUST be written before the other two, which start the measurement
        self._device.write(b"\xf2\x01")
        self._device.write(b"\xf4\x25")
        await self._sleep_ms(_MEASURE_MS)
        await self._until_clear(0x08)
        return convert(self._calibration, self._get(_DATA, 8))

    async def _until_clear(self, bit):
        for _ in range(10):
            if not self._get(_STATUS, 1)[0] & bit:
                return
            await self._sleep_ms(2)
        raise SensorError("stuck")

    def _get(self, register, count):
        return self._device.read_at(bytes((register,)), count)


def _u16(data, at):
    return data[at] | data[at + 1] << 8


def _s16(data, at):
    value = _u16(data, at)
    return value - 0x10000 if value & 0x8000 else value


def _s8(value):
    return value - 0x100 if value & 0x80 else value


def calibration(first, second):
    """Return the 18 constants T1..T3, P1..P9, H1..H6 from registers 0x88.. (26 bytes) and 0xE1.. (7 bytes)."""
    if len(first) != 26 or len(second) != 7:
        raise SensorError("bad-frame")
    if not any(first):
        raise SensorError("all-zero")
    t_p = [_u16(first, at) if at in (0, 6) else _s16(first, at) for at in range(0, 24, 2)]
    # H4 and H5 share register 0xE5: 12 bits each, the sign in the full byte
    h_4 = _s8(second[3]) << 4 | second[4] & 0x0F
    h_5 = _s8(second[5]) << 4 | second[4] >> 4
    t_p.extend((first[25], _s16(second, 0), second[2], h_4, h_5, _s8(second[6])))
    return t_p


def convert(constants, data):
    """Eight bytes of data to (temp_cdeg, rh_cpct, pressure_pa)."""
    if len(data) != 8:
        raise SensorError("bad-frame")
    if not any(data):
        raise SensorError("all-zero")  # nothing in these registers has a CRC
    raw_p = data[0] << 12 | data[1] << 4 | data[2] >> 4
    raw_t = data[3] << 12 | data[4] << 4 | data[5] >> 4
    raw_h = data[6] << 8 | data[7]
    if raw_p == 0x80000 or raw_t == 0x80000 or raw_h == 0x8000:
        raise SensorError("power-on")  # what stands there until the first measurement
    fine = fine_temp(constants, raw_t)
    temp_cdeg = (fine * 5 + 128) >> 8
    pressure_pa = compensate_pressure(constants, raw_p, fine)
    if not -4000 <= temp_cdeg <= 8500 or not 30000 <= pressure_pa <= 110000:
        raise SensorError("out-of-range")
    return temp_cdeg, compensate_humidity(constants, raw_h, fine), pressure_pa


def fine_temp(c, raw):
    """Return the temperature in 1/5120 degree, which the other two need (datasheet 4.2.3, 32-bit formulas)."""
    half = (((raw >> 3) - (c[0] << 1)) * c[1]) >> 11
    offset = (raw >> 4) - c[0]
    return half + ((((offset * offset) >> 12) * c[2]) >> 14)


def compensate_pressure(c, raw, fine):
    """Return Pa, or 0 when the constants make no sense (datasheet 4.2.3 and its appendix for 32 bits).

    The C code lets nothing overflow with sound constants, so integers without a limit give the same.
    """
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = c[3:12]
    t = (fine >> 1) - 64000
    t_sq = (t >> 2) * (t >> 2)
    offset = ((((t_sq >> 11) * p6) + ((t * p5) << 1)) >> 2) + (p4 << 16)
    scale = (((p3 * (t_sq >> 13)) >> 3) + ((p2 * t) >> 1)) >> 18
    scale = ((32768 + scale) * p1) >> 15
    pa = (1048576 - raw - (offset >> 12)) * 3125
    if scale <= 0 or pa < 0:
        return 0
    # C halves the order of these two beyond 2**31 to stay inside 32 bits, which costs it the last bit
    pa = (pa << 1) // scale if pa < 0x80000000 else pa // scale << 1
    square = (p9 * (((pa >> 3) * (pa >> 3)) >> 13)) >> 12
    return pa + ((square + (((pa >> 2) * p8) >> 13) + p7) >> 4)


def compensate_humidity(c, raw, fine):
    """Return rh_cpct [0..10000] (datasheet 4.2.3)."""
    h1, h2, h3, h4, h5, h6 = c[12:18]
    t = fine - 76800
    value = ((raw << 14) - (h4 << 20) - h5 * t + 16384) >> 15
    slope = (((t * h6) >> 10) * (((t * h3) >> 11) + 32768) >> 10) + 2097152
    value *= (slope * h2 + 8192) >> 14
    value -= ((((value >> 15) * (value >> 15)) >> 7) * h1) >> 4
    value = min(max(value, 0), 419430400) >> 12
    return (value * 100 + 512) >> 10

"""LIS3DH accelerometer as a tilt sensor (ST LIS3DH datasheet). Mounted flat, its z axis points up in an upright bin."""

from firmware.drivers import SensorError, sleep_ms
from firmware.drivers.i2c import Device

_WHO_AM_I = 0x0F
_ID = 0x33
_CTRL_1 = 0x20
_INT1_CFG = 0x30
_INT1_SOURCE = 0x31
_STATUS = 0x27
_OUT_X = 0x28
_INCREMENT = 0x80
_SAMPLES = 8


class LIS3DH:
    """Measures the tilt while awake, and watches it while the node sleeps."""

    def __init__(self, i2c, addr=0x18, sleep_ms=sleep_ms):
        self._device = Device(i2c, addr)
        self._sleep_ms = sleep_ms

    async def read(self):
        """Return tilt_deg from upright [0..180], from the mean of eight samples."""
        self._check_id()
        # 100 Hz, three axes; +-2 g, 12 bits, both bytes of a value from one sample; no interrupt meanwhile
        self._set(_CTRL_1, 0x57, 0x00, 0x00, 0x88, 0x00, 0x00)
        await self._sleep_ms(80)  # turn-on time 7 / ODR
        x = y = z = 0
        for _ in range(_SAMPLES):
            sample = await self._sample()
            x += sample[0]
            y += sample[1]
            z += sample[2]
        return tilt_deg(x // _SAMPLES, y // _SAMPLES, z // _SAMPLES)

    def arm(self, beyond_deg=45):
        """Watch at 10 Hz and 3 uA: INT1 goes high, and stays, when the tilt was beyond the angle for 1 s."""
        self._check_id()
        self._set(_INT1_CFG, 0x00)
        # low power, 10 Hz; no high pass; event 1 to INT1; +-2 g; latched; active high
        self._set(_CTRL_1, 0x2F, 0x00, 0x40, 0x80, 0x08, 0x00)
        self._set(0x32, cosine_mg(beyond_deg) // 16, 10)
        self.source()
        self._set(_INT1_CFG, 0x10)  # z low: |z| under the threshold, whatever way it leans

    def source(self):
        """Return whether the tilt event happened, and release INT1."""
        return bool(self._get(_INT1_SOURCE, 1)[0] & 0x40)

    async def _sample(self):
        for _ in range(5):
            if self._get(_STATUS, 1)[0] & 0x08:
                return decode(self._get(_OUT_X, 6))
            await self._sleep_ms(10)
        raise SensorError("no-answer")

    def _check_id(self):
        if self._get(_WHO_AM_I, 1)[0] != _ID:
            raise SensorError("bad-frame")

    def _set(self, register, *values):
        self._device.write(bytes((register | _INCREMENT,)) + bytes(values))

    def _get(self, register, count):
        return self._device.read_at(bytes((register | _INCREMENT,)), count)


def decode(data):
    """Six bytes to (x_mg, y_mg, z_mg): 12 bits, left-justified, 1 mg each."""
    if len(data) != 6:
        raise SensorError("bad-frame")
    found = []
    for at in (0, 2, 4):
        raw = data[at] | data[at + 1] << 8
        found.append((raw - 0x10000 if raw & 0x8000 else raw) >> 4)
    return found


def tilt_deg(x_mg, y_mg, z_mg):
    """Return the angle between gravity and the z axis, good to 1 degree; refuse what is not 1 g +-40 %."""
    flat_sq = x_mg * x_mg + y_mg * y_mg
    total_sq = flat_sq + z_mg * z_mg
    if not total_sq:
        raise SensorError("all-zero")
    if not 360000 <= total_sq <= 1960000:
        raise SensorError("out-of-range")  # carried, falling, or broken
    angle_deg = _arctan_deg(_root(flat_sq), abs(z_mg))
    return 180 - angle_deg if z_mg < 0 else angle_deg


def cosine_mg(angle_deg):
    """Return 1000 cos(angle) for 0..90 degrees, within 2 (Bhaskara's formula)."""
    square = angle_deg * angle_deg
    return 4000 * (8100 - square) // (4 * 8100 + square)


def _arctan_deg(opposite, adjacent):
    if opposite > adjacent:
        return 90 - _arctan_deg(adjacent, opposite)
    if not adjacent:
        return 0
    # arctan q = 45 q + 15.64 q (1 - q) degrees, within 0.22, for q of 0..1 in 1/1024
    q = opposite * 1024 // adjacent
    return (45 * 1024 * q + 16 * q * (1024 - q) + 524288) // 1048576


def _root(square):
    if not square:
        return 0
    root = 1 << 11
    while True:
        better = (root + square // root) // 2
        if better >= root:
            return root
        root = better

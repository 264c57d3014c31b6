"""DS18B20 thermometer, the only device on its wire (Maxim DS18B20 datasheet)."""

from firmware.drivers import SensorError, sleep_ms

_SKIP_ROM = 0xCC
_CONVERT = 0x44
_READ = 0xBE
_WRITE = 0x4E
_POWER_ON_RAW = 0x0550  # 85.0 C
# The alarm bytes, unused here and lost with the power: another value in them means that the part started anew.
_MARK_HIGH = 0x5A
_MARK_LOW = 0xA5


def crc8_8c(data):
    """CRC-8 of 1-Wire: polynomial 0x31 reflected (0x8C), start 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1
    return crc


class DS18B20:
    """`onewire` has reset() -> bool, writebyte and readbyte."""

    def __init__(self, onewire, bits=12, sleep_ms=sleep_ms):
        self._onewire = onewire
        self._bits = bits
        self._sleep_ms = sleep_ms

    async def read(self):
        """Convert (750 ms at 12 bits) and return temp_cdeg."""
        config = (self._bits - 9) << 5 | 0x1F
        self._command(_WRITE, _MARK_HIGH, _MARK_LOW, config)
        raw = await self._convert(config)
        if raw == _POWER_ON_RAW:
            # What a part shows that has not converted. A fire passes through 85 C too, so a second is believed.
            raw = await self._convert(config)
        temp_cdeg = (raw * 25 + 2) // 4
        if not -5500 <= temp_cdeg <= 12500:
            raise SensorError("out-of-range")
        return temp_cdeg

    async def _convert(self, config):
        self._command(_CONVERT)
        await self._sleep_ms((750 >> (12 - self._bits)) + 1)
        self._command(_READ)
        return decode(bytes([self._onewire.readbyte() for _ in range(9)]), config)

    def _command(self, *data):
        if not self._onewire.reset():
            raise SensorError("no-answer")
        self._onewire.writebyte(_SKIP_ROM)
        for byte in data:
            self._onewire.writebyte(byte)


def decode(scratchpad, config):
    """Nine bytes of scratchpad to the temperature in 1/16 degree."""
    if len(scratchpad) != 9:
        raise SensorError("bad-frame")
    if not any(scratchpad):
        raise SensorError("all-zero")  # a wire held low; its CRC, zero too, is right
    if all(byte == 0xFF for byte in scratchpad):
        raise SensorError("no-answer")  # nobody pulled the wire low
    if crc8_8c(scratchpad[:8]) != scratchpad[8]:
        raise SensorError("bad-crc")
    raw = scratchpad[0] | scratchpad[1] << 8
    if raw == _POWER_ON_RAW and scratchpad[6] == 0x0C:
        raise SensorError("power-on")  # byte 6 is 0x0C until the first conversion, then 0x10 minus the fraction
    if scratchpad[2] != _MARK_HIGH or scratchpad[3] != _MARK_LOW or scratchpad[4] != config:
        raise SensorError("power-on")  # it forgot what it was told: it lost power during the conversion
    if raw & 0x8000:
        raw -= 0x10000
    return raw & -(1 << (3 - (config >> 5)))  # bits below the resolution are undefined

"""Words of 16 bits, each followed by its CRC: how SHT31, SGP40 and SPS30 talk."""

from firmware.drivers import SensorError


def crc8_31(data):
    """CRC-8: polynomial 0x31, start 0xFF, not reflected."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def command(code, *words):
    """Return the bytes of a command and its arguments."""
    data = bytearray((code >> 8, code & 0xFF))
    for word in words:
        pair = bytes((word >> 8, word & 0xFF))
        data += pair
        data.append(crc8_31(pair))
    return data


def words(data):
    """Check every CRC and return the words."""
    if not data or len(data) % 3:
        raise SensorError("bad-frame")
    found = []
    for at in range(0, len(data), 3):
        if crc8_31(data[at : at + 2]) != data[at + 2]:
            raise SensorError("bad-crc")
        found.append(data[at] << 8 | data[at + 1])
    return found


def ratio(value, span):
    """Return value * span / 65535, rounded."""
    return (value * span + 32767) // 65535

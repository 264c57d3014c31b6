"""The two CRC-8 that sensors use."""


def crc8_31(data):
    """Sensirion: polynomial 0x31, start 0xFF, not reflected."""
    crc = 0xFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = ((crc << 1) ^ 0x31 if crc & 0x80 else crc << 1) & 0xFF
    return crc


def crc8_8c(data):
    """Maxim 1-Wire: polynomial 0x31 reflected (0x8C), start 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x8C if crc & 1 else crc >> 1
    return crc

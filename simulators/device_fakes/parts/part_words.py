"""The words of Sensirion parts, made without the drivers' code: one checks the other."""


def crc(high, low):
    """Divide by x^8 + x^5 + x^4 + 1 with all ones before, as the datasheets describe it."""
    remainder = ((high << 8 | low) ^ 0xFF00) << 8
    for bit in range(23, 7, -1):
        if remainder & 1 << bit:
            remainder ^= 0x131 << (bit - 8)
    return remainder


def pack(words):
    """Return each word with its CRC."""
    data = bytearray()
    for word in words:
        high, low = word >> 8, word & 0xFF
        data += bytes((high, low, crc(high, low)))
    return bytes(data)


def unpack(data):
    """Return the words of an argument, or None when a CRC is wrong or one is incomplete."""
    if len(data) % 3:
        return None
    found = []
    for at in range(0, len(data), 3):
        if crc(data[at], data[at + 1]) != data[at + 2]:
            return None
        found.append(data[at] << 8 | data[at + 1])
    return found


def spoil(data, fault):
    """Apply the faults that damage an answer."""
    if fault == "all-zero":
        return bytes(len(data))
    if fault in ("bad-crc", "bad-checksum"):
        return data[:-1] + bytes((data[-1] ^ 0x01,))
    if fault == "torn":
        return data[: len(data) // 2] + b"\xff" * (len(data) - len(data) // 2)
    return data

"""SPS30: a new sample each second while measuring; NACKs what its mode does not allow, and every command for 20 ms after one."""

import struct

import part_words
from part_faults import check_bus, fault, nack
from part_noise import Noise

FLOATS, INTEGERS = 0x0300, 0x0500
SETTLE_MS = 8000
CLEAN_MS = 10000


class SPS30:
    def __init__(self, world, now_ms):
        self.world = world
        self.now_ms = now_ms
        self.noise = Noise(world, 30)
        self.format = None  # idle
        self.started_ms = 0
        self.busy_ms = 0
        self.taken = 0
        self.clean_until_ms = 0
        self.cleanings = 0
        self.auto_clean_s = 604800
        self.answer = None

    def write(self, data):
        check_bus(self.world, "pm")
        now_ms = self.now_ms()
        if now_ms < self.busy_ms:
            nack()
        self.answer = None
        code = data[0] << 8 | data[1]
        words = part_words.unpack(data[2:])
        if words is None:
            nack()
        if code == 0x0010:
            if self.format or words not in ([FLOATS], [INTEGERS]):
                nack()
            self.format, self.started_ms, self.taken = words[0], now_ms, 0
        elif code == 0x8004:
            if self.format:
                nack()
            if words:
                self.auto_clean_s = words[0] << 16 | words[1]
            else:
                self.answer = [self.auto_clean_s >> 16, self.auto_clean_s & 0xFFFF]
        elif code == 0xD304:
            self.format = None
        elif not self.format:
            nack()
        elif code == 0x0104:
            self.format = None
        elif code == 0x5607:
            self.clean_until_ms = now_ms + CLEAN_MS
            self.cleanings += 1
        elif code == 0x0202:
            self.answer = [1 if self.samples() > self.taken else 0]
        elif code == 0x0300:
            if self.samples() <= self.taken:
                nack()
            self.taken = self.samples()
            self.answer = self.values()
        else:
            nack()
        if code in (0x0010, 0x0104, 0x5607, 0x8004, 0xD304):
            self.busy_ms = now_ms + 20

    def read(self, n):
        check_bus(self.world, "pm")
        if self.answer is None or self.now_ms() < self.busy_ms:
            nack()
        data = part_words.pack(self.answer)[:n]
        return part_words.spoil(data, fault(self.world, "pm"))

    def samples(self):
        """Return how many samples were made since the start."""
        if fault(self.world, "pm") == "silent" or self.now_ms() < self.clean_until_ms:
            return 0
        return (self.now_ms() - self.started_ms) // 1000

    def values(self):
        pm25 = self.world.get("pm25_ugm3", 12)
        share = min(self.now_ms() - self.started_ms, SETTLE_MS) / SETTLE_MS
        pm10 = self.world.get("pm10_ugm3", pm25 * 1.5)
        mass = [self.world.get("pm1_ugm3", pm25 * 0.7), pm25, (pm25 + pm10) / 2, pm10]
        mass = [max(value * share * (1 + self.noise.around(20) / 1000), 0) for value in mass]
        found = mass + [value * 7 for value in (mass[0], mass[0], mass[1], mass[2], mass[3])] + [0.6]
        if self.format == INTEGERS:
            return [min(round(value), 65535) for value in found[:9]] + [600]
        return [word for value in found for word in struct.unpack(">HH", struct.pack(">f", value))]

"""SHT31: busy 15 ms after a command, and NACKs every read that comes too early or twice."""

import part_words
from part_faults import check_bus, fault, nack
from part_noise import Noise

DURATION_MS = {0x2400: 15, 0x240B: 6, 0x2416: 4}


class SHT31:
    def __init__(self, world, now_ms):
        self.world = world
        self.now_ms = now_ms
        self.noise = Noise(world, 31)
        self.ready_ms = None

    def write(self, data):
        check_bus(self.world, "temp", "climate")
        if self.ready_ms is not None and self.now_ms() < self.ready_ms:
            nack()
        self.ready_ms = None
        if len(data) == 2 and data[0] << 8 | data[1] in DURATION_MS:
            self.ready_ms = self.now_ms() + DURATION_MS[data[0] << 8 | data[1]]

    def read(self, n):
        check_bus(self.world, "temp", "climate")
        if self.ready_ms is None or self.now_ms() < self.ready_ms:
            nack()
        self.ready_ms = None
        temp_c = self.world.get("temp_c", 25)
        raw_temp = round((temp_c + 45) * 65535 / 175) + self.noise.around(8)
        raw_rh = round(self.world.get("rh_pct", 50) * 65535 / 100) + self.noise.around(40)
        words = [min(max(raw, 0), 65535) for raw in (raw_temp, raw_rh)]
        return part_words.spoil(part_words.pack(words), fault(self.world, "temp", "climate"))[:n]

"""SGP40: 30 ms for a raw value, and a plate that heats up for 170 ms from the first command."""

import part_words
from part_faults import check_bus, fault, nack
from part_noise import Noise

COLD_DROP = 6000


class SGP40:
    def __init__(self, world, now_ms):
        self.world = world
        self.now_ms = now_ms
        self.noise = Noise(world, 40)
        self.ready_ms = None
        self.hot_ms = None
        self.words = None

    def write(self, data):
        check_bus(self.world, "voc")
        if self.ready_ms is not None and self.now_ms() < self.ready_ms:
            nack()
        self.ready_ms = None
        code = data[0] << 8 | data[1]
        if code == 0x3615:
            self.hot_ms = None
        elif code == 0x260F:
            self.words = part_words.unpack(data[2:])
            if self.words is None or len(self.words) != 2:
                nack()
            if self.hot_ms is None:
                self.hot_ms = self.now_ms() + 170
            self.ready_ms = self.now_ms() + 30

    def read(self, n):
        check_bus(self.world, "voc")
        if self.ready_ms is None or self.now_ms() < self.ready_ms:
            nack()
        self.ready_ms = None
        raw = self.world.get("voc_raw", 30000) + self.noise.around(15)
        if self.now_ms() < self.hot_ms:
            raw -= COLD_DROP
        return part_words.spoil(part_words.pack([min(max(raw, 0), 65535)]), fault(self.world, "voc"))[:n]

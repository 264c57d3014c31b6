"""VL53L1X: registers of 16-bit addresses, 1.2 ms to boot, a sample 100 ms after the start and then each period."""

from part_faults import check_bus, fault
from part_noise import Noise

NEAR_MM, REACH_MM = 40, 4000
CLOCK = 600
OK, TOO_WEAK, TOO_NEAR = 9, 4, 8


class VL53L1X:
    def __init__(self, world, now_ms):
        self.world = world
        self.now_ms = now_ms
        self.noise = Noise(world, 53)
        self.memory = {0x010F: 0xEA, 0x0110: 0xCC, 0x00DE: CLOCK >> 8, 0x00DF: CLOCK & 0xFF}
        self.born_ms = now_ms()
        self.at = 0
        self.due_ms = None
        self.ranges = 0

    def write(self, data):
        check_bus(self.world, "distance")
        self.at = data[0] << 8 | data[1]
        for value in data[2:]:
            self.memory[self.at] = value
            if self.at == 0x0086 and value & 1:
                self.memory[0x0031] = 0x02
            elif self.at == 0x0087:
                self._switch(value)
            self.at += 1

    def read(self, n):
        check_bus(self.world, "distance")
        self._settle()
        data = bytes([self.memory.get(self.at + offset, 0) for offset in range(n)])
        self.at += n
        return data

    def _switch(self, value):
        # without its timing registers it does not range
        if value == 0x40 and self.memory.get(0x005F) and self.memory.get(0x0046) == 0x20:
            self.due_ms = self.now_ms() + 100
        else:
            self.due_ms = None

    def _settle(self):
        self.memory[0x00E5] = 3 if self.now_ms() - self.born_ms >= 2 else 0
        if self.due_ms is None or self.now_ms() < self.due_ms or fault(self.world, "distance") == "stuck":
            return
        count = 0
        for address in range(0x006C, 0x0070):
            count = count << 8 | self.memory[address]
        self.due_ms = self.now_ms() + max(count * 40 // (43 * CLOCK), 100)
        self.memory[0x0031] = 0x03
        self.ranges += 1
        status, distance_mm = self._range()
        self.memory[0x0089] = status
        self.memory[0x0096] = distance_mm >> 8
        self.memory[0x0097] = distance_mm & 0xFF

    def _range(self):
        what = fault(self.world, "distance")
        distance_mm = self.world.get("distance_mm", 1000)
        if what == "wild":
            return OK, NEAR_MM + self.noise.below(REACH_MM - NEAR_MM)
        if what == "near":
            distance_mm = NEAR_MM // 2
        if what == "no-echo" or distance_mm is None or distance_mm > REACH_MM:
            return TOO_WEAK, 8190
        if distance_mm < NEAR_MM:
            return TOO_NEAR, 0
        return OK, distance_mm + self.noise.around(5)

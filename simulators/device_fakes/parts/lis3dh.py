"""LIS3DH: powered down until CTRL_REG1 gives it a rate; event 1 watches the axes while the node sleeps."""

import math

from part_faults import check_bus, fault
from part_noise import Noise

PERIOD_MS = {1: 1000, 2: 100, 3: 40, 4: 20, 5: 10}


class LIS3DH:
    def __init__(self, world, now_ms):
        self.world = world
        self.now_ms = now_ms
        self.noise = Noise(world, 33)
        self.memory = bytearray(0x40)
        self.memory[0x0F] = 0x33
        self.memory[0x20] = 0x07
        self.at = 0
        self.step = 0
        self.next_ms = None
        self.beyond_ms = None
        self.is_latched = False

    def write(self, data):
        check_bus(self.world, "tilt")
        self.at, self.step = data[0] & 0x7F, data[0] >> 7
        for value in data[1:]:
            self.memory[self.at] = value
            if self.at == 0x20:
                period_ms = PERIOD_MS.get(value >> 4)
                settle = 1 if value & 0x08 else 7
                self.next_ms = None if period_ms is None else self.now_ms() + settle * period_ms
                self.memory[0x27] = 0
            self.at += self.step

    def read(self, n):
        check_bus(self.world, "tilt")
        self._settle()
        data = bytearray()
        for _ in range(n):
            data.append(self.memory[self.at])
            if self.at == 0x2D:
                self.memory[0x27] = 0
            elif self.at == 0x31:
                self.is_latched = False
                self.memory[0x31] = 0
            self.at += self.step
        return bytes(data)

    def int1(self):
        """Return the level of INT1, which can wake the node."""
        self._settle()
        return 1 if self.memory[0x22] & 0x40 and self.is_latched else 0

    def axes_mg(self):
        """Return gravity on the three axes; the bin leans in a direction between x and y."""
        if fault(self.world, "tilt") == "all-zero":
            return 0, 0, 0
        angle = math.radians(self.world.get("tilt_deg", 0))
        flat = 1000 * math.sin(angle)
        found = (flat * 0.6, flat * 0.8, 1000 * math.cos(angle))
        return tuple([round(value) + self.noise.around(12) for value in found])

    def _settle(self):
        if self.next_ms is None or self.now_ms() < self.next_ms:
            self._watch()
            return
        self.next_ms = self.now_ms() + PERIOD_MS[self.memory[0x20] >> 4]
        if not self.memory[0x27]:
            mask = 0xFF00 if self.memory[0x20] & 0x08 else 0xFFF0
            for axis, value in enumerate(self.axes_mg()):
                raw = (value << 4) & mask
                self.memory[0x28 + 2 * axis] = raw & 0xFF
                self.memory[0x29 + 2 * axis] = raw >> 8
            self.memory[0x27] = 0x0F
        self._watch()

    def _watch(self):
        """Run event 1: any of the chosen axes low or high, for the whole duration."""
        config = self.memory[0x30]
        is_event = False
        for axis, value in enumerate(self.axes_mg() if config else ()):
            is_low = abs(value) < self.memory[0x32] * 16
            is_event = is_event or bool(config >> 2 * axis & (1 if is_low else 2))
        if self.next_ms is None or not is_event:
            self.beyond_ms = None
            return
        if self.beyond_ms is None:
            self.beyond_ms = self.now_ms()
        if self.now_ms() - self.beyond_ms >= self.memory[0x33] * PERIOD_MS[self.memory[0x20] >> 4]:
            self.is_latched = True
            self.memory[0x31] = 0x50

"""DS18B20, alone on its wire: shows 85.0 C until its first conversion has ended."""

from part_faults import fault
from part_noise import Noise

POWER_ON = b"\x50\x05\x4b\x46\x7f\xff\x0c\x10"
ROM = b"\x28\x61\x64\x12\x3f\x1c\x0a"


def crc(data):
    """x^8 + x^5 + x^4 + 1, bits as they go over the wire."""
    remainder = 0
    for byte in data:
        for bit in range(8):
            carry = (remainder ^ byte >> bit) & 1
            remainder = remainder >> 1 ^ (0x8C if carry else 0)
    return remainder


class DS18B20:
    def __init__(self, world, now_ms):
        self.world = world
        self.now_ms = now_ms
        self.noise = Noise(world, 18)
        self.memory = bytearray(POWER_ON)
        self.ready_ms = None
        self.state = "idle"
        self.answer = b""
        self.writing = []

    def reset(self, required=False):
        self.state, self.answer = "rom", b""
        return fault(self.world, "temp") != "dead"

    def writebyte(self, value):
        self._settle()
        if self.state == "rom":
            self.state = {0xCC: "function", 0x33: "idle"}.get(value, "idle")
            if value == 0x33:
                self.answer = ROM + bytes((crc(ROM),))
        elif self.state == "function":
            self.state = "idle"
            if value == 0x44:
                self.ready_ms = self.now_ms() + (750 >> (3 - (self.memory[4] >> 5)))
            elif value == 0x4E:
                self.state, self.writing = "write", []
            elif value == 0xBE:
                self.answer = self._scratchpad()
        elif self.state == "write":
            self.writing.append(value)
            if len(self.writing) == 3:
                self.memory[2:5] = bytes((self.writing[0], self.writing[1], self.writing[2] & 0x60 | 0x1F))
                self.state = "idle"

    def readbyte(self):
        if fault(self.world, "temp") == "all-zero":
            return 0  # the wire is held low; the presence pulse looks right too
        if not self.answer or fault(self.world, "temp") == "dead":
            return 0xFF
        value, self.answer = self.answer[0], self.answer[1:]
        return value

    def _settle(self):
        """Take over a finished conversion."""
        if self.ready_ms is None or self.now_ms() < self.ready_ms:
            return
        self.ready_ms = None
        raw = round(self.world.get("temp_c", 25) * 16) + self.noise.around(1)
        raw = min(max(raw, -880), 2000)
        self.memory[6] = 0x10 - (raw & 0x0F)
        raw &= -(1 << (3 - (self.memory[4] >> 5)))
        self.memory[0] = raw & 0xFF
        self.memory[1] = raw >> 8 & 0xFF

    def _scratchpad(self):
        memory = bytes(self.memory)
        what = fault(self.world, "temp")
        if what == "power-on":
            memory = POWER_ON  # its supply sags whenever it converts
        check = crc(memory)
        return memory + bytes((check ^ 0x40 if what == "bad-crc" else check,))

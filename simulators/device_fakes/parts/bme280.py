"""BME280: one forced measurement in 9 ms; raw values found by inverting the datasheet's formulas for doubles."""

from part_faults import check_bus, fault
from part_noise import Noise

T = (27504, 26435, -1000)
P = (36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000)
H = (75, 362, 0, 324, 50, 30)


def fine(raw):
    """Return t_fine (datasheet 8.1)."""
    first = (raw / 16384 - T[0] / 1024) * T[1]
    return first + (raw / 131072 - T[0] / 8192) ** 2 * T[2]


def pascal(raw, t_fine):
    """Return the pressure (datasheet 8.1)."""
    t = t_fine / 2 - 64000
    offset = (t * t * P[5] / 32768 + t * P[4] * 2) / 4 + P[3] * 65536
    scale = (1 + (P[2] * t * t / 524288 + P[1] * t) / 524288 / 32768) * P[0]
    value = (1048576 - raw - offset / 4096) * 6250 / scale
    return value + (P[8] * value * value / 2147483648 + value * P[7] / 32768 + P[6]) / 16


def humidity(raw, t_fine):
    """Return percent (datasheet 8.1)."""
    t = t_fine - 76800
    value = raw - (H[3] * 64 + H[4] / 16384 * t)
    value *= H[1] / 65536 * (1 + H[5] / 67108864 * t * (1 + H[2] / 67108864 * t))
    return value * (1 - H[0] * value / 524288)


def invert(function, wanted, top):
    """Return the smallest raw value whose result has reached `wanted`; `function` rises, or falls when top < 0."""
    low, high = 0, abs(top)
    while low < high:
        middle = (low + high) // 2
        if (function(middle) >= wanted) == (top > 0):
            high = middle
        else:
            low = middle + 1
    return low


def constants():
    """Return registers 0x88..0xA1 and 0xE1..0xE7."""
    first = b"".join([(value & 0xFFFF).to_bytes(2, "little") for value in T + P]) + bytes((0, H[0]))
    second = (H[1] & 0xFFFF).to_bytes(2, "little") + bytes(
        (H[2], H[3] >> 4 & 0xFF, H[3] & 15 | (H[4] & 15) << 4, H[4] >> 4 & 0xFF, H[5] & 0xFF)
    )
    return first, second


class BME280:
    def __init__(self, world, now_ms):
        self.world = world
        self.now_ms = now_ms
        self.noise = Noise(world, 280)
        self.memory = bytearray(256)
        self.memory[0xD0] = 0x60
        first, second = constants()
        self.memory[0x88:0xA2] = first
        self.memory[0xE1:0xE8] = second
        self.memory[0xF7:0xFF] = b"\x80\x00\x00\x80\x00\x00\x80\x00"
        self.copied_ms = now_ms() + 2
        self.ready_ms = None
        self.at = 0

    def write(self, data):
        check_bus(self.world, "climate", "temp")
        self.at = data[0]
        for index in range(0, len(data) - 1, 2):
            at, value = data[index], data[index + 1]
            self.memory[at] = value
            if at == 0xF4 and value & 3 in (1, 2):
                self.ready_ms = self.now_ms() + 9

    def read(self, n):
        check_bus(self.world, "climate", "temp")
        now_ms = self.now_ms()
        if self.ready_ms is not None and now_ms >= self.ready_ms:
            self.ready_ms = None
            self._measure()
        self.memory[0xF3] = (0x08 if self.ready_ms is not None else 0) | (0x01 if now_ms < self.copied_ms else 0)
        data = bytes(self.memory[self.at : self.at + n])
        self.at += n
        what = fault(self.world, "climate", "temp")
        if what == "all-zero" and self.at > 0xF7:
            return bytes(n)
        return data

    def _measure(self):
        if fault(self.world, "climate", "temp") == "power-on":
            return
        raw_t = invert(lambda raw: fine(raw) / 5120, self.world.get("temp_c", 25), 0xFFFFF) + self.noise.around(16)
        t_fine = fine(raw_t)
        pressure_pa = self.world.get("pressure_pa", 100900)
        raw_p = invert(lambda raw: pascal(raw, t_fine), pressure_pa, -0xFFFFF) + self.noise.around(16)
        raw_h = 0x8000  # skipped unless asked for
        if self.memory[0xF2] & 7:
            raw_h = invert(lambda raw: humidity(raw, t_fine), self.world.get("rh_pct", 50), 0xFFFF)
        raw_h = min(raw_h + self.noise.around(4), 0xFFFF)
        self.memory[0xF7:0xFF] = (
            (raw_p << 4).to_bytes(3, "big") + (raw_t << 4).to_bytes(3, "big") + raw_h.to_bytes(2, "big")
        )

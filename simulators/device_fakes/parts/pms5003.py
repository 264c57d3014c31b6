"""PMS5003: a frame each 800 ms by itself, or one for each question; its values climb for 30 s after waking."""

from part_faults import fault
from part_noise import Noise

EVERY_MS = 800
SETTLE_MS = 30000
FIFO = 8


def frame(words):
    """Return 13 words as one frame."""
    data = b"BM\x00\x1c" + b"".join([word.to_bytes(2, "big") for word in words])
    return data + sum(data).to_bytes(2, "big")


class PMS5003:
    def __init__(self, world, now_ms):
        self.world = world
        self.now_ms = now_ms
        self.noise = Noise(world, 5003)
        self.is_asleep = False
        self.is_passive = False
        self.woke_ms = now_ms()
        self.next_ms = self.woke_ms + EVERY_MS
        self.out = b""
        self.made = 0

    def set_level(self, level):
        """Follow the SET line: low sleeps."""
        self._sleep(not level)

    def write(self, data):
        if len(data) != 7 or data[:2] != b"BM" or sum(data[:5]) != data[5] << 8 | data[6]:
            return
        command, value = data[2], data[4]
        if command == 0xE4:
            self._sleep(not value)
        elif command == 0xE1 and not self.is_asleep:
            self.is_passive = not value
        elif command == 0xE2 and self.is_passive and not self.is_asleep:
            self.out += self._frame()
            return
        answer = b"BM\x00\x04" + bytes((command, value))
        self.out += answer + sum(answer).to_bytes(2, "big")

    def produce(self, now_ms):
        """Return what it has sent since it was last asked, at most what a receiver of 256 bytes would have kept."""
        data, self.out = self.out, b""
        if self.is_asleep or self.is_passive:
            self.next_ms = now_ms + EVERY_MS
            return data
        self.next_ms = max(self.next_ms, now_ms - FIFO * EVERY_MS)
        while self.next_ms <= now_ms:
            data += self._frame(self.next_ms)
            self.next_ms += EVERY_MS
        return data

    def _sleep(self, wanted):
        if self.is_asleep and not wanted:
            self.woke_ms = self.now_ms()
            self.next_ms = self.woke_ms + EVERY_MS
            self.is_passive = False
        self.is_asleep = wanted

    def _frame(self, at_ms=None):
        self.made += 1
        what = fault(self.world, "pm")
        if what in ("silent", "dead"):
            return b""
        at_ms = self.now_ms() if at_ms is None else at_ms
        share = min(at_ms - self.woke_ms, SETTLE_MS) / SETTLE_MS
        pm25 = self.world.get("pm25_ugm3", 12)
        mass = (self.world.get("pm1_ugm3", pm25 * 0.7), pm25, self.world.get("pm10_ugm3", pm25 * 1.5))
        air = [max(round(value * share) + self.noise.around(1), 0) for value in mass]
        standard = [value * 3 // 2 if value > 50 else value for value in air]
        data = frame(standard + air + [value * 100 & 0xFFFF for value in air + air] + [0x9700])
        if what == "torn" and self.made % 2:
            return data[:30]
        if what == "bad-checksum":
            return data[:-1] + bytes((data[-1] ^ 0x04,))
        return data

"""A voltage at an ADC pin of the ESP32 with 11 dB: flat above 3.1 V, and a spike now and then when there is noise."""

from part_noise import Noise

TOP_UV = 3100000


class Volts:
    def __init__(self, world, now_ms, role, ratio_milli):
        self.world = world
        self.key = role + "_mv"
        self.ratio_milli = ratio_milli
        self.noise = Noise(world, len(role))
        self.reads = 0

    def read_uv(self):
        self.reads += 1
        pin_uv = round(self.world.get(self.key, 0) * 1000000 / self.ratio_milli) + self.noise.around(4000)
        if self.noise.around(1) and self.reads % 16 == 5:
            pin_uv += 200000
        return min(max(pin_uv, 0), TOP_UV)

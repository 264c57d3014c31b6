"""JSN-SR04T and HC-SR04: how long the echo line is high after a trigger, or -1, -2 like time_pulse_us."""

from part_faults import fault
from part_noise import Noise

BLIND_MM = {"jsn-sr04t": 220, "hc-sr04": 20}
REACH_MM = {"jsn-sr04t": 5500, "hc-sr04": 4000}


class Ultrasonic:
    def __init__(self, world, now_ms, part_type="jsn-sr04t"):
        self.world = world
        self.now_ms = now_ms
        self.noise = Noise(world, 4)
        self.blind_mm = BLIND_MM[part_type]
        self.reach_mm = REACH_MM[part_type]

    def level(self):
        """Return the level of the echo line without a ping: 1 when it is stuck."""
        return 1 if fault(self.world, "distance") == "stuck" else 0

    def echo_us(self):
        what = fault(self.world, "distance")
        if what == "dead":
            return -2
        distance_mm = self.world.get("distance_mm", 1000)
        if what in ("no-echo", "stuck") or distance_mm is None or distance_mm > self.reach_mm:
            return -1
        if what == "wild":
            return self.us(self.blind_mm + self.noise.below(self.reach_mm - self.blind_mm))
        if what == "near" or distance_mm < self.blind_mm:
            # the membrane still rings from its own ping: whatever is nearer looks the same
            return self.us(self.blind_mm * 4 // 5)
        return self.us(distance_mm)

    def us(self, distance_mm):
        speed = 331.3 * (1 + self.world.get("temp_c", 25) / 273.15) ** 0.5
        return round(2000 * distance_mm / speed) + self.noise.around(12)

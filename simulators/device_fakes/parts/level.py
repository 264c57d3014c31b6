"""Contacts and switches: a level that bounces for 5 ms after a change."""

BOUNCE_MS = 5
TRUTH = {
    "water": lambda world: bool(world.get("water")),
    "lid": lambda world: bool(world.get("lid_open")),
    "heat": lambda world: bool(world.get("heat")),
    "tilt": lambda world: world.get("tilt_deg", 0) > 45,
}


class Level:
    def __init__(self, world, now_ms, role, active):
        self.world = world
        self.now_ms = now_ms
        self.truth = TRUTH[role]
        self.active = active
        self.was = self.truth(world)
        self.changed_ms = now_ms() - BOUNCE_MS

    def level(self):
        is_on = self.truth(self.world)
        if is_on != self.was:
            self.was = is_on
            self.changed_ms = self.now_ms()
        since_ms = self.now_ms() - self.changed_ms
        if since_ms < BOUNCE_MS and since_ms % 2:
            is_on = not is_on
        return self.active if is_on else 1 - self.active

"""The board: one module for each kind, the only code that touches device modules."""


class WifiError(OSError):
    """No Wi-Fi. `why` is no-ap, wrong-password, timeout or failed."""

    def __init__(self, why):
        super().__init__(why)
        self.why = why


def wake_plan(pins):
    """Split [(pin, level)] into what an ESP32 can do: (pair for ext0 or None, pins for ext1, its level, left out).

    ext0 watches one pin for one level; ext1 any of several for high, or a single one for low.
    """
    high = [pin for pin, level in pins if level]
    low = [pin for pin, level in pins if not level]
    if low:
        first, rest = (low[0], 0), low[1:]
        if high:
            return first, high, 1, rest
        return first, rest[:1], 0, rest[1:]
    if high:
        return (high[0], 1), high[1:], 1, []
    return None, [], 1, []

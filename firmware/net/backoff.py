"""How long to wait before the next try, so that a town of nodes does not come back all at once."""


class Backoff:
    """Exponential with full jitter; `random_u32` is a callable that answers 32 random bits."""

    def __init__(self, random_u32, lowest_s=1, highest_s=300):
        self._random_u32 = random_u32
        self._lowest_ms = lowest_s * 1000
        self._highest_ms = highest_s * 1000
        self._reach_ms = self._lowest_ms

    def next_ms(self):
        """Draw a wait between the lowest and a reach that doubles with every call [ms]."""
        self._reach_ms = min(2 * self._reach_ms, self._highest_ms)
        return self._lowest_ms + self._random_u32() % (self._reach_ms - self._lowest_ms + 1)

    def reset(self):
        """Begin small again; call it after what proves the whole way, not after a mere connect."""
        self._reach_ms = self._lowest_ms

"""Repeatable noise: none unless the world has a noise_seed."""


class Noise:
    def __init__(self, world, salt):
        seed = world.get("noise_seed")
        self._state = None if seed is None else (seed * 2654435761 + salt * 40503) & 0x7FFFFFFF

    def below(self, limit):
        """Return 0 .. limit - 1."""
        if self._state is None:
            self._state = 0x2545F491  # only the fault "wild" gets here without a seed
        self._state = (self._state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self._state >> 8) % limit

    def around(self, reach):
        """Return -reach .. reach, and 0 in a world without noise."""
        return 0 if self._state is None else self.below(2 * reach + 1) - reach

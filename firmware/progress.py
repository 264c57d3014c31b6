"""The watchdog is fed by progress: named steps, each only so often in one round."""

LIMIT = 100
"""How often one step may feed the watchdog in a round: a flood or a loop that gets nowhere starves it."""

LIMITS = {"block": 4000, "idle": 3000}
"""Steps that rightly come more often: blocks of an update, naps of a node that stays awake."""


class Progress:
    """Call it with the name of the step that was just done."""

    def __init__(self, feed):
        self._feed = feed
        self._left = {}

    def __call__(self, step):
        """Note the step and feed."""
        left = self._left.get(step)
        if left is None:
            left = LIMITS.get(step, LIMIT)
        if left:
            self._left[step] = left - 1
            self._feed()

    def new_round(self):
        """Begin again; MUST follow only what cannot be faked: a reading that is durable."""
        self._left.clear()

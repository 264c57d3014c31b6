"""Numbers at the command line: what is not a number, or endless, is refused."""

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A float in a range. ``nan`` is in none, which comparisons alone do not see, and ``inf`` is no answer."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number to work with", param, ctx)
        return number

"""Means over seeds and how sure they are: Student's t for the mean of independent runs."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

CONFIDENCE: Final = 0.95
_STEPS: Final = 200


class Interval(NamedTuple):
    """A mean and its 95 % interval; with one seed both ends are the mean itself, and nothing is known."""

    mean: float
    low: float
    high: float

    def as_dict(self) -> dict[str, float]:
        """Return it as JSON has it, rounded to 6 digits behind the point."""
        return {name: round(value, 6) for name, value in self._asdict().items()}


def interval(values: Sequence[float], *, is_count: bool = True) -> Interval:
    """Return the mean of independent values and its 95 % interval.

    Parameters
    ----------
    values
        One for each seed, at least one.
    is_count
        Values that cannot be negative: the interval is cut at 0, which takes nothing away from its coverage.

    Examples
    --------
    >>> [round(x, 2) for x in interval([1.0, 2.0, 3.0])]
    [2.0, 0.0, 4.48]
    """
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Interval(mean, mean, mean)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = t_quantile(0.5 + CONFIDENCE / 2, count - 1) * math.sqrt(variance / count)
    return Interval(mean, max(0.0, mean - half) if is_count else mean - half, mean + half)


def t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t for a probability in (0.5, 1) and whole degrees of freedom >= 1.

    The distribution function is exact (Abramowitz and Stegun 26.7.3 and 26.7.4), its inverse by bisection.

    Examples
    --------
    >>> round(t_quantile(0.975, 19), 4)
    2.093
    """
    low, high = 0.0, 1e6
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _t_below(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _t_below(t: float, freedom: int) -> float:
    """Return the probability that Student's t lies below `t` >= 0."""
    theta = math.atan(t / math.sqrt(freedom))
    cos2 = math.cos(theta) ** 2
    if freedom % 2:
        term = math.cos(theta)
        total = 0.0
        for k in range(3, freedom + 1, 2):
            total += term
            term *= cos2 * (k - 1) / k
        inside = 2 / math.pi * (theta + math.sin(theta) * total) if freedom > 1 else 2 * theta / math.pi
    else:
        term, total = 1.0, 0.0
        for k in range(2, freedom + 1, 2):
            total += term
            term *= cos2 * (k - 1) / k
        inside = math.sin(theta) * total
    return 0.5 + inside / 2

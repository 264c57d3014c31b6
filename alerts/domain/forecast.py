"""Fill rate and time to full: a robust line through the readings since the last emptying.

Simple on purpose and labelled so: a Theil-Sen line (Sen 1968, "Estimates of the regression coefficient
based on Kendall's tau") is not bent by a third of wild readings, needs no training data and can be
checked by hand. It knows nothing of prayer times and market days: the spread says how far to trust it.
"""

import math
from collections.abc import Sequence
from statistics import median
from typing import Final

import msgspec

from alerts.domain.model import HOUR_MS

MIN_POINTS: Final = 4
MIN_SPAN_H: Final = 0.5
MAX_POINTS: Final = 24
HORIZON_H: Final = 48.0
"""A forecast further away [h] than this is not given."""
RATE_SPREAD: Final = 0.25
"""Assumed relative standard deviation of the rate over the coming hours, beside what the readings show."""
_Z90: Final = 1.2815515655446004
_MAD_TO_SIGMA: Final = 1.4826


class Rate(msgspec.Struct, frozen=True):
    """A line through recent readings.

    Attributes
    ----------
    pct_h : float
        Slope [% points / h], never below 0.
    sd_pct_h : float
        Its standard deviation [% points / h], from the residuals and :data:`RATE_SPREAD`.
    at_ms : int
        Time of the newest reading used.
    fill_pct : float
        Value of the line there [%].
    """

    pct_h: float
    sd_pct_h: float
    at_ms: int
    fill_pct: float


class Forecast(msgspec.Struct, frozen=True):
    """When a bin reaches a fill: early (P10), middle and late (P90); None where it is beyond the horizon."""

    at_ms: int | None
    p10_ms: int | None
    p90_ms: int | None


NO_FORECAST: Final = Forecast(None, None, None)


def fill_rate(points: Sequence[tuple[int, float]]) -> Rate | None:
    """Return the rate of ``points`` (ts_ms, fill_pct), oldest first, all since the last emptying.

    None with fewer than four points or less than half an hour between first and last.

    Examples
    --------
    >>> hour = 3_600_000
    >>> rate = fill_rate([(0, 10.0), (hour, 20.0), (2 * hour, 30.0), (3 * hour, 40.0)])
    >>> rate.pct_h, rate.fill_pct
    (10.0, 40.0)
    """
    used = _thinned(points)
    if len(used) < MIN_POINTS:
        return None
    end_ms = used[-1][0]
    hours = [(ts_ms - end_ms) / HOUR_MS for ts_ms, _ in used]
    fills = [fill_pct for _, fill_pct in used]
    if hours[-1] - hours[0] < MIN_SPAN_H:
        return None
    count = len(used)
    slopes = [
        (fills[j] - fills[i]) / (hours[j] - hours[i])
        for i in range(count - 1)
        for j in range(i + 1, count)
        if hours[j] > hours[i]
    ]
    slope = median(slopes)
    level = median(fill - slope * hour for fill, hour in zip(fills, hours, strict=True))
    sigma = _MAD_TO_SIGMA * median(abs(fill - level - slope * hour) for fill, hour in zip(fills, hours, strict=True))
    mean_h = sum(hours) / count
    spread_h2 = sum((hour - mean_h) ** 2 for hour in hours)
    slope = max(slope, 0.0)
    sd = math.hypot(sigma / math.sqrt(spread_h2), RATE_SPREAD * slope)
    return Rate(pct_h=slope, sd_pct_h=sd, at_ms=end_ms, fill_pct=level)


def reaches(rate: Rate | None, target_pct: float) -> Forecast:
    """Return when ``target_pct`` is reached at ``rate``; nothing without a rate or when it is reached already.

    Examples
    --------
    >>> reaches(Rate(pct_h=10.0, sd_pct_h=0.0, at_ms=0, fill_pct=75.0), 85.0).at_ms
    3600000
    """
    if rate is None or rate.fill_pct >= target_pct:
        return NO_FORECAST
    missing_pct = target_pct - rate.fill_pct

    def at(pct_h: float) -> int | None:
        if pct_h <= 0 or missing_pct / pct_h > HORIZON_H:
            return None
        return rate.at_ms + round(missing_pct / pct_h * HOUR_MS)

    middle = at(rate.pct_h)
    if middle is None:
        return NO_FORECAST
    margin = _Z90 * rate.sd_pct_h
    return Forecast(middle, at(rate.pct_h + margin), at(rate.pct_h - margin))


def _thinned(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """At most :data:`MAX_POINTS` points, evenly spaced by position, the newest always among them."""
    count = len(points)
    if count <= MAX_POINTS:
        return points
    return [points[(count - 1) * k // (MAX_POINTS - 1)] for k in range(MAX_POINTS)]

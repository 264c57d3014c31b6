"""Fill rate and time to full: a robust line through the readings since the last emptying.

Simple on purpose and labelled so: a Theil-Sen line (Sen 1968, "Estimates of the regression coefficient
based on Kendall's tau") is not bent by a third of wild readings, needs no training data and can be
checked by hand. It knows nothing of prayer times, nights and market days.

The band around it takes waste for a Wiener process with an uncertain drift (Cox & Miller 1965, "The Theory of
Stochastic Processes", ch. 5; for degradation Whitmore 1995): after a time t the fill is normal around the line with
the variance ``sd_pct_h^2 t^2 + noise_pct2_h t``. The noise comes from the readings themselves, so a bin that fills in
bursts has a wider band. What a whole day does to the rate is not in it: the band is still too narrow.
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
    noise_pct2_h : float
        Variance that filling in bursts adds in an hour [(% points)^2 / h].
    """

    pct_h: float
    sd_pct_h: float
    at_ms: int
    fill_pct: float
    noise_pct2_h: float = 0.0


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
    noise = _noise_pct2_h(hours, fills, slope)
    return Rate(pct_h=slope, sd_pct_h=sd, at_ms=end_ms, fill_pct=level, noise_pct2_h=noise)


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
    if rate.pct_h <= 0 or missing_pct / rate.pct_h > HORIZON_H:
        return NO_FORECAST
    # missing - rate * t = +-z * sqrt(sd^2 t^2 + noise t), squared: a quadratic; its roots are the two ends
    square = rate.pct_h**2 - (_Z90 * rate.sd_pct_h) ** 2
    half = missing_pct * rate.pct_h + _Z90**2 * rate.noise_pct2_h / 2
    root = math.sqrt(max(0.0, half**2 - square * missing_pct**2))

    def at(hours: float) -> int | None:
        return None if hours > HORIZON_H else rate.at_ms + round(hours * HOUR_MS)

    late = at((half + root) / square) if square > 0 else None
    return Forecast(at(missing_pct / rate.pct_h), at(missing_pct**2 / (half + root)), late)


def _noise_pct2_h(hours: Sequence[float], fills: Sequence[float], slope: float) -> float:
    """Return the variance of fill around the line for each hour, the largest over steps of 1, 2, 4, ... readings.

    Steps of a Wiener process have the same variance for each hour at any length (Lo & MacKinlay 1988, the ratio of
    variances). Bursts that last longer than one report interval show only in the longer steps: hence the largest.
    """
    off = [fill - slope * hour for fill, hour in zip(fills, hours, strict=True)]
    largest = 0.0
    step = 1
    while step <= len(off) // 2:
        span_h = sum(hours[-step:]) - sum(hours[:step])  # what lies between telescopes
        if span_h > 0:
            square = sum([(late - early) ** 2 for early, late in zip(off, off[step:], strict=False)])
            largest = max(largest, square / span_h)
        step *= 2
    return largest


def _thinned(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """At most :data:`MAX_POINTS` points, evenly spaced by position, the newest always among them."""
    count = len(points)
    if count <= MAX_POINTS:
        return points
    return [points[(count - 1) * k // (MAX_POINTS - 1)] for k in range(MAX_POINTS)]

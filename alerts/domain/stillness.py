"""Whether a distance sensor is stuck: it says the same for longer than a sensor that works could.

Two things move the readings of a working sensor: its own noise, and waste. A run is a stretch of good readings that all
lie within :func:`tolerance_mm`; the first reading outside begins a new one. Readings without a distance that may be
believed (a lid, no echo) neither end a run nor lengthen it. A sensor that gives a fill and no distance is never judged:
its steps are too coarse to see noise.

Why 72 readings: noise alone stays for so long within a span that a share ``q`` of the readings falls into with a chance
of about ``q**71``. The data sheet of a JSN-SR04T promises 1 cm and nothing about repetition; the simulator assumes 4 mm
a ping, 1.9 mm for the median of seven, of which a span of 4 whole millimetres holds 0.71: a chance of 2e-11. Why 24
hours: some sensors repeat themselves far better than that. A whole day has every hour in which its bin is used and the
warmest and the coldest of the air, so waste and weather speak where noise is silent.
"""

from typing import Final

import msgspec

STUCK_READINGS: Final = 72
STUCK_MS: Final = 24 * 3_600_000
STEP_MM: Final = 2
"""Digits by which a value that stands still may jump: rounded up here and down there, twice."""
PER_DEGREE: Final = 0.002
"""Change of the distance for a degree: nodes reckon the speed of sound with whole degrees, 0.6 of 347 m/s each."""


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Readings in a row that are the same distance.

    Attributes
    ----------
    since_ms, until_ms : int
        Event time [ms] of the first and of the last of them.
    count : int
        How many.
    low_mm, high_mm : float
        Shortest and longest distance among them [mm].
    """

    since_ms: int = 0
    until_ms: int = 0
    count: int = 0
    low_mm: float = 0.0
    high_mm: float = 0.0

    @property
    def is_stuck(self) -> bool:
        """Whether so many readings, over so long, are past what a working sensor does."""
        return self.count >= STUCK_READINGS and self.until_ms - self.since_ms >= STUCK_MS


NO_RUN: Final = Run()


def tolerance_mm(distance_mm: float) -> float:
    """Return how far apart readings of a sensor that stands still may lie [mm].

    Examples
    --------
    >>> tolerance_mm(500), tolerance_mm(1000)
    (3.0, 4.0)
    """
    return STEP_MM + PER_DEGREE * distance_mm


def extended(run: Run, ts_ms: int, distance_mm: float | None) -> Run:
    """Return the run after the next good reading in event order; without a distance there is none.

    Examples
    --------
    >>> run = extended(extended(NO_RUN, 0, 500), 600_000, 502)
    >>> run.count, extended(run, 1_200_000, 504).count
    (2, 1)
    """
    if distance_mm is None:
        return NO_RUN
    low_mm, high_mm = min(run.low_mm, distance_mm), max(run.high_mm, distance_mm)
    if run.count == 0 or high_mm - low_mm > tolerance_mm(low_mm):
        return Run(ts_ms, ts_ms, 1, distance_mm, distance_mm)
    return Run(run.since_ms, ts_ms, run.count + 1, low_mm, high_mm)

"""Readings into hours, hours into days: the arithmetic of roll-ups, without any store.

Every quantity of an asset gets ``_mean``, ``_min``, ``_max`` and ``_count``, the fill level ``_last`` as well. A sum is
rounded once, whatever the order of what is added (:func:`math.fsum`), and a day is made of its hours alone: so the same
readings give the same points, bit for bit, in whichever pieces they are rolled up.
"""

import math
from collections.abc import Iterable
from functools import cache
from typing import Final

from ingest.store import FieldValue, Point
from ingest.stores.points import INT_FIELDS, STR_FIELDS
from ingest.stores.series import DAY_MS, HOUR_MS, count_of, mean_of
from ingest.stores.shelves import DAILY, HOURLY, NOBODY

MEASUREMENTS: Final = ("bin", "air")
"""What is rolled up."""

LAST_OF: Final = "fill_pct"
"""The quantity whose last value says more than its mean: how full it was when the hour ended."""

__all__ = ["DAY_MS", "HOUR_MS", "LAST_OF", "MEASUREMENTS", "day_points", "floor_day", "floor_hour", "hour_points"]


def floor_hour(ts_ms: int) -> int:
    """Return the start of an hour [ms]."""
    return ts_ms // HOUR_MS * HOUR_MS


def floor_day(ts_ms: int, offset_s: int) -> int:
    """Return the start of the day [ms] by a clock that is ``offset_s`` ahead of UTC.

    >>> floor_day(1_795_500_000_000, 25_200) % 86_400_000 == 17 * 3_600_000
    True
    """
    offset_ms = offset_s * 1000
    return (ts_ms + offset_ms) // DAY_MS * DAY_MS - offset_ms


def hour_points(start_ms: int, readings: Iterable[Point]) -> list[Point]:
    """Roll up the readings of one hour, in any order and each of them once.

    Returns
    -------
    list[Point]
        One for each asset that measured something, in order of measurement and asset.
    """
    values: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    newest: dict[tuple[str, str, str], tuple[int, int, float]] = {}
    for reading in readings:
        asset = (reading.measurement, reading.tags["site"], reading.tags["asset"])
        of_asset = values.setdefault(asset, {})
        fields = reading.fields
        for name, value in fields.items():
            if name in INT_FIELDS or name in STR_FIELDS or isinstance(value, str):
                continue
            of_asset.setdefault(name, []).append(value)
            if name == LAST_OF:
                seq = fields.get("seq", 0)
                last = (reading.ts_ms, seq if isinstance(seq, int) else 0, float(value))
                newest[asset] = max(last, newest.get(asset, last))
    points = []
    for asset, of_asset in sorted(values.items()):
        fields = {}
        for name in sorted(of_asset):
            of = of_asset[name]
            _put(fields, name, math.fsum(of), min(of), max(of), len(of))
        if asset in newest:
            fields[_last(LAST_OF)] = newest[asset][2]
        if fields:
            points.append(_point(asset, HOURLY, start_ms, fields))
    return points


def day_points(start_ms: int, hours: Iterable[Point]) -> list[Point]:
    """Roll up the hourly points of one day, in any order and each of them once.

    Returns
    -------
    list[Point]
        One for each asset, in order of measurement and asset.
    """
    folds: dict[tuple[str, str, str], dict[str, _Fold]] = {}
    newest: dict[tuple[str, str, str], tuple[int, float]] = {}
    ending, last_name = count_of(""), _last(LAST_OF)
    for hour in hours:
        asset = (hour.measurement.removesuffix(HOURLY), hour.tags["site"], hour.tags["asset"])
        of_asset = folds.setdefault(asset, {})
        for count_name in hour.fields:
            if count_name.endswith(ending):
                name = count_name.removesuffix(ending)
                of_asset.setdefault(name, _Fold()).add(*(float(hour.fields[field]) for field in _fields(name)))
        if last_name in hour.fields:
            last = (hour.ts_ms, float(hour.fields[last_name]))
            newest[asset] = max(last, newest.get(asset, last))
    points = []
    for asset, of_asset in sorted(folds.items()):
        fields: dict[str, FieldValue] = {}
        for name, fold in sorted(of_asset.items()):
            _put(fields, name, math.fsum(fold.sums), fold.low, fold.high, fold.count)
        if asset in newest:
            fields[last_name] = newest[asset][1]
        points.append(_point(asset, DAILY, start_ms, fields))
    return points


class _Fold:
    """What a day needs of the hours of one quantity: few numbers, as a site has thousands of them."""

    __slots__ = ("count", "high", "low", "sums")

    def __init__(self) -> None:
        self.sums: list[float] = []
        self.low = math.inf
        self.high = -math.inf
        self.count = 0.0

    def add(self, mean: float, low: float, high: float, count: float) -> None:
        self.sums.append(mean * count)
        self.low = min(self.low, low)
        self.high = max(self.high, high)
        self.count += count


@cache
def _fields(name: str) -> tuple[str, str, str, str]:
    return mean_of(name), f"{name}_min", f"{name}_max", count_of(name)


def _last(name: str) -> str:
    return f"{name}_last"


def _put(fields: dict[str, FieldValue], name: str, total: float, low: float, high: float, count: float) -> None:  # noqa: PLR0917
    names = _fields(name)
    # Rounding must not put a mean outside of what it is the mean of.
    fields[names[0]] = min(max(total / count, float(low)), float(high))
    fields[names[1]] = float(low)
    fields[names[2]] = float(high)
    fields[names[3]] = float(count)


def _point(asset: tuple[str, str, str], ending: str, start_ms: int, fields: dict[str, FieldValue]) -> Point:
    measurement, site, name = asset
    tags = {"site": site, "asset": name, "device": NOBODY, "zone": ""}
    return Point(measurement + ending, tags, start_ms, fields)

"""Air of one station: hourly sums, hourly and 24 h means with completeness, humidity told apart.

A minute value never becomes an index. A mean is given only when enough of its time was measured; the 24 h
mean is the mean of valid hourly means of the last 24 whole hours. Sums are kept in integers, so readings give
the same mean in any order.
"""

from typing import Final

import msgspec

from alerts.domain.estimate import Key
from alerts.domain.ispu import Ispu, ispu
from alerts.domain.model import HOUR_MS
from alerts.domain.policy import Policy

DAY_HOURS: Final = 24
KEEP_HOURS: Final = 26
AVERAGED: Final = ("pm25_ugm3", "pm10_ugm3", "rh_pct")
_SCALE: Final = 1000


class Hour(msgspec.Struct):
    """Readings of one clock hour.

    Attributes
    ----------
    seen : list[int]
        Offsets [ms] of the readings counted: a repeat is known by its time.
    sums : dict[str, tuple[int, int]]
        Quantity -> (sum of value * 1000, count).
    """

    seen: list[int] = msgspec.field(default_factory=list)
    sums: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)

    def mean(self, quantity: str, needed: float) -> float | None:
        """Mean of a quantity, None with fewer than ``needed`` values."""
        total, count = self.sums.get(quantity, (0, 0))
        return total / count / _SCALE if count and count >= needed else None


class AirMemory(msgspec.Struct):
    """What is kept of a station: the newest reading's place in the order, and hours by their start [ms]."""

    newest: Key | None = None
    state: str = "ok"
    hours: dict[int, Hour] = msgspec.field(default_factory=dict)


class AirEstimate(msgspec.Struct, frozen=True):
    """Means of a station as of its newest reading.

    Attributes
    ----------
    hour_ms : int
        Start of the last whole hour [ms].
    mean_1h_pm25_ugm3, mean_1h_rh_pct : float | None
        Means of that hour, None when it was measured too little.
    mean_24h_pm25_ugm3, mean_24h_pm10_ugm3 : float | None
        Means of the last 24 whole hours, None when too few of them are valid.
    index : Ispu | None
        Indicative ISPU from the 24 h means.
    """

    hour_ms: int
    mean_1h_pm25_ugm3: float | None
    mean_1h_rh_pct: float | None
    mean_24h_pm25_ugm3: float | None
    mean_24h_pm10_ugm3: float | None
    index: Ispu | None


def take(memory: AirMemory, key: Key, values: dict[str, float], state: str) -> int | None:
    """Add a reading and return the start of the hour that it changed, None when it changed nothing.

    A reading in a state other than ok takes part in no mean.
    """
    ts_ms = key[0]
    newest = memory.newest
    hour_ms = ts_ms - ts_ms % HOUR_MS
    if newest is not None and hour_ms < newest[0] - KEEP_HOURS * HOUR_MS:
        return None
    hour = memory.hours.setdefault(hour_ms, Hour())
    offset_ms = ts_ms - hour_ms
    if offset_ms in hour.seen:
        return None
    hour.seen.append(offset_ms)
    if state == "ok":
        for quantity in AVERAGED:
            value = values.get(quantity)
            if value is not None:
                total, count = hour.sums.get(quantity, (0, 0))
                hour.sums[quantity] = (total + round(value * _SCALE), count + 1)
    if newest is None or key > newest:
        memory.newest = key
        memory.state = state
        oldest_kept_ms = hour_ms - KEEP_HOURS * HOUR_MS
        for old_ms in [old for old in memory.hours if old < oldest_kept_ms]:
            del memory.hours[old_ms]
    return hour_ms


def estimate(memory: AirMemory, interval_s: int, policy: Policy) -> AirEstimate | None:
    """Return the means as of the newest reading, None when the station never reported."""
    if memory.newest is None:
        return None
    now_ms = memory.newest[0]
    hour_ms = now_ms - now_ms % HOUR_MS - HOUR_MS
    needed = policy.completeness * max(1.0, 3600 / interval_s)
    last = memory.hours.get(hour_ms, Hour())
    pm25 = _mean_24h(memory, hour_ms, "pm25_ugm3", needed, policy)
    pm10 = _mean_24h(memory, hour_ms, "pm10_ugm3", needed, policy)
    return AirEstimate(
        hour_ms=hour_ms,
        mean_1h_pm25_ugm3=last.mean("pm25_ugm3", needed),
        mean_1h_rh_pct=last.mean("rh_pct", needed),
        mean_24h_pm25_ugm3=pm25,
        mean_24h_pm10_ugm3=pm10,
        index=ispu({"pm25": pm25, "pm10": pm10}, top=policy.ispu_top),
    )


def _hour_mean(memory: AirMemory, hour_ms: int, back: int, quantity: str, needed: float) -> float | None:
    hour = memory.hours.get(hour_ms - back * HOUR_MS)
    return None if hour is None else hour.mean(quantity, needed)


def _mean_24h(memory: AirMemory, hour_ms: int, quantity: str, needed: float, policy: Policy) -> float | None:
    means = [
        mean
        for mean in (_hour_mean(memory, hour_ms, back, quantity, needed) for back in range(DAY_HOURS))
        if mean is not None
    ]
    return sum(means) / len(means) if len(means) >= policy.completeness * DAY_HOURS else None

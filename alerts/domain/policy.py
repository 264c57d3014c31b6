"""Everything that can be tuned, in one frozen object. ``[rules]`` of a site's ``site.toml`` overrides it."""

from itertools import pairwise
from typing import Final

import msgspec


class Policy(msgspec.Struct, frozen=True):
    """Thresholds and windows of one site.

    Attributes
    ----------
    half_pct, filling_pct, full_pct, overflow_pct : float
        Fill [%] at which a bin rises to that level.
    hysteresis_pct : float
        A bin falls back only this far [% points] below the threshold it had passed.
    full_clear_pct : float
        An incident ``full`` closes only at or below this fill [%].
    hold_s : int
        How long [s] ``lid-open`` and ``no-echo`` keep the last level before it becomes unknown.
    soon_full_h : float
        A bin whose forecast reaches ``full_pct`` within this time [h] is soon full.
    silent_factor : float
        Report intervals without a reading after which a device is silent.
    offline_factor : float
        Report intervals after which silence becomes major.
    min_drop_pct : float
        Smallest fall of the fill [% points] that counts as an emptying.
    emptied_below_pct : float
        A claimed bin at or below this fill [%] is taken as emptied, however full it was.
    emptied_readings : int
        Good readings that must agree before the sensor alone is believed.
    verify_within_s : int
        Time [s] that the sensor has to agree with a crew's claim.
    late_s : int
        Readings older than this [s] change the history and open no work.
    max_open_tasks : int
        Assigned and accepted tasks that one crew member may have at a time.
    due_overflow_s, due_full_s : int
        Time [s] to empty an overflowing and a full bin.
    accept_within_s : int
        Time [s] that a crew has to accept an assigned task before it goes to somebody else.
    redispatch_s : int
        Wait [s] after an unverified claim before the same bin is given out again.
    bad_air_pm25_ugm3 : float
        Hourly mean [ug/m3] above which the air is reported as bad (indicative): lower bound of the class
        Tidak Sehat for PM2.5, used as an alarm level only, since the class itself needs 24 h.
    bad_air_clear_ugm3 : float
        Hourly mean [ug/m3] below which bad air is over.
    humid_pct : float
        Relative humidity [%] above which optical particle values are marked as humid.
    fog_pct : float
        Hourly mean humidity [%] from which particle values open no incident: droplets are counted as dust.
    completeness : float
        Share [0..1] of expected readings, and of hours, that a mean needs.
    ispu_top : int
        Index at the end of the class Berbahaya: 400 or 500.
    """

    half_pct: float = 50.0
    filling_pct: float = 70.0
    full_pct: float = 85.0
    overflow_pct: float = 100.0
    hysteresis_pct: float = 5.0
    full_clear_pct: float = 60.0
    hold_s: int = 1800
    soon_full_h: float = 2.0
    silent_factor: float = 3.0
    offline_factor: float = 6.0
    min_drop_pct: float = 20.0
    emptied_below_pct: float = 30.0
    emptied_readings: int = 2
    verify_within_s: int = 900
    late_s: int = 900
    max_open_tasks: int = 2
    due_overflow_s: int = 1800
    due_full_s: int = 3600
    accept_within_s: int = 900
    redispatch_s: int = 1800
    bad_air_pm25_ugm3: float = 55.4
    bad_air_clear_ugm3: float = 45.0
    humid_pct: float = 70.0
    fog_pct: float = 85.0
    completeness: float = 0.75
    ispu_top: int = 500

    def __post_init__(self) -> None:
        rising = (0.0, self.half_pct, self.filling_pct, self.full_pct, self.overflow_pct)
        if any(high <= low for low, high in pairwise(rising)):
            raise ValueError("half_pct, filling_pct, full_pct and overflow_pct must rise from above 0")
        if not 0 <= self.hysteresis_pct < self.half_pct:
            raise ValueError("hysteresis_pct must be at least 0 and below half_pct")
        if self.full_clear_pct > self.full_pct:
            raise ValueError("full_clear_pct must not be above full_pct")
        if self.silent_factor < 1 or self.offline_factor < self.silent_factor:
            raise ValueError("silent_factor must be at least 1, offline_factor at least silent_factor")

    @property
    def thresholds_pct(self) -> tuple[float, float, float, float]:
        """Lower bounds [%] of half, filling, full and overflow."""
        return (self.half_pct, self.filling_pct, self.full_pct, self.overflow_pct)


DEFAULT_POLICY: Final = Policy()

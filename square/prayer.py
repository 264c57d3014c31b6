"""Prayer times of a day, from the position of the sun.

Rule of the ministry: subuh at 20 degrees below the horizon, isya at 18, asar when a shadow is longer than at noon by
the height of what throws it, terbit and magrib at the edge of the sun on the horizon; two minutes of caution are
added, and taken from terbit. Good to two minutes; the office may import the ministry's own table.

The sun follows the low-precision formulas of the Astronomical Almanac (0.01 degrees between 1950 and 2050).
"""

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

SUBUH_DEG = 20.0
ISYA_DEG = 18.0
HORIZON_DEG = 0.833
"""Upper edge of the sun on the horizon: 34' of refraction and 16' of its radius."""
ASAR_SHADOW = 1.0
CAUTION_MIN = 2
_NOON_JD_2000 = date(2000, 1, 1).toordinal()
"""The epoch J2000.0 is noon (UT) of this day."""
_DEG_PER_H = 15.0
_DAY_H = 24.0
_ROUNDS = 3
"""The sun moves while the day passes: so often is each time computed again with the sun of that time."""


@dataclass(frozen=True, slots=True)
class PrayerTimes:
    """Times of a day [minutes after local midnight; isya may lie beyond 1440 in the far north].

    Attributes
    ----------
    subuh, zuhur, asar, magrib, isya : int
        The five prayers.
    terbit : int
        Sunrise, the end of subuh.
    """

    subuh: int
    terbit: int
    zuhur: int
    asar: int
    magrib: int
    isya: int

    @property
    def five(self) -> tuple[int, int, int, int, int]:
        """Subuh, zuhur, asar, magrib, isya."""
        return self.subuh, self.zuhur, self.asar, self.magrib, self.isya


def prayer_times(day: date, lat_deg: float, lon_deg: float, zone: ZoneInfo) -> PrayerTimes:
    """Compute the prayer times of a day.

    Parameters
    ----------
    day
        Date at the place.
    lat_deg, lon_deg
        Position [degrees, WGS 84].
    zone
        Zone of the place; its offset at noon counts for the whole day.

    Returns
    -------
    PrayerTimes
        The minute in which each moment falls, caution included. Where the sun does not go as low (or as high) as a rule
        asks, the moment at which it comes nearest to that stands in.

    Examples
    --------
    >>> prayer_times(date(2026, 11, 24), -7.6419, 112.9067, ZoneInfo("Asia/Jakarta")).magrib
    1052
    """
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone)
    offset_h = (noon.utcoffset() or timedelta()) / timedelta(hours=1)
    ahead_h = offset_h - lon_deg / _DEG_PER_H
    turns = round(ahead_h / _DAY_H)  # in Samoa the clock is a whole day ahead of the longitude
    days = day.toordinal() - _NOON_JD_2000 - turns - (lon_deg / _DEG_PER_H) / _DAY_H
    to_local_h = ahead_h - turns * _DAY_H

    def transit_h(sun_h: float) -> float:
        return 12.0 - _sun(days + (sun_h - 12.0) / _DAY_H)[1]

    def at(altitude_deg: float | None, side: int) -> float:
        """Solar hour, with the sun on one side of noon at an altitude; None asks for that of asar."""
        sun_h = 12.0 + 6.0 * side
        for _ in range(_ROUNDS):
            declination_deg = _sun(days + (sun_h - 12.0) / _DAY_H)[0]
            wanted_deg = _asar_deg(lat_deg, declination_deg) if altitude_deg is None else altitude_deg
            sun_h = transit_h(sun_h) + side * _hours_from_noon(wanted_deg, lat_deg, declination_deg)
        return sun_h

    def minute(sun_h: float) -> int:
        return math.floor((sun_h + to_local_h) * 60.0)

    return PrayerTimes(
        subuh=minute(at(-SUBUH_DEG, -1)) + CAUTION_MIN,
        terbit=minute(at(-HORIZON_DEG, -1)) - CAUTION_MIN,
        zuhur=minute(transit_h(12.0)) + CAUTION_MIN,
        asar=minute(at(None, 1)) + CAUTION_MIN,
        magrib=minute(at(-HORIZON_DEG, 1)) + CAUTION_MIN,
        isya=minute(at(-ISYA_DEG, 1)) + CAUTION_MIN,
    )


def _sun(days: float) -> tuple[float, float]:
    """Declination of the sun [degrees] and equation of time [h], days after J2000.0."""
    mean_deg = 280.460 + 0.9856474 * days
    anomaly = math.radians(357.528 + 0.9856003 * days)
    longitude = math.radians(mean_deg + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
    obliquity = math.radians(23.439 - 4e-7 * days)
    declination_deg = math.degrees(math.asin(math.sin(obliquity) * math.sin(longitude)))
    ascension_deg = math.degrees(math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude)))
    return declination_deg, ((mean_deg - ascension_deg + 180.0) % 360.0 - 180.0) / _DEG_PER_H


def _asar_deg(lat_deg: float, declination_deg: float) -> float:
    """Altitude at which a shadow has grown by `ASAR_SHADOW` times the height since noon."""
    return math.degrees(math.atan(1.0 / (ASAR_SHADOW + math.tan(math.radians(abs(lat_deg - declination_deg))))))


def _hours_from_noon(altitude_deg: float, lat_deg: float, declination_deg: float) -> float:
    """Time between noon and an altitude of the sun [h, 0..12]; the nearest there is where it is never reached."""
    altitude, lat, declination = (math.radians(a) for a in (altitude_deg, lat_deg, declination_deg))
    cosine = (math.sin(altitude) - math.sin(lat) * math.sin(declination)) / (math.cos(lat) * math.cos(declination))
    return math.degrees(math.acos(min(1.0, max(-1.0, cosine)))) / _DEG_PER_H

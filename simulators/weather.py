"""Weather over a tropical square: the day's warmth, sea breeze, thunderstorms of the rainy season. Pure in time.

Each day draws its warmth, clouds and storms from a stream of its own, each hour its gusts: the weather of a moment is a
function of seed and moment alone. Climate figures for Pasuruan at this detail are not published; they are assumed.
"""

import math
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from simulators import chance
from simulators.parameters import Parameter
from simulators.scenario_sections import Storm, WeatherOverrides
from square.calendar import instant_s, local_time

PARAMETERS: Mapping[str, Parameter] = {
    "temp_mean_c": Parameter(28.5, "C", "assumed daily mean near the coast of Pasuruan"),
    "temp_swing_c": Parameter(4, "C", "assumed half swing; warmest at 14:00"),
    "temp_spread_c": Parameter(0.8, "C", "assumed standard deviation between days"),
    "humid_mean_pct": Parameter(76, "%", "assumed daily mean; above 70 % at night"),
    "humid_swing_pct": Parameter(16, "%", "assumed half swing, opposite to the temperature"),
    "wet_day_share_rainy": Parameter(0.55, "1", "assumed share of days with a storm, December to March"),
    "wet_day_share_between": Parameter(0.3, "1", "assumed share of days with a storm, April, October, November"),
    "wet_day_share_dry": Parameter(0.06, "1", "assumed share of days with a storm, May to September"),
    "storm_hour": Parameter(15.5, "h", "assumed middle of the hours in which storms begin, local time"),
    "storm_hour_spread": Parameter(1.8, "h", "assumed standard deviation of the hour in which a storm begins"),
    "storm_median_min": Parameter(60, "min", "assumed median length of a storm"),
    "storm_rain_mmph": Parameter(18, "mm/h", "assumed median rain at the height of a storm"),
    "storm_wind_mps": Parameter(8, "m/s", "assumed median wind at the height of a storm"),
    "storm_cooling_c": Parameter(5, "C", "assumed fall of temperature in a storm; gone three hours later"),
    "sea_breeze_mps": Parameter(3.2, "m/s", "assumed wind from the sea, from the north, in the afternoon"),
    "land_breeze_mps": Parameter(1.0, "m/s", "assumed wind from the land, from the south, before dawn"),
    "monsoon_mps": Parameter(1.2, "m/s", "assumed: from the west in the rainy season, from the east in the dry one"),
    "haze_spread": Parameter(0.35, "1", "assumed sigma of the lognormal dust of the background between days"),
    "gust_spread": Parameter(0.35, "1", "assumed standard deviation of the wind within an hour, relative"),
}

_HOUR_S = 3600.0
_COOL_AFTER_S = 3 * _HOUR_S
_RAINY = frozenset({12, 1, 2, 3})
_BETWEEN = frozenset({4, 10, 11})
_WEST_MONSOON = frozenset({11, 12, 1, 2, 3, 4})
_DECIMALS = 6
"""Weather is rounded: sines of two machines differ in their last bit, and rain decides whether somebody comes."""
_KEPT_BLOCKS = 64


class Air(NamedTuple):
    """The air over the square at one moment.

    Attributes
    ----------
    temp_c : float
        Temperature in the shade [C].
    rh_pct : float
        Relative humidity [%, 25..100].
    wind_mps : float
        Wind [m/s, >= 0.2: plumes never stand still].
    wind_from_deg : float
        Where it comes from [degrees from north, clockwise, 0..360).
    rain_mmph : float
        Rain [mm/h].
    sun : float
        Direct sunshine [0..1].
    haze : float
        Dust of the background against its mean [> 0].
    """

    temp_c: float
    rh_pct: float
    wind_mps: float
    wind_from_deg: float
    rain_mmph: float
    sun: float
    haze: float = 1.0


class _Day(NamedTuple):
    warmer_c: float
    cloud: float
    haze: float
    storms: tuple[Storm, ...]


class Weather:
    """Weather of one place.

    Parameters
    ----------
    seed
        The same seed gives the same weather.
    overrides
        What a scenario changes.
    zone
        Time zone of the place.
    """

    def __init__(self, seed: int, overrides: WeatherOverrides | None = None, *, zone: ZoneInfo) -> None:
        self._seed = seed
        self._overrides = WeatherOverrides() if overrides is None else overrides
        self._zone = zone
        self._day = lru_cache(_KEPT_BLOCKS)(self._drawn_day)
        self._gusts = lru_cache(_KEPT_BLOCKS)(self._drawn_gusts)

    def rain_mmph(self, at_s: float) -> float:
        """Return the rain at a moment [mm/h]."""
        storms = self._storms(local_time(at_s, self._zone).date().toordinal())
        return round(sum(storm.rain_mmph * _height(storm, at_s) for storm in storms), _DECIMALS)

    def at(self, at_s: float) -> Air:
        """Return the air at a moment [s since 1970 UTC]."""
        local = local_time(at_s, self._zone)
        ordinal = local.date().toordinal()
        storms = self._storms(ordinal)
        heights = [_height(storm, at_s) for storm in storms]
        rain = sum(storm.rain_mmph * height for storm, height in zip(storms, heights, strict=True))
        cooled = PARAMETERS["storm_cooling_c"].value * max((_cooling(storm, at_s) for storm in storms), default=0.0)
        hour = (local.hour * 60 + local.minute) / 60.0 + local.second / _HOUR_S
        warmer_c, cloud, haze = self._between_days(ordinal, hour / 24.0)
        swing = math.cos((hour - 14.0) / 24.0 * 2.0 * math.pi)
        changed = self._overrides
        temp = PARAMETERS["temp_mean_c"].value + PARAMETERS["temp_swing_c"].value * swing * (1.0 - 0.4 * cloud)
        temp += warmer_c - cooled + changed.temp_shift_c
        rh = PARAMETERS["humid_mean_pct"].value - PARAMETERS["humid_swing_pct"].value * swing
        rh += 3.0 * cooled - 2.0 * warmer_c + changed.rh_shift_pct
        gale = max((s.wind_mps * h for s, h in zip(storms, heights, strict=True)), default=0.0)
        wind, wind_from = self._wind(local, hour, at_s, gale)
        sun = max(0.0, math.sin((hour - 5.3) / 12.2 * math.pi)) if 5.3 < hour < 17.5 else 0.0  # noqa: PLR2004 - daylight
        return Air(
            temp_c=round(temp, _DECIMALS),
            rh_pct=round(min(100.0, max(25.0, rh)), _DECIMALS),
            wind_mps=round(max(0.2, wind), _DECIMALS),
            wind_from_deg=round(wind_from % 360.0, _DECIMALS) % 360.0,
            rain_mmph=round(rain, _DECIMALS),
            sun=round(sun * (1.0 - cloud) * (0.1 if rain > 0 else 1.0), _DECIMALS),
            haze=round(haze, _DECIMALS),
        )

    def _between_days(self, ordinal: int, part: float) -> tuple[float, float, float]:
        """Return warmth [C], clouds and haze on the way from one day to the next: midnight is no step."""
        today, tomorrow = self._day(ordinal)[:3], self._day(ordinal + 1)[:3]
        warmer_c, cloud, haze = (a + (b - a) * part for a, b in zip(today, tomorrow, strict=True))
        return warmer_c, cloud, haze

    def _wind(self, local: datetime, hour: float, at_s: float, gale_mps: float) -> tuple[float, float]:
        """Return wind [m/s] and where it comes from [degrees]: breeze of the coast, monsoon, storms out of the west."""
        breeze = math.cos((hour - 14.5) / 24.0 * 2.0 * math.pi)
        north = PARAMETERS["sea_breeze_mps" if breeze > 0 else "land_breeze_mps"].value * breeze
        monsoon = PARAMETERS["monsoon_mps"].value
        east = -monsoon if local.month in _WEST_MONSOON else monsoon
        east -= gale_mps
        factor = self._gust(at_s) * self._overrides.wind_factor
        return math.hypot(north, east) * factor, math.degrees(math.atan2(east, north))

    def _storms(self, ordinal: int) -> tuple[Storm, ...]:
        """Return the storms that may matter on a day: its own, those of the day before, and ordered ones."""
        drawn = () if self._overrides.is_dry else self._day(ordinal - 1).storms + self._day(ordinal).storms
        return drawn + self._overrides.storms

    def _drawn_day(self, ordinal: int) -> _Day:
        day = date.fromordinal(ordinal)
        rng = chance.stream(self._seed, "weather", ordinal)
        warmer, cloudy, wet, second = rng.normal(), rng.uniform(), rng.uniform(), rng.uniform()
        season = "rainy" if day.month in _RAINY else "between" if day.month in _BETWEEN else "dry"
        share = PARAMETERS[f"wet_day_share_{season}"].value
        storms = []
        midnight_s = instant_s(day, 0, self._zone)
        for is_there in (wet < share, wet < share and second < share / 2.0):
            hour = rng.normal(PARAMETERS["storm_hour"].value, PARAMETERS["storm_hour_spread"].value)
            length_min, rain, wind = rng.lognormal(0.0, 0.5), rng.lognormal(0.0, 0.6), rng.lognormal(0.0, 0.3)
            if is_there:
                from_s = midnight_s + round(min(23.0, max(0.0, hour)) * 60) * 60
                length_s = 60.0 * round(10.0 + min(240.0, PARAMETERS["storm_median_min"].value * length_min))
                rain_mmph = min(120.0, PARAMETERS["storm_rain_mmph"].value * rain)
                wind_mps = min(25.0, PARAMETERS["storm_wind_mps"].value * wind)
                storms.append(Storm(from_s, from_s + length_s, round(rain_mmph, 3), round(wind_mps, 3)))
        cloud = 0.15 + 0.35 * float(cloudy) + (0.3 if storms else 0.0)
        spread = PARAMETERS["haze_spread"].value
        haze = math.exp(spread * float(rng.normal()) - spread**2 / 2.0)
        return _Day(float(warmer) * PARAMETERS["temp_spread_c"].value, cloud, haze, tuple(storms))

    def _gust(self, at_s: float) -> float:
        """Return the wind of a moment against its mean: a broken line through six points an hour."""
        block, within = divmod(at_s, _HOUR_S)
        index, part = divmod(within / _HOUR_S * 6.0, 1.0)
        before, after = self._gusts(int(block))[int(index) : int(index) + 2]
        return before + (after - before) * part

    def _drawn_gusts(self, hour: int) -> tuple[float, ...]:
        """Return the points of an hour since 1970; its last is the first of the next."""
        first, last = (float(chance.stream(self._seed, "gusts", hour + after).normal()) for after in (0, 1))
        inner = chance.stream(self._seed, "gusts within", hour).normal(size=5).tolist()
        spread = PARAMETERS["gust_spread"].value
        return tuple(max(0.15, 1.0 + spread * draw) for draw in (first, *inner, last))


def _height(storm: Storm, at_s: float) -> float:
    """Return how high a storm stands [0..1]: a parabola over its time."""
    if not storm.from_s < at_s < storm.until_s:
        return 0.0
    part = (at_s - storm.from_s) / (storm.until_s - storm.from_s)
    return 4.0 * part * (1.0 - part)


def _cooling(storm: Storm, at_s: float) -> float:
    """Return how much of its cooling a storm has brought [0..1]; it wears off after the storm."""
    if at_s <= storm.from_s:
        return 0.0
    if at_s < storm.until_s:
        return min(1.0, (at_s - storm.from_s) / (20 * 60.0))
    return max(0.0, 1.0 - (at_s - storm.until_s) / _COOL_AFTER_S) * min(1.0, (storm.until_s - storm.from_s) / 1200.0)

"""The air between the bins: fine dust, smoke, humidity and smell at any place of the square. Pure.

Smoke and smell follow a Gaussian plume with the dispersion of Briggs for urban ground (Briggs 1973; Hanna, Briggs and
Hosker 1982, Handbook on Atmospheric Diffusion, DOE/TIC-11223, table 4.5). It holds for minutes, not for whiffs.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from simulators.ground import Ground
from simulators.heap import Floats
from simulators.parameters import Parameter
from simulators.weather import Air
from square.calendar import local_time
from square.geometry import LonLat

PARAMETERS: Mapping[str, Parameter] = {
    "background_ugm3": Parameter(16, "ug/m3", "assumed PM2.5 background"),
    "traffic_ugm3": Parameter(14, "ug/m3", "assumed height of the 07:00 and 19:00 peaks of PM2.5 beside a street"),
    "traffic_reach_m": Parameter(80, "m", "assumed distance from a street at which its part is halved"),
    "pm1_share": Parameter(0.65, "1", "assumed PM1 against PM2.5"),
    "pm10_factor": Parameter(1.55, "1", "assumed PM10 against PM2.5"),
    "washout_mmph": Parameter(12, "mm/h", "assumed rain that halves dust"),
    "smoke_g_per_kg": Parameter(9.8, "g/kg", "PM2.5 of burnt waste, Akagi et al. 2011 (ACP 11, 4039)"),
    "park_cooler_c": Parameter(0.6, "C", "assumed: air under trees is cooler at noon"),
    "park_damper_pct": Parameter(3, "%", "assumed: air under trees is damper"),
    "nh3_ugps_per_kg": Parameter(1.2, "ug/s/kg", "assumed ammonia of a kilogram of rotting food at 25 C"),
    "h2s_share": Parameter(0.06, "1", "assumed hydrogen sulphide against ammonia, by mass"),
    "rot_h": Parameter(14, "h", "assumed age at which waste smells half as much as it ever will"),
    "rot_per_10c": Parameter(2.2, "1", "assumed factor of smell for 10 C more"),
    "nh3_background_ppb": Parameter(6, "ppb", "assumed ammonia of a town near fields"),
    "h2s_background_ppb": Parameter(0.6, "ppb", "assumed hydrogen sulphide of a town near the sea"),
    "pressure_mean_pa": Parameter(101_000, "Pa", "assumed mean at sea level"),
    "pressure_swing_pa": Parameter(150, "Pa", "assumed half swing, twice a day, highest at 10:00 and 22:00"),
}

_PPB_PER_UGM3_NH3 = 24.45 / 17.03
_PPB_PER_UGM3_H2S = 24.45 / 34.08
"""Molar volume at 25 C [l/mol] over molar mass [g/mol]."""
RECEPTOR_M = 3.0
"""Height at which stations of the plan hang, unless they say otherwise [m]."""
SMELL_REACH_M = 150.0
_NEAREST_M = 1.5
"""A plume begins with this distance: nearer, the formula has a pole."""


class Dispersion(NamedTuple):
    """Briggs' coefficients for urban ground: sigma = a x (1 + b x)^p, across and upwards."""

    across: float
    up: float
    up_b: float
    up_p: float


UNSTABLE = Dispersion(0.32, 0.24, 0.001, 0.5)
NEUTRAL = Dispersion(0.16, 0.14, 0.0003, -0.5)
STABLE = Dispersion(0.11, 0.08, 0.0015, -0.5)
_STRONG_SUN, _LIGHT_WIND_MPS, _CALM_MPS = 0.45, 3.0, 2.0


class AirTruth(NamedTuple):
    """The air at one place and moment: dust [ug/m3], temperature [C], humidity [%], gases [ppb], pressure [Pa]."""

    pm1_ugm3: float
    pm25_ugm3: float
    pm10_ugm3: float
    temp_c: float
    rh_pct: float
    nh3_ppb: float
    h2s_ppb: float
    pressure_pa: float


class Sources(NamedTuple):
    """Places that give something off, arrays (n,): metres east and north, height [m], rate [ug/s]."""

    x_m: Floats
    y_m: Floats
    height_m: Floats
    rate_ugps: Floats


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


def dispersion_of(air: Air) -> Dispersion:
    """Return how smoke spreads in this air: fast in sunshine and light wind, slowly in a calm night."""
    if air.sun > _STRONG_SUN and air.wind_mps < _LIGHT_WIND_MPS:
        return UNSTABLE
    if air.sun == 0.0 and air.wind_mps < _CALM_MPS and air.rain_mmph == 0.0:
        return STABLE
    return NEUTRAL


def plume_ugm3(sources: Sources, x_m: float, y_m: float, air: Air, height_m: float = RECEPTOR_M) -> float:
    """Return the concentration of what sources give off at one place.

    Parameters
    ----------
    sources
        Who gives off what.
    x_m, y_m, height_m
        The place [m]: east, north, above ground.
    air
        Wind and what decides how fast it spreads.

    Returns
    -------
    float
        Concentration [ug/m3]; 0 for a source that lies down the wind.
    """
    if not sources.rate_ugps.size:
        return 0.0
    blows_to = math.radians(air.wind_from_deg + 180.0)
    along_x, along_y = math.sin(blows_to), math.cos(blows_to)
    east, north = x_m - sources.x_m, y_m - sources.y_m
    down = east * along_x + north * along_y
    cross = north * along_x - east * along_y
    far = np.maximum(down, _NEAREST_M)
    spread = dispersion_of(air)
    sigma_y = spread.across * far / np.sqrt(1.0 + 0.0004 * far)
    sigma_z = spread.up * far * (1.0 + spread.up_b * far) ** spread.up_p
    mirrored = np.exp(-0.5 * ((height_m - sources.height_m) / sigma_z) ** 2) + np.exp(
        -0.5 * ((height_m + sources.height_m) / sigma_z) ** 2
    )
    dilution = 2.0 * math.pi * air.wind_mps * sigma_y * sigma_z
    seen = sources.rate_ugps / dilution * np.exp(-0.5 * (cross / sigma_y) ** 2) * mirrored
    return float(np.where(down > 0.0, seen, 0.0).sum())


def smell_ugps(organic_kg: Floats, age_h: Floats, temp_c: Floats) -> Floats:
    """Return the ammonia that waste gives off [ug/s]: grows with mass, age and heat."""
    ripe = age_h / (age_h + value("rot_h"))
    warm = value("rot_per_10c") ** ((temp_c - 25.0) / 10.0)
    given: Floats = value("nh3_ugps_per_kg") * organic_kg * ripe * warm
    return given


class AirField:
    """The air of one square.

    Parameters
    ----------
    ground
        Where streets and trees are.
    """

    def __init__(self, ground: Ground) -> None:
        self._frame = ground.site.frame
        self._zone: ZoneInfo = ground.site.zone_info
        characters = np.array(ground.zone_characters)[ground.zone_of_point] if len(ground.points_m) else np.array([])
        self._points_m = ground.points_m
        self._streets_m = ground.points_m[np.isin(characters, ("street", "terminal"))]
        self._is_park = characters == "park"
        self._places: dict[LonLat, tuple[float, float, float, float]] = {}

    def at(self, lonlat: LonLat, at_s: float, air: Air, *, smoke: Sources, smell: Sources) -> AirTruth:
        """Return the air at a place.

        Parameters
        ----------
        lonlat
            Where [degrees].
        at_s
            When [s since 1970 UTC].
        air
            The weather then.
        smoke, smell
            Fires (PM2.5) and bins (ammonia).
        """
        x_m, y_m, traffic, park = self._place(lonlat)
        hour = self._hour(at_s)
        peaks = sum(math.exp(-0.5 * ((hour - at_h) / 1.5) ** 2) for at_h in (7.0, 19.0))
        clean = value("background_ugm3") * air.haze + value("traffic_ugm3") * peaks * traffic
        clean /= 1.0 + air.rain_mmph / value("washout_mmph")
        smoky = plume_ugm3(smoke, x_m, y_m, air)
        near = np.hypot(smell.x_m - x_m, smell.y_m - y_m) < SMELL_REACH_M
        nh3 = plume_ugm3(Sources(*(column[near] for column in smell)), x_m, y_m, air)
        return AirTruth(
            pm1_ugm3=clean * value("pm1_share") + smoky * 0.9,
            pm25_ugm3=clean + smoky,
            pm10_ugm3=clean * value("pm10_factor") + smoky * 1.1,
            temp_c=air.temp_c - park * value("park_cooler_c") * air.sun,
            rh_pct=min(100.0, air.rh_pct + park * value("park_damper_pct")),
            nh3_ppb=value("nh3_background_ppb") + nh3 * _PPB_PER_UGM3_NH3,
            h2s_ppb=value("h2s_background_ppb") + nh3 * value("h2s_share") * _PPB_PER_UGM3_H2S,
            pressure_pa=value("pressure_mean_pa")
            + value("pressure_swing_pa") * math.cos((hour - 10.0) / 12.0 * 2.0 * math.pi),
        )

    def _hour(self, at_s: float) -> float:
        local = local_time(at_s, self._zone)
        return local.hour + local.minute / 60.0 + local.second / 3600.0

    def _place(self, lonlat: LonLat) -> tuple[float, float, float, float]:
        """Return metres east and north, how much of the traffic's dust arrives [0..1], and whether trees are there."""
        place = self._places.get(lonlat)
        if place is None:
            x_m, y_m = self._frame.to_m(*lonlat)
            reach = value("traffic_reach_m")
            street_m = np.hypot(*(self._streets_m - (x_m, y_m)).T).min(initial=10 * reach)
            under_trees = 0.0
            if len(self._points_m):
                under_trees = float(self._is_park[np.hypot(*(self._points_m - (x_m, y_m)).T).argmin()])
            place = self._places[lonlat] = (x_m, y_m, reach / (reach + float(street_m)), under_trees)
        return place

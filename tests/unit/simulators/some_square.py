"""Squares for tests of the model: the shipped plan with chosen visitors, weather and mishaps."""

from dataclasses import fields
from functools import cache

from simulators.ground import Ground
from simulators.mishaps import Mishaps
from simulators.model import SquareModel
from simulators.scenario_sections import MishapRates, PlannedMishap, Visits, WeatherOverrides
from simulators.visitors import Crowd
from simulators.weather import Weather
from square.occasions import Occasions
from tests.unit.simulators.wide_site import shipped

START_S = 1_795_500_000.0
"""2026-11-24 13:00 at the square, a Tuesday."""
_NOTHING = {one.name: 0.0 for one in fields(MishapRates) if one.name != "planned"}


@cache
def ground() -> Ground:
    """Return the ground of the shipped square."""
    return Ground.of(shipped())


@cache
def weather(seed: int = 5, overrides: WeatherOverrides | None = None) -> Weather:
    """Return the weather of a seed."""
    return Weather(seed, overrides, zone=shipped().zone_info)


@cache
def crowd(seed: int = 5, factor: float = 1.0) -> Crowd:
    """Return the crowd of a seed, `factor` times as large as on an ordinary day."""
    return Crowd(
        ground(),
        seed=seed,
        occasions=Occasions({}),
        visits=Visits(per_day_factor=factor),
        rain_mmph=weather(seed).rain_mmph,
    )


def mishaps(*planned: PlannedMishap) -> Mishaps:
    """Return these mishaps and no others."""
    return Mishaps(MishapRates(**_NOTHING, planned=planned), seed=5, zone=shipped().zone_info)


def model(
    *planned: PlannedMishap,
    seed: int = 5,
    factor: float = 1.0,
    start_s: float = START_S,
    fill: tuple[float, float] = (0.0, 0.0),
    overrides: WeatherOverrides | None = None,
) -> SquareModel:
    """Return a square where nothing but these mishaps happens beside visitors and weather.

    `overrides` change the weather over the bins; the visitors come as in that of the seed.
    """
    return SquareModel(
        ground(),
        crowd(seed, factor),
        weather(seed, overrides),
        mishaps(*planned),
        seed=seed,
        start_s=start_s,
        initial_fill_pct=fill,
    )

"""Dust, smoke and smell: plumes go with the wind, thin out, and keep their flow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.fields import (
    NEUTRAL,
    STABLE,
    UNSTABLE,
    AirField,
    Sources,
    dispersion_of,
    plume_ugm3,
    smell_ugps,
)
from simulators.weather import Air
from tests.unit.simulators.some_square import START_S, ground, shipped

NIGHT = Air(25.0, 85.0, 1.5, 0.0, 0.0, 0.0)  # stable, wind from the north
NONE = Sources(*(np.zeros(0) for _ in range(4)))


def fire(rate_ugps=1e6, height_m=1.5, x_m=0.0, y_m=0.0) -> Sources:
    return Sources(np.array([x_m]), np.array([y_m]), np.array([height_m]), np.array([rate_ugps]))


def test_a_plume_by_hand():
    """100 m down a stable night wind of 1.5 m/s, on the axis, at the height of the source.

    sigma_y = 0.11 * 100 / sqrt(1.04) = 10.786 m, sigma_z = 8 / sqrt(1.15) = 7.460 m;
    1e6 / (2 pi 1.5 * 10.786 * 7.460) * (1 + exp(-0.5 (3 / 7.460)^2)) = 1,318.6 * 1.9223 = 2,534.7 ug/m3.
    """
    assert plume_ugm3(fire(), 0.0, -100.0, NIGHT, height_m=1.5) == pytest.approx(2534.7, rel=1e-3)


@settings(max_examples=80, deadline=None)
@given(st.floats(0, 359.9), st.floats(0.3, 12), st.floats(5, 800), st.floats(-400, 400), st.sampled_from([0.0, 0.9]))
def test_smoke_goes_with_the_wind(wind_from, wind, down_m, cross_m, sun):
    """Up the wind there is none; down the wind it is never negative, is linear in its source, and off the axis less."""
    air = Air(28.0, 70.0, wind, wind_from, 0.0, sun)
    to = np.radians(wind_from + 180.0)
    ahead = np.array([np.sin(to), np.cos(to)])
    aside = np.array([np.cos(to), -np.sin(to)])
    x, y = down_m * ahead + cross_m * aside
    here = plume_ugm3(fire(), x, y, air)
    assert here >= 0
    assert plume_ugm3(fire(rate_ugps=3e6), x, y, air) == pytest.approx(3 * here)
    on_axis = plume_ugm3(fire(), *(down_m * ahead), air)
    assert on_axis >= here * (1 - 1e-9)  # a hair's breadth beside the axis the two differ by rounding only
    if abs(cross_m) > 1:
        assert on_axis > here or on_axis == 0
    assert plume_ugm3(fire(), *(-down_m * ahead), air) == 0.0


def test_the_flow_through_every_cross_section_is_the_source():
    """Wind times concentration over a plane across the plume gives back what the fire gives off (mass is kept)."""
    rate = 1e6
    across, up = np.arange(-300, 301, 2.0), np.arange(0, 400, 2.0)
    for down_m in (50.0, 200.0, 600.0):
        through = sum(plume_ugm3(fire(rate), x, -down_m, NIGHT, height_m=z) for x in across for z in up[::4]) * 2 * 8
        # The lowest row stands for half a cell: the sum is an integral by rectangles.
        through -= sum(plume_ugm3(fire(rate), x, -down_m, NIGHT, height_m=0.0) for x in across) * 2 * 4
        assert through * NIGHT.wind_mps == pytest.approx(rate, rel=0.02)


def test_many_sources_add_up():
    """Two fires together give the sum of each alone; none give nothing."""
    both = Sources(*(np.concatenate(pair) for pair in zip(fire(), fire(5e5, x_m=10.0, y_m=20.0), strict=True)))
    alone = plume_ugm3(fire(), 3.0, -80.0, NIGHT) + plume_ugm3(fire(5e5, x_m=10.0, y_m=20.0), 3.0, -80.0, NIGHT)
    assert plume_ugm3(both, 3.0, -80.0, NIGHT) == pytest.approx(alone)
    assert plume_ugm3(NONE, 3.0, -80.0, NIGHT) == 0.0


def test_air_mixes_by_sun_and_wind():
    """Sunny and light wind mixes fast, a calm clear night slowly, all else between."""
    assert dispersion_of(Air(30, 60, 2.0, 0, 0.0, 0.8)) is UNSTABLE
    assert dispersion_of(NIGHT) is STABLE
    assert dispersion_of(Air(30, 60, 6.0, 0, 0.0, 0.8)) is NEUTRAL
    assert dispersion_of(Air(24, 95, 1.0, 0, 8.0, 0.0)) is NEUTRAL


@given(st.floats(0, 50), st.floats(0, 100), st.floats(0, 100), st.floats(15, 45), st.floats(0, 15))
def test_smell_grows_with_mass_age_and_heat(kg, age_h, older_h, temp_c, warmer_c):
    """Older or warmer waste never smells less; twice as much smells twice as much."""
    now = smell_ugps(np.array([kg]), np.array([age_h]), np.array([temp_c]))[0]
    assert now >= 0
    assert smell_ugps(np.array([kg]), np.array([age_h + older_h]), np.array([temp_c]))[0] >= now
    assert smell_ugps(np.array([kg]), np.array([age_h]), np.array([temp_c + warmer_c]))[0] >= now
    assert smell_ugps(np.array([2 * kg]), np.array([age_h]), np.array([temp_c]))[0] == pytest.approx(2 * now)


def test_the_air_of_the_square():
    """Streets are dustier than the park, trees are damper, rain washes dust out, smoke is fine dust."""
    field = AirField(ground())
    places = {station.id: station.lonlat for station in shipped().air_stations}
    air, wet = Air(30.0, 60.0, 2.0, 0.0, 0.0, 0.5), Air(30.0, 60.0, 2.0, 0.0, 24.0, 0.5)
    morning_s = START_S - 6 * 3600  # 07:00
    park = field.at(places["air-05"], morning_s, air, smoke=NONE, smell=NONE)
    street = field.at(places["air-03"], morning_s, air, smoke=NONE, smell=NONE)
    assert street.pm25_ugm3 > park.pm25_ugm3 > 0
    assert street.pm1_ugm3 < street.pm25_ugm3 < street.pm10_ugm3
    assert park.rh_pct > street.rh_pct
    assert park.temp_c < street.temp_c
    washed = field.at(places["air-03"], morning_s, wet, smoke=NONE, smell=NONE)
    assert washed.pm25_ugm3 == pytest.approx(street.pm25_ugm3 / 3)  # 1 + 24/12
    x_m, y_m = shipped().frame.to_m(*places["air-03"])
    near = fire(1e5, x_m=x_m, y_m=y_m + 60)  # up the wind from the north
    smoky = field.at(places["air-03"], morning_s, air, smoke=near, smell=NONE)
    assert smoky.pm25_ugm3 > street.pm25_ugm3 + 5
    smelly = field.at(places["air-03"], morning_s, air, smoke=NONE, smell=near)
    assert smelly.nh3_ppb > street.nh3_ppb
    assert smelly.pm25_ugm3 == street.pm25_ugm3

"""Weather: a pure function of seed and time, with the seasons and storms of a tropical coast."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.scenario_sections import Storm, WeatherOverrides
from simulators.weather import Weather

ZONE = ZoneInfo("Asia/Jakarta")
MOMENTS = st.floats(1.7e9, 1.9e9)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()


def month_mm(weather: Weather, month: str) -> float:
    start_s = at(f"{month}-01T00:00")
    return sum(weather.rain_mmph(start_s + i * 600) / 6 for i in range(30 * 144))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(MOMENTS, min_size=1, max_size=8))
def test_weather_is_a_function_of_seed_and_moment(seed, moments):
    """Asking in another order, twice, or from another object changes nothing; every value is one that air can have."""
    asked, fresh = Weather(seed, zone=ZONE), Weather(seed, zone=ZONE)
    first = [asked.at(moment) for moment in moments]
    assert [fresh.at(moment) for moment in reversed(moments)] == first[::-1]
    assert [asked.rain_mmph(moment) for moment in moments] == [air.rain_mmph for air in first]
    for air in first:
        assert 12 < air.temp_c < 42
        assert 25 <= air.rh_pct <= 100
        assert air.wind_mps >= 0.2
        assert 0 <= air.wind_from_deg < 360
        assert air.rain_mmph >= 0
        assert 0 <= air.sun <= 1
        assert 0.1 < air.haze < 10


def test_blocks_that_were_forgotten_come_back_the_same():
    """A year of other days later, the first day is what it was: nothing depends on what is kept."""
    weather = Weather(4, zone=ZONE)
    start_s = at("2027-01-01T00:00")
    day = [weather.at(start_s + i * 1800) for i in range(48)]
    for i in range(365):
        weather.at(start_s + i * 86_400 + 43_200)
    assert [weather.at(start_s + i * 1800) for i in range(48)] == day


def test_the_rainy_season_is_wet():
    """January has more than three times the rain of August; both are amounts that a coast of East Java can have."""
    wet, dry = zip(
        *((month_mm(Weather(s, zone=ZONE), "2027-01"), month_mm(Weather(s, zone=ZONE), "2027-08")) for s in range(5)),
        strict=True,
    )
    assert 100 < np.mean(wet) < 500
    assert np.mean(dry) * 3 < np.mean(wet)


def test_storms_come_in_the_afternoon_and_cool_the_air():
    """Most rain falls between noon and 20:00; the air in a storm is cooler and damper than without it."""
    weather, dry = Weather(1, zone=ZONE), Weather(1, WeatherOverrides(is_dry=True), zone=ZONE)
    moments = [at("2027-01-01T00:00") + i * 600 for i in range(30 * 144)]
    rain = np.array([weather.rain_mmph(moment) for moment in moments])
    hours = np.arange(len(moments)) // 6 % 24
    assert rain[(hours >= 12) & (hours < 20)].sum() > 0.7 * rain.sum()
    height = moments[int(rain.argmax())]
    assert weather.at(height).temp_c < dry.at(height).temp_c - 3
    assert weather.at(height).rh_pct > dry.at(height).rh_pct + 5
    assert weather.at(height).wind_mps > dry.at(height).wind_mps


def test_days_differ_in_haze_around_their_mean():
    """The dust of the background varies from day to day, on the mean it is what it is."""
    weather = Weather(3, zone=ZONE)
    haze = [weather.at(at("2027-01-01T00:00") + i * 86_400).haze for i in range(400)]
    assert np.mean(haze) == pytest.approx(1.0, abs=0.08)  # 0.36 / sqrt(400) = 0.018 a standard error
    assert 0.25 < np.std(np.log(haze)) < 0.45


def test_midnight_is_no_step():
    """From one day to the next the temperature goes on where it was, to a tenth of a degree."""
    weather = Weather(9, WeatherOverrides(is_dry=True), zone=ZONE)
    for day in range(30):
        midnight_s = at("2027-03-01T00:00") + day * 86_400
        assert weather.at(midnight_s - 1).temp_c == pytest.approx(weather.at(midnight_s).temp_c, abs=0.1)
        assert weather.at(midnight_s - 1).haze == pytest.approx(weather.at(midnight_s).haze, abs=0.01)


def test_the_sea_breeze_blows_by_day_and_the_land_breeze_at_night():
    """Afternoon wind comes from the northern half, wind before dawn from the southern half, and is weaker."""
    weather = Weather(2, WeatherOverrides(is_dry=True), zone=ZONE)
    noon = [weather.at(at("2027-08-01T14:30") + i * 86_400) for i in range(20)]
    night = [weather.at(at("2027-08-01T03:30") + i * 86_400) for i in range(20)]
    assert all(air.wind_from_deg < 90 or air.wind_from_deg > 270 for air in noon)
    assert all(90 < air.wind_from_deg < 270 for air in night)
    assert np.mean([air.wind_mps for air in noon]) > 1.5 * np.mean([air.wind_mps for air in night])


def test_a_scenario_orders_its_storm():
    """An ordered storm has its height in the middle and ends with its time; dry means no other rain."""
    start_s = at("2027-01-10T16:00")
    storm = Storm(start_s, start_s + 7200, rain_mmph=60, wind_mps=14)
    weather = Weather(1, WeatherOverrides(is_dry=True, storms=(storm,), temp_shift_c=2), zone=ZONE)
    plain = Weather(1, WeatherOverrides(is_dry=True), zone=ZONE)
    assert weather.rain_mmph(start_s + 3600) == pytest.approx(60)
    assert weather.rain_mmph(start_s + 7200) == 0
    assert sum(weather.rain_mmph(start_s - 86_400 + i * 600) for i in range(144)) == 0
    assert weather.at(start_s - 3600).temp_c == pytest.approx(plain.at(start_s - 3600).temp_c + 2)
    assert weather.at(start_s + 3600).wind_mps > plain.at(start_s + 3600).wind_mps + 3


def test_the_air_cools_minute_by_minute():
    """Neither storms nor midnights are steps: in six rainy weeks no minute changes by more than half a degree."""
    weather = Weather(1, zone=ZONE)
    start_s = at("2027-01-01T00:00")
    temps = np.array([weather.at(start_s + 60.0 * i).temp_c for i in range(42 * 1440)])
    assert np.abs(np.diff(temps)).max() < 0.5
    assert np.ptp(temps) > 8

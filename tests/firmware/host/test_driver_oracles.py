"""Integer arithmetic of the drivers against floats, fractions and the datasheets' formulas for doubles."""

import math
import struct
from fractions import Fraction

from hypothesis import assume, example, given
from hypothesis import strategies as st

from firmware.drivers import SensorError, bme280, lis3dh, sensirion, sgp40, sps30
from tests.firmware.both import driver_bench
from tests.firmware.both.test_driver_bme280 import EXAMPLE


def model():
    """Return the BME280 model, which holds the datasheet's formulas for doubles."""
    driver_bench.Bench().add("bme280", "climate")
    import bme280 as found

    return found


DOUBLES = model()


@given(st.integers(0, 65535), st.sampled_from([17500, 10000]))
def test_sensirion_ratios_are_rounded(raw: int, span: int) -> None:
    """Temperature and humidity words become hundredths, within half of one."""
    assert abs(sensirion.ratio(raw, span) - Fraction(raw * span, 65535)) <= Fraction(1, 2)


@given(st.integers(-4500, 13000), st.integers(0, 10000))
def test_compensation_words_are_rounded(temp_cdeg: int, rh_cpct: int) -> None:
    """The words of the SGP40 are those of its formulas, within half a step."""
    rh_word, temp_word = sgp40.compensation(temp_cdeg, rh_cpct)
    assert abs(rh_word - Fraction(rh_cpct * 65535, 10000)) <= Fraction(1, 2)
    assert abs(temp_word - Fraction((temp_cdeg + 4500) * 65535, 17500)) <= Fraction(1, 2)


@given(st.floats(0, 4999, width=32))
@example(5.400000095367432)
@example(1e-44)
def test_floats_become_nanograms(value: float) -> None:
    """Any float of a concentration is the nearest integer of ng/m3."""
    words = struct.unpack(">HH", struct.pack(">f", value))
    assert abs(sps30.nanograms(*words) - Fraction(value) * 1000) <= Fraction(1, 2)


@given(st.floats(width=32))
def test_no_other_float_becomes_a_concentration(value: float) -> None:
    """Negative, huge, infinite and not-a-number floats are refused; the rest agree with the float."""
    words = struct.unpack(">HH", struct.pack(">f", value))
    try:
        found = sps30.nanograms(*words)
    except SensorError as error:
        assert error.code == "out-of-range"
        assert not 0 <= value <= 5000
    else:
        assert abs(found - value * 1000) <= 1


@given(st.floats(0, 180), st.floats(0, 360), st.floats(650, 1350))
def test_tilt_is_good_to_a_degree(angle_deg: float, around_deg: float, length_mg: float) -> None:
    """Every direction and every plausible length of gravity: within one degree."""
    angle, around = math.radians(angle_deg), math.radians(around_deg)
    x = round(length_mg * math.sin(angle) * math.cos(around))
    y = round(length_mg * math.sin(angle) * math.sin(around))
    z = round(length_mg * math.cos(angle))
    assert abs(lis3dh.tilt_deg(x, y, z) - angle_deg) <= 1


@given(st.integers(0, 90))
def test_cosine_for_the_threshold(angle_deg: int) -> None:
    """The wake threshold is within 3 mg of the cosine: a fifth of its step of 16 mg."""
    assert abs(lis3dh.cosine_mg(angle_deg) - 1000 * math.cos(math.radians(angle_deg))) < 3


@given(st.integers(300000, 700000), st.integers(200000, 650000), st.integers(15000, 60000))
@example(519888, 415148, 29806)
def test_bme280_against_doubles(raw_t: int, raw_p: int, raw_h: int) -> None:
    """The 32-bit formulas stay within 0.01 C, 8 Pa and 0.02 % of the datasheet's doubles, over its whole range."""
    t_fine = DOUBLES.fine(raw_t)
    pressure = DOUBLES.pascal(raw_p, t_fine)
    assume(-4000 <= t_fine / 51.2 <= 8500)
    fine = bme280.fine_temp(EXAMPLE, raw_t)
    assert abs(((fine * 5 + 128) >> 8) - t_fine / 51.2) <= 1
    if 30000 <= pressure <= 110000:
        assert abs(bme280.compensate_pressure(EXAMPLE, raw_p, fine) - pressure) <= 8
    humidity = min(max(DOUBLES.humidity(raw_h, t_fine), 0), 100)
    assert abs(bme280.compensate_humidity(EXAMPLE, raw_h, fine) - 100 * humidity) <= 2


def wrap(value: int) -> int:
    """Return what a signed 32-bit variable of C would hold."""
    return (value + 2**31) % 2**32 - 2**31


@given(st.integers(300000, 700000), st.integers(15000, 65535))
def test_bme280_fits_the_32_bits_of_the_c_code(raw_t: int, raw_h: int) -> None:
    """The widest products of the humidity formula, whose C code has 32 bits, stay inside them with real constants."""
    t = bme280.fine_temp(EXAMPLE, raw_t) - 76800
    assume(-51200 * 4 - 76800 <= t <= 51200 * 8.5 - 76800)
    h1, h2, h3, h4, h5, h6 = EXAMPLE[12:]
    left = ((raw_h << 14) - (h4 << 20) - h5 * t + 16384) >> 15
    slope = (((t * h6) >> 10) * (((t * h3) >> 11) + 32768) >> 10) + 2097152
    right = (slope * h2 + 8192) >> 14
    for product in (raw_h << 14, left * right, slope * h2, h5 * t):
        assert wrap(product) == product
    value = left * right
    assert wrap(((value >> 15) * (value >> 15) >> 7) * h1) == ((value >> 15) * (value >> 15) >> 7) * h1

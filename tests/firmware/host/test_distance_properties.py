"""Bounds and orders of statistics and distance, and the speed of sound against a double oracle."""

import math
import statistics

from hypothesis import given
from hypothesis import strategies as st

from firmware.core import distance, stats

values = st.lists(st.integers(-100000, 100000), min_size=1, max_size=15)
codes = st.sampled_from(["no-echo", "no-answer", "stuck", "out-of-range", "bad-frame"])
pings = st.lists(st.integers(0, 9000) | codes, max_size=11)


@given(values)
def test_median_agrees_with_the_standard_library(some: list[int]) -> None:
    """The integer median is the exact one rounded down."""
    assert stats.median(some) == math.floor(statistics.median(some))


@given(values)
def test_reject_keeps_the_median_of_an_odd_count(some: list[int]) -> None:
    """What is kept is a sub-sequence that holds the middle value, and rejection is not touched by order."""
    odd = some if len(some) % 2 else some[:-1] or [0]
    kept = stats.reject(odd)
    assert stats.median(odd) in kept
    left = iter(odd)
    assert all(value in left for value in kept)
    assert sorted(stats.reject(sorted(odd))) == sorted(kept)


@given(st.integers(100, 36000), st.integers(-20, 60))
def test_speed_of_sound_against_the_double_oracle(echo_us: int, temp_c: int) -> None:
    """Within 0.4 % and the rounded millimetre of 331.3 * sqrt(1 + T / 273.15) over the whole range."""
    oracle_mm = echo_us / 2000 * 331.3 * math.sqrt(1 + temp_c / 273.15)
    assert abs(distance.echo_mm(echo_us, temp_c) - oracle_mm) <= 1 + 0.004 * oracle_mm


@given(st.integers(0, 36000), st.integers(-20, 59))
def test_farther_and_warmer_never_is_nearer(echo_us: int, temp_c: int) -> None:
    """Distance grows with the time of the echo and with the temperature."""
    here = distance.echo_mm(echo_us, temp_c)
    assert distance.echo_mm(echo_us + 1, temp_c) >= here
    assert distance.echo_mm(echo_us, temp_c + 1) >= here


@given(st.integers(-4000, 12500))
def test_compensation_stays_in_its_range(temp_cdeg: int) -> None:
    """Whatever is measured, the formula gets whole degrees from -20 to 60, and knows when that was not the truth."""
    temp_c, is_measured = distance.sound_c(temp_cdeg)
    assert -20 <= temp_c <= 60
    assert not is_measured or abs(temp_c * 100 - temp_cdeg) <= 50


@given(pings, st.booleans())
def test_a_distance_has_a_majority_behind_it(some: list[int | str], is_compensated: bool) -> None:
    """A distance lies between the limits and near more than half of all pings; without one a state says why."""
    distance_mm, quality, state = distance.summarise(some, 250, 4500, is_compensated)
    assert 0 <= quality <= 4
    if distance_mm is None:
        assert quality <= 2
        assert state in {"no-echo", "obstructed", "sensor-fault"}
        return
    assert state == "ok"
    assert quality >= 3
    assert 250 <= distance_mm <= 4500
    near = [p for p in some if isinstance(p, int) and abs(p - distance_mm) <= max(120, distance_mm // 8)]
    assert len(near) * 2 > len(some)


@given(
    st.lists(st.integers(-10, 10), min_size=8, max_size=8),
    st.integers(300, 2000),
    st.integers(0, 9000),
    st.integers(0, 8),
)
def test_one_wild_ping_in_nine_moves_little(noise: list[int], true_mm: int, wild: int, place: int) -> None:
    """One arbitrary ping among nine moves the distance by less than the noise of the others: under 2 % of a metre."""
    some = [true_mm + n for n in noise]
    some.insert(place, wild)
    distance_mm, _, state = distance.summarise(some, 250, 4500)
    assert state == "ok"
    assert distance_mm is not None
    assert abs(distance_mm - true_mm) <= 10


@given(pings, st.randoms())
def test_the_order_of_pings_means_nothing(some: list[int | str], random) -> None:
    """A shuffled list gives the same answer."""
    shuffled = list(some)
    random.shuffle(shuffled)
    assert distance.summarise(shuffled, 250, 4500) == distance.summarise(some, 250, 4500)

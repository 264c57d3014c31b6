"""Settling of heaps: bounded, never backwards, falling with weight, water and time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators import heap
from simulators.waste import KINDS, NL_PER_L, first_masses_mg, loose_nl

MASSES = st.lists(st.integers(0, 20_000_000), min_size=len(KINDS), max_size=len(KINDS))
SHARE = st.floats(0, 1)
FLOOR_M2 = np.array([120 / 740])  # 120 l to the rim over 740 mm of height


def rest(masses, water_mg=0.0, wet=0.0) -> float:
    mass = np.array([masses], dtype=np.int64)
    stress = heap.stress_pa(mass.sum(axis=1) + round(water_mg), FLOOR_M2)
    return float(heap.rest_ratio(heap.mixture(mass), stress, np.array([wet]))[0])


def test_stress_at_half_height_by_hand():
    """40 kg on 0.2 m2: 40 * 9.81 / 0.2 = 1962 Pa on the floor, half of it at half height."""
    assert heap.stress_pa(np.array([40_000_000]), np.array([0.2]))[0] == pytest.approx(981.0)


@given(MASSES, st.floats(0, 5e7), SHARE)
def test_rest_is_bounded_and_falls_with_weight_and_water(masses, water_mg, wet):
    """The ratio at rest lies in (0, 1]; more water on the same waste never makes it larger."""
    dry = rest(masses)
    soaked = rest(masses, water_mg, wet)
    assert 0 < soaked <= dry <= 1
    assert soaked >= min((1 - k.yields) * (1 - k.collapses) for k in KINDS) * 0.9


@given(MASSES.filter(any), st.integers(2, 50))
def test_more_of_the_same_waste_stands_higher(masses, times):
    """A heap of the same mixture with more in it is never lower: weight presses, but not below what lies under it."""
    more = [mass * times for mass in masses]
    assert rest(masses) * sum_nl(masses) <= rest(more) * sum_nl(more) * (1 + 1e-12)


def sum_nl(masses) -> int:
    return int(loose_nl(np.array(masses, dtype=np.int64)))


@given(st.integers(0, heap.RATIO_UNIT), SHARE, st.lists(SHARE, min_size=1, max_size=6))
def test_settling_never_turns_back_and_stops_at_the_rest(ratio, rest_at, shares):
    """Step by step a heap only sinks, and never below where it comes to rest."""
    now = np.array([ratio])
    for share in shares:
        then = heap.settled(now, np.array([rest_at]), share)
        assert then[0] <= now[0]
        assert then[0] >= min(now[0], int(rest_at * heap.RATIO_UNIT)) - 1
        now = then


def test_settling_takes_its_time():
    """After the settling time 63 % of the way is gone, whatever the steps are."""
    share = 1 - np.exp(-1 / 30)
    now = np.array([heap.RATIO_UNIT])
    for _ in range(30):
        now = heap.settled(now, np.array([0.5]), share)
    assert now[0] / heap.RATIO_UNIT == pytest.approx(1 - 0.5 * (1 - np.exp(-1)), abs=1e-6)


@given(
    st.integers(heap.RATIO_UNIT // 5, heap.RATIO_UNIT),
    st.integers(0, 300 * NL_PER_L),
    st.integers(0, 5 * NL_PER_L),
)
def test_what_falls_on_a_heap_keeps_the_heap_below(ratio, loose, added):
    """The volume after is the volume before and the loose volume that came, but for the last digit of the ratio."""
    before = heap.volume_l(np.array([ratio]), np.array([loose]))[0]
    joined = heap.joined(np.array([ratio]), np.array([loose]), np.array([added]))
    after = heap.volume_l(joined, np.array([loose + added]))[0]
    assert after == pytest.approx(before + added / NL_PER_L, abs=1e-6)
    assert 0 < joined[0] <= heap.RATIO_UNIT


def test_a_full_bin_of_usual_waste_settles_by_a_tenth_to_a_third():
    """What the constants amount to: 100 l of usual waste in 120 l come to rest between 65 and 90 l."""
    masses = first_masses_mg(np.array([100 * NL_PER_L]))[0]
    assert 0.65 <= rest(masses) <= 0.9
    assert rest(masses, wet=1.0) < rest(masses) - 0.05

"""Mishaps: a pure function of seed and time, as many as ordered."""

import itertools
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.mishaps import HOUR_S, Mishaps, hour_factor
from simulators.scenario_sections import MISHAPS, MishapRates, PlannedMishap
from tests.unit.simulators.some_square import mishaps as ordered

ZONE = ZoneInfo("Asia/Jakarta")
DAY_S = 86_400
START_S = 1_795_500_000.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.floats(0, 5 * DAY_S), min_size=1, max_size=6))
def test_cutting_time_changes_nothing(seed, cuts):
    """What happens in five days is what happens in their pieces, in order, asked forwards or backwards."""
    edges = [0.0, *sorted(cuts), 5.0 * DAY_S]
    whole = Mishaps(seed=seed, zone=ZONE).between(START_S, START_S + 5 * DAY_S)
    other = Mishaps(seed=seed, zone=ZONE)
    pieces = [other.between(START_S + a, START_S + b) for a, b in reversed(list(itertools.pairwise(edges)))]
    assert [mishap for piece in reversed(pieces) for mishap in piece] == list(whole)
    assert all(whole[i].at_s <= whole[i + 1].at_s for i in range(len(whole) - 1))


@pytest.mark.parametrize("kind", MISHAPS)
def test_hours_of_a_kind_average_to_its_rate(kind):
    """The shape of the day moves mishaps within the day and leaves their number alone."""
    factors = [hour_factor(kind, hour) for hour in range(24)]
    assert sum(factors) == pytest.approx(24)
    assert min(factors) >= 0


def test_as_many_happen_as_the_rate_says():
    """Six waste pickers a day are 480 in 80 days, within four standard deviations; a rate of zero is none."""
    rates = replace(MishapRates(), scavengers_per_day=6.0, tipped_per_day=0.0)
    found = Mishaps(rates, seed=3, zone=ZONE).between(START_S, START_S + 80 * DAY_S)
    visits = [mishap for mishap in found if mishap.kind == "scavenged"]
    assert abs(len(visits) - 480) < 4 * 480**0.5
    assert not any(mishap.kind == "tipped" for mishap in found)
    by_day = [mishap for mishap in visits if 4 <= (mishap.at_s / HOUR_S + 7) % 24 < 11]
    assert len(by_day) > 0.6 * len(visits)  # 2.4 times as often in 7 of 24 hours: 70 %
    assert ordered().between(START_S, START_S + 80 * DAY_S) == ()


def test_ordered_mishaps_happen_when_they_are_ordered():
    """A planned mishap keeps its moment and bin, beside those that are drawn."""
    fire = PlannedMishap(START_S + 100.5, "fire", "bin-007")
    rates = replace(MishapRates(), planned=(fire, PlannedMishap(START_S + 50, "tipped")))
    mishaps = Mishaps(rates, seed=3, zone=ZONE)
    tipped, burning = mishaps.between(START_S + 50, START_S + 101)
    assert (tipped.kind, tipped.bin_id) == ("tipped", "")
    assert (burning.at_s, burning.kind, burning.bin_id) == (START_S + 100.5, "fire", "bin-007")
    assert mishaps.between(START_S + 50.001, START_S + 100.5) == ()
    assert 0 <= tipped.chooses < 1

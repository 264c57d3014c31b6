"""Means and their intervals, against tables and against chance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.contest.intervals import interval, t_quantile

TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 9: 2.262, 10: 2.228, 19: 2.093, 30: 2.042, 100: 1.984}
"""Student's t, two-sided 95 % (any book)."""


@pytest.mark.parametrize(("freedom", "quantile"), TABLE.items())
def test_quantiles_are_those_of_the_books(freedom, quantile):
    """To the three digits that are printed."""
    assert t_quantile(0.975, freedom) == pytest.approx(quantile, abs=6e-4)


def test_intervals_cover_as_often_as_they_say():
    """Of 2,000 samples of 5 from a normal distribution, 95 % of the intervals hold the true mean (+- 3 sigma)."""
    rng = np.random.default_rng(1)
    hits = sum(low <= 10 <= high for _, low, high in (interval(rng.normal(10, 3, 5).tolist()) for _ in range(2000)))
    assert hits / 2000 == pytest.approx(0.95, abs=3 * (0.95 * 0.05 / 2000) ** 0.5)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_the_mean_lies_inside_and_counts_are_not_negative(values):
    """For any counts."""
    mean, low, high = interval(values)
    assert 0 <= low <= mean + 1e-6
    assert mean <= high + 1e-6


def test_a_difference_may_be_negative():
    """Only counts are cut at 0."""
    assert interval([-1.0, 1.0], is_count=False).low < 0 <= interval([-1.0, 1.0]).low


def test_one_seed_claims_nothing():
    """Without a second run there is no interval: its ends are the mean."""
    assert interval([7.0]) == (7.0, 7.0, 7.0)

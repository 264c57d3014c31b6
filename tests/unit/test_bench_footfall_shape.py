"""Distances between shapes of days, and how the counts of Melbourne are read."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.footfall_shape import (
    FILE,
    PARK,
    Counts,
    compare,
    day_kind,
    hours_apart,
    read_melbourne,
    total_variation,
    totals_apart,
)
from tests.unit.simulators.reference import reference_file

shapes = st.lists(st.integers(0, 100), min_size=24, max_size=24).filter(any).map(lambda v: np.array(v) / sum(v))


def at(hour: int) -> np.ndarray:
    return np.eye(24)[hour]


@given(shapes, shapes, shapes)
def test_distances_are_distances(p, q, r):
    """Zero to itself, the same both ways, no detour is shorter; bounded by one and by half a day."""
    for apart, most in ((total_variation, 1.0), (hours_apart, 12.0)):
        assert apart(p, p) == 0.0
        assert apart(p, q) == pytest.approx(apart(q, p))
        assert apart(p, q) <= apart(p, r) + apart(r, q) + 1e-9
        assert apart(p, q) <= most + 1e-9


@pytest.mark.parametrize(("a", "b", "apart_h"), [(3, 5, 2), (23, 1, 2), (0, 12, 12), (6, 18, 12)])
def test_a_crowd_that_comes_later_is_so_many_hours_apart(a, b, apart_h):
    """Everybody moved by hours: that many, the short way around the clock, and nothing in common."""
    assert hours_apart(at(a), at(b)) == pytest.approx(apart_h)
    assert total_variation(at(a), at(b)) == 1.0


def test_totals_apart_is_the_mean_shift():
    """A sample moved by 0.5 is 0.5 apart, whatever the sizes of the samples."""
    sample = np.linspace(0.0, 2.0, 700)
    assert totals_apart(sample, sample + 0.5) == pytest.approx(0.5)
    assert totals_apart(sample, sample[::7]) < 0.01


def test_a_model_that_is_the_park_is_at_no_distance():
    """The comparison finds the planted twin, and the flat day is farther."""
    days = [date(2015, 12, 1) + timedelta(days=i) for i in range(60)]
    hours = {(day, h): 10.0 + h * (2 + day.weekday()) for day in days for h in range(24)}
    park = Counts.of(hours)
    twin = Counts.of({key: 3.0 * count for key, count in hours.items()})
    found = compare({PARK: park}, twin, twin)
    assert max(v for name, v in found["simulator"].items() if name.startswith(("tv", "hours"))) < 1e-12
    assert found["simulator"]["days_apart"] < 1e-12
    assert found["flat day"]["tv_Sunday"] > 0.1
    assert found["simulator"]["week_ratio"] == pytest.approx(park.week_ratio())


def test_a_missing_hour_is_not_zero():
    """A day with a gap gives no total, and the gap does not pull the mean of its hour down."""
    hours = {(date(2015, 6, d), h): 5.0 for d in (1, 2) for h in range(24)}
    del hours[date(2015, 6, 1), 7]
    counts = Counts.of(hours)
    assert counts.shape("weekday") == pytest.approx(np.full(24, 1 / 24))
    assert counts.day_totals().tolist() == [1.0]
    assert [day_kind(date(2015, 6, d)) for d in (1, 6, 7)] == ["weekday", "Saturday", "Sunday"]


@pytest.mark.reference
def test_the_park_is_read_as_its_description_says():
    """Rows, gaps, busiest hour, mean of weekdays and weekends and the maximum of the event park."""
    park = read_melbourne(reference_file(str(FILE)))[PARK]
    assert np.count_nonzero(~np.isnan(park.people)) == 14_566
    means = [round(float(np.nanmean(park.of_kind(kind).people))) for kind in ("weekday", "Saturday", "Sunday")]
    assert means[0] == 420
    assert (means[1] + means[2]) / 2 == pytest.approx(689, abs=3)
    by_hour = np.nanmean(park.people, axis=0)
    assert (int(by_hour.argmax()), round(float(by_hour.max()))) == (18, 1145)
    assert np.nanmax(park.people) == 11_273
    assert park.peak() == pytest.approx(22.7, abs=0.05)

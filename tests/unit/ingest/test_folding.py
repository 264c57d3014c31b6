"""The arithmetic of roll-ups: exact, and the same in whichever order and pieces the readings come."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.folding import DAY_MS, HOUR_MS, day_points, floor_day, hour_points
from ingest.store import FieldValue, Point

T0_MS = floor_day(1_795_500_000_000, 25_200)
VALUES = st.floats(-1e6, 1e6, allow_subnormal=False)


def reading(ts_ms: int, asset: str = "bin-01", *, seq: int = 1, **values: FieldValue) -> Point:
    fields: dict[str, FieldValue] = {"state": "ok", "quality": 4, "flags": 0, "boot": 7, "seq": seq}
    return Point("bin", {"site": "alun", "asset": asset, "device": f"d-{asset}", "zone": "u"}, ts_ms, fields | values)


def hours_of(readings: list[Point]) -> list[Point]:
    starts = sorted({point.ts_ms // HOUR_MS * HOUR_MS for point in readings})
    return [p for s in starts for p in hour_points(s, [r for r in readings if s <= r.ts_ms < s + HOUR_MS])]


def test_an_hour_holds_mean_extremes_and_count_of_what_was_measured():
    """Text and identity are not rolled up; a quantity that one reading lacks is counted without it."""
    (point,) = hour_points(
        T0_MS, [reading(T0_MS + 1, fill_pct=10.0, temp_c=30.0, seq=1), reading(T0_MS + 2, fill_pct=40.0, seq=2)]
    )
    assert (point.measurement, point.ts_ms) == ("bin_1h", T0_MS)
    assert point.tags == {"site": "alun", "asset": "bin-01", "device": "-", "zone": ""}
    assert point.fields == {
        "fill_pct_mean": 25.0,
        "fill_pct_min": 10.0,
        "fill_pct_max": 40.0,
        "fill_pct_count": 2.0,
        "fill_pct_last": 40.0,
        "temp_c_mean": 30.0,
        "temp_c_min": 30.0,
        "temp_c_max": 30.0,
        "temp_c_count": 1.0,
    }


def test_an_asset_that_measured_nothing_has_no_point():
    """States without a value leave the hour missing: never a 0."""
    assert hour_points(T0_MS, [reading(T0_MS, seq=1), reading(T0_MS + 1, seq=2)]) == []
    assert hour_points(T0_MS, []) == []
    assert day_points(T0_MS, []) == []


def test_a_swapped_device_continues_the_hour_of_its_asset():
    """Both devices of an asset make one point."""
    other = reading(T0_MS + 5, fill_pct=30.0)
    other.tags["device"] = "d-new"
    (point,) = hour_points(T0_MS, [reading(T0_MS, fill_pct=10.0), other])
    assert (point.fields["fill_pct_mean"], point.fields["fill_pct_last"]) == (20.0, 30.0)


@given(st.lists(VALUES, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_the_order_of_arrival_changes_nothing(values: list[float], rng: random.Random):
    """Bit for bit: sums are rounded once."""
    readings = [reading(T0_MS + n, fill_pct=v, seq=n) for n, v in enumerate(values)]
    shuffled = rng.sample(readings, len(readings))
    assert hour_points(T0_MS, shuffled) == hour_points(T0_MS, readings)


@given(st.dictionaries(st.integers(0, DAY_MS - 1), VALUES, min_size=1, max_size=60))
def test_the_mean_of_the_hours_by_their_counts_is_the_mean_of_the_day(values: dict[int, float]):
    """A day made of hours says of the readings what they say themselves: mean, extremes, count, last."""
    readings = [reading(T0_MS + at, fill_pct=v, seq=n) for n, (at, v) in enumerate(sorted(values.items()))]
    (day,) = day_points(T0_MS, hours_of(readings))
    exact = math.fsum(values.values()) / len(values)
    assert day.fields["fill_pct_mean"] == pytest.approx(exact, rel=1e-9, abs=1e-6)
    assert day.fields["fill_pct_min"] == min(values.values())
    assert day.fields["fill_pct_max"] == max(values.values())
    assert day.fields["fill_pct_count"] == len(values)
    assert day.fields["fill_pct_last"] == values[max(values)]


@given(st.lists(VALUES, min_size=1, max_size=30))
def test_a_mean_lies_between_the_extremes(values: list[float]):
    """Rounding never pushes a mean out of the range of its own values, in hours nor days."""
    (hour,) = hour_points(T0_MS, [reading(T0_MS + n, temp_c=v) for n, v in enumerate(values)])
    assert min(values) <= hour.fields["temp_c_mean"] <= max(values)  # type: ignore[operator]
    (day,) = day_points(T0_MS, [hour])
    assert min(values) <= day.fields["temp_c_mean"] <= max(values)  # type: ignore[operator]


@pytest.mark.parametrize(("offset_s", "begins_at"), [(0, 0), (25_200, 17), (-18_000, 5), (32_400, 15)])
def test_days_begin_at_midnight_of_the_site(offset_s: int, begins_at: int):
    """UTC+7 begins its day at 17.00 UTC; the offset is a parameter."""
    start_ms = floor_day(1_795_500_000_000, offset_s)
    assert start_ms % DAY_MS == begins_at * HOUR_MS
    assert start_ms <= 1_795_500_000_000 < start_ms + DAY_MS

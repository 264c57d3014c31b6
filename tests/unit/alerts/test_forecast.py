"""Fill rate and time to full."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.domain.forecast import MAX_POINTS, NO_FORECAST, Rate, fill_rate, reaches

HOUR_MS = 3_600_000


def line(slope_pct_h: float, count: int = 7, start_pct: float = 10.0, step_min: int = 10) -> list[tuple[int, float]]:
    return [(k * step_min * 60_000, start_pct + slope_pct_h * k * step_min / 60) for k in range(count)]


def test_a_straight_line_is_found_exactly() -> None:
    """12 %/h over an hour from 10 %: the rate is 12 and the last value 22."""
    rate = fill_rate(line(12.0))
    assert rate is not None
    assert (rate.pct_h, rate.fill_pct, rate.at_ms) == (pytest.approx(12.0), pytest.approx(22.0), HOUR_MS)


def test_wild_readings_do_not_bend_the_rate() -> None:
    """Two wild values among nine leave the slope within 5 %."""
    points = line(12.0, count=9)
    points[3] = (points[3][0], 95.0)
    points[6] = (points[6][0], 0.0)
    rate = fill_rate(points)
    assert rate is not None
    assert rate.pct_h == pytest.approx(12.0, rel=0.05)


@pytest.mark.parametrize(
    "points", [[], line(12.0, count=1), line(12.0, count=3, step_min=60), line(12.0, count=6, step_min=5)]
)
def test_too_little_to_say(points: list[tuple[int, float]]) -> None:
    """No reading, one, fewer than four, or less than half an hour: no rate."""
    assert fill_rate(points) is None


def test_repeated_times_are_no_division_by_zero() -> None:
    """Readings of one instant give no rate instead of an error."""
    assert fill_rate([(0, 1.0), (0, 2.0), (0, 3.0), (0, 4.0)]) is None


def test_a_falling_bin_has_rate_zero_and_no_forecast() -> None:
    """Settling waste is not negative filling."""
    rate = fill_rate(line(-3.0, start_pct=50.0))
    assert rate is not None
    assert rate.pct_h == 0.0
    assert reaches(rate, 85.0) == NO_FORECAST


def test_time_to_full_by_hand() -> None:
    """From 25 % at 20 %/h to 85 % takes 60/20 = 3 h."""
    assert reaches(Rate(20.0, 0.0, HOUR_MS, 25.0), 85.0).at_ms == 4 * HOUR_MS


def test_early_middle_late_are_in_order_and_open_at_the_end() -> None:
    """P10 <= middle <= P90; a rate whose slow end is zero has no P90."""
    sure = reaches(Rate(20.0, 2.0, 0, 25.0), 85.0)
    assert sure.p10_ms is not None
    assert sure.at_ms is not None
    assert sure.p90_ms is not None
    assert sure.p10_ms < sure.at_ms < sure.p90_ms
    assert reaches(Rate(20.0, 20.0, 0, 25.0), 85.0).p90_ms is None


def test_beyond_two_days_nothing_is_promised() -> None:
    """1 %/h from 25 % would be 60 h: no forecast."""
    assert reaches(Rate(1.0, 0.0, 0, 25.0), 85.0) == NO_FORECAST
    assert reaches(None, 85.0) == NO_FORECAST


def test_the_band_by_hand() -> None:
    """60 points at 20/h with a noise of 50 an hour: the ends are the hours at which 1.28 sigma stand on the target."""
    found = reaches(Rate(20.0, 0.0, 0, 25.0, noise_pct2_h=50.0), 85.0)
    assert found.p10_ms is not None
    assert found.p90_ms is not None
    for at_ms, sign in ((found.p10_ms, 1), (found.p90_ms, -1)):
        hours = at_ms / HOUR_MS
        assert 20.0 * hours + sign * 1.28155 * (50.0 * hours) ** 0.5 == pytest.approx(60.0, abs=0.01)


def test_bursts_that_last_are_noisier_than_single_steps() -> None:
    """Three fast readings after three slow ones have more noise than fast and slow by turns."""
    steps = ([1.0] * 3 + [5.0] * 3) * 3, [1.0, 5.0] * 9
    lasting, changing = (fill_rate([(k * 600_000, sum(way[:k])) for k in range(len(way) + 1)]) for way in steps)
    assert lasting is not None
    assert changing is not None
    assert lasting.noise_pct2_h > 1.2 * changing.noise_pct2_h


def test_an_even_line_has_no_noise() -> None:
    """Waste that comes evenly leaves only the doubt of the rate."""
    rate = fill_rate(line(12.0))
    assert rate is not None
    assert rate.noise_pct2_h == pytest.approx(0.0, abs=1e-9)


@given(st.floats(0.5, 40), st.floats(0, 40), st.floats(0, 80), st.floats(0, 500), st.floats(0, 500))
def test_more_noise_widens_the_band_around_the_same_middle(
    pct_h: float, sd_pct_h: float, fill_pct: float, noise: float, more: float
) -> None:
    """The early end only comes earlier, the late end only later or none; the middle lies between and stays."""
    narrow = reaches(Rate(pct_h, sd_pct_h, 0, fill_pct, noise), 85.0)
    wide = reaches(Rate(pct_h, sd_pct_h, 0, fill_pct, noise + more), 85.0)
    assert narrow.at_ms == wide.at_ms
    if narrow.at_ms is None or narrow.p10_ms is None or wide.p10_ms is None:
        return
    assert 0 < wide.p10_ms <= narrow.p10_ms + 1
    assert narrow.p10_ms <= narrow.at_ms + 1
    for found in (narrow, wide):
        assert found.p90_ms is None or found.p90_ms >= narrow.at_ms - 1
    if wide.p90_ms is not None:
        assert narrow.p90_ms is not None
        assert wide.p90_ms >= narrow.p90_ms - 1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 48 * HOUR_MS), st.floats(0, 120, allow_nan=False)),
        max_size=3 * MAX_POINTS,
        unique_by=lambda point: point[0],
    )
)
def test_no_input_breaks_the_forecast(points: list[tuple[int, float]]) -> None:
    """Any set of readings gives None or a rate of at least 0 with ordered times."""
    rate = fill_rate(sorted(points))
    if rate is None:
        return
    assert rate.pct_h >= 0
    assert rate.sd_pct_h >= 0
    found = reaches(rate, 85.0)
    times = [at for at in (found.p10_ms, found.at_ms, found.p90_ms) if at is not None]
    assert times == sorted(times)

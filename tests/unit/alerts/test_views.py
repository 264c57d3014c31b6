"""Shapes that leave the store: stale is never fresh, zero is not missing."""

import pytest

from alerts.views import air_view, bin_view, crew_view, is_stale, unheard


@pytest.mark.parametrize(("age_s", "stale"), [(0, False), (1200, False), (1200.001, True)])
def test_a_value_is_stale_after_two_intervals(age_s: float, stale: bool) -> None:
    """With a report every 600 s a value is shown as current for 1200 s and not longer."""
    assert is_stale(0, 600, round(age_s * 1000)) is stale


def test_a_missing_value_is_stale() -> None:
    """Never heard is never fresh."""
    assert is_stale(None, 600, 0)


def test_zero_is_not_missing() -> None:
    """An empty bin reads 0 %, a bin without a reading reads nothing."""
    row = unheard("bin-1", "bin", None)
    assert bin_view(row, 600, 0)["fill_pct"] is None
    assert bin_view(row | {"values": {"fill_pct": 0.0}}, 600, 0)["fill_pct"] == 0.0


def test_air_is_always_indicative() -> None:
    """No value of a low-cost station leaves without saying so."""
    row = unheard("air-1", "air", None)
    assert air_view(row, 300, 0)["indicative"] is True
    assert air_view(row | {"values": {"ispu": 74}}, 300, 0)["indicative"] is True


@pytest.mark.parametrize(("on_shift", "tasks", "shown"), [(True, 1, 112.9), (True, 0, None), (False, 1, None)])
def test_where_a_person_is_shows_only_at_work(on_shift: bool, tasks: int, shown: float | None) -> None:
    """A position needs a shift and a task (UU 27/2022)."""
    row = {"id": "c", "name": "C", "shift": "pagi", "lon": 112.9, "lat": -7.6, "position_ms": 5}
    view = crew_view(row, on_shift=on_shift, open_tasks=tasks)
    assert view["lon"] == shown
    assert (view["position_ms"] is None) is (shown is None)

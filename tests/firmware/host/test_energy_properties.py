"""Orders of the battery model."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from firmware.core import energy

wakes = st.integers(1, 1440)
configs = st.builds(
    SimpleNamespace,
    interval_s=st.integers(10, 86400),
    night_interval_s=st.integers(10, 86400),
    night_from_min=st.integers(0, 1439),
    night_to_min=st.integers(0, 1439),
    send_every=st.integers(1, 48),
    sleep=st.sampled_from(["deep", "awake"]),
    battery_mah=st.integers(100, 50000),
    active_ma=st.integers(10, 500),
    sleep_ua=st.integers(1, 20000),
    parts=st.sampled_from([{}, {"pm": {"type": "pms5003"}}, {"pm": {"type": "pms5003", "warm_s": 60}}]),
)


@given(st.integers(0, 6000), st.integers(1, 200))
def test_a_higher_voltage_never_means_less(battery_mv: int, more_mv: int) -> None:
    """Capacity left is monotone and within 0..100."""
    low, high = energy.capacity_left_pct(battery_mv), energy.capacity_left_pct(battery_mv + more_mv)
    assert 0 <= low <= high <= 100


@given(wakes, st.integers(1, 120), st.integers(1, 500), st.integers(0, 20000), st.integers(0, 60))
def test_charge_against_floats(count: int, wake_s: int, active_ma: int, sleep_ua: int, fan_s: int) -> None:
    """The integer sum is the float one to half a microampere-hour (fan current to 0.01 mA)."""
    fan_ma = 100 * 5000 / (3700 * 0.95)
    wanted = (count * (wake_s * active_ma + fan_s * fan_ma) / 3600 + sleep_ua * 24 / 1000) * 1000
    slack = 1 + count * fan_s * 0.01 / 3.6
    assert abs(energy.uah_per_day(count, wake_s, active_ma, sleep_ua, fan_s) - wanted) <= slack


@given(st.integers(100, 50000), st.integers(1, 5000000), st.integers(0, 100), st.integers(0, 10))
def test_days_against_floats(capacity_mah: int, uah: int, left_pct: int, discharge_pct: int) -> None:
    """Days are the rounded quotient, never negative, never above a century."""
    days = energy.days_left(capacity_mah, uah, left_pct, 80, discharge_pct)
    wanted = capacity_mah * 1000 * left_pct / 100 * 0.8 / (uah + capacity_mah * 1000 * discharge_pct / 100 / 30)
    assert 0 <= days <= 36500
    assert abs(days - min(36500, wanted)) <= 0.5 + 1e-6 * wanted


@given(configs)
def test_the_parts_of_a_budget_are_its_total(config) -> None:
    """Nothing is lost or counted twice, and days left follow the charge of the cell."""
    budget = energy.budget(config)
    assert budget["total"] == budget["radio"] + budget["measure"] + budget["fan"] + budget["sleep"] > 0
    days = [energy.expected_days(config, mv) for mv in range(3200, 4300, 50)]
    assert days == sorted(days)
    assert days[-1] == energy.expected_days(config)


@given(configs, wakes)
def test_more_wakes_never_last_longer(config, count: int) -> None:
    """One wake more a day costs, or changes nothing where the node never sleeps."""
    assert energy.expected_days(config, None, count + 1) <= energy.expected_days(config, None, count)

"""Distances between fill cycles, how cycles are found, and how the real bins are read."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fill_cycles import (
    EDINBURGH,
    EXPONENTIAL,
    UNIFORM,
    WYNDHAM,
    Cycles,
    Square,
    compare,
    ks,
    of_daily,
    of_emptyings,
    pooled,
    read_edinburgh,
    read_wyndham,
    wasserstein,
    within,
)
from square.site import load_site
from tests.unit.simulators.reference import reference_file

samples = st.lists(st.floats(0.01, 100), min_size=5, max_size=40).map(np.array)


@given(samples, samples, samples)
def test_distances_are_distances(p, q, r):
    """Zero to itself, the same both ways, no detour is shorter; KS is at most one."""
    for apart in (ks, wasserstein):
        assert apart(p, p) == 0.0
        assert apart(p, q) == pytest.approx(apart(q, p))
        assert apart(p, q) <= apart(p, r) + apart(r, q) + 1e-9
    assert ks(p, q) <= 1.0


def test_distances_by_hand():
    """Moved by a half, half apart; the exponential and the uniform of mean one differ by what the books say.

    KS is sup |1 - exp(-x) - x/2|: at x = ln 2 it is 0.5 - 0.3466 = 0.1534; Wasserstein by quantiles: 0.3069.
    """
    sample = np.linspace(0.0, 2.0, 801)
    assert wasserstein(sample, sample + 0.5) == pytest.approx(0.5)
    assert ks(np.array([1.0, 2.0]), np.array([3.0])) == 1.0
    assert ks(EXPONENTIAL, UNIFORM) == pytest.approx(0.1534, abs=0.002)
    assert EXPONENTIAL.mean() == pytest.approx(1.0, abs=0.01)
    assert UNIFORM.mean() == pytest.approx(1.0)


def test_cycles_of_a_daily_series_by_hand():
    """Rises, emptyings and intervals of ten days with a gap: an interval over the gap is none."""
    first = date(2020, 1, 1)
    levels = [0, 4, 8, 0, 2, 10, 2, 2, 8, 0]
    days = [first + timedelta(days=i + (i > 6)) for i in range(10)]  # one day is missing after the seventh
    cycles = of_daily({"a": list(zip(days, levels, strict=True))})
    assert cycles.rises == {"a": [4, 4, 2, 8, 6]}
    assert cycles.levels == {"a": [8, 10, 8]}
    assert cycles.intervals == {"a": [3]}
    assert cycles.still == 0  # the only two equal levels stand on both sides of the gap


def test_cycles_of_emptyings_by_hand():
    """Hours between the emptyings of a bin, in any order of lines; levels go with them."""
    cycles = of_emptyings({"a": [(7200.0, 60.0), (0.0, 50.0), (10_800.0, 70.0)]})
    assert cycles.intervals == {"a": [2.0, 1.0]}
    assert cycles.levels == {"a": [50.0, 60.0, 70.0]}
    assert pooled(cycles.intervals).tolist() == pytest.approx([4 / 3, 2 / 3])


def test_within_takes_the_differences_between_bins_out():
    """Two bins with the same cycles at another pace are the same within, and not pooled; a bin with few is left out."""
    part = {"slow": [8.0, 12.0] * 3, "fast": [0.8, 1.2] * 3, "few": [100.0]}
    assert np.ptp(within(part)) == pytest.approx(0.4)
    assert within(part).size == 12
    assert np.ptp(pooled(part)) > 1


def test_a_model_that_is_the_real_thing_is_at_no_distance():
    """The comparison finds the planted twin, whatever its unit."""
    rng = np.random.default_rng(1)
    real = of_emptyings({str(i): [(float(t), 80.0) for t in rng.uniform(0, 1e6, 40)] for i in range(6)})
    twin = Cycles({n: [3 * v for v in values] for n, values in real.intervals.items()}, real.levels, real.rises)
    found = compare(real, {"twin": twin}, ["interval", "interval within a bin"])
    for rows in found.values():
        assert rows["twin"][0] == pytest.approx(0, abs=0.02)
        assert rows["twin"][1] == pytest.approx(0, abs=1e-6)
        assert rows["exponential"][1] > 0


def test_the_rules_empty_what_they_say():
    """Rounds visit each bin every second day; what the daily rule takes had shown 80 % some hours before."""
    site = load_site("alun-alun-pasuruan")
    rounds = Square(site, 4, 1).rounds()
    assert {len(levels) for levels in rounds.levels.values()} == {2}
    assert {hours for values in rounds.intervals.values() for hours in values} == {48.0}
    daily = Square(site, 5, 1)
    daily.daily()
    assert np.median([level for events in daily.emptied.values() for _, level in events]) > 78


def test_wyndham_is_read_without_its_faults():
    """As its page says: 31 bins; falls of eight tenths are 2,449 with the 30 over missing days and stuck runs kept."""
    cycles = read_wyndham(reference_file(str(WYNDHAM)))
    assert len(cycles.rises) == 31
    falls = [level for levels in cycles.levels.values() for level in levels]
    # 2,449 - 30 over gaps, 2,250 + 163 of which outside stuck runs, and 375 falls of six tenths that are emptyings.
    assert len(falls) == 2250 + 163 + 375
    assert min(falls) >= 6


def test_edinburgh_is_read_whole():
    """As its page says: 6,066 emptyings, 5,732 intervals with a median of 45.50 h, mean level 76.7188 on its scale."""
    cycles = read_edinburgh(reference_file(str(EDINBURGH)))
    hours = [value for values in cycles.intervals.values() for value in values]
    levels = [value for values in cycles.levels.values() for value in values]
    assert (len(levels), len(hours)) == (6066, 5732)
    assert np.median(hours) == pytest.approx(45.50, abs=0.01)
    assert np.mean(levels) / 0.8 == pytest.approx(76.7188, abs=1e-4)

"""Numbers by address: the same however they are asked for, and spread as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators import noise

NAMES = [f"rsk-b{i:04d}" for i in range(20_000)]
KEYS = noise.keys(1, "bin", NAMES)


def test_normal_and_uniform_have_the_moments_they_promise():
    """Mean, deviation and neighbouring draws are those of independent numbers, within 4 standard errors."""
    words = noise.draws(KEYS, noise.place_of(1_795_500_000.0), 3)
    normal, uniform = noise.normal(words), noise.uniform(words)
    assert np.abs(normal.mean(axis=0)).max() < 4 / 141
    assert normal.std(axis=0) == pytest.approx(1.0, abs=0.02)
    assert np.abs(normal).max() < 3.47
    assert uniform.mean(axis=0) == pytest.approx(0.5, abs=4 * 0.289 / 141)
    assert np.abs(np.corrcoef(normal.T) - np.eye(3)).max() < 4 / 141
    assert noise.quarters(words).mean() == pytest.approx(0.5, abs=0.01)


def test_neighbouring_moments_and_seeds_share_nothing():
    """Draws of the next minute, the next seed or another stream are uncorrelated."""
    here = noise.normal(noise.draws(KEYS, noise.place_of(60.0), 1))[:, 0]
    for key, at_s in ((KEYS, 120.0), (noise.keys(2, "bin", NAMES), 60.0), (noise.keys(1, "air", NAMES), 60.0)):
        there = noise.normal(noise.draws(key, noise.place_of(at_s), 1))[:, 0]
        assert abs(np.corrcoef(here, there)[0, 1]) < 4 / 141


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(-(2**40), 2**40))
def test_a_draw_does_not_depend_on_whom_it_is_drawn_with(which, place):
    """Any selection of keys, in any order, gives each key its own numbers; places before 1970 too."""
    chosen = np.array(which)
    alone = [noise.draws(KEYS[i : i + 1], noise.place_of(place / 1000), 4)[0].tolist() for i in which]
    assert noise.draws(KEYS[chosen], noise.place_of(place / 1000), 4).tolist() == alone
    assert noise.at_places(KEYS[chosen], np.full(len(which), place)).tolist() == [
        noise.at_places(KEYS[i : i + 1], np.array([place]))[0] for i in which
    ]


def test_smooth_noise_moves_in_straight_lines_between_its_steps():
    """At whole steps the deviation is 1, and three quarters of a way are three quarters of the change."""
    for step in (7.0, -3.0):
        at = np.full(len(KEYS), step)
        begin, end = noise.smooth(KEYS, at), noise.smooth(KEYS, at + 1)
        assert begin.std() == pytest.approx(1.0, abs=0.02)
        assert abs(np.corrcoef(begin, end)[0, 1]) < 4 / 141
        assert noise.smooth(KEYS, at + 0.75) == pytest.approx(begin + 0.75 * (end - begin))

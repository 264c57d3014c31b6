"""Kinds of waste: whole numbers, sane mixtures."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators import waste


def test_kinds_and_streams_fit_together():
    """Names are unique, each kind has a stream that bins of the plan can have, and all shares are shares."""
    assert len(waste.KIND_INDEX) == len(waste.KINDS)
    assert {kind.stream for kind in waste.KINDS} == set(waste.STREAMS)
    for name in ("yields", "collapses", "soft", "picked", "blows", "burns", "rots"):
        shares = waste.per_kind(name)
        assert np.all((shares >= 0) & (shares <= 1))
    assert waste.FIRST_FILL.keys() == waste.KIND_INDEX.keys()
    assert sum(waste.FIRST_FILL.values()) == pytest.approx(1)


def test_item_masses_have_their_mean():
    """The mean of many drawn items is the mean of their kind: the lognormal is centred by its mean, not its median."""
    for i, kind in enumerate(waste.KINDS):
        masses = waste.item_masses_mg(np.random.default_rng(3), np.full(40_000, i, dtype=np.int8))
        # The standard error of the mean is sqrt(exp(0.9**2) - 1) / 200 = 0.6 % at most.
        assert masses.mean() == pytest.approx(kind.item_g * 1000, rel=0.03)
        assert masses.min() >= 1


def test_the_page_has_every_kind_with_its_numbers():
    """The table of docs/simulator.md is the table of the code."""
    page = (Path(__file__).resolve().parents[3] / "docs/simulator.md").read_text(encoding="utf-8")
    for kind in waste.KINDS:
        cells = [f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in astuple(kind)]
        assert f"| {' | '.join(cells)} |" in page


@given(st.lists(st.lists(st.integers(0, 10**9), min_size=8, max_size=8), min_size=1, max_size=5))
def test_volumes_add_up_exactly(rows):
    """The volume of a sum of masses is the sum of their volumes, to the nanolitre."""
    masses = np.array(rows, dtype=np.int64)
    assert waste.loose_nl(masses).sum() == waste.loose_nl(masses.sum(axis=0))


@given(st.integers(0, 500 * waste.NL_PER_L))
def test_first_masses_fill_the_volume_that_was_asked_for(loose):
    """The usual mixture for a volume has that volume but for rounding: less than a milligram of each kind."""
    masses = waste.first_masses_mg(np.array([loose]))
    assert 0 <= loose - int(waste.loose_nl(masses)[0]) <= waste.NL_PER_MG.sum() + 1
    assert np.all(masses >= 0)

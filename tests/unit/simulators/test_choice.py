"""Choosing by weight."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.choice import Choice


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.lists(st.floats(0, 10), min_size=1, max_size=6), min_size=1, max_size=5),
    draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20),
)
def test_a_choice_stays_in_its_row_and_takes_nothing_of_no_weight(rows, draws):
    """Whatever the draw, the candidate belongs to the row and has a weight, unless none has."""
    candidates = [np.arange(len(row)) + 10 * i for i, row in enumerate(rows)]
    choice = Choice(candidates, [np.array(row) for row in rows])
    which = np.arange(len(draws)) % len(rows)
    for row, picked in zip(which, choice.pick(which, np.array(draws)), strict=True):
        index = int(picked) - 10 * int(row)
        assert 0 <= index < len(rows[row])
        assert rows[row][index] > 0 or sum(rows[row]) == 0 or rows[row][index] > 1e-12 * sum(rows[row])


def test_a_choice_follows_its_weights():
    """Weights 1, 3 and 0: a quarter, three quarters, never."""
    choice = Choice([np.arange(3), np.arange(3)], [np.ones(3), np.array([1.0, 3.0, 0.0])])
    draws = (np.arange(1000) + 0.5) / 1000
    picked = choice.pick(np.ones(1000, dtype=np.int64), draws)
    assert np.bincount(picked, minlength=3).tolist() == [250, 750, 0]

"""Choosing by weight, for many draws at once. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]


class Choice:
    """Weighted choice among the candidates of a row, for many draws at once.

    Parameters
    ----------
    candidates
        Of each row, the values to choose from; none may be empty.
    weights
        Of each row, one weight per candidate [>= 0]; all zero means all alike.
    """

    def __init__(self, candidates: Sequence[Ints], weights: Sequence[Reals]) -> None:
        self._values = np.concatenate(candidates)
        self._ends = np.cumsum([len(c) for c in candidates])
        self._starts = self._ends - [len(c) for c in candidates]
        sums = []
        for row, weight in enumerate(weights):
            positive = weight if weight.sum() > 0 else np.ones(len(weight))
            sums.append(row + np.cumsum(positive) / positive.sum())
        self._sums = np.concatenate(sums)

    def pick(self, rows: Ints, draws: Reals) -> Ints:
        """Choose in given rows by uniform draws [0..1) of the same shape."""
        at = np.searchsorted(self._sums, rows + draws, side="right")
        picked: Ints = self._values[np.clip(at, self._starts[rows], self._ends[rows] - 1)]
        return picked

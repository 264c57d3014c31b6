"""How a heap of waste settles: under its own weight, when it is wet, with time, and when somebody presses it down.

Pure. The heap of a bin is its loose volume times a ratio. The ratio of fresh waste is 1; it moves towards a resting
value that weight and water set, and never back: a heap does not grow by itself. All arithmetic is sums, products and
quotients, which every machine rounds in the same way.

The resting value falls with the stress at half height along a hyperbola: steep at first, never past its end. Shape and
constants are assumed; nobody has measured how litter bins settle.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulators.parameters import Parameter
from simulators.waste import MG_PER_KG, NL_PER_L, NL_PER_MG, Ints, per_kind_permille

Floats = npt.NDArray[np.float64]

PARAMETERS: Mapping[str, Parameter] = {
    "half_stress_pa": Parameter(120, "Pa", "assumed: stress at which half of what weight can press out is out"),
    "settling_h": Parameter(5, "h", "assumed: time in which a heap goes 63 % of the way to its rest"),
    "pressed_ratio": Parameter(0.6, "1", "assumed: a person pressing with a hand gets a heap down to this ratio"),
    "press_share": Parameter(0.04, "1", "assumed: part of the way that visitors press a full bin down in 10 min"),
}

RATIO_UNIT = 10**9
"""Ratios are kept in whole billionths: a state of whole numbers is the same on every machine."""

_GRAVITY_MPS2 = 9.81
_YIELDS = per_kind_permille("yields")
_COLLAPSES = per_kind_permille("collapses")
_ABSORBS = per_kind_permille("absorbs")


class Mixture(NamedTuple):
    """What a heap is made of, by the loose volume of its kinds; arrays (n,), 0 for an empty heap."""

    loose_nl: Ints
    yields: Floats
    collapses: Floats


def mixture(mass_mg: Ints) -> Mixture:
    """Return the mixture of heaps from masses (n, n_kinds) [mg]."""
    by_kind = mass_mg * NL_PER_MG
    loose = by_kind.sum(axis=1)
    whole = np.maximum(loose, 1) * 1000.0
    return Mixture(loose, (by_kind * _YIELDS).sum(axis=1) / whole, (by_kind * _COLLAPSES).sum(axis=1) / whole)


def holds_mg(mass_mg: Ints) -> Ints:
    """Return the water that heaps can hold [mg], from masses (n, n_kinds) [mg]."""
    held: Ints = (mass_mg * _ABSORBS).sum(axis=1) // 1000
    return held


def stress_pa(total_mg: Ints, floor_m2: Floats) -> Floats:
    """Return the stress at half height [Pa] of heaps of a mass [mg, water included] on floors of an area."""
    return total_mg / MG_PER_KG * _GRAVITY_MPS2 / (2.0 * floor_m2)


def rest_ratio(mix: Mixture, stress: Floats, wet: Floats) -> Floats:
    """Return the ratio of settled to loose volume at rest.

    Parameters
    ----------
    mix
        What the heaps are made of.
    stress
        At half height [Pa, >= 0].
    wet
        How soaked they are [0..1].

    Returns
    -------
    NDArray
        (n,), in (0, 1]; never grows with stress or wetness.
    """
    pressed = stress / (stress + PARAMETERS["half_stress_pa"].value)
    ratio: Floats = (1.0 - mix.yields * pressed) * (1.0 - mix.collapses * wet)
    return ratio


def settled(ratio: Ints, rest: Floats, share: float) -> Ints:
    """Let heaps go a share of the way to their rest.

    Parameters
    ----------
    ratio
        (n,), now [billionths].
    rest
        (n,), at rest [0..1].
    share
        Of the way [0..1].

    Returns
    -------
    NDArray
        (n,), then [billionths]: never more than now, and never below the rest by more than it was.
    """
    way = np.maximum(ratio - rest * RATIO_UNIT, 0.0)
    return ratio - np.rint(way * share).astype(np.int64)


def joined(ratio: Ints, loose_nl: Ints, added_nl: Ints) -> Ints:
    """Return the ratio of heaps [billionths] after loose waste fell on them; the waste below keeps its volume."""
    whole = loose_nl + added_nl
    mixed = (ratio * (loose_nl / RATIO_UNIT) + added_nl) / np.maximum(whole, 1)
    return np.where(whole > 0, np.rint(np.minimum(mixed, 1.0) * RATIO_UNIT), RATIO_UNIT).astype(np.int64)


def volume_l(ratio: Ints, loose_nl: Ints) -> Floats:
    """Return settled volumes [l]."""
    litres: Floats = (loose_nl / NL_PER_L) * (ratio / RATIO_UNIT)
    return litres

"""Kinds of waste that visitors of a square leave: how heavy, how bulky, how wet, what burns, smells, blows away.

Pure. Masses are whole milligrams and volumes whole nanolitres, so that sums of them are exact in any order. No figure
here was measured at a square; docs/simulator.md carries the table as assumptions.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

NL_PER_L = 10**9
MG_PER_KG = 10**6


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of waste; every number is assumed.

    Attributes
    ----------
    name : str
        Its name.
    stream : str
        Bin it belongs into: ``organic``, ``inorganic`` or ``residual``.
    density_gpl : int
        Mass of a litre of it, thrown in loosely [g/l].
    item_g : float
        Mean mass of what one hand drops [g].
    item_spread : float
        Sigma of the lognormal mass of an item.
    yields : float
        Share of its loose volume that weight on top can press out [0..1).
    collapses : float
        Share of its loose volume that is lost when it is soaked [0..1).
    absorbs : float
        Water that it can hold [g per g].
    soft : float
        Share of an ultrasonic ping that it swallows [0..1].
    picked : float
        Share of it that a waste picker takes from a bin that is searched [0..1].
    blows : float
        How easily wind takes it from the ground [0..1].
    burns : float
        Share of its mass that a fire can take [0..1].
    rots : float
        How much it smells, against leftovers of food [0..1].
    """

    name: str
    stream: str
    density_gpl: int
    item_g: float
    item_spread: float
    yields: float
    collapses: float
    absorbs: float
    soft: float
    picked: float
    blows: float
    burns: float
    rots: float


KINDS: tuple[Kind, ...] = (
    Kind("bottle", "inorganic", 32, 25.0, 0.5, 0.35, 0.00, 0.0, 0.10, 0.8, 0.3, 0.9, 0.0),
    Kind("can", "inorganic", 45, 16.0, 0.3, 0.20, 0.00, 0.0, 0.05, 0.9, 0.1, 0.0, 0.0),
    Kind("cup", "inorganic", 36, 10.0, 0.4, 0.45, 0.05, 0.0, 0.20, 0.5, 0.8, 0.9, 0.1),
    Kind("wrap", "inorganic", 30, 6.0, 0.6, 0.55, 0.30, 0.8, 0.50, 0.0, 1.0, 0.9, 0.1),
    Kind("rice-wrap", "residual", 70, 20.0, 0.5, 0.45, 0.35, 1.2, 0.45, 0.0, 0.5, 0.8, 0.5),
    Kind("food", "organic", 400, 80.0, 0.8, 0.15, 0.10, 0.2, 0.60, 0.0, 0.0, 0.2, 1.0),
    Kind("leaves", "organic", 200, 180.0, 0.9, 0.30, 0.15, 0.5, 0.80, 0.0, 0.1, 0.4, 0.3),
    Kind("residual", "residual", 100, 20.0, 0.8, 0.25, 0.15, 0.5, 0.30, 0.0, 0.2, 0.6, 0.2),
)
"""All kinds, in the order of every array over kinds."""

KIND_INDEX: Mapping[str, int] = {kind.name: i for i, kind in enumerate(KINDS)}
"""Place of each kind in `KINDS`."""

STREAMS: tuple[str, ...] = ("organic", "inorganic", "residual")
STREAM_OF_KIND: npt.NDArray[np.int8] = np.array([STREAMS.index(k.stream) for k in KINDS], dtype=np.int8)
"""(n_kinds,), index into `STREAMS`."""

NL_PER_MG: Ints = np.array([round(1e6 / k.density_gpl) for k in KINDS], dtype=np.int64)
"""(n_kinds,), loose volume of a milligram [nl], whole."""

FIRST_FILL: Mapping[str, float] = {
    "bottle": 0.26, "can": 0.02, "cup": 0.22, "wrap": 0.2, "rice-wrap": 0.12, "food": 0.06, "leaves": 0.05,
    "residual": 0.07,
}  # fmt: skip
"""Assumed shares of the loose volume of what lies in bins when a world begins."""


def per_kind(attribute: str) -> npt.NDArray[np.float64]:
    """Return one number of every kind, (n_kinds,)."""
    return np.array([getattr(kind, attribute) for kind in KINDS], dtype=np.float64)


def per_kind_permille(attribute: str) -> Ints:
    """Return one share of every kind in whole permille, (n_kinds,)."""
    return np.array([round(1000 * getattr(kind, attribute)) for kind in KINDS], dtype=np.int64)


_LOG_MEAN = np.array([math.log(k.item_g * 1000.0) - k.item_spread**2 / 2.0 for k in KINDS])
_SPREAD = per_kind("item_spread")


def item_masses_mg(rng: np.random.Generator, kinds: npt.NDArray[np.int8]) -> Ints:
    """Draw the masses of dropped items.

    Parameters
    ----------
    rng
        Source of randomness.
    kinds
        (n,), index of each item into `KINDS`.

    Returns
    -------
    NDArray
        (n,), mass of each [mg, at least 1].
    """
    logs = _LOG_MEAN[kinds] + _SPREAD[kinds] * rng.standard_normal(kinds.size)
    masses: Ints = np.maximum(np.rint(np.exp(logs)), 1.0).astype(np.int64)
    return masses


def loose_nl(mass_mg: Ints) -> Ints:
    """Return the loose volume [nl] of masses [mg] over kinds, (..., n_kinds) -> (...)."""
    volume: Ints = (mass_mg * NL_PER_MG).sum(axis=-1)
    return volume


def first_masses_mg(loose: Ints) -> Ints:
    """Return masses (..., n_kinds) [mg] of the usual mixture that fill loose volumes [nl]."""
    shares = np.array([FIRST_FILL[kind.name] for kind in KINDS])
    masses: Ints = (np.asarray(loose)[..., None] * (shares / shares.sum() / NL_PER_MG)).astype(np.int64)
    return masses

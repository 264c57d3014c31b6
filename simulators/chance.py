"""Chance with an address: every stretch of the simulated world draws from a stream of its own.

A stream is named by the seed, what it is for and which block of time (or which ordinal) it serves. So the same demand
meets every policy, nothing of a random state must be saved, a restart goes on as if nothing had been, and it does not
matter how calls are cut.
"""

import zlib
from functools import cache

import numpy as np

RATE_DECIMALS = 9
"""Rates are rounded before they decide a draw: the last bit of exp() differs between processors."""
_UNSIGNED = 2**64
"""Seeds and blocks may be negative (an hour before 1970); a seed sequence takes unsigned words."""


@cache
def _word(name: str) -> int:
    return zlib.crc32(name.encode())


def stream(seed: int, name: str, *block: int) -> np.random.Generator:
    """Return the random stream of one block.

    Parameters
    ----------
    seed
        Seed of the world.
    name
        What the stream is for; two names never share numbers.
    *block
        Which block: an hour since 1970, an ordinal, several of them.

    Returns
    -------
    numpy.random.Generator
        At its beginning: the same arguments give the same numbers.
    """
    entropy = len(block) + 1  # in front: a block of (0,) is not the same as none
    for part in (seed, _word(name), *block):
        entropy = entropy * _UNSIGNED + part % _UNSIGNED
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))


def steady(rate: float) -> float:
    """Return an expected count without the digits on which two processors may disagree."""
    return round(rate, RATE_DECIMALS)

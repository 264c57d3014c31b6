"""Noise with an address, many values at once: a hash of (who, when, which draw) instead of a generator.

`simulators.chance` makes a generator for each block, which costs 15 us; a thousand sensors at one moment would need a
thousand. Here a number is a function of its address alone, in whole-number arithmetic: the same on every processor,
however the calls are cut.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = (np.uint64(n) for n in (11, 27, 30, 31))
_PER_53 = 2.0**-53
_PER_16 = 2.0**-16
_MEAN = 4 * 32_767.5 * _PER_16
_PER_SIGMA = (4.0 * (1.0 - 2.0**-32) / 12.0) ** -0.5
_WORD = 2**64
_STRIDE = 0xD1B54A32D192ED03
"""Odd, and unlike the golden ratio: places and draws of one key never meet."""
_AND_NEXT = np.array([0, 1])


def keys(seed: int, stream: str, names: Sequence[str]) -> Words:
    """Return the key of each name in a stream, (n,)."""
    offset = seed * 0x1_0000_0001 + (zlib.crc32(stream.encode()) << 32)
    words = [(offset + zlib.crc32(name.encode())) % _WORD for name in names]
    return mixed(np.array(words, dtype=np.uint64))


def mixed(words: Words) -> Words:
    """Return well-mixed words: one step of splitmix64 (Steele, Lea and Flood 2014)."""
    words = words + GOLDEN
    words ^= words >> _S30
    words *= _MIX_1
    words ^= words >> _S27
    words *= _MIX_2
    words ^= words >> _S31
    return words


def place_of(at_s: float) -> np.uint64:
    """Return what to add to a key for a moment, counted in whole milliseconds."""
    return np.uint64(round(at_s * 1000.0) * _STRIDE % _WORD)


def draws(key: Words, place: np.uint64, count: int) -> Words:
    """Return `count` words for each key at a place: (n, count)."""
    return mixed((key + place)[:, None] + np.arange(count, dtype=np.uint64) * GOLDEN)


def at_places(key: Words, places: npt.NDArray[np.int64]) -> Words:
    """Return a word for each key at places of its own: both of one shape, or fit to be combined."""
    return mixed(addresses(key, places))


def addresses(key: Words, places: npt.NDArray[np.int64]) -> Words:
    """Return the words of `at_places` before they are mixed, for those who mix many at once."""
    return key + places.view(np.uint64) * np.uint64(_STRIDE)


def uniform(words: Words) -> Floats:
    """Return numbers in [0, 1)."""
    numbers: Floats = np.multiply(words >> _S11, _PER_53)
    return numbers


def quarters(words: Words) -> Floats:
    """Return four numbers in [0, 1) for each word, in steps of 2^-16: (..., 4)."""
    numbers: Floats = np.multiply(np.ascontiguousarray(words)[..., None].view(np.uint16), _PER_16)
    return numbers


def normal(words: Words) -> Floats:
    """Return numbers of mean 0 and standard deviation 1: the sum of the four quarters of a word.

    Nearly normal within 3 standard deviations, and never beyond 3.46: a wild value is a fault of its own.
    """
    return normal_of(quarters(words))


def normal_of(parts: Floats) -> Floats:
    """Return what `normal` makes of words, from their `quarters`."""
    numbers: Floats = (parts[..., 0] + parts[..., 1] + parts[..., 2] + parts[..., 3] - _MEAN) * _PER_SIGMA
    return numbers


def smooth(key: Words, at: Floats) -> Floats:
    """Return a number of mean 0 for each key that changes slowly with `at` and is drawn anew at each whole step.

    Parameters
    ----------
    key
        Whose, (n,).
    at
        Where on its way, (n,).

    Returns
    -------
    NDArray
        (n,), standard deviation 1 at the steps and less between them.
    """
    words, share = steps(key, at)
    return between(normal(mixed(words)), share)


def steps(key: Words, at: Floats) -> tuple[Words, Floats]:
    """Return the words, not mixed yet, of the steps before and after `at` (n, 2), and how far between it is (n,)."""
    step = np.floor(at)
    return addresses(key[:, None], step.astype(np.int64)[:, None] + _AND_NEXT), at - step


def between(ends: Floats, share: Floats) -> Floats:
    """Return what lies between two ends (n, 2)."""
    numbers: Floats = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * share
    return numbers

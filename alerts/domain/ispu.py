"""ISPU, the Indonesian air pollution index, from 24 h means.

Bounds: Permen LHK P.14/MENLHK/SETJEN/KUM.1/7/2020, upper end of each class, ug/m3, 24 h means, as reproduced in
123dok.com "Pengertian dan parameter ISPU". The annex itself was not seen: compare once with the official
document before an index is published as official.

Classes are intervals (lower, upper] on real numbers, so there is no gap between 50 and 51 or 15.5 and 15.6,
and a value above the scale continues its last segment with a flag: never nothing, never 0.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

INDEX_BOUNDS: Final = (0.0, 50.0, 100.0, 200.0, 300.0)
"""Lower end of the scale and upper end of the first four classes; the fifth ends at ``top``."""

BOUNDS_UGM3: Final[dict[str, tuple[float, ...]]] = {
    "pm10": (0.0, 50.0, 150.0, 350.0, 420.0, 500.0),
    "pm25": (0.0, 15.5, 55.4, 150.4, 250.4, 500.0),
    "so2": (0.0, 52.0, 180.0, 400.0, 800.0, 1200.0),
    "co": (0.0, 4000.0, 8000.0, 15000.0, 30000.0, 45000.0),
    "o3": (0.0, 120.0, 235.0, 400.0, 800.0, 1000.0),
    "no2": (0.0, 80.0, 200.0, 1130.0, 2260.0, 3000.0),
    "hc": (0.0, 45.0, 100.0, 215.0, 432.0, 648.0),
}
"""Concentration [ug/m3, 24 h mean] at each index bound, top class last."""

CATEGORIES: Final = ("baik", "sedang", "tidak-sehat", "sangat-tidak-sehat", "berbahaya")
"""Classes, rising. A bound belongs to the lower class."""


class SubIndex(msgspec.Struct, frozen=True):
    """Index of one pollutant.

    Attributes
    ----------
    value : float
        Index, not rounded. Above the scale it is extrapolated, so it is then higher than the top.
    category : str
        One of :data:`CATEGORIES`, decided before any rounding.
    """

    value: float
    category: str


class Ispu(msgspec.Struct, frozen=True):
    """Index of a station: its worst pollutant, the *parameter kritis*."""

    value: float
    category: str
    parameter: str
    top: int


def sub_index(pollutant: str, mean_24h_ugm3: float, *, top: int = 500) -> SubIndex:
    """Return the index of one 24 h mean.

    Parameters
    ----------
    pollutant : str
        Key of :data:`BOUNDS_UGM3`.
    mean_24h_ugm3 : float
        Mean of 24 h [ug/m3]; below 0 (a sensor's offset) counts as 0.
    top : int
        Index at the end of the scale: published copies of the table say 400 or 500.

    Raises
    ------
    ValueError
        For an unknown pollutant or another top.

    Examples
    --------
    >>> round(sub_index("pm25", 35.0).value, 3), sub_index("pm25", 35.0).category
    (74.436, 'sedang')
    """
    if pollutant not in BOUNDS_UGM3:
        raise ValueError(f"no ISPU bounds for {pollutant!r}: use one of {', '.join(BOUNDS_UGM3)}")
    if top not in {400, 500}:
        raise ValueError(f"the ISPU scale ends at 400 or 500, not {top}")
    bounds = BOUNDS_UGM3[pollutant]
    indices = (*INDEX_BOUNDS, float(top))
    mean_ugm3 = max(mean_24h_ugm3, 0.0)
    last = len(bounds) - 1
    segment = next((k for k in range(1, last) if mean_ugm3 <= bounds[k]), last)
    low, high = bounds[segment - 1], bounds[segment]
    index_low, index_high = indices[segment - 1], indices[segment]
    value = (index_high - index_low) / (high - low) * (mean_ugm3 - low) + index_low
    return SubIndex(value, CATEGORIES[segment - 1])


def ispu(means_24h_ugm3: Mapping[str, float | None], *, top: int = 500) -> Ispu | None:
    """Return the index of a station from its 24 h means, None when no pollutant has one.

    Examples
    --------
    >>> ispu({"pm25": 60.0, "pm10": 60.0}).parameter
    'pm25'
    """
    found = [
        (sub_index(pollutant, mean, top=top), pollutant)
        for pollutant, mean in sorted(means_24h_ugm3.items())
        if mean is not None
    ]
    if not found:
        return None
    worst, parameter = max(found, key=lambda pair: pair[0].value)
    return Ispu(worst.value, worst.category, parameter, top)

"""What a sensor in a bin would find if it made no error: the true state of the inside of each bin. Pure."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulators.ground import Ground
from simulators.heap import Floats
from simulators.waste import NL_PER_MG, STREAMS, Ints, per_kind

Bools = npt.NDArray[np.bool_]

FLOOR_ROUGH_MM = 2.0
WASTE_ROUGH_MM = 10.0
BULKY_ROUGH_MM = 28.0
"""Assumed standard deviation of the surface [mm]: the floor; fine waste; bottles, cups and leaves."""
FLOOR_SOFT = 0.02
_BULKY = 1.0 - per_kind("soft")
_SOFT = per_kind("soft")


class Shapes(NamedTuple):
    """What the plan says of each bin, arrays (n_bins,) in the order of the ground's bins.

    Attributes
    ----------
    brim_l, height_m, floor_m2 : NDArray
        Volume to the rim [l], height to the rim [m], area [m2]; a bin is as wide above as below.
    empty_mm, span_mm : NDArray
        Distance from the sensor to the floor, and from the floor to the rim [mm].
    x_m, y_m : NDArray
        Metres east and north of the centre.
    zone : NDArray
        Index into the site's zones.
    stream : NDArray
        Index into `waste.STREAMS`; -1 takes everything.
    """

    brim_l: Floats
    height_m: Floats
    floor_m2: Floats
    empty_mm: Floats
    span_mm: Floats
    x_m: Floats
    y_m: Floats
    zone: npt.NDArray[np.int64]
    stream: npt.NDArray[np.int8]

    @classmethod
    def of(cls, ground: Ground) -> "Shapes":
        """Read the shapes from the plan."""
        bins, site = ground.bins, ground.site
        zones = {zone.id: i for i, zone in enumerate(site.zones)}
        brim_l = np.array([b.volume_l for b in bins], dtype=np.float64)
        span_mm = np.array([b.empty_mm - b.full_mm for b in bins], dtype=np.float64)
        east_north = np.array([site.frame.to_m(*b.lonlat) for b in bins], dtype=np.float64).reshape(-1, 2)
        return cls(
            brim_l=brim_l,
            height_m=span_mm / 1000.0,
            floor_m2=brim_l / span_mm,
            empty_mm=np.array([b.empty_mm for b in bins], dtype=np.float64),
            span_mm=span_mm,
            x_m=east_north[:, 0],
            y_m=east_north[:, 1],
            zone=np.array([zones[b.zone] for b in bins], dtype=np.int64),
            stream=np.array([STREAMS.index(b.waste_kind) if b.waste_kind in STREAMS else -1 for b in bins], np.int8),
        )


class BinTruth(NamedTuple):
    """The inside of one bin; fields as in `BinTruths`."""

    fill_pct: float
    surface_mm: float
    roughness_mm: float
    soft: float
    inside_c: float
    tilted_deg: float
    water_mm: float
    lid_open: bool
    moved: bool
    stolen: bool
    burning: bool
    odour: float


class BinTruths(NamedTuple):
    """The insides of all bins, arrays (n_bins,) in the order of the ground's bins.

    Attributes
    ----------
    fill_pct : NDArray
        Settled volume against the volume to the rim [%, 0..heap_pct].
    surface_mm : NDArray
        Mean distance from the sensor to what lies below it [mm].
    roughness_mm : NDArray
        Standard deviation of that surface [mm].
    soft : NDArray
        Share of a ping that it swallows [0..1].
    inside_c : NDArray
        Air under the lid [C].
    tilted_deg : NDArray
        From upright [degrees].
    water_mm : NDArray
        Water that no waste holds, on the floor [mm].
    lid_open, moved, stolen, burning : NDArray
        Whether; stolen means the bin or its sensor is gone.
    odour : NDArray
        Ammonia that it gives off [ug/s].
    """

    fill_pct: Floats
    surface_mm: Floats
    roughness_mm: Floats
    soft: Floats
    inside_c: Floats
    tilted_deg: Floats
    water_mm: Floats
    lid_open: Bools
    moved: Bools
    stolen: Bools
    burning: Bools
    odour: Floats

    def of(self, index: int) -> BinTruth:
        """Return the inside of one bin."""
        return BinTruth(*(column[index].item() for column in self))


def surfaces(mass_mg: Ints) -> tuple[Floats, Floats]:
    """Return roughness [mm] and softness [0..1] of heaps from masses (n, n_kinds) [mg]; those of the floor if empty."""
    volume = (mass_mg * NL_PER_MG).astype(np.float64)
    whole = volume.sum(axis=1)
    share = volume / np.maximum(whole, 1.0)[:, None]
    rough = WASTE_ROUGH_MM + (BULKY_ROUGH_MM - WASTE_ROUGH_MM) * (share * _BULKY).sum(axis=1)
    soft = (share * _SOFT).sum(axis=1)
    return np.where(whole > 0, rough, FLOOR_ROUGH_MM), np.where(whole > 0, soft, FLOOR_SOFT)

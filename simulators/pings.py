"""From the truth inside a bin to one distance: what pings come back, and what the node makes of them. Pure.

The second half repeats formulas of the firmware (its distance and statistics modules), which servers may not import; a
test compares the two on random pings.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulators.noise import Floats
from simulators.parameters import Parameter

PARAMETERS: Mapping[str, Parameter] = {
    "pings": Parameter(7, "1", "5 to 7 pings and their median are common practice for JSN-SR04T class sensors"),
    "ping_noise_mm": Parameter(4, "mm", "assumed standard deviation of one echo"),
    "wild_ping_share": Parameter(0.02, "1", "assumed share of echoes from a wall or a second bounce"),
    "no_echo_share": Parameter(0.01, "1", "assumed share of pings without an echo over a hard surface"),
    "soft_loss": Parameter(0.5, "1", "assumed share of pings that a surface which swallows everything lets get lost"),
    "blind_zone_mm": Parameter(200, "mm", "JSN-SR04T: blind zone 200 to 250 mm, lower end"),
    "reach_mm": Parameter(4500, "mm", "JSN-SR04T: 4.5 to 6 m, lower end"),
    "cone_slope": Parameter(0.36, "1", "JSN-SR04T: full angle below 75 degrees; assumed 20 degrees to each side"),
    "patch_mm": Parameter(120, "mm", "assumed size of a surface that throws back an echo worth hearing"),
}
_NEAREST_OF = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
_EXPECTED_MINIMUM = np.array([0.0, 0.564, 1.029, 1.424, 1.766, 2.070, 2.344])
"""Expected nearest of n normal distances, in standard deviations (order statistics of the normal distribution)."""
_SPREAD_OF_NEAREST = 0.6
"""Standard deviation of the nearest of a few, in standard deviations of one: 0.82 for 2, 0.53 for 16."""

LOST = -1
"""A ping without echo, among times [us]."""
AGREE = 3
AGREE_WELL = 5
CLOSE_MM = 30
COLDEST_C, HOTTEST_C = -20, 60
"""Range in which the node's formula of the speed of sound holds [C]."""


class Distance(NamedTuple):
    """What the node makes of its pings: a distance [mm] or none, quality [0..4] and state of the wire protocol."""

    distance_mm: int | None
    quality: int
    state: str


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


def speed_of_sound_mps(temp_c: Floats) -> Floats:
    """Return the speed of sound in dry air [m/s] at temperatures [C]: 331.3 * sqrt(1 + T / 273.15)."""
    speed: Floats = 331.3 * np.sqrt(1.0 + temp_c / 273.15)
    return speed


def nearest_mm(surface_mm: Floats, roughness_mm: Floats, opening_mm2: Floats, pattern: Floats) -> Floats:
    """Return the distance of the nearest thing in the cone of the sensor: that is what answers first.

    Parameters
    ----------
    surface_mm, roughness_mm
        Mean distance of the waste and its standard deviation [mm].
    opening_mm2
        Area inside the bin, which bounds the cone [mm2].
    pattern
        How the waste happens to lie, mean 0 and standard deviation 1.
    """
    slope, patch = value("cone_slope"), value("patch_mm")
    seen_mm2 = np.minimum(opening_mm2, surface_mm * surface_mm * (np.pi * slope * slope))
    expected = np.interp(seen_mm2 / (patch * patch), _NEAREST_OF, _EXPECTED_MINIMUM)
    nearest: Floats = surface_mm - roughness_mm * (expected + _SPREAD_OF_NEAREST * pattern)
    return nearest


def echoes_us(
    nearest: Floats, temp_c: Floats, noise: Floats, chances: Floats, *, lost: Floats, wild: Floats, near: Floats
) -> npt.NDArray[np.int64]:
    """Return the echo times of all pings (n, pings) [us], `LOST` where none came.

    Parameters
    ----------
    nearest
        What answers first (n,) [mm].
    temp_c
        True temperature of the air on the way (n,) [C].
    noise
        Mean 0, standard deviation 1 (n, pings).
    chances
        Four numbers in [0, 1) for each ping (n, pings, 4).
    lost, wild, near
        Share of pings that are lost, come from anywhere, or from right before the sensor (n,).
    """
    blind = value("blind_zone_mm")
    there = nearest[:, None] + noise * value("ping_noise_mm")
    # The membrane still rings from its own ping: whatever is nearer looks the same.
    ringing = blind * 0.8
    there[there < blind] = ringing
    span = 2.0 * np.maximum(nearest, blind) - blind
    there = np.where(chances[:, :, 1] < wild[:, None], blind + chances[:, :, 2] * span[:, None], there)
    there[chances[:, :, 3] < near[:, None]] = ringing
    us = np.rint(there * (2000.0 / speed_of_sound_mps(temp_c))[:, None]).astype(np.int64)
    us[chances[:, :, 0] < lost[:, None]] = LOST
    return us


def believed_c(temp_cdeg: int) -> tuple[int, bool]:
    """Return whole degrees for the speed of sound, and whether the formula holds there."""
    temp_c = (temp_cdeg + 50) // 100
    if temp_c < COLDEST_C:
        return COLDEST_C, False
    if temp_c > HOTTEST_C:
        return HOTTEST_C, False
    return temp_c, True


def summarise(echo_us: Sequence[int], temp_cdeg: int, blind_mm: int, reach_mm: int) -> Distance:
    """Return what the node makes of its echo times [us]: the formulas of the firmware."""
    temp_c, is_compensated = believed_c(temp_cdeg)
    factor = 3313 + 6 * temp_c
    usable = sorted(us * factor // 20_000 for us in echo_us if us != LOST)
    echoes = len(usable)
    near = far = 0
    while near < echoes and usable[near] < blind_mm:
        near += 1
    while far < echoes - near and usable[-1 - far] > reach_mm:
        far += 1
    usable = usable[near : echoes - far]
    if near >= AGREE and near > len(usable) + far:
        return Distance(None, 1, "obstructed")
    kept = _agreeing(usable)
    pings = len(echo_us)
    if len(kept) < AGREE or len(kept) * 2 <= pings:
        return Distance(None, 2 if echoes else 0, "no-echo")
    distance_mm = _middle(kept)
    spread_mm = kept[-1] - kept[0]
    if spread_mm > max(4 * CLOSE_MM, distance_mm // 8):
        return Distance(None, 2, "no-echo")
    is_close = spread_mm <= max(CLOSE_MM, distance_mm // 50)
    if is_close and is_compensated and len(kept) >= AGREE_WELL and len(kept) * 4 >= pings * 3:
        return Distance(distance_mm, 4, "ok")
    return Distance(distance_mm, 3, "ok")


def _middle(ordered: Sequence[int]) -> int:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) & 1 else (ordered[half - 1] + ordered[half]) // 2


def _agreeing(ordered: Sequence[int]) -> Sequence[int]:
    """Return what lies within 3 robust deviations of the median, or within `CLOSE_MM` of it."""
    if not ordered:
        return ordered
    middle = _middle(ordered)
    if ordered[-1] - middle <= CLOSE_MM and middle - ordered[0] <= CLOSE_MM:
        return ordered  # the usual case: all agree
    limit = max(CLOSE_MM, 9 * _middle(sorted(abs(v - middle) for v in ordered)) // 2)
    return [v for v in ordered if abs(v - middle) <= limit]

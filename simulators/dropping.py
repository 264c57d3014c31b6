"""Where visitors put what they drop: the right bin, the next one, beside a full one, or the ground. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulators.bin_truth import Shapes
from simulators.ground import Ground
from simulators.heap import Floats, joined
from simulators.parameters import Parameter
from simulators.state import NEVER, State
from simulators.visitors import Drops
from simulators.waste import NL_PER_L, NL_PER_MG, STREAM_OF_KIND, Ints

PARAMETERS: Mapping[str, Parameter] = {
    "heap_pct": Parameter(112, "%", "assumed: visitors pile waste up to this share of the brim volume"),
    "careless_share": Parameter(
        0.08,
        "1",
        "assumed: half of the 17 % of items that were littered at 130 US places (Schultz et al. 2013), no butts",
    ),
    "dirty_careless_factor": Parameter(
        2, "1", "assumed size of a known effect: where litter lies already, more is dropped (Schultz et al. 2013)"
    ),
    "sorts_share": Parameter(0.35, "1", "assumed share of items that are taken to the bin of their stream"),
    "sorting_m": Parameter(10, "m", "assumed: farther than this nobody walks for the right bin"),
}

_PERMILLE = 1000
_FAR_MM = np.iinfo(np.int64).max
_SCATTER, _SCATTER_BITS = 2_654_435_761, 16  # Knuth's multiplicative hash (TAOCP 3, 6.4)


class Filled(NamedTuple):
    """What bins hold (n_bins,): loose [nl] and settled [l]."""

    loose_nl: Ints
    volume_l: Floats


class Dropping:
    """Puts dropped items into bins and onto the ground of one square.

    Parameters
    ----------
    ground, shapes
        Where the bins are.
    """

    def __init__(self, ground: Ground, shapes: Shapes) -> None:
        self._near = ground.near
        self._far_mm = np.where(ground.near == NEVER, _FAR_MM, ground.near_mm.astype(np.int64))
        self._zone_of_point = ground.zone_of_point
        self._has_bins = bool(ground.bins)
        stream = shapes.stream if self._has_bins else np.full(1, NEVER, dtype=np.int8)
        self._stream = np.where(ground.near == NEVER, NEVER, stream[ground.near])
        self._detour_mm = round(PARAMETERS["sorting_m"].value * 1000)
        self._careless = round(PARAMETERS["careless_share"].value * _PERMILLE)
        self._where_dirty = round(self._careless * PARAMETERS["dirty_careless_factor"].value)
        self._sorts = _PERMILLE - round(PARAMETERS["sorts_share"].value * _PERMILLE)
        self.heap_l: Floats = shapes.brim_l * (PARAMETERS["heap_pct"].value / 100.0)

    def drop(self, state: State, drops: Drops, bins: Filled, is_dirty: npt.NDArray[np.bool_]) -> None:
        """Let each item go into the nearest bin that still takes it, else beside it, else on the ground.

        Parameters
        ----------
        state
            Of the square; changed.
        drops
            What is dropped, in order.
        bins
            What the bins hold now.
        is_dirty
            Whether litter lies in a zone already (n_zones,).
        """
        point, kind, mass = drops.point, drops.kind, drops.mass_mg
        state.dropped_mg += int(mass.sum())
        # The mass of an item is as good as chance, and it is the same whatever was emptied before.
        luck = (mass * _SCATTER >> _SCATTER_BITS) % _PERMILLE
        careless = luck < np.where(is_dirty[self._zone_of_point[point]], self._where_dirty, self._careless)
        on_ground = np.ones(mass.size, dtype=bool)
        if self._has_bins:
            far_mm = self._far_mm[point]
            wrong = (self._stream[point] != STREAM_OF_KIND[kind][:, None]) & (luck >= self._sorts)[:, None]
            wrong &= (self._stream[point] != NEVER) & (far_mm < _FAR_MM)
            far_mm[wrong] += self._detour_mm
            shut = (state.stolen_min != NEVER) | (state.tipped_min != NEVER) | (state.fire_min != NEVER)
            room_nl = np.maximum((self.heap_l - bins.volume_l) * NL_PER_L, 0.0).astype(np.int64)
            item_nl = mass * NL_PER_MG[kind]
            into = _into(self._near[point], far_mm, np.where(careless, _FAR_MM, item_nl), room_nl, shut)
            on_ground = into == NEVER
            takers = into[~on_ground]
            np.add.at(state.mass_mg, (takers, kind[~on_ground]), mass[~on_ground])
            added_nl = np.zeros_like(bins.loose_nl)
            np.add.at(added_nl, takers, item_nl[~on_ground])
            touched = np.flatnonzero(added_nl)
            state.ratio_ppb[touched] = joined(state.ratio_ppb[touched], bins.loose_nl[touched], added_nl[touched])
        if on_ground.any():
            nearest = self._near[point, 0]
            beside = on_ground & ~careless & (nearest != NEVER)
            bare = on_ground & ~beside
            np.add.at(state.beside_mg, (nearest[beside], kind[beside]), mass[beside])
            np.add.at(state.ground_mg, (self._zone_of_point[point[bare]], kind[bare]), mass[bare])


def _into(
    near: npt.NDArray[np.int32], far_mm: Ints, item_nl: Ints, room_nl: Ints, shut: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int32]:
    """Return the bin that takes each item, `NEVER` where none does.

    Everybody tries the nearest bin first. Of those who come to the same one in a minute, the first to come put theirs
    in; from the first item on that does not fit, the others go on to their next bin.
    """
    into = np.full(near.shape[0], NEVER, dtype=np.int32)
    left = np.flatnonzero(item_nl < _FAR_MM)
    while left.size:
        reach = np.where(shut[near[left]], _FAR_MM, far_mm[left])
        choice = reach.argmin(axis=1)
        found = reach[np.arange(left.size), choice] < _FAR_MM
        left, choice = left[found], choice[found]
        target = near[left, choice]
        wanted_nl = np.zeros_like(room_nl)
        np.add.at(wanted_nl, target, item_nl[left])
        if (wanted_nl <= room_nl).all():
            into[left] = target
            break
        order = np.argsort(target, kind="stable")
        fits = np.empty(left.size, dtype=bool)
        fits[order] = _running(target[order], item_nl[left[order]]) <= room_nl[target[order]]
        into[left[fits]] = target[fits]
        np.subtract.at(room_nl, target[fits], item_nl[left[fits]])
        shut[target[~fits]] = True
        left = left[~fits]
    return into


def _running(groups: npt.NDArray[np.int32], amounts: Ints) -> Ints:
    """Return running sums of amounts within each group; equal groups stand together."""
    total = np.cumsum(amounts)
    starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    lengths = np.diff(np.append(starts, groups.size))
    running: Ints = total - np.repeat(total[starts] - amounts[starts], lengths)
    return running

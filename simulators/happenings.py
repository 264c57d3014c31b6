"""What mishaps, fire and wind do to the waste of a square. Pure: state in, state changed, events out."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from simulators.bin_truth import Shapes
from simulators.ground import Ground, nearest
from simulators.heap import RATIO_UNIT
from simulators.mishaps import PARAMETERS as MISHAP_PARAMETERS
from simulators.mishaps import Mishap
from simulators.parameters import Parameter
from simulators.state import NEVER, Smoke, State
from simulators.waste import NL_PER_L, Ints, loose_nl, per_kind_permille
from simulators.weather import Air

PARAMETERS: Mapping[str, Parameter] = {
    "blown_from_mps": Parameter(4, "m/s", "assumed: from this wind on, light litter begins to move"),
    "blown_share": Parameter(0.02, "1", "assumed share of the lightest litter that moves in 10 min, per m/s above"),
    "next_zone_m": Parameter(120, "m", "assumed: litter that blows farther than this is gone from the square"),
    "fire_out_mmph": Parameter(4, "mm/h", "assumed rain that puts a fire in a bin out"),
}

_PICKED = per_kind_permille("picked")
_BURNS = per_kind_permille("burns")
_BLOWS = per_kind_permille("blows")
_ROTS = per_kind_permille("rots")
_PERMILLE = 1000
_NEAR_ZONES = 8
_WORTH_TELLING_L = 1.0
_SAME_WAY = 0.5  # cosine: a zone within 60 degrees of where the wind blows lies down the wind


class Event(NamedTuple):
    """Something that happened.

    Attributes
    ----------
    at_s : float
        When [s since 1970 UTC].
    kind : str
        A kind of mishap, or "emptied", "swept", "blown-away", "fire-out", "returned".
    target : str
        Asset id of the bin, id of the zone, or empty.
    amount_l : float
        Volume of the waste that it moved [l].
    """

    at_s: float
    kind: str
    target: str
    amount_l: float


def litres(mass_mg: Ints) -> float:
    """Return the loose volume of masses [mg] over kinds, summed over all else [l]."""
    return float(loose_nl(mass_mg).sum()) / NL_PER_L


def rotting_mg(mass_mg: Ints) -> Ints:
    """Return how much of masses (n, n_kinds) rots, as leftovers of food [mg]."""
    mass: Ints = (mass_mg * _ROTS).sum(axis=1) // _PERMILLE
    return mass


def burnable_mg(mass_mg: Ints) -> Ints:
    """Return how much of masses (n, n_kinds) a fire can take [mg]."""
    mass: Ints = (mass_mg * _BURNS).sum(axis=1) // _PERMILLE
    return mass


def _whole(name: str, per_unit: float) -> int:
    return round(MISHAP_PARAMETERS[name].value * per_unit)


class Happenings:
    """Applies mishaps, fire and wind to the state of one square.

    Parameters
    ----------
    ground, shapes
        Where the bins and zones are.
    """

    def __init__(self, ground: Ground, shapes: Shapes) -> None:
        self._bins = tuple(b.id for b in ground.bins)
        self._index = {asset_id: i for i, asset_id in enumerate(self._bins)}
        self._shapes = shapes
        self._zones = tuple(zone.id for zone in ground.site.zones)
        corners = [np.array([ground.site.frame.to_m(*p) for p in zone.rings[0]]) for zone in ground.site.zones]
        centres = np.array([c.mean(axis=0) for c in corners]).reshape(-1, 2)
        near, _ = nearest(centres, centres, reach_m=PARAMETERS["next_zone_m"].value, most=_NEAR_ZONES + 1)
        own = near == np.arange(len(centres))[:, None]
        self._near_zones = np.where(own, NEVER, near)
        way = centres[self._near_zones] - centres[:, None, :]
        self._way = way / np.maximum(np.hypot(way[..., 0], way[..., 1]), 1e-9)[..., None]

    def apply(self, state: State, mishaps: Iterable[Mishap], air: Air) -> list[Event]:
        """Let mishaps happen and return what came of them; one that finds no fitting bin is nothing."""
        events = []
        for mishap in mishaps:
            event = _smoke(state, mishap, air) if mishap.kind == "burning" else self._apply(state, mishap)
            if event is not None:
                events.append(event)
        return events

    def _apply(self, state: State, mishap: Mishap) -> Event | None:
        until = int(mishap.at_s // 60)
        i = self._chosen(state, mishap)
        if i is None:
            return None
        amount_l = 0.0
        match mishap.kind:
            case "scavenged":
                amount_l = self._scavenge(state, i)
            case "bin-theft":
                state.stolen_min[i] = until + _whole("stolen_h", 60)
                amount_l = tip(state, i)
            case "sensor-theft":
                state.sensor_stolen_min[i] = until + _whole("stolen_h", 60)
            case "moved":
                state.moved_min[i] = until + _whole("moved_h", 60)
            case "tipped":
                state.tipped_min[i] = until + _whole("tipped_h", 60)
                amount_l = tip(state, i)
            case "lid-open":
                state.lid_min[i] = until + _whole("lid_open_h", 60)
            case "fire":
                state.fire_min[i] = until + _whole("fire_min", 1)
        return Event(mishap.at_s, mishap.kind, self._bins[i], amount_l)

    def _chosen(self, state: State, mishap: Mishap) -> int | None:
        """Return the bin that a mishap is about: the one it names, else one by its number; stolen bins are away."""
        here = state.stolen_min == NEVER
        if mishap.bin_id:
            i = self._index.get(mishap.bin_id)
            return i if i is not None and here[i] else None
        weight = burnable_mg(state.mass_mg) if mishap.kind == "fire" else np.ones(len(self._bins), dtype=np.int64)
        reached = np.cumsum(weight * here)
        if not reached.size or reached[-1] == 0:
            return None
        return int(np.searchsorted(reached, mishap.chooses * reached[-1], side="right"))

    def _scavenge(self, state: State, start: int) -> float:
        """Let a waste picker go from bin to bin, the nearest first, and take what can be sold."""
        apart = np.hypot(self._shapes.x_m - self._shapes.x_m[start], self._shapes.y_m - self._shapes.y_m[start])
        walk = np.argsort(np.rint(apart * 1000), kind="stable")[: int(MISHAP_PARAMETERS["bins_searched"].value)]
        amount_l = 0.0
        rotting = rotting_mg(state.mass_mg[walk])
        for pile in (state.mass_mg, state.beside_mg):
            taken = pile[walk] * _PICKED // _PERMILLE
            pile[walk] -= taken
            state.scavenged_mg += int(taken.sum())
            amount_l += litres(taken)
        for i, before in zip(walk.tolist(), rotting.tolist(), strict=True):
            keep_age(state, i, before)
        return amount_l

    def burn(self, state: State, minute: int, rain_mmph: float) -> list[Event]:
        """Let a minute of fire pass in the bins that burn; rain, time or want of fuel puts it out."""
        events = []
        share = round(MISHAP_PARAMETERS["fire_share"].value * _PERMILLE)
        for i in np.flatnonzero(state.fire_min != NEVER).tolist():
            before = int(rotting_mg(state.mass_mg[i : i + 1])[0])
            burnt = state.mass_mg[i] * _BURNS * share // _PERMILLE**2
            state.mass_mg[i] -= burnt
            state.burned_mg += int(burnt.sum())
            state.water_mg[i] = 0
            keep_age(state, i, before)
            if minute >= state.fire_min[i] or rain_mmph > PARAMETERS["fire_out_mmph"].value or not burnt.any():
                state.fire_min[i] = NEVER
                events.append(Event((minute + 1) * 60.0, "fire-out", self._bins[i], 0.0))
        return events

    def blow(self, state: State, air: Air) -> list[Event]:
        """Let ten minutes of wind move light litter to the next zone, or off the square; rain holds it down."""
        above_mps = air.wind_mps - PARAMETERS["blown_from_mps"].value
        if above_mps <= 0 or air.rain_mmph > 0 or not (state.ground_mg.any() or state.beside_mg.any()):
            return []
        share = round(min(1.0, PARAMETERS["blown_share"].value * above_mps) * _PERMILLE)
        taken = state.ground_mg * _BLOWS * share // _PERMILLE**2
        from_beside = state.beside_mg * _BLOWS * share // _PERMILLE**2
        state.ground_mg -= taken
        state.beside_mg -= from_beside
        np.add.at(taken, self._shapes.zone, from_beside)
        to = math.radians(air.wind_from_deg + 180.0)
        along = self._way[..., 0] * math.sin(to) + self._way[..., 1] * math.cos(to)
        fits = (self._near_zones != NEVER) & (along > _SAME_WAY)
        stays = fits.any(axis=1)
        target = np.take_along_axis(self._near_zones, fits.argmax(axis=1)[:, None], axis=1)[:, 0]
        np.add.at(state.ground_mg, target[stays], taken[stays])
        gone = taken[~stays]
        state.blown_away_mg += int(gone.sum())
        gone_l = litres(gone)
        return [Event(state.at_s, "blown-away", "", gone_l)] if gone_l >= _WORTH_TELLING_L else []

    def recover(self, state: State, minute: int) -> list[Event]:
        """Put back, stand up, close and replace what is due."""
        events = []
        for until in (state.stolen_min, state.sensor_stolen_min, state.moved_min, state.tipped_min, state.lid_min):
            for i in np.flatnonzero((until != NEVER) & (until <= minute)).tolist():
                until[i] = NEVER
                events.append(Event(state.at_s, "returned", self._bins[i], 0.0))
        state.smokes[:] = [smoke for smoke in state.smokes if smoke.until_min > minute]
        return events


def _smoke(state: State, mishap: Mishap, air: Air) -> Event:
    """Begin open burning near the square: anywhere around it, or up the wind if it was ordered."""
    end = int(mishap.at_s // 60) + _whole("burning_h", 60)
    aside_deg = MISHAP_PARAMETERS["burning_aside_deg"].value
    from_deg = mishap.chooses * 360.0
    if mishap.is_planned:
        from_deg = air.wind_from_deg + (2.0 * mishap.chooses - 1.0) * aside_deg
    east, north = math.sin(math.radians(from_deg)), math.cos(math.radians(from_deg))
    far_m = MISHAP_PARAMETERS["burning_distance_m"].value
    state.smokes.append(Smoke(end, round(far_m * east), round(far_m * north), _whole("burning_kg_per_h", 1000)))
    return Event(mishap.at_s, mishap.kind, "", 0.0)


def tip(state: State, i: int) -> float:
    """Turn a bin over: what was in it lies beside it. Returns its loose volume [l]."""
    amount_l = litres(state.mass_mg[i])
    state.beside_mg[i] += state.mass_mg[i]
    clear(state, i)
    return amount_l


def keep_age(state: State, i: int, rotted_mg: int) -> None:
    """Leave what still rots in a bin as old as it was when `rotted_mg` of it rotted: what was taken was no older."""
    if rotted_mg:
        after_mg = int(rotting_mg(state.mass_mg[i : i + 1])[0])
        # whole numbers of any size: mass times mass times time is more than 64 bits hold
        state.ripe_mg_min[i] = int(state.ripe_mg_min[i]) * after_mg // rotted_mg


def clear(state: State, i: int) -> None:
    """Leave a bin empty and dry; the caller has taken its waste."""
    state.mass_mg[i] = 0
    state.water_mg[i] = 0
    state.ripe_mg_min[i] = 0
    state.ratio_ppb[i] = RATIO_UNIT
    state.fire_min[i] = NEVER
    state.full_since_min[i] = NEVER

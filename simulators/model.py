"""The true state of a square: what lies in each bin and on the ground, and what becomes of it, minute by minute.

Pure: no I/O, no wall clock. Visitors, weather and mishaps are functions of time (`visitors`, `weather`, `mishaps`); the
model only adds up what they bring and what crews take. Waste is counted in whole milligrams by kind, so that nothing
is ever lost: see `state.Totals`. The same calls give the same state, however they are cut and whenever it is saved.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from simulators import chance, heap
from simulators.bin_truth import BinTruth, BinTruths, Bools, Shapes, surfaces
from simulators.dropping import Dropping, Filled
from simulators.fields import PARAMETERS as FIELD_PARAMETERS
from simulators.fields import AirField, AirTruth, Sources, smell_ugps
from simulators.ground import Ground
from simulators.happenings import Event, Happenings, burnable_mg, clear, litres, rotting_mg
from simulators.heap import RATIO_UNIT, Floats
from simulators.mishaps import PARAMETERS as MISHAP_PARAMETERS
from simulators.mishaps import Mishaps
from simulators.parameters import Parameter
from simulators.scenario import Scenario
from simulators.scenario_sections import Visits
from simulators.state import NEVER, State, Totals
from simulators.visitors import Crowd
from simulators.waste import MG_PER_KG, NL_PER_L, Ints, first_masses_mg, loose_nl
from simulators.weather import Air, Weather
from square.occasions import Occasions

PARAMETERS: Mapping[str, Parameter] = {
    "first_ratio": Parameter(0.8, "1", "assumed settled against loose volume of what lies in bins at the beginning"),
    "first_age_h": Parameter(6, "h", "assumed mean age of that"),
    "dirty_l_per_100m2": Parameter(2, "l", "assumed: with more litter than this a zone is dirty"),
    "dirty_least_l": Parameter(4, "l", "assumed: a zone with less is clean, however small it is"),
    "rain_in_share": Parameter(0.12, "1", "assumed share of rain that gets under a closed lid"),
    "drying_mm_per_h": Parameter(0.25, "mm/h", "assumed evaporation from a bin in full sun"),
    "lid_heat_c": Parameter(4, "C", "assumed: air under a lid in full sun is warmer"),
    "fire_heat_c": Parameter(180, "C", "assumed: air under the lid of a bin that burns is warmer"),
}

TICK_S = 60
"""The model moves in whole ticks, so that the result does not depend on how calls are cut."""
SLOW_MIN = 10
"""What is slow (settling, rain, wind, smell) moves once in so many minutes."""
MOVED_TILT_DEG = 4.0
TIPPED_DEG = 90.0


def value(name: str) -> float:
    """Return one of `PARAMETERS`."""
    return PARAMETERS[name].value


class SquareModel:
    """The truth about one square.

    Parameters
    ----------
    ground
        Where bins, spots and zones are.
    crowd, weather, mishaps
        What happens by itself; functions of time.
    seed
        Of the first fill.
    start_s
        Moment of the first state [s since 1970 UTC].
    initial_fill_pct
        Range [%] from which the first fill of each bin is drawn.
    """

    def __init__(
        self,
        ground: Ground,
        crowd: Crowd,
        weather: Weather,
        mishaps: Mishaps,
        *,
        seed: int,
        start_s: float,
        initial_fill_pct: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.ground, self.crowd, self.weather = ground, crowd, weather
        self.bins = tuple(b.id for b in ground.bins)
        self.zones = tuple(zone.id for zone in ground.site.zones)
        self.index: Mapping[str, int] = {asset_id: i for i, asset_id in enumerate(self.bins)}
        self._zone_index = {zone_id: i for i, zone_id in enumerate(self.zones)}
        self._mishaps = mishaps
        self._shapes = shapes = Shapes.of(ground)
        self._dropping = Dropping(ground, shapes)
        self._happenings = Happenings(ground, shapes)
        self._air = AirField(ground)
        self._full_pct = ground.site.rules.full_pct
        self.dirty_l: Floats = np.maximum(
            ground.zone_area_m2 / 100.0 * value("dirty_l_per_100m2"), value("dirty_least_l")
        )
        self._dirty_nl = self.dirty_l * NL_PER_L
        self._settling = round(1.0 - np.exp(-SLOW_MIN / 60.0 / heap.PARAMETERS["settling_h"].value).item(), 12)
        self._events: list[Event] = []
        self._s = State.clean(start_s, len(self.bins), len(self.zones))
        low, high = initial_fill_pct
        share = chance.stream(seed, "first fill").uniform(low, high, len(self.bins)) / 100.0
        self._begin(np.rint(np.minimum(share * shapes.brim_l, self._dropping.heap_l) / value("first_ratio") * NL_PER_L))
        self._recount()

    @classmethod
    def of(
        cls,
        ground: Ground,
        scenario: Scenario | None = None,
        *,
        seed: int,
        start_s: float,
        initial_fill_pct: tuple[float, float] = (0.0, 0.0),
    ) -> "SquareModel":
        """Return the square that goes through a scenario; None is an ordinary time. `seed` is that of all chance."""
        zone = ground.site.zone_info
        weather = Weather(seed, scenario.weather if scenario else None, zone=zone)
        crowd = Crowd(
            ground,
            seed=seed,
            occasions=Occasions(scenario.occasions if scenario else None),
            visits=scenario.visits if scenario else Visits(),
            rain_mmph=weather.rain_mmph,
        )
        mishaps = Mishaps(scenario.mishaps if scenario else None, seed=seed, zone=zone)
        return cls(ground, crowd, weather, mishaps, seed=seed, start_s=start_s, initial_fill_pct=initial_fill_pct)

    def _begin(self, loose: Floats) -> None:
        s = self._s
        s.mass_mg = first_masses_mg(loose.astype(np.int64))
        s.ratio_ppb[loose > 0] = round(value("first_ratio") * RATIO_UNIT)
        s.ripe_mg_min = rotting_mg(s.mass_mg) * round(value("first_age_h") * 60)
        s.started_mg = int(s.mass_mg.sum())

    # -- what is there -------------------------------------------------------------------------

    @property
    def at_s(self) -> float:
        """Moment up to which the model was advanced [s since 1970 UTC]."""
        return self._s.at_s

    @property
    def totals(self) -> Totals:
        """Where the waste is [mg]; the first fill counts as generated."""
        return self._s.totals

    @property
    def fill_pct(self) -> Floats:
        """True fill of all bins (n_bins,) [% of the volume to the rim, 0..heap_pct]."""
        self._recount()
        fill: Floats = self._volume_l / self._shapes.brim_l * 100.0
        return fill

    @property
    def litter_l(self) -> Floats:
        """Litter in all zones (n_zones,), loose [l]; what lies beside a bin lies in the bin's zone."""
        self._recount()
        return self._litter_nl / NL_PER_L

    @property
    def overflow_s(self) -> Floats:
        """Time that each bin was at its rim or above (n_bins,) [s]."""
        return self._s.overflow_s.astype(np.float64)

    @property
    def full_since_s(self) -> Floats:
        """Since when each bin is full (n_bins,) [s since 1970 UTC]; NaN for a bin that is not full."""
        since = self._s.full_since_min
        return np.where(since == NEVER, np.nan, since * 60.0)

    @property
    def dirty_zone_s(self) -> Floats:
        """Time that each zone had more litter than `dirty_l` (n_zones,) [s]."""
        return self._s.dirty_s.astype(np.float64)

    def fill_of(self, asset_id: str) -> float:
        """Return the true fill of a bin [%].

        Raises
        ------
        KeyError
            The bin is not part of the model.
        """
        return float(self.fill_pct[self.index[asset_id]])

    def take_events(self) -> list[Event]:
        """Return what happened since the last call."""
        events, self._events = self._events, []
        return events

    # -- time ----------------------------------------------------------------------------------

    def advance(self, to_s: float) -> None:
        """Let time pass up to `to_s` in whole ticks; a moment in the past changes nothing."""
        while self._s.at_s + TICK_S <= to_s:
            self._tick()

    def rebase(self, at_s: float) -> None:
        """Move the model to another moment without letting time pass (the clock was set)."""
        self._s.rebase(at_s)
        self._truths = None

    def _tick(self) -> None:
        s = self._s
        minute = int(s.at_s // 60)
        mishaps = self._mishaps.between(s.at_s, s.at_s + TICK_S)
        if mishaps:
            self._events += self._happenings.apply(s, mishaps, self.weather.at(s.at_s))
            self._changed()
        drops = self.crowd.drops(minute)
        if len(drops.point):
            self._recount()
            self._dropping.drop(s, drops, Filled(self._loose_nl, self._volume_l), self._is_dirty())
            self._changed()
        if (s.fire_min != NEVER).any():
            self._events += self._happenings.burn(s, minute, self.weather.rain_mmph(s.at_s))
            self._changed()
        if minute % SLOW_MIN == 0:
            self._slow(minute, self.weather.at(s.at_s))
        s.at_s += TICK_S
        self._truths = None
        self._account(minute + 1)

    def _account(self, minute: int) -> None:
        s = self._s
        fill = self.fill_pct
        s.overflow_s[fill >= 100.0] += TICK_S  # noqa: PLR2004 - the rim
        full = fill >= self._full_pct
        s.full_since_min[full & (s.full_since_min == NEVER)] = minute
        s.full_since_min[~full] = NEVER
        s.dirty_s[self._is_dirty()] += TICK_S

    def _is_dirty(self) -> Bools:
        dirty: Bools = self._litter_nl > self._dirty_nl
        return dirty

    def _recount(self) -> None:
        """Derive volumes from masses, when masses have changed."""
        if not self._stale:
            return
        s = self._s
        self._loose_nl = loose_nl(s.mass_mg)
        self._volume_l = heap.volume_l(s.ratio_ppb, self._loose_nl)
        self._litter_nl = loose_nl(s.ground_mg)
        np.add.at(self._litter_nl, self._shapes.zone, loose_nl(s.beside_mg))
        self._stale = False

    def _changed(self) -> None:
        self._stale = True
        self._truths = None

    _stale = True
    _truths: BinTruths | None = None
    _loose_nl: Ints
    _volume_l: Floats
    _litter_nl: Ints

    # -- slow things ---------------------------------------------------------------------------

    def _slow(self, minute: int, air: Air) -> None:
        s, shapes = self._s, self._shapes
        self._events += self._happenings.recover(s, minute)
        self._events += self._happenings.blow(s, air)
        holds = heap.holds_mg(s.mass_mg)
        if air.rain_mmph > 0 or s.water_mg.any():
            under = np.where(s.lid_min != NEVER, 1.0, value("rain_in_share"))
            mm = SLOW_MIN / 60.0 * (air.rain_mmph * under - value("drying_mm_per_h") * air.sun)
            s.water_mg = np.maximum(s.water_mg + np.rint(mm * shapes.floor_m2 * MG_PER_KG).astype(np.int64), 0)
            s.water_mg -= np.maximum(s.water_mg - holds, 0) // 4  # floors leak
            s.water_mg[(s.stolen_min != NEVER) | (s.tipped_min != NEVER)] = 0
        s.ripe_mg_min += rotting_mg(s.mass_mg) * SLOW_MIN
        mix = heap.mixture(s.mass_mg)
        wet = np.minimum(s.water_mg / np.maximum(holds, 1), 1.0)
        stress = heap.stress_pa(s.mass_mg.sum(axis=1) + s.water_mg, shapes.floor_m2)
        s.ratio_ppb = heap.settled(s.ratio_ppb, heap.rest_ratio(mix, stress, wet), self._settling)
        self._changed()
        full = self.fill_pct >= 100.0  # noqa: PLR2004 - the rim
        if full.any():
            pressed = np.where(full & self._visited(minute), heap.PARAMETERS["pressed_ratio"].value, 1.0)
            s.ratio_ppb = heap.settled(s.ratio_ppb, pressed, heap.PARAMETERS["press_share"].value)
            self._changed()

    def _visited(self, minute: int) -> Bools:
        """Whether anybody had something to drop beside each bin in the last `SLOW_MIN` minutes, (n_bins,)."""
        came = np.zeros(len(self.bins), dtype=np.bool_)
        for before in range(SLOW_MIN):
            nearest = self.ground.near[self.crowd.drops(minute - before).point, 0]
            came[nearest[nearest != NEVER]] = True
        return came

    # -- crews ---------------------------------------------------------------------------------

    def empty(self, asset_id: str) -> float:
        """Empty a bin completely, pick up what lies beside it, and leave it upright, closed and in its place.

        Returns
        -------
        float
            What was taken [l]: settled from the bin, loose from the ground.

        Raises
        ------
        KeyError
            The bin is not part of the model.
        """
        i = self.index[asset_id]
        self._recount()
        s = self._s
        taken_l = float(self._volume_l[i]) + litres(s.beside_mg[i])
        s.collected_mg += int(s.mass_mg[i].sum()) + int(s.beside_mg[i].sum())
        s.beside_mg[i] = 0
        clear(s, i)
        s.moved_min[i] = s.tipped_min[i] = s.lid_min[i] = NEVER
        self._changed()
        self._events.append(Event(s.at_s, "emptied", asset_id, taken_l))
        return taken_l

    def sweep(self, zone_id: str) -> float:
        """Sweep a zone clean, beside its bins too, and return the loose litter taken [l].

        Raises
        ------
        KeyError
            The zone is not part of the model.
        """
        zone = self._zone_index[zone_id]
        s = self._s
        beside = np.flatnonzero(self._shapes.zone == zone)
        taken_l = litres(s.ground_mg[zone]) + litres(s.beside_mg[beside])
        s.collected_mg += int(s.ground_mg[zone].sum()) + int(s.beside_mg[beside].sum())
        s.ground_mg[zone] = 0
        s.beside_mg[beside] = 0
        self._changed()
        self._events.append(Event(s.at_s, "swept", zone_id, taken_l))
        return taken_l

    # -- what sensors find ---------------------------------------------------------------------

    def bin_truths(self) -> BinTruths:
        """Return the insides of all bins at `at_s`."""
        if self._truths is None:
            self._truths = self._look()
        return self._truths

    def _look(self) -> BinTruths:
        s, shapes = self._s, self._shapes
        fill = self.fill_pct
        air = self.weather.at(s.at_s)
        burning = s.fire_min != NEVER
        water_mm = np.maximum(s.water_mg - heap.holds_mg(s.mass_mg), 0) / MG_PER_KG / shapes.floor_m2
        roughness_mm, soft = surfaces(s.mass_mg)
        return BinTruths(
            fill_pct=fill,
            surface_mm=np.maximum(shapes.empty_mm - np.maximum(fill / 100.0 * shapes.span_mm, water_mm), 0.0),
            roughness_mm=roughness_mm,
            soft=soft,
            inside_c=_lid_c(air) + value("fire_heat_c") * burning,
            tilted_deg=np.where(s.tipped_min != NEVER, TIPPED_DEG, np.where(s.moved_min != NEVER, MOVED_TILT_DEG, 0.0)),
            water_mm=water_mm,
            lid_open=s.lid_min != NEVER,
            moved=s.moved_min != NEVER,
            stolen=(s.stolen_min != NEVER) | (s.sensor_stolen_min != NEVER),
            burning=burning,
            odour=self._smell(air),
        )

    def bin_truth(self, index: int) -> BinTruth:
        """Return the inside of one bin at `at_s`."""
        return self.bin_truths().of(index)

    def air_truth(self, lon: float, lat: float, at_s: float) -> AirTruth:
        """Return the air at a place; bins and fires are as they are at the moment of the model."""
        s, shapes = self._s, self._shapes
        air = self.weather.at(at_s)
        burning = np.flatnonzero(s.fire_min != NEVER)
        ugps_per_mgph = FIELD_PARAMETERS["smoke_g_per_kg"].value / 3600.0  # g/kg is ug/mg; an hour has 3600 s
        taken = burnable_mg(s.mass_mg[burning]) * MISHAP_PARAMETERS["fire_share"].value * 60.0
        smokes = np.array([smoke[1:] for smoke in s.smokes], dtype=np.float64).reshape(-1, 3)
        smoke = Sources(
            np.concatenate([shapes.x_m[burning], smokes[:, 0]]),
            np.concatenate([shapes.y_m[burning], smokes[:, 1]]),
            np.full(burning.size + len(smokes), 1.5),
            np.concatenate([taken, smokes[:, 2] * 1000.0]) * ugps_per_mgph,
        )
        smell = Sources(shapes.x_m, shapes.y_m, np.ones(len(self.bins)), self._smell(air))
        return self._air.at((lon, lat), at_s, air, smoke=smoke, smell=smell)

    def _smell(self, air: Air) -> Floats:
        """Return the ammonia that each bin gives off [ug/s]; fire makes none."""
        rotting = rotting_mg(self._s.mass_mg)
        age_h = self._s.ripe_mg_min / np.maximum(rotting, 1) / 60.0
        return smell_ugps(rotting / MG_PER_KG, age_h, _lid_c(air))

    # -- keeping -------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-able values."""
        return self._s.snapshot(self.bins, self.zones)

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Take over a state of `snapshot`; bins and zones that are new since then keep their first state.

        Raises
        ------
        KeyError, TypeError, ValueError
            The snapshot has not the shape that `snapshot` writes.
        """
        self._s = State.restored(snapshot, self.bins, self.zones, self._s)
        self._changed()


def _lid_c(air: Air) -> Floats:
    """Return the air under a lid that nothing burns below [C]."""
    return np.array(air.temp_c + value("lid_heat_c") * air.sun)
